/*
 * planner_support.c - estimates for the planner: rows and costs of the functions that ask a model.
 *
 * Rows: at most k, and at most the number of candidates. Cost: a question scores all entities and
 * looks up known facts. Nothing here takes part in an answer.
 */
#include "pg/base/compat.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "core/serve/clusters.h"
#include "pg/base/settings.h"
#include "pg/serve/known_cost.h"

PG_FUNCTION_INFO_V1(metasd_predict_support_sql);
PG_FUNCTION_INFO_V1(metasd_predict_many_support_sql);

/* The number of questions if the planner cannot see it. */
#define QUESTIONS 1000

/* The cost of a question and of scoring an entity, in operators; entities without statistics. */
#define QUESTION_COST 2000
#define ENTITY_COST 0.5
#define ENTITIES 10000

/* The number of elements of an argument; DEFAULT_COUNT if it is unknown. */
static double
count_elements(Node *argument, double default_count)
{
    if (IsA(argument, Const)) {
        const Const *constant = (const Const *)argument;

        if (!constant->constisnull && OidIsValid(get_element_type(constant->consttype))) {
            ArrayType *array = DatumGetArrayTypeP(constant->constvalue);

            return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
        }
    }
    if (IsA(argument, ArrayExpr) && !((ArrayExpr *)argument)->multidims)
        return list_length(((ArrayExpr *)argument)->elements);
    return default_count;
}

/* The value of k, the only argument declared integer; 0 if it is unknown. */
static double
find_limit(Oid function, List *arguments)
{
    Oid *types = NULL;
    int n;
    double k = 0;

    (void)get_func_signature(function, &types, &n);
    for (int i = 0; i < n && i < list_length(arguments); i++)
        if (types[i] == INT4OID && IsA(list_nth(arguments, i), Const)) {
            const Const *constant = list_nth_node(Const, arguments, i);

            k = constant->constisnull ? 1 : Max(1, DatumGetInt32(constant->constvalue));
        }
    return k;
}

/* The number of candidates: the argument declared "any" is candidate_ids if there is a k. */
static double
count_candidates(Oid function, List *arguments)
{
    Oid *types = NULL;
    int n;

    (void)get_func_signature(function, &types, &n);
    for (int i = 0; i < n && i < list_length(arguments); i++)
        if (types[i] == ANYOID)
            return count_elements(list_nth(arguments, i), INFINITY);
    return INFINITY;
}

/* The rows of metasd.entity: those of all versions, so at least those of the model. */
static double
count_entities(void)
{
    Oid schema = get_namespace_oid("metasd", true);
    double rows =
        OidIsValid(schema) ? metasd_known_cost_rows(get_relname_relid("entity", schema)) : 0;

    return rows > 0 ? rows : ENTITIES;
}

/* The entities that a question scores: some of many, if the answer is approximate. */
static double
count_scored(void)
{
    double entities = count_entities();

    return metasd_search_entities > 0 && entities >= METASD_CLUSTERS_FROM
               ? Min(entities, metasd_search_entities)
               : entities;
}

/* The questions of a batch: its first argument is a relation or an array. */
static double
count_questions(List *arguments)
{
    Node *first = linitial(arguments);
    double rows = 0;

    if (exprType(first) != REGCLASSOID)
        return count_elements(first, QUESTIONS);
    if (IsA(first, Const) && !((Const *)first)->constisnull)
        rows = metasd_known_cost_rows(DatumGetObjectId(((Const *)first)->constvalue));
    return rows > 0 ? rows : QUESTIONS;
}

/* Answers a request about a function that takes one question, or MANY. */
static Node *
answer_request(Node *request, bool many)
{
    if (IsA(request, SupportRequestRows)) {
        SupportRequestRows *rows = (SupportRequestRows *)request;
        List *arguments = is_funcclause(rows->node) ? ((FuncExpr *)rows->node)->args : NIL;
        double k = find_limit(rows->funcid, arguments);

        if (k == 0)
            return NULL;
        k = Min(k, count_candidates(rows->funcid, arguments));
        rows->rows = Max(1, k * (many ? count_questions(arguments) : 1));
        return request;
    }
    if (IsA(request, SupportRequestCost)) {
        SupportRequestCost *cost = (SupportRequestCost *)request;
        bool known = many && cost->node && is_funcclause(cost->node);

        cost->startup = 0;
        cost->per_tuple = cpu_operator_cost * (QUESTION_COST + ENTITY_COST * count_scored()) *
                          (known  ? Max(1, count_questions(((FuncExpr *)cost->node)->args))
                           : many ? QUESTIONS
                                  : 1);
        return request;
    }
    return NULL;
}

/* metasd.predict_support(internal) returns internal */
Datum
metasd_predict_support_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_POINTER(answer_request((Node *)PG_GETARG_POINTER(0), false));
}

/* metasd.predict_many_support(internal) returns internal */
Datum
metasd_predict_many_support_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_POINTER(answer_request((Node *)PG_GETARG_POINTER(0), true));
}
