/*
 * evaluate.c - kg_evaluate: how a model ranks triples that it was not trained on.
 *
 * One query does all, and PostgreSQL's sorts keep it in bounded memory: test triples and known
 * facts become numbers, are grouped by what is asked, and metasd.rank_answers ranks the answers of
 * each group. For each side there is one branch of a UNION ALL, or several that share the groups,
 * so that a Parallel Append can give them to workers.
 *
 * The query runs with the caller's rights, who names the test relation and the filters; the model's
 * source and its validation count as the model's owner reads them. What the query can read itself,
 * with the same rows, running nobody's code that the caller need not trust (reading.h), it reads:
 * workers can do that. The rest is read first, into a tuplestore that the query sees as a relation.
 */
#include "pg/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "pg/base/settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "pg/evaluate/rank_answers.h"
#include "pg/access/access.h"
#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "pg/source/reading.h"
#include "pg/source/source.h"

PG_FUNCTION_INFO_V1(metasd_kg_evaluate);

#define FACTS "metasd_facts" /* what was read before, under this name in the query */
#define MOST_SLICES 16
#define RESULT_COLUMNS 14
#define BINS 10 /* of probabilities, all as wide */

/* ---- arguments ---- */

typedef struct Bucket {
    const char *name;
    const char *key;   /* of a row of b: what is grouped and ordered by */
    const char *label; /* of the key x.key */
} Bucket;

/* Logarithmic: 0 for what does not occur, else the number of digits. */
#define DIGITS(relation, number)                                                                   \
    "(CASE WHEN metasd.occurrences($1, " relation ", " number ") = 0 THEN 0 "                      \
    "ELSE length(metasd.occurrences($1, " relation ", " number ")::text) END)"
#define RANGE                                                                                      \
    "CASE WHEN x.key = 0 THEN '0' ELSE '1' || repeat('0', x.key - 1) || '-' || repeat('9', "       \
    "x.key) END"

static const Bucket buckets[] = {{"all", "1", "'all'"},
                                 {"side", "b.side", "x.key"},
                                 {"relation", "b.label", "x.key"},
                                 {"frequency", DIGITS("true", "b.relation"), RANGE},
                                 {"degree", DIGITS("false", "(b.a).answer"), RANGE}};

static const Bucket *
bucket_argument(FunctionCallInfo fcinfo, int n)
{
    char *name;

    if (PG_ARGISNULL(n))
        return &buckets[0];
    name = text_to_cstring(PG_GETARG_TEXT_PP(n));
    for (size_t i = 1; i < lengthof(buckets); i++)
        if (strcmp(name, buckets[i].name) == 0)
            return &buckets[i];
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for by: \"%s\"", name),
             errhint("It must be \"side\", \"relation\", \"frequency\", \"degree\" or NULL.")));
}

typedef struct Evaluation {
    MetasdModel *model;
    const MetasdImage *image;
    const Bucket *by;
    MetasdSource *test;
    bool test_is_read;      /* it is among facts; else the query reads it */
    List *known;            /* MetasdSource that the query reads for known facts */
    List *locked;           /* OIDs of relations that the query may read */
    Tuplestorestate *facts; /* what was read before, with labels as numbers; or NULL */
    TupleDesc facts_row;
    int64 fact_count;
    bool asked;       /* the triples that are being read are those of the test */
    int64 triples;    /* in the test relation */
    int64 incomplete; /* rows of it that are none */
    int slices;       /* branches a side */
} Evaluation;

/* ---- what is read before the query ---- */

/* Columns of a row of facts. */
enum { FACT_HEAD, FACT_RELATION, FACT_TAIL, FACT_LABEL, FACT_ASKED, FACT_COLUMNS };

/* A fact on its way to the query. */
static void
keep_fact(void *context, const MetasdTripleLabels *row)
{
    Evaluation *evaluation = context;
    Datum values[FACT_COLUMNS] = {[FACT_ASKED] = BoolGetDatum(evaluation->asked)};
    bool nulls[FACT_COLUMNS] = {[FACT_LABEL] = true};

    for (int i = 0; i < 3; i++)
        values[i] = Int64GetDatum(metasd_rank_number_of_label(
            i == 1 ? &evaluation->image->relation_labels : &evaluation->image->entity_labels,
            row->data[i], row->len[i]));
    if (evaluation->asked) {
        evaluation->triples++;
        if (strcmp(evaluation->by->name, "relation") == 0) {
            values[FACT_LABEL] =
                PointerGetDatum(cstring_to_text_with_len(row->data[1], (int)row->len[1]));
            nulls[FACT_LABEL] = false;
        }
    }
    tuplestore_putvalues(evaluation->facts, evaluation->facts_row, values, nulls);
    if (!nulls[FACT_LABEL])
        pfree(DatumGetPointer(values[FACT_LABEL]));
    evaluation->fact_count++;
}

static void
start_facts(Evaluation *evaluation)
{
    static const char *const names[FACT_COLUMNS] = {"h", "r", "t", "label", "asked"};
    static const Oid types[FACT_COLUMNS] = {INT8OID, INT8OID, INT8OID, TEXTOID, BOOLOID};

    evaluation->facts_row = CreateTemplateTupleDesc(FACT_COLUMNS);
    for (int i = 0; i < FACT_COLUMNS; i++)
        TupleDescInitEntry(evaluation->facts_row, (AttrNumber)(i + 1), names[i], types[i], -1, 0);
    TupleDescInitEntryCollation(evaluation->facts_row, FACT_LABEL + 1, C_COLLATION_OID);
    evaluation->facts = tuplestore_begin_heap(false, false, work_mem);
}

/* Reads a relation on behalf of USER; returns how many of its rows are no triples. */
static int64
read_before(Evaluation *evaluation, const MetasdSource *source, Oid user, bool asked)
{
    uint64 incomplete;

    if (!evaluation->facts)
        start_facts(evaluation);
    evaluation->asked = asked;
    SPI_connect();
    incomplete = metasd_source_read(source, user, keep_fact, evaluation);
    SPI_finish();
    return (int64)incomplete;
}

static bool
has_foreign_part(Oid relation)
{
    ListCell *cell;

    foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL))
        if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
            return true;
    return false;
}

/*
 * Can the caller's own query read what a relation gives, by READING, which is on his behalf? It is
 * told which relations that are.
 */
static bool
query_reads(Evaluation *evaluation, const MetasdReading *reading)
{
    if (reading->reader != GetUserId())
        return false;
    evaluation->locked = list_concat_unique_oid(evaluation->locked, reading->reached);
    return true;
}

/* Would it read the rows that the model's owner reads of a source? */
static bool
same_for_caller(Evaluation *evaluation, const MetasdSource *source)
{
    MetasdReading reading;

    return metasd_source_is_readable(source->relation, source->column, GetUserId()) &&
           metasd_source_is_readable(source->relation, source->column, evaluation->model->owner) &&
           !has_foreign_part(source->relation) &&
           metasd_reading_try(&reading, source->relation, GetUserId(), false) == NULL &&
           query_reads(evaluation, &reading);
}

/* ---- known facts ---- */

/* A NOTICE that facts of the source, or of the validation source, count as candidates. */
static void
not_left_out(const Evaluation *evaluation, bool validation, const char *why)
{
    const char *name = evaluation->model->name;

    ereport(
        NOTICE,
        (validation
             ? errmsg("facts of the validation source of model \"%s\" are not left out of the "
                      "ranking",
                      name)
             : errmsg("facts of the source of model \"%s\" are not left out of the ranking", name),
         errdetail("%s", why)));
}

/* Known facts of a relation that the model was made of. */
static void
add_known(Evaluation *evaluation, const MetasdRemembered *relation, bool validation)
{
    const MetasdModel *model = evaluation->model;
    char *objection = relation->given
                          ? metasd_source_objection(relation, model->serving_column, model->owner)
                          : NULL;
    MetasdSource *source;

    if (objection)
        not_left_out(evaluation, validation, objection);
    if (!relation->given || objection)
        return;
    source = metasd_source_open(relation->oid, model->serving_column, model->owner);
    if (same_for_caller(evaluation, source))
        evaluation->known = lappend(evaluation->known, source);
    else
        (void)read_before(evaluation, source, model->owner, false);
}

/*
 * Ranks tell whether a fact was left out. So facts of the validation source, whose readers need not
 * be those of the source, only count for the owner and for who could read them himself.
 */
static void
add_validation(Evaluation *evaluation)
{
    const MetasdModel *model = evaluation->model;
    const MetasdRemembered *validation = &model->serving_validation;

    if (validation->given && OidIsValid(validation->oid) && !metasd_access_is_mine(model) &&
        !metasd_source_is_readable(validation->oid, model->serving_column, GetUserId()))
        not_left_out(evaluation, true, "They cannot be read with your rights.");
    else
        add_known(evaluation, validation, true);
}

static void
add_filters(Evaluation *evaluation, ArrayType *filters, char *const column[3])
{
    Datum *values;
    bool *nulls;
    int n;

    deconstruct_array(filters, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &values, &nulls, &n);
    for (int i = 0; i < n; i++) {
        MetasdSource *filter;

        if (nulls[i])
            ereport(ERROR,
                    (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                     errmsg("filters must not contain NULL"),
                     errhint("Name relations whose facts are known: filters => '{facts}'.")));
        filter = metasd_source_open_to_query(DatumGetObjectId(values[i]), column);
        if (query_reads(evaluation, &filter->reading))
            evaluation->known = lappend(evaluation->known, filter);
        else
            (void)read_before(evaluation, filter, GetUserId(), false);
    }
}

/* ---- the query ---- */

/* WHERE all three identifiers are there. */
static void
append_whole(StringInfo sql, const MetasdSource *source)
{
    for (int i = 0; i < 3; i++) {
        const char *column = quote_identifier(source->column[i]);

        appendStringInfo(sql, "%s%s IS NOT NULL", i ? " AND " : "", column);
        if (source->type[i] == TEXTOID || source->type[i] == VARCHAROID)
            appendStringInfo(sql, " AND %s::text COLLATE \"C\" <> ''", column);
    }
}

/* Rows of a relation as numbers; ASKED where their answers are to be ranked. */
static void
append_triples(StringInfo sql, const Evaluation *evaluation, const MetasdSource *source, bool asked)
{
    appendStringInfo(sql,
                     "SELECT metasd.entity_number($1, %s::text) AS h, "
                     "metasd.relation_number($1, %s::text) AS r, "
                     "metasd.entity_number($1, %s::text) AS t, ",
                     quote_identifier(source->column[0]), quote_identifier(source->column[1]),
                     quote_identifier(source->column[2]));
    if (asked && strcmp(evaluation->by->name, "relation") == 0)
        appendStringInfo(sql, "%s::text COLLATE \"C\" AS label, ",
                         quote_identifier(source->column[1]));
    else
        appendStringInfoString(sql, "NULL::text COLLATE \"C\" AS label, ");
    appendStringInfo(sql, "%s AS asked FROM %s WHERE ", asked ? "true" : "false", source->quoted);
    append_whole(sql, source);
}

/* Standings of the answers of one side; of every slices-th group where there are slices. */
static void
append_branch(StringInfo sql, const Evaluation *evaluation, const char *side, int slice)
{
    bool head = strcmp(side, "head") == 0;
    const char *given = head ? "f.t" : "f.h", *answer = head ? "f.h" : "f.t";
    ListCell *cell;

    appendStringInfo(sql,
                     "SELECT '%s'::text COLLATE \"C\" AS side, g.relation, g.label, "
                     "unnest(metasd.rank_answers($1, '%s', g.entity, g.relation, g.answers, "
                     "g.known)) AS a FROM (SELECT %s AS entity, f.r AS relation, "
                     "min(f.label) AS label, array_agg(%s) FILTER (WHERE f.asked) AS answers, "
                     "array_agg(%s) FILTER (WHERE NOT f.asked) AS known FROM (",
                     side, side, given, answer, answer);
    if (evaluation->facts)
        appendStringInfoString(sql, "SELECT h, r, t, label, asked FROM " FACTS);
    if (!evaluation->test_is_read) {
        appendStringInfoString(sql, evaluation->facts ? " UNION ALL " : "");
        append_triples(sql, evaluation, evaluation->test, true);
    }
    foreach (cell, evaluation->known) {
        appendStringInfoString(sql, " UNION ALL ");
        append_triples(sql, evaluation, lfirst(cell), false);
    }
    appendStringInfoString(sql, ") f");
    if (evaluation->slices >
        1) /* as CASE, which the planner takes for half of the rows: "=" for few */
        appendStringInfo(sql,
                         " WHERE CASE abs(%s %% %d + 3 * (f.r %% %d)) %% %d WHEN %d THEN true "
                         "ELSE false END",
                         given, evaluation->slices, evaluation->slices, evaluation->slices, slice);
    appendStringInfo(sql, " GROUP BY %s, f.r HAVING bool_or(f.asked)) g", given);
}

/*
 * The expected calibration error: how far, in the mean, the probabilities of a bin are from the
 * part of it that holds. A bin adds |its sum of differences| / all.
 */
static void
append_calibration_error(StringInfo sql)
{
    appendStringInfoString(sql, "(");
    for (int bin = 0; bin < BINS; bin++)
        appendStringInfo(sql, "%scoalesce(abs(sum(x.surplus) FILTER (WHERE x.bin = %d)), 0)",
                         bin ? " + " : "", bin);
    appendStringInfoString(sql, ") / nullif(count(x.surplus), 0)");
}

/*
 * The same of all answers, for each that holds: what their probabilities sum to, and how far that
 * is from what holds in the ranges.
 */
static void
append_calibration_of_all(StringInfo sql)
{
    appendStringInfoString(sql, "sum(x.claimed) / nullif(sum(x.held), 0)::float8, (");
    for (int range = 0; range < METASD_RANGES; range++)
        appendStringInfo(sql,
                         "%scoalesce(abs(sum(x.claimed - x.held) FILTER (WHERE x.range = %d)), 0)",
                         range ? " + " : "", range);
    appendStringInfoString(sql, ") / nullif(sum(x.held), 0)::float8");
}

/* All names in it are found in pg_catalog, the search_path it runs with. */
static char *
evaluation_sql(const Evaluation *evaluation)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfo(&sql,
                     "SELECT (%s)::text, count(x.rank), count(*) FILTER (WHERE x.unseen), "
                     "avg(1 / x.rank), avg(1 / x.pessimistic_rank::float8), "
                     "avg((x.rank <= 1)::int::float8), avg((x.rank <= 3)::int::float8), "
                     "avg((x.rank <= 10)::int::float8), avg(x.rank), "
                     "1 - avg(x.rank - 1) / nullif(avg((x.candidates - 1)::float8 / 2), 0), "
                     "avg(x.surplus * x.surplus), ",
                     evaluation->by->label);
    append_calibration_error(&sql);
    appendStringInfoString(&sql, ", ");
    append_calibration_of_all(&sql);
    appendStringInfo(&sql,
                     " FROM (SELECT %s AS key, (b.a).rank, (b.a).pessimistic_rank, "
                     "(b.a).candidates, (b.a).unseen, "
                     "(b.a).probability::float8 - (b.a).holds::int AS surplus, "
                     "(b.a).range, (b.a).claimed, (b.a).held, "
                     "least(floor((b.a).probability * %d), %d) AS bin FROM (",
                     evaluation->by->key, BINS, BINS - 1);
    for (int i = 0; i < evaluation->slices; i++) {
        appendStringInfoString(&sql, i ? " UNION ALL " : "");
        append_branch(&sql, evaluation, "tail", i);
        appendStringInfoString(&sql, " UNION ALL ");
        append_branch(&sql, evaluation, "head", i);
    }
    appendStringInfoString(&sql, ") b) x GROUP BY x.key HAVING count(x.rank) > 0 ORDER BY x.key");
    return sql.data;
}

/* ---- running it ---- */

static void
set_locally(const char *name, const char *value)
{
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

/* A plan of a query of ours, which may read what was looked at, and no more. */
static SPIPlanPtr
prepare(const Evaluation *evaluation, const char *sql, int nargs, Oid *types)
{
    SPIPlanPtr plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_PARALLEL_OK);

    if (!plan)
        elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
    metasd_reading_check_plan(plan, evaluation->locked, GetUserId());
    return plan;
}

/* Counts the test triples. */
static void
count_triples(Evaluation *evaluation)
{
    const MetasdSource *test = evaluation->test;
    StringInfoData sql;
    bool isnull;

    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT count(*), count(*) FILTER (WHERE ");
    append_whole(&sql, test);
    appendStringInfo(&sql, ") FROM %s", test->quoted);
    if (SPI_execute_plan(prepare(evaluation, sql.data, 0, NULL), NULL, NULL, true, 0) !=
        SPI_OK_SELECT)
        elog(ERROR, "could not count the triples of \"%s\"", test->name);
    evaluation->triples = DatumGetInt64(metasd_statement_value(0, 2, &isnull));
    evaluation->incomplete =
        DatumGetInt64(metasd_statement_value(0, 1, &isnull)) - evaluation->triples;
}

/* A NOTICE tells how many rows of the test are no triples. */
static void
check_triples(const Evaluation *evaluation)
{
    const char *name = evaluation->test->name;

    if (evaluation->triples == 0)
        ereport(ERROR,
                (errcode(ERRCODE_NO_DATA_FOUND),
                 errmsg("relation \"%s\" has no triples to rank", name),
                 errhint("Give a relation of facts that the model was not trained on, without "
                         "NULL and empty identifiers.")));
    if (evaluation->incomplete > 0)
        ereport(NOTICE,
                (errmsg_plural("%lld row of \"%s\" is left out", "%lld rows of \"%s\" are left out",
                               (unsigned long)evaluation->incomplete,
                               (long long)evaluation->incomplete, name),
                 errdetail("A head, relation or tail is NULL or empty.")));
}

static bool
any_temporary(const Evaluation *evaluation)
{
    ListCell *cell;

    foreach (cell, evaluation->known) {
        const MetasdSource *source = lfirst(cell);

        if (get_rel_persistence(source->relation) == RELPERSISTENCE_TEMP)
            return true;
    }
    return get_rel_persistence(evaluation->test->relation) == RELPERSISTENCE_TEMP;
}

/*
 * How many branches a side: one a process, where workers can read all that is to be read and are
 * worth starting by the measure of the planner's own settings.
 */
static int
slices_for(const Evaluation *evaluation)
{
    double work = 2.0 * (double)evaluation->triples * evaluation->image->plan.entities;

    if (max_parallel_workers_per_gather == 0 || evaluation->facts || any_temporary(evaluation) ||
        work * cpu_operator_cost <= parallel_setup_cost)
        return 1;
    return Min(max_parallel_workers_per_gather + 1, MOST_SLICES);
}

/*
 * Sorting keeps within work_mem however many groups there are, as an array for each in a hash table
 * would not. That slices are worth workers has been found out, by a better estimate than the
 * planner's; rows must seem dear to pass on, or it would gather the facts in each branch and rank
 * without help.
 */
static void
plan_locally(const Evaluation *evaluation)
{
    set_locally("enable_hashagg", "off");
    set_locally("jit", "off");
    if (evaluation->slices > 1) {
        set_locally("parallel_setup_cost", "0");
        set_locally("parallel_tuple_cost", "10");
    }
}

static void
show_facts(Evaluation *evaluation)
{
    EphemeralNamedRelation facts = palloc0(sizeof(*facts));

    facts->md.name = pstrdup(FACTS);
    facts->md.reliddesc = InvalidOid;
    facts->md.tupdesc = evaluation->facts_row;
    facts->md.enrtype = ENR_NAMED_TUPLESTORE;
    facts->md.enrtuples = (double)evaluation->fact_count;
    facts->reldata = evaluation->facts;
    if (SPI_register_relation(facts) != SPI_OK_REL_REGISTER)
        elog(ERROR, "could not show known facts to a query");
}

/* Runs the query as the caller, with a search_path that nobody else can write to. */
static void
run(Evaluation *evaluation, ReturnSetInfo *result)
{
    int nest_level = NewGUCNestLevel();
    Oid type = TEXTOID;
    Datum name = CStringGetTextDatum(evaluation->model->name);

    set_locally("search_path", "pg_catalog, pg_temp");
    metasd_reading_pin_settings();
    SPI_connect();
    if (!evaluation->test_is_read)
        count_triples(evaluation);
    check_triples(evaluation);
    evaluation->slices = slices_for(evaluation);
    plan_locally(evaluation);
    if (evaluation->facts)
        show_facts(evaluation);
    if (SPI_execute_plan(prepare(evaluation, evaluation_sql(evaluation), 1, &type), &name, " ",
                         true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not rank the triples of \"%s\"", evaluation->test->name);
    for (uint64 i = 0; i < SPI_processed; i++) {
        Datum values[RESULT_COLUMNS];
        bool nulls[RESULT_COLUMNS];

        heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    SPI_finish();
    AtEOXact_GUC(false, nest_level);
}

/*
 * kg_evaluate(model text, test regclass, by text, head, relation, tail text, filters regclass[])
 */
Datum
metasd_kg_evaluate(PG_FUNCTION_ARGS)
{
    Evaluation evaluation = {0};
    char *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)), *column[3];

    metasd_compat_init_materialized_srf(fcinfo);
    if (PG_ARGISNULL(1))
        return (Datum)0;
    evaluation.by = bucket_argument(fcinfo, 2);
    evaluation.model = metasd_access_model_to_ask(name);
    for (int i = 0; i < 3; i++)
        column[i] = PG_ARGISNULL(3 + i) ? evaluation.model->serving_column[i]
                                        : text_to_cstring(PG_GETARG_TEXT_PP(3 + i));
    evaluation.test = metasd_source_open_to_query(PG_GETARG_OID(1), column);
    evaluation.image = metasd_image_cache_get(evaluation.model, metasd_image_cache_size);
    evaluation.test_is_read = !query_reads(&evaluation, &evaluation.test->reading);
    if (evaluation.test_is_read)
        evaluation.incomplete = read_before(&evaluation, evaluation.test, GetUserId(), true);
    if (!PG_ARGISNULL(6))
        add_filters(&evaluation, PG_GETARG_ARRAYTYPE_P(6), column);
    add_known(&evaluation, &evaluation.model->serving_source, false);
    add_validation(&evaluation);
    run(&evaluation, (ReturnSetInfo *)fcinfo->resultinfo);
    if (evaluation.facts)
        tuplestore_end(evaluation.facts);
    return (Datum)0;
}
