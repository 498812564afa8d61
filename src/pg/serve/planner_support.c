/*
 * planner_support.c - what the planner wants to know of the functions that ask a model.
 *
 * Rows: at most k, and no more than there are candidates. Cost: a question is scored against all
 * entities, and looks known facts up. Nothing here takes part in an answer.
 */
#include "pg/base/compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(metasd_predict_support_sql);
PG_FUNCTION_INFO_V1(metasd_predict_many_support_sql);

/* Where the planner cannot see how many questions there are. */
#define QUESTIONS 1000

/* Operators' worth of a question, of scoring an entity, and entities where none were counted. */
#define QUESTION_COST 2000
#define ENTITY_COST 0.5
#define ENTITIES 10000

/* How many elements an argument has, or DEFAULT_COUNT if that cannot be seen. */
static double
elements(Node *argument, double default_count)
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

/* The only argument declared integer is k; 0 if its value is not known to the planner. */
static double
answers_wanted(Oid function, List *arguments)
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

/* The argument declared "any" is candidate_ids, where the function has a k. */
static double
candidates(Oid function, List *arguments)
{
    Oid *types = NULL;
    int n;

    (void)get_func_signature(function, &types, &n);
    for (int i = 0; i < n && i < list_length(arguments); i++)
        if (types[i] == ANYOID)
            return elements(list_nth(arguments, i), INFINITY);
    return INFINITY;
}

/* Rows of a relation, as they were counted last; 0 if they never were. */
static double
rows_of(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    double rows = 0;

    if (HeapTupleIsValid(tuple)) {
        rows = Max(0, ((Form_pg_class)GETSTRUCT(tuple))->reltuples);
        ReleaseSysCache(tuple);
    }
    return rows;
}

/* Rows of metasd.entity: all versions', so no fewer than a model has. */
static double
entities(void)
{
    Oid schema = get_namespace_oid("metasd", true);
    double rows = OidIsValid(schema) ? rows_of(get_relname_relid("entity", schema)) : 0;

    return rows > 0 ? rows : ENTITIES;
}

/* Questions of a batch, by its first argument: a relation or an array. */
static double
questions(List *arguments)
{
    Node *first = linitial(arguments);
    double rows = 0;

    if (exprType(first) != REGCLASSOID)
        return elements(first, QUESTIONS);
    if (IsA(first, Const) && !((Const *)first)->constisnull)
        rows = rows_of(DatumGetObjectId(((Const *)first)->constvalue));
    return rows > 0 ? rows : QUESTIONS;
}

/* Answers a request about a function that is asked one question, or MANY. */
static Node *
support(Node *request, bool many)
{
    if (IsA(request, SupportRequestRows)) {
        SupportRequestRows *rows = (SupportRequestRows *)request;
        List *arguments = is_funcclause(rows->node) ? ((FuncExpr *)rows->node)->args : NIL;
        double k = answers_wanted(rows->funcid, arguments);

        if (k == 0)
            return NULL;
        k = Min(k, candidates(rows->funcid, arguments));
        rows->rows = Max(1, k * (many ? questions(arguments) : 1));
        return request;
    }
    if (IsA(request, SupportRequestCost)) {
        SupportRequestCost *cost = (SupportRequestCost *)request;
        bool known = many && cost->node && is_funcclause(cost->node);

        cost->startup = 0;
        cost->per_tuple = cpu_operator_cost * (QUESTION_COST + ENTITY_COST * entities()) *
                          (known  ? Max(1, questions(((FuncExpr *)cost->node)->args))
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
    PG_RETURN_POINTER(support((Node *)PG_GETARG_POINTER(0), false));
}

/* metasd.predict_many_support(internal) returns internal */
Datum
metasd_predict_many_support_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_POINTER(support((Node *)PG_GETARG_POINTER(0), true));
}
