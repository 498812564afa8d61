#include "pg/explain/explain_facts.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "core/ranking/topk.h"
#include "core/serve/query.h"
#include "pg/catalog/statement.h"
#include "pg/serve/index_advice.h"
#include "pg/serve/known.h"
#include "pg/serve/known_plan.h"
#include "pg/source/source.h"

/*
 * Facts of an entity at one place that are read. An entity with more has thousands, and each of
 * these is a small part of what its row learned.
 */
#define MOST_FACTS 256

/* Relations whose facts are read if an entity has more facts. */
#define MOST_RELATIONS 16

/* Entities that count as near, itself included, and facts of near heads that are read. */
#define NEAR 24
#define MOST_LIKE 256

#define PLACES 3

/* What is new of the triple; data is NULL if nothing is. */
typedef struct Newcomer {
    MetasdLabel label;
    uint32 id;
} Newcomer;

typedef struct Reader {
    const MetasdQuestion *question;
    MetasdPull *pull;
    MetasdSource *source;
    Newcomer newcomer[PLACES];
    MetasdExplainFacts facts;
} Reader;

bool
metasd_explain_facts_possible(const MetasdQuestion *question)
{
    const MetasdModel *model = question->model;

    /* he may ask, so where he may not read, the owner may not either, and the NOTICE says so */
    return !metasd_source_objection(&model->serving_source, model->serving_column, GetUserId()) ||
           metasd_question_has_source(question);
}

/* ---- rows of the source ---- */

/* The number of a label, if the model knows it or it is that of the triple's newcomer. */
static bool
find_id(const Reader *reader, int place, MetasdLabel label, uint32 *id)
{
    const MetasdQuestion *question = reader->question;
    bool relation = place == METASD_EXPLAIN_RELATION;

    if (metasd_label_find(metasd_question_labels(question, relation), label.data, label.len, id))
        return true;
    for (int i = 0; i < PLACES; i++) {
        const Newcomer *one = &reader->newcomer[i];

        if ((i == METASD_EXPLAIN_RELATION) == relation && one->label.data &&
            one->label.len == label.len && memcmp(one->label.data, label.data, label.len) == 0) {
            *id = one->id;
            return true;
        }
    }
    return false;
}

/* False if the row is of no use: newcomers' rows are made of facts that have no other newcomer. */
static bool
find_ids(const Reader *reader, uint64 row, uint32 id[PLACES])
{
    int newcomers = 0;

    for (int i = 0; i < PLACES; i++) {
        bool isnull;
        Datum value = metasd_statement_value(row, i + 1, &isnull);
        text *label = isnull ? NULL : DatumGetTextPP(value);

        if (isnull ||
            !find_id(reader, i, (MetasdLabel){VARDATA_ANY(label), (uint32)VARSIZE_ANY_EXHDR(label)},
                     &id[i]))
            return false;
        newcomers += metasd_question_is_new(reader->question, i == METASD_EXPLAIN_RELATION, id[i]);
    }
    return newcomers <= 1;
}

static bool
is_asked(const Reader *reader, const uint32 id[PLACES])
{
    return id[METASD_EXPLAIN_HEAD] == reader->pull->head &&
           id[METASD_EXPLAIN_RELATION] == reader->pull->relation &&
           id[METASD_EXPLAIN_TAIL] == reader->pull->tail;
}

static bool
is_among(uint32 id, const uint32 *ids, uint32 n)
{
    for (uint32 i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return n == 0;
}

/* Keeps the rows found, if their labels have numbers; of N tails, or of any if N is 0. */
static void
keep_rows(Reader *reader, const uint32 *tails, uint32 n)
{
    MetasdExplainFacts *facts = &reader->facts;

    for (uint64 i = 0; i < SPI_processed; i++) {
        MetasdExplainFact fact = {.weight = 0};

        if (!find_ids(reader, i, fact.id) || is_asked(reader, fact.id) ||
            !is_among(fact.id[METASD_EXPLAIN_TAIL], tails, n))
            continue;
        if (facts->count == facts->capacity) {
            facts->capacity *= 2;
            facts->list = repalloc(facts->list, facts->capacity * sizeof(*facts->list));
        }
        facts->list[facts->count++] = fact;
    }
    SPI_freetuptable(SPI_tuptable);
}

static int
compare_facts(const void *a, const void *b)
{
    static const int order[PLACES] = {METASD_EXPLAIN_RELATION, METASD_EXPLAIN_HEAD,
                                      METASD_EXPLAIN_TAIL};
    const MetasdExplainFact *x = a, *y = b;

    for (int i = 0; i < PLACES; i++)
        if (x->id[order[i]] != y->id[order[i]])
            return x->id[order[i]] < y->id[order[i]] ? -1 : 1;
    return 0;
}

static void
sort_facts(MetasdExplainFacts *facts)
{
    uint32 n = 0;

    qsort(facts->list, facts->count, sizeof(*facts->list), compare_facts);
    for (uint32 i = 0; i < facts->count; i++)
        if (n == 0 || compare_facts(&facts->list[n - 1], &facts->list[i]) != 0)
            facts->list[n++] = facts->list[i];
    facts->count = n;
}

/* ---- statements ---- */

/* Operators and types are qualified, as in known.c. */
static void
append_equal(StringInfo sql, const MetasdSource *source, int place, int parameter, bool any)
{
    appendStringInfo(sql, "%s%s OPERATOR(pg_catalog.=) %s$%d%s", parameter > 1 ? " AND " : "",
                     quote_identifier(source->column[place]), any ? "ANY (" : "", parameter,
                     any ? ")" : "");
}

static StringInfoData
start_select(const MetasdSource *source)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT ");
    for (int i = 0; i < PLACES; i++)
        appendStringInfo(&sql, "%s%s::pg_catalog.text", i ? ", " : "",
                         quote_identifier(source->column[i]));
    appendStringInfo(&sql, " FROM %s WHERE ", source->quoted);
    return sql;
}

/*
 * Reads at most MOST rows, for keep_rows. NULLS has 'n' for parameters that the statement has not.
 */
static void
read_rows(Reader *reader, const char *sql, Oid types[METASD_KNOWN_PARAMETERS], Datum *values,
          const char *nulls, long most, const uint32 *tails, uint32 n)
{
    SPIPlanPtr plan = metasd_known_plan(&reader->source->reading, sql, types);

    if (SPI_execute_plan(plan, values, nulls, true, most) != SPI_OK_SELECT)
        elog(ERROR, "could not read facts of the source");
    keep_rows(reader, tails, n);
}

/* The labels of N entities or relations that can be values of a column, as an array. */
static Datum
build_array(const Reader *reader, int place, const uint32 *ids, uint32 n)
{
    MetasdLabel *labels = palloc(n * sizeof(*labels));

    for (uint32 i = 0; i < n; i++)
        labels[i] =
            metasd_question_label(reader->question, place == METASD_EXPLAIN_RELATION, ids[i]);
    return metasd_known_array(reader->source->type[place], labels, n);
}

/* ---- facts of an entity ---- */

/* The relations whose facts with the entity at PLACE can pull most; returns their number. */
static uint32
choose_relations(const Reader *reader, MetasdPullRow row, int place, uint32 *relations)
{
    uint32 relation = reader->pull->relation, known = reader->question->image->plan.relations;
    uint32 n = known + metasd_question_is_new(reader->question, true, relation), count = 0;
    float *reach = palloc_extended((size_t)n * sizeof(*reach), MCXT_ALLOC_HUGE), value;
    uint32 *ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    MetasdTopk topk;

    for (uint32 r = 0; r < n; r++) {
        reach[r] = metasd_pull_reach(reader->pull, row, r < known ? r : relation,
                                     place == METASD_EXPLAIN_HEAD);
        CHECK_FOR_INTERRUPTS();
    }
    metasd_topk_start(&topk, n, reach, ids);
    while (count < MOST_RELATIONS && metasd_topk_next(&topk, &relations[count], &value))
        count++;
    for (uint32 i = 0; i < count; i++)
        if (relations[i] == known) /* the one behind them is that of the triple */
            relations[i] = relation;
    pfree(reach);
    pfree(ids);
    return count;
}

/* Reads facts with an entity of the triple at PLACE. */
static void
read_entity_at(Reader *reader, MetasdPullRow row, int place)
{
    const MetasdSource *source = reader->source;
    uint32 entity = row == METASD_PULL_HEAD ? reader->pull->head : reader->pull->tail;
    Oid types[METASD_KNOWN_PARAMETERS] = {source->type[place],
                                          get_array_type(source->type[METASD_EXPLAIN_RELATION]),
                                          source->type[place]};
    Datum values[METASD_KNOWN_PARAMETERS] = {0};
    uint32 relations[MOST_RELATIONS], n;
    StringInfoData sql = start_select(source);

    if (!metasd_known_value(source->type[place],
                            metasd_question_label(reader->question, false, entity), &values[0]))
        return;
    append_equal(&sql, source, place, 1, false);
    read_rows(reader, sql.data, types, values, " nn", MOST_FACTS, NULL, 0);
    if (SPI_processed < MOST_FACTS)
        return;
    n = choose_relations(reader, row, place, relations);
    values[1] = build_array(reader, METASD_EXPLAIN_RELATION, relations, n);
    append_equal(&sql, source, METASD_EXPLAIN_RELATION, 2, true);
    read_rows(reader, sql.data, types, values, "  n", MOST_FACTS, NULL, 0);
}

static void
read_entity(Reader *reader, MetasdPullRow row)
{
    read_entity_at(reader, row, METASD_EXPLAIN_HEAD);
    read_entity_at(reader, row, METASD_EXPLAIN_TAIL);
}

/* ---- like cases ---- */

/* The entity, and those nearest to it by the angle between embeddings; returns their number. */
static uint32
find_near(const MetasdQuestion *question, uint32 entity, uint32 near[NEAR])
{
    uint32 n = question->image->plan.entities, count = 1, id;
    float *scores = palloc_extended((size_t)n * sizeof(*scores), MCXT_ALLOC_HUGE), score;
    uint32 *ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    void *scratch = palloc(metasd_query_scratch_bytes(question->image->plan.width));
    MetasdTopk topk;

    near[0] = entity;
    metasd_query_scores_similar_of(question->image, metasd_question_entity(question, entity),
                                   scores, scratch);
    metasd_topk_start(&topk, n, scores, ids);
    while (count < NEAR && metasd_topk_next(&topk, &id, &score) && score > 0)
        if (id != entity)
            near[count++] = id;
    pfree(scores);
    pfree(ids);
    pfree(scratch);
    return count;
}

/*
 * Reads facts of the relation between entities near those of the triple, or these themselves. Those
 * of near heads are found by an index, and the tails are looked at here: by both, a scan would have
 * no bound.
 */
static void
read_like(Reader *reader)
{
    const MetasdPull *pull = reader->pull;
    const MetasdSource *source = reader->source;
    Oid types[METASD_KNOWN_PARAMETERS] = {source->type[METASD_EXPLAIN_RELATION],
                                          get_array_type(source->type[METASD_EXPLAIN_HEAD]),
                                          source->type[METASD_EXPLAIN_TAIL]};
    Datum values[METASD_KNOWN_PARAMETERS] = {0};
    uint32 heads[NEAR], tails[NEAR], n;
    StringInfoData sql = start_select(source);

    if (!metasd_known_value(source->type[METASD_EXPLAIN_RELATION],
                            metasd_question_label(reader->question, true, pull->relation),
                            &values[0]))
        return;
    n = find_near(reader->question, pull->head, heads);
    values[1] = build_array(reader, METASD_EXPLAIN_HEAD, heads, n);
    n = find_near(reader->question, pull->tail, tails);
    append_equal(&sql, source, METASD_EXPLAIN_RELATION, 1, false);
    append_equal(&sql, source, METASD_EXPLAIN_HEAD, 2, true);
    read_rows(reader, sql.data, types, values, "  n", MOST_LIKE, tails, n);
}

static void
note_newcomers(Reader *reader)
{
    const uint32 id[PLACES] = {reader->pull->head, reader->pull->relation, reader->pull->tail};

    for (int i = 0; i < PLACES; i++)
        if (metasd_question_is_new(reader->question, i == METASD_EXPLAIN_RELATION, id[i]))
            reader->newcomer[i] = (Newcomer){
                metasd_question_label(reader->question, i == METASD_EXPLAIN_RELATION, id[i]),
                id[i]};
}

MetasdExplainFacts
metasd_explain_facts_read(const MetasdQuestion *question, MetasdPull *pull)
{
    const MetasdModel *model = question->model;
    Reader reader = {
        .question = question,
        .pull = pull,
        .source = metasd_source_open(model->serving_source.oid, model->serving_column, GetUserId()),
        .facts.capacity = MOST_FACTS};

    note_newcomers(&reader);
    metasd_index_advise(reader.source, METASD_ASKED_TAIL);
    metasd_index_advise(reader.source, METASD_ASKED_HEAD);
    reader.facts.list = palloc(reader.facts.capacity * sizeof(*reader.facts.list));
    SPI_connect();
    METASD_READING_BEGIN(&reader.source->reading);
    read_entity(&reader, METASD_PULL_HEAD);
    if (pull->tail != pull->head)
        read_entity(&reader, METASD_PULL_TAIL);
    read_like(&reader);
    METASD_READING_END();
    SPI_finish();
    sort_facts(&reader.facts);
    return reader.facts;
}
