/*
 * rank_answers.c - metasd.rank_answers, the function of kg_evaluate's query that ranks.
 *
 * It reads the model and, of the process that runs kg_evaluate, its newcomers; else nothing. So
 * workers of a parallel query can run it where there are no newcomers.
 */
#include "pg/evaluate/rank_answers.h"

#include "pg/base/compat.h"

#include <float.h>
#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "core/model/probability.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"
#include "pg/evaluate/asked_model.h"
#include "pg/evaluate/newcomer_table.h"

PG_FUNCTION_INFO_V1(metasd_rank_answers_sql);

#define RANKED_ANSWER_COLUMNS 10 /* of metasd.ranked_answer */

/* The scores of one question, and the number of its candidates. */
typedef struct Ranking {
    MetasdAskedModel *asked;
    uint32 entities;
    uint32 left;           /* candidates besides the answers and known facts */
    bool guessed;          /* the model does not know the entity or the relation */
    MetasdSigmoid sigmoid; /* of the question's relation row, if it knows both */
    MetasdGiven entity, relation;
} Ranking;

/* Sorted numbers, each once. */
typedef struct Numbers {
    int64 *number;
    size_t n;
} Numbers;

static int
compare_numbers(const void *a, const void *b)
{
    int64 x = *(const int64 *)a, y = *(const int64 *)b;

    return x < y ? -1 : x > y;
}

static int
compare_scores(const void *a, const void *b)
{
    float x = ((const MetasdRankCounts *)a)->score, y = ((const MetasdRankCounts *)b)->score;

    return x < y ? -1 : x > y;
}

/* The numbers in argument N, an array of bigint; none for NULL. */
static Numbers
numbers_argument(FunctionCallInfo fcinfo, int n, uint32 entities)
{
    Datum *values;
    bool *nulls;
    int length;
    int64 *numbers;
    size_t count = 0;

    if (PG_ARGISNULL(n))
        return (Numbers){NULL, 0};
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
                      TYPALIGN_DOUBLE, &values, &nulls, &length);
    numbers = palloc_extended(((size_t)length + 1) * sizeof(*numbers), MCXT_ALLOC_HUGE);
    for (int i = 0; i < length; i++) {
        numbers[i] = nulls[i] ? (int64)entities : DatumGetInt64(values[i]);
        if (numbers[i] >= (int64)entities)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("an answer must be the number of an entity"),
                            errhint("Use metasd.entity_number(model, label).")));
    }
    qsort(numbers, (size_t)length, sizeof(*numbers), compare_numbers);
    for (int i = 0; i < length; i++)
        if (i == 0 || numbers[i] != numbers[i - 1])
            numbers[count++] = numbers[i];
    return (Numbers){numbers, count};
}

/*
 * An entity, or a relation or its reciprocal, of that number; false if the model does not know it
 * and it is no newcomer.
 */
static bool
find_given(const MetasdAskedModel *asked, int64 number, bool relation, bool reciprocal,
           MetasdGiven *given)
{
    if (number < 0)
        return metasd_newcomer_table_find(asked->model, number, relation, reciprocal, given);
    *given = metasd_given((uint32)number + (reciprocal ? asked->image->plan.relations : 0));
    return true;
}

/*
 * Scores all entities for the question in the arguments; if the model has to guess, all the same.
 */
static Ranking
score_question(FunctionCallInfo fcinfo)
{
    MetasdAskedModel *asked = metasd_asked_model(fcinfo);
    const MetasdImagePlan *plan = &asked->image->plan;
    char *side = text_to_cstring(PG_GETARG_TEXT_PP(1));
    bool head = strcmp(side, "head") == 0;
    int64 entity = PG_GETARG_INT64(2), relation = PG_GETARG_INT64(3);
    Ranking ranking = {.asked = asked, .entities = plan->entities, .left = plan->entities};

    if (!head && strcmp(side, "tail") != 0)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("invalid value for side: \"%s\"", side),
                 errhint("It must be \"head\" or \"tail\", the side that the answers are on.")));
    if (entity >= (int64)plan->entities || relation >= (int64)plan->relations)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("the model has no entity or relation with that number"),
                 errhint("Use metasd.entity_number(model, label) and metasd.relation_number(model, "
                         "label).")));
    if (!asked->scores) {
        asked->scratch =
            MemoryContextAlloc(asked->context, metasd_query_scratch_bytes(plan->width));
        asked->scores =
            MemoryContextAllocHuge(asked->context, (size_t)plan->entities * sizeof(float));
        asked->ids =
            MemoryContextAllocHuge(asked->context, (size_t)plan->entities * sizeof(uint32));
    }
    ranking.guessed = !find_given(asked, entity, false, false, &ranking.entity) ||
                      !find_given(asked, relation, true, head, &ranking.relation);
    if (ranking.guessed)
        memset(asked->scores, 0, (size_t)plan->entities * sizeof(float));
    else {
        ranking.sigmoid = relation < 0 ? metasd_query_mean_sigmoid(asked->image)
                                       : metasd_query_sigmoid(asked->image, ranking.relation.id);
        metasd_query_scores_tails_of(asked->image, ranking.entity, ranking.relation, asked->scores,
                                     asked->scratch);
    }
    return ranking;
}

static void
leave_out(Ranking *ranking, Numbers numbers)
{
    float *scores = ranking->asked->scores;

    for (size_t i = 0; i < numbers.n; i++)
        if (numbers.number[i] >= 0 && scores[numbers.number[i]] != METASD_LEFT_OUT) {
            scores[numbers.number[i]] = METASD_LEFT_OUT;
            ranking->left--;
        }
}

static bool
is_among(Numbers numbers, int64 number)
{
    return bsearch(&number, numbers.number, numbers.n, sizeof(number), compare_numbers) != NULL;
}

/* One element of the result, a row of metasd.ranked_answer. */
static Datum
answer_row(const Ranking *ranking, int64 answer, double rank, int64 pessimistic, bool unseen)
{
    Datum values[RANKED_ANSWER_COLUMNS] = {
        Int64GetDatum(answer), Float8GetDatum(rank), Int64GetDatum(pessimistic),
        Int64GetDatum((int64)ranking->left + 1), BoolGetDatum(unseen)};
    bool nulls[RANKED_ANSWER_COLUMNS] = {[5] = true, true, true, true, true};

    return HeapTupleGetDatum(heap_form_tuple(ranking->asked->row, values, nulls));
}

/*
 * Finds the odds of candidates that are not known, and the first answer of kg_predict; false if it
 * has none. No score has been left out yet.
 */
static bool
find_odds(const Ranking *ranking, Numbers answers, Numbers known, MetasdOdds *odds, uint32 *first)
{
    const MetasdAskedModel *asked = ranking->asked;
    uint32 id;
    MetasdTopk topk;
    float score;

    metasd_probability_start(odds, ranking->entities, asked->scores);
    metasd_topk_start(&topk, ranking->entities, asked->scores, asked->ids);
    while ((!odds->found || odds->seen < METASD_ODDS_KNOWN) &&
           metasd_topk_next(&topk, &id, &score) && score != METASD_IMPOSSIBLE) {
        if (!odds->found)
            *first = id;
        metasd_probability_show(odds, score, is_among(known, id) && !is_among(answers, id));
    }
    return odds->found;
}

/* The element of the first answer: its probability, and whether it holds. */
static Datum
first_row(const Ranking *ranking, Numbers answers, const MetasdOdds *odds, uint32 first)
{
    bool nulls[RANKED_ANSWER_COLUMNS] = {[1] = true, true, true, true, [7] = true, true, true};
    Datum values[RANKED_ANSWER_COLUMNS] = {[0] = Int64GetDatum(first)};

    values[5] = Float4GetDatum(
        (float)metasd_probability(ranking->sigmoid, metasd_probability_odds(odds, odds->first)));
    values[6] = BoolGetDatum(is_among(answers, first));
    return HeapTupleGetDatum(heap_form_tuple(ranking->asked->row, values, nulls));
}

/* ---- all answers ---- */

/* Adds BY, 1 or -1, to the bins of NUMBERS, except those among BUT. */
static void
count_numbers(const Ranking *ranking, const MetasdOdds *odds, Numbers numbers, Numbers but, int by,
              uint32 bins[METASD_BINS])
{
    const float *scores = ranking->asked->scores;

    for (size_t i = 0; i < numbers.n; i++)
        if (numbers.number[i] >= 0 && scores[numbers.number[i]] > METASD_IMPOSSIBLE &&
            !is_among(but, numbers.number[i]))
            bins[metasd_probability_bin(odds, scores[numbers.number[i]])] += (uint32)by;
}

/* The range of a probability: two per power of ten, from the top. */
static int
find_range(double probability)
{
    int range = (int)floor(-2 * log10(Max(probability, DBL_MIN)));

    return Min(Max(range, 0), METASD_RANGES - 1);
}

/*
 * One element for each range of probability with answers that are not known: the sum of their
 * probabilities, and how many of them hold. Returns the number of elements.
 */
static size_t
range_rows(const Ranking *ranking, Numbers answers, Numbers known, const MetasdOdds *odds,
           Datum *rows)
{
    const Numbers none = {NULL, 0};
    uint32 all[METASD_BINS] = {0}, holding[METASD_BINS] = {0};
    uint64 count[METASD_RANGES] = {0}, holds[METASD_RANGES] = {0};
    double sum[METASD_RANGES] = {0};
    size_t n = 0;

    metasd_probability_count(odds, all);
    count_numbers(ranking, odds, known, answers, -1, all);
    count_numbers(ranking, odds, answers, none, 1, holding);
    for (size_t bin = 0; bin < METASD_BINS; bin++) {
        double probability;
        int range;

        if (all[bin] == 0) /* most bins; the answers that hold are among all */
            continue;
        probability = metasd_probability(ranking->sigmoid, metasd_bin_odds(bin));
        range = find_range(probability);
        count[range] += all[bin];
        holds[range] += holding[bin];
        sum[range] += (double)all[bin] * probability;
    }
    for (int range = 0; range < METASD_RANGES; range++) {
        bool nulls[RANKED_ANSWER_COLUMNS] = {true, true, true, true, true, true, true};
        Datum values[RANKED_ANSWER_COLUMNS] = {[7] = Int32GetDatum(range),
                                               Float8GetDatum(sum[range]),
                                               Int64GetDatum((int64)holds[range])};

        if (count[range] > 0)
            rows[n++] = HeapTupleGetDatum(heap_form_tuple(ranking->asked->row, values, nulls));
    }
    return n;
}

static void
prepare_rows(MetasdAskedModel *asked, Oid function)
{
    MemoryContext before;

    if (asked->row)
        return;
    before = MemoryContextSwitchTo(asked->context);
    asked->row_type = get_element_type(get_func_rettype(function));
    asked->row = lookup_rowtype_tupdesc_copy(asked->row_type, -1);
    MemoryContextSwitchTo(before);
}

/* The score of an answer; false if the model does not know it, so that it ranks behind all. */
static bool
score_answer(const Ranking *ranking, int64 number, float *score)
{
    const MetasdAskedModel *asked = ranking->asked;
    MetasdGiven answer;

    if (number >= 0)
        *score = asked->scores[number];
    else if (!ranking->guessed && find_given(asked, number, false, false, &answer))
        *score = metasd_query_score_of(asked->image, ranking->entity, ranking->relation, answer,
                                       asked->scratch);
    else
        return false;
    return true;
}

/* Writes a row for each answer. */
static void
rank_all(Ranking *ranking, Numbers answers, Numbers known, Datum *rows)
{
    MetasdRankCounts *ranked = palloc_extended((answers.n + 1) * sizeof(*ranked), MCXT_ALLOC_HUGE);
    size_t m = 0, n = 0;

    for (size_t i = 0; i < answers.n; i++)
        if (score_answer(ranking, answers.number[i], &ranked[m].score))
            ranked[m++].id = (uint32)i;
    leave_out(ranking, known);
    leave_out(ranking, answers);
    for (size_t i = 0, next = 0; i < answers.n; i++)
        if (next < m && ranked[next].id == i)
            next++;
        else /* unknown answers rank behind all known entities */
            rows[n++] = answer_row(ranking, answers.number[i], (double)ranking->left + 1,
                                   (int64)ranking->left + 1, true);
    qsort(ranked, m, sizeof(*ranked), compare_scores);
    metasd_rank_counts(ranking->entities, ranking->asked->scores, m, ranked);
    for (size_t i = 0; i < m; i++)
        rows[n++] = answer_row(ranking, answers.number[ranked[i].id],
                               1 + ranked[i].higher + 0.5 * ranked[i].same,
                               1 + (int64)ranked[i].higher + ranked[i].same, ranking->guessed);
}

/*
 * metasd.rank_answers(model text, side text, entity bigint, relation bigint, answers bigint[],
 * known bigint[]) returns metasd.ranked_answer[]: one element per answer, for which the other
 * answers are known facts, too; one for the first answer of kg_predict, with a probability and no
 * rank; and one for each range of probability that has answers, with their sum.
 */
Datum
metasd_rank_answers_sql(PG_FUNCTION_ARGS)
{
    Ranking ranking;
    Numbers answers, known;
    size_t n;
    Datum *rows;
    MetasdOdds odds;
    uint32 first = 0;

    for (int i = 0; i < 5; i++)
        if (PG_ARGISNULL(i))
            PG_RETURN_NULL();
    CHECK_FOR_INTERRUPTS();
    ranking = score_question(fcinfo);
    prepare_rows(ranking.asked, fcinfo->flinfo->fn_oid);
    answers = numbers_argument(fcinfo, 4, ranking.entities);
    known = numbers_argument(fcinfo, 5, ranking.entities);
    n = answers.n;
    rows = palloc_extended((n + 1 + METASD_RANGES) * sizeof(*rows), MCXT_ALLOC_HUGE);
    if (!ranking.guessed && n > 0 && find_odds(&ranking, answers, known, &odds, &first)) {
        rows[n++] = first_row(&ranking, answers, &odds, first);
        n += range_rows(&ranking, answers, known, &odds, &rows[n]);
    }
    rank_all(&ranking, answers, known, rows);
    PG_RETURN_ARRAYTYPE_P(
        construct_array(rows, (int)n, ranking.asked->row_type, -1, false, TYPALIGN_DOUBLE));
}
