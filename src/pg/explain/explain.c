/*
 * explain.c - kg_explain: the facts of the source that speak most for a triple, or against it.
 */
#include "pg/base/compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/ranking/ties.h"
#include "pg/explain/explain_facts.h"
#include "pg/explain/explain_weights.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_explain);

/* A fact of less than this part of the weight that the triple itself would have says nothing. */
#define LEAST_PART 1e-6

/* The bytes of a label that a message shows. */
#define MOST_SHOWN 200

/* Columns of the result. */
enum { RANK, KIND, HEAD, RELATION, TAIL, SHARE, COLUMNS };

static int
compare_label(const MetasdQuestion *question, bool relation, uint32 a, uint32 b)
{
    MetasdLabel x, y;
    int order;

    if (a == b || !(metasd_question_is_new(question, relation, a) ||
                    metasd_question_is_new(question, relation, b)))
        return a < b ? -1 : a > b; /* numbers of the image are in the order of the labels */
    x = metasd_question_label(question, relation, a);
    y = metasd_question_label(question, relation, b);
    order = memcmp(x.data, y.data, Min(x.len, y.len));
    return order != 0 ? order : x.len < y.len ? -1 : x.len > y.len;
}

/* In the order of the labels' bytes. */
static int
compare_labels(const MetasdExplainFact *a, const MetasdExplainFact *b, void *question)
{
    for (int i = 0; i < 3; i++) {
        int order = compare_label(question, i == METASD_EXPLAIN_RELATION, a->id[i], b->id[i]);

        if (order != 0)
            return order;
    }
    return 0;
}

/* By the size of the weight, the largest first. */
static int
compare_sizes(const void *a, const void *b, void *question)
{
    double x = fabs(((const MetasdExplainFact *)a)->weight);
    double y = fabs(((const MetasdExplainFact *)b)->weight);

    return x != y ? (x > y ? -1 : 1) : compare_labels(a, b, question);
}

/* By the weight: facts that speak for the triple come before those that speak against it. */
static int
compare_weights(const void *a, const void *b, void *question)
{
    double x = ((const MetasdExplainFact *)a)->weight, y = ((const MetasdExplainFact *)b)->weight;

    return x != y ? (x > y ? -1 : 1) : compare_labels(a, b, question);
}

/* Sorts the facts so that the K that matter most come first; returns how many there are. */
static uint32
choose_facts(const MetasdQuestion *question, MetasdExplainFacts *facts, double least, uint32 k)
{
    void *context = unconstify(MetasdQuestion *, question);
    uint32 n = 0;

    qsort_arg(facts->list, facts->count, sizeof(*facts->list), compare_sizes, context);
    while (n < facts->count && n < k && fabs(facts->list[n].weight) > least)
        n++;
    qsort_arg(facts->list, n, sizeof(*facts->list), compare_weights, context);
    return n;
}

static bool
has(const MetasdExplainFact *fact, uint32 entity)
{
    return fact->id[METASD_EXPLAIN_HEAD] == entity || fact->id[METASD_EXPLAIN_TAIL] == entity;
}

static void
put_fact(const MetasdQuestion *question, const MetasdPull *pull, const MetasdExplainFact *fact,
         MetasdTies *ties, double sum)
{
    FunctionCallInfo fcinfo = question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    const char *kind = has(fact, pull->head) ? "head" : has(fact, pull->tail) ? "tail" : "like";
    float share = (float)(fact->weight / sum);
    Datum values[COLUMNS];
    bool nulls[COLUMNS] = {false};

    values[RANK] = Int32GetDatum((int32)metasd_ties_rank(ties, share));
    values[KIND] = CStringGetTextDatum(kind);
    for (int i = HEAD; i <= TAIL; i++) {
        Oid type = TupleDescAttr(result->setDesc, i)->atttypid;
        MetasdLabel label = metasd_question_label(question, i == RELATION, fact->id[i - HEAD]);

        values[i] = i == RELATION ? metasd_identifier_given(fcinfo, type, label, true)
                                  : metasd_identifier_answer(fcinfo, type, label);
    }
    values[SHARE] = Float4GetDatum(share);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* What there is to say about a triple for which nothing speaks, or less than against it. */
typedef struct Doubt {
    bool impossible; /* a loop in an irreflexive relation */
    bool against;    /* facts speak for it, but more against it */
    uint32 facts;    /* that were looked at */
} Doubt;

static int
detail_doubt(Doubt doubt)
{
    if (doubt.impossible)
        return errdetail("Its relation is irreflexive: no entity has it to itself.");
    if (doubt.facts == 0)
        return errdetail("The source has no other fact of the head or the tail, and no like case, "
                         "that the model knows and you may read.");
    return errdetail_plural("%u fact of the head or the tail, or like case, was looked at.",
                            "%u facts of the head or the tail, and like cases, were looked at.",
                            doubt.facts, doubt.facts);
}

/* A NOTICE, one per statement; beside one about a newcomer. */
static void
notice_doubt(const MetasdQuestion *question, const MetasdLabel label[3], Doubt doubt)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    int len[3];

    if (site->doubted)
        return;
    site->doubted = true;
    for (int i = 0; i < 3; i++)
        len[i] = pg_mbcliplen(label[i].data, (int)label[i].len, MOST_SHOWN);
    ereport(NOTICE,
            (doubt.against
                 ? errmsg("more speaks against (\"%.*s\", \"%.*s\", \"%.*s\") than for it", len[0],
                          label[0].data, len[1], label[1].data, len[2], label[2].data)
                 : errmsg("nothing speaks for (\"%.*s\", \"%.*s\", \"%.*s\")", len[0],
                          label[0].data, len[1], label[1].data, len[2], label[2].data),
             detail_doubt(doubt), errhint("kg_rank tells where the model ranks this tail.")));
}

/* Writes the explanation of a triple, whose labels the model knows or newcomers have. */
static void
explain(const MetasdQuestion *question, const MetasdLabel label[3], const uint32 id[3], uint32 k)
{
    void *memory = palloc(metasd_pull_bytes(question->image->plan.width));
    const MetasdGiven given[METASD_PULL_ROWS] = {
        [METASD_PULL_HEAD] = metasd_question_entity(question, id[0]),
        [METASD_PULL_TAIL] = metasd_question_entity(question, id[2]),
        [METASD_PULL_RELATION] = metasd_question_relation(question, id[1], false),
        [METASD_PULL_RECIPROCAL] = metasd_question_relation(question, id[1], true)};
    MetasdExplainFacts facts;
    MetasdTies ties = {0};
    MetasdPull pull;
    double least, sum = 0, net = 0;
    bool speaks = false;
    uint32 n;

    if (id[0] == id[2] &&
        metasd_query_is_irreflexive(question->image, given[METASD_PULL_RELATION])) {
        notice_doubt(question, label, (Doubt){.impossible = true});
        return;
    }
    metasd_pull_start(&pull, question->image, given, METASD_PULL_TAILS, memory);
    facts = metasd_explain_facts_read(question, &pull);
    least = LEAST_PART * fabs(metasd_explain_weights(question, &pull, &facts));
    for (uint32 i = 0; i < facts.count; i++) {
        sum += fabs(facts.list[i].weight);
        net += facts.list[i].weight;
        speaks = speaks || facts.list[i].weight > least;
    }
    if (!speaks || net < 0)
        notice_doubt(question, label, (Doubt){.against = speaks, .facts = facts.count});
    n = speaks ? choose_facts(question, &facts, least, k) : 0;
    for (uint32 i = 0; i < n; i++)
        put_fact(question, &pull, &facts.list[i], &ties, sum);
    pfree(facts.list);
    pfree(memory);
}

/* kg_explain(head, relation, tail, k, model) */
Datum
metasd_kg_explain(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    MetasdLabel label[3];
    uint32 id[3], k;

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 4))
        return (Datum)0;
    k = metasd_call_limit(fcinfo, 3);
    question = metasd_question_open(fcinfo, 4);
    for (int i = 0; i < 3; i++) {
        label[i] = metasd_identifier_argument(fcinfo, i);
        if (!metasd_question_find(&question, label[i], i == 1, &id[i]))
            return (Datum)0;
    }
    if (k > 0 && metasd_explain_facts_possible(&question))
        explain(&question, label, id, k);
    return (Datum)0;
}
