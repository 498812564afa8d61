/*
 * rank_answers.c - the functions that kg_evaluate's query is made of.
 *
 * They read the model and nothing else, so workers of a parallel query can run them. Labels become
 * numbers: what is known to the model has its number in the image, anything else a negative hash
 * of its label, so that facts about it still find each other. Two such labels that share a hash
 * of 63 bits would be taken for one.
 */
#include "pg/base/compat.h"

#include <float.h>
#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "pg/base/settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "pg/evaluate/rank_answers.h"
#include "pg/access/access.h"
#include "pg/image/image_cache.h"
#include "core/model/probability.h"
#include "pg/catalog/catalog.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"

PG_FUNCTION_INFO_V1(metasd_entity_number_sql);
PG_FUNCTION_INFO_V1(metasd_relation_number_sql);
PG_FUNCTION_INFO_V1(metasd_occurrences_sql);
PG_FUNCTION_INFO_V1(metasd_rank_answers_sql);

#define COUNTS_PER_FETCH 100000
#define RANKED_ANSWER_COLUMNS 10 /* of metasd.ranked_answer */

int64
metasd_rank_number_of_label(const MetasdLabelTable *labels, const char *label, size_t len)
{
    uint32 id;

    if (metasd_label_find(labels, label, len, &id))
        return id;
    return -1 - (int64)(hash_bytes_extended((const unsigned char *)label, (int)len, 0) >> 1);
}

/* ---- the model that a call site asks ---- */

/* Kept in fn_extra while role and name are the same, until a transaction or savepoint ends. */
typedef struct AskedSite {
    MemoryContext context; /* of all that belongs to the model */
    Oid user;
    uint64 generation;
    text *name;
    const MetasdModel *model;
    const MetasdImage *image;
    int64 *counts[2]; /* of entities and relations; NULL until asked for */
    float *scores;    /* a number an entity; NULL until needed */
    void *scratch;
    uint32 *ids;   /* scratch of their order, a number an entity */
    TupleDesc row; /* of metasd.ranked_answer */
    Oid row_type;
} AskedSite;

static bool
still_valid(const AskedSite *site, const text *name)
{
    return site->name && site->user == GetUserId() &&
           site->generation == metasd_image_cache_generation() &&
           VARSIZE_ANY_EXHDR(site->name) == VARSIZE_ANY_EXHDR(name) &&
           memcmp(VARDATA_ANY(site->name), VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) == 0;
}

/* The model named by argument 0: whether the current user may ask it has been checked. */
static AskedSite *
asked_site(FunctionCallInfo fcinfo)
{
    AskedSite *site = fcinfo->flinfo->fn_extra;
    text *name = PG_GETARG_TEXT_PP(0);
    MemoryContext context, before;

    if (site && still_valid(site, name))
        return site;
    if (site)
        MemoryContextDelete(site->context);
    fcinfo->flinfo->fn_extra = NULL;
    context =
        AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "metasd answers", ALLOCSET_DEFAULT_SIZES);
    before = MemoryContextSwitchTo(context);
    site = palloc0(sizeof(*site));
    site->context = context;
    site->model = metasd_access_model_to_ask(text_to_cstring(name));
    site->image = metasd_image_cache_get(site->model, metasd_image_cache_size);
    site->name = cstring_to_text_with_len(VARDATA_ANY(name), (int)VARSIZE_ANY_EXHDR(name));
    site->user = GetUserId();
    site->generation = metasd_image_cache_generation();
    MemoryContextSwitchTo(before);
    fcinfo->flinfo->fn_extra = site;
    return site;
}

static Datum
number(FunctionCallInfo fcinfo, bool relation)
{
    const MetasdImage *image = asked_site(fcinfo)->image;
    text *label = PG_GETARG_TEXT_PP(1);

    return Int64GetDatum(
        metasd_rank_number_of_label(relation ? &image->relation_labels : &image->entity_labels,
                                    VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label)));
}

/* metasd.entity_number(model text, label text) returns bigint; strict */
Datum
metasd_entity_number_sql(PG_FUNCTION_ARGS)
{
    return number(fcinfo, false);
}

/* metasd.relation_number(model text, label text) returns bigint; strict */
Datum
metasd_relation_number_sql(PG_FUNCTION_ARGS)
{
    return number(fcinfo, true);
}

/* ---- how often something occurs in training ---- */

/* Fills counts[N] from the rows of a run, a part at a time. */
static void
read_counts(const AskedSite *site, bool relation, int64 *counts, uint32 n)
{
    static MetasdStatement of_entities = {
        "SELECT id, degree FROM metasd.entity WHERE run = $1 AND id >= $2 AND id < $3",
        3,
        {INT8OID, INT8OID, INT8OID},
        NULL};
    static MetasdStatement of_relations = {
        "SELECT id, count FROM metasd.relation WHERE run = $1 AND id >= $2 AND id < $3",
        3,
        {INT8OID, INT8OID, INT8OID},
        NULL};

    for (int64 first = 0; first < n; first += COUNTS_PER_FETCH) {
        Datum values[3] = {Int64GetDatum(site->model->serving), Int64GetDatum(first),
                           Int64GetDatum(Min(first + COUNTS_PER_FETCH, (int64)n))};
        uint64 rows;

        SPI_connect();
        rows =
            metasd_statement_execute(relation ? &of_relations : &of_entities, values, NULL, true);
        for (uint64 i = 0; i < rows; i++) {
            bool isnull;

            counts[DatumGetInt32(metasd_statement_value(i, 1, &isnull))] =
                DatumGetInt64(metasd_statement_value(i, 2, &isnull));
        }
        SPI_finish();
        CHECK_FOR_INTERRUPTS();
    }
}

/* metasd.occurrences(model text, relation boolean, number bigint) returns bigint; strict */
Datum
metasd_occurrences_sql(PG_FUNCTION_ARGS)
{
    AskedSite *site = asked_site(fcinfo);
    bool relation = PG_GETARG_BOOL(1);
    int64 number = PG_GETARG_INT64(2);
    const MetasdImagePlan *plan = &site->image->plan;
    uint32 n = relation ? plan->relations : plan->entities;

    if (number < 0 || number >= n)
        PG_RETURN_INT64(0);
    if (!site->counts[relation]) {
        int64 *counts = MemoryContextAllocExtended(site->context, (size_t)n * sizeof(*counts),
                                                   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

        read_counts(site, relation, counts, n);
        site->counts[relation] = counts;
    }
    PG_RETURN_INT64(site->counts[relation][number]);
}

/* ---- ranking ---- */

/* The answers of one query, and who is a candidate. */
typedef struct Ranking {
    AskedSite *site;
    uint32 entities;
    uint32 left;           /* candidates besides the answers and what is known */
    bool guessed;          /* the model does not know the entity or the relation */
    MetasdSigmoid sigmoid; /* of the question's relation row, where it knows them */
} Ranking;

/* Sorted numbers, each once. */
typedef struct Numbers {
    int64 *number;
    size_t n;
} Numbers;

static int
by_number(const void *a, const void *b)
{
    int64 x = *(const int64 *)a, y = *(const int64 *)b;

    return x < y ? -1 : x > y;
}

static int
by_score(const void *a, const void *b)
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
    qsort(numbers, (size_t)length, sizeof(*numbers), by_number);
    for (int i = 0; i < length; i++)
        if (i == 0 || numbers[i] != numbers[i - 1])
            numbers[count++] = numbers[i];
    return (Numbers){numbers, count};
}

/*
 * Scores of all entities for the query of the arguments; all the same where the model has to guess.
 */
static Ranking
score_query(FunctionCallInfo fcinfo)
{
    AskedSite *site = asked_site(fcinfo);
    const MetasdImagePlan *plan = &site->image->plan;
    char *side = text_to_cstring(PG_GETARG_TEXT_PP(1));
    bool head = strcmp(side, "head") == 0;
    int64 entity = PG_GETARG_INT64(2), relation = PG_GETARG_INT64(3);
    Ranking ranking = {.site = site, .entities = plan->entities, .left = plan->entities};

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
    if (!site->scores) {
        site->scratch = MemoryContextAlloc(site->context, metasd_query_scratch_bytes(plan->width));
        site->scores =
            MemoryContextAllocHuge(site->context, (size_t)plan->entities * sizeof(float));
        site->ids = MemoryContextAllocHuge(site->context, (size_t)plan->entities * sizeof(uint32));
    }
    ranking.guessed = entity < 0 || relation < 0;
    if (ranking.guessed)
        memset(site->scores, 0, (size_t)plan->entities * sizeof(float));
    else {
        uint32 row = (uint32)relation + (head ? plan->relations : 0);

        ranking.sigmoid = metasd_query_sigmoid(site->image, row);
        metasd_query_scores_tails(site->image, (uint32)entity, row, site->scores, site->scratch);
    }
    return ranking;
}

static void
leave_out(Ranking *ranking, Numbers numbers)
{
    float *scores = ranking->site->scores;

    for (size_t i = 0; i < numbers.n; i++)
        if (numbers.number[i] >= 0 && scores[numbers.number[i]] != METASD_LEFT_OUT) {
            scores[numbers.number[i]] = METASD_LEFT_OUT;
            ranking->left--;
        }
}

static bool
is_among(Numbers numbers, int64 number)
{
    return bsearch(&number, numbers.number, numbers.n, sizeof(number), by_number) != NULL;
}

/* One element of the result, a row of metasd.ranked_answer. */
static Datum
standing_row(const Ranking *ranking, int64 answer, double rank, int64 pessimistic, bool unseen)
{
    Datum values[RANKED_ANSWER_COLUMNS] = {
        Int64GetDatum(answer), Float8GetDatum(rank), Int64GetDatum(pessimistic),
        Int64GetDatum((int64)ranking->left + 1), BoolGetDatum(unseen)};
    bool nulls[RANKED_ANSWER_COLUMNS] = {[5] = true, true, true, true, true};

    return HeapTupleGetDatum(heap_form_tuple(ranking->site->row, values, nulls));
}

/*
 * Finds the odds of those who are not known, and what kg_predict answers first; false where it has
 * no answer. The scores are still all there.
 */
static bool
find_odds(const Ranking *ranking, Numbers answers, Numbers known, MetasdOdds *field, uint32 *first)
{
    const AskedSite *site = ranking->site;
    uint32 id;
    MetasdTopk topk;
    float score;

    metasd_probability_start(field, ranking->entities, site->scores);
    metasd_topk_start(&topk, ranking->entities, site->scores, site->ids);
    while ((!field->found || field->seen < METASD_FIELD_KNOWN) &&
           metasd_topk_next(&topk, &id, &score) && score != METASD_IMPOSSIBLE) {
        if (!field->found)
            *first = id;
        metasd_probability_show(field, score, is_among(known, id) && !is_among(answers, id));
    }
    return field->found;
}

/* The element of the first answer: how likely that is to hold, and whether it does. */
static Datum
first_row(const Ranking *ranking, Numbers answers, const MetasdOdds *field, uint32 first)
{
    bool nulls[RANKED_ANSWER_COLUMNS] = {[1] = true, true, true, true, [7] = true, true, true};
    Datum values[RANKED_ANSWER_COLUMNS] = {[0] = Int64GetDatum(first)};

    values[5] = Float4GetDatum(
        (float)metasd_probability(ranking->sigmoid, metasd_probability_odds(field, field->first)));
    values[6] = BoolGetDatum(is_among(answers, first));
    return HeapTupleGetDatum(heap_form_tuple(ranking->site->row, values, nulls));
}

/* ---- all answers ---- */

/* Takes those of some numbers that are answers off, or puts them in, their bins. */
static void
count_numbers(const Ranking *ranking, const MetasdOdds *field, Numbers numbers, Numbers but, int by,
              uint32 bins[METASD_BINS])
{
    const float *scores = ranking->site->scores;

    for (size_t i = 0; i < numbers.n; i++)
        if (numbers.number[i] >= 0 && scores[numbers.number[i]] > METASD_IMPOSSIBLE &&
            !is_among(but, numbers.number[i]))
            bins[metasd_probability_bin(field, scores[numbers.number[i]])] += (uint32)by;
}

/* The range of a probability: two a power of ten, from the top. */
static int
range_of(double probability)
{
    int range = (int)floor(-2 * log10(Max(probability, DBL_MIN)));

    return Min(Max(range, 0), METASD_RANGES - 1);
}

/*
 * Elements of all answers that are not known, one for each range of probability that any of them is
 * in: what their probabilities sum to, and how many of them hold. Returns how many elements.
 */
static size_t
range_rows(const Ranking *ranking, Numbers answers, Numbers known, const MetasdOdds *field,
           Datum *rows)
{
    const Numbers none = {NULL, 0};
    uint32 all[METASD_BINS] = {0}, holding[METASD_BINS] = {0};
    uint64 count[METASD_RANGES] = {0}, holds[METASD_RANGES] = {0};
    double sum[METASD_RANGES] = {0};
    size_t n = 0;

    metasd_probability_count(field, all);
    count_numbers(ranking, field, known, answers, -1, all);
    count_numbers(ranking, field, answers, none, 1, holding);
    for (size_t bin = 0; bin < METASD_BINS; bin++) {
        double probability;
        int range;

        if (all[bin] == 0) /* as most are: those that hold are among all */
            continue;
        probability = metasd_probability(ranking->sigmoid, metasd_bin_odds(bin));
        range = range_of(probability);
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
            rows[n++] = HeapTupleGetDatum(heap_form_tuple(ranking->site->row, values, nulls));
    }
    return n;
}

static void
prepare_rows(AskedSite *site, Oid function)
{
    MemoryContext before;

    if (site->row)
        return;
    before = MemoryContextSwitchTo(site->context);
    site->row_type = get_element_type(get_func_rettype(function));
    site->row = lookup_rowtype_tupdesc_copy(site->row_type, -1);
    MemoryContextSwitchTo(before);
}

/*
 * metasd.rank_answers(model text, side text, entity bigint, relation bigint, answers bigint[],
 * known bigint[]) returns metasd.ranked_answer[]: an element per answer, to which other answers are
 * known, too; one for what would be answered first, which has a probability and no rank; and one
 * for each range of probability that answers are in, which has their sum.
 */
Datum
metasd_rank_answers_sql(PG_FUNCTION_ARGS)
{
    Ranking ranking;
    Numbers answers, known;
    size_t unknown = 0, m, n;
    MetasdRankCounts *standings;
    Datum *rows;
    MetasdOdds field;
    uint32 first = 0;

    for (int i = 0; i < 5; i++)
        if (PG_ARGISNULL(i))
            PG_RETURN_NULL();
    CHECK_FOR_INTERRUPTS();
    ranking = score_query(fcinfo);
    prepare_rows(ranking.site, fcinfo->flinfo->fn_oid);
    answers = numbers_argument(fcinfo, 4, ranking.entities);
    known = numbers_argument(fcinfo, 5, ranking.entities);
    n = answers.n;
    while (unknown < n && answers.number[unknown] < 0)
        unknown++;
    m = n - unknown;
    rows = palloc_extended((n + 1 + METASD_RANGES) * sizeof(*rows), MCXT_ALLOC_HUGE);
    if (!ranking.guessed && n > 0 && find_odds(&ranking, answers, known, &field, &first)) {
        rows[n++] = first_row(&ranking, answers, &field, first);
        n += range_rows(&ranking, answers, known, &field, &rows[n]);
    }
    standings = palloc_extended((m + 1) * sizeof(*standings), MCXT_ALLOC_HUGE);
    for (size_t i = 0; i < m; i++) {
        standings[i].id = (uint32)answers.number[unknown + i];
        standings[i].score = ranking.site->scores[standings[i].id];
    }
    leave_out(&ranking, known);
    leave_out(&ranking, answers);
    qsort(standings, m, sizeof(*standings), by_score);
    metasd_rank_counts(ranking.entities, ranking.site->scores, m, standings);
    /* What the model does not know comes after all that it knows. */
    for (size_t i = 0; i < unknown; i++)
        rows[i] = standing_row(&ranking, answers.number[i], (double)ranking.left + 1,
                               (int64)ranking.left + 1, true);
    for (size_t i = 0; i < m; i++)
        rows[unknown + i] = standing_row(
            &ranking, standings[i].id, 1 + standings[i].higher + 0.5 * standings[i].same,
            1 + (int64)standings[i].higher + standings[i].same, ranking.guessed);
    PG_RETURN_ARRAYTYPE_P(
        construct_array(rows, (int)n, ranking.site->row_type, -1, false, TYPALIGN_DOUBLE));
}
