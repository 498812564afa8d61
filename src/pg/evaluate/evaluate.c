/*
 * evaluate.c - kg_evaluate: how a model ranks triples that it was not trained on.
 *
 * One query does the work, and PostgreSQL's sorts keep it in bounded memory: it converts test
 * triples and known facts to numbers, groups them by question, and metasd.rank_answers ranks the
 * answers of each group. Each side has one branch of a UNION ALL, or several that share the groups,
 * so that a Parallel Append can give them to workers.
 *
 * The query runs with the rights of the caller, who names the test relation and the filters. The
 * model's source and validation source are read with the rights of the model's owner. The query
 * reads a relation itself, possibly in workers, if it gets the same rows and runs no code that the
 * caller need not trust (reading.h). Other relations are read before, into a tuplestore that the
 * query sees as a relation.
 */
#include "pg/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "pg/base/settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "pg/evaluate/evaluation_query.h"
#include "pg/evaluate/label_number.h"
#include "pg/evaluate/newcomer_table.h"
#include "pg/access/access.h"
#include "pg/image/image_cache.h"
#include "pg/catalog/model.h"
#include "pg/catalog/reference.h"
#include "pg/catalog/statement.h"
#include "pg/source/custom_plan.h"
#include "pg/source/reading.h"
#include "pg/source/source.h"

PG_FUNCTION_INFO_V1(metasd_kg_evaluate);

#define MOST_SLICES 16
#define LABELS_PER_FETCH 1000
#define RESULT_COLUMNS 14

typedef struct Evaluation {
    MetasdModel *model;
    const MetasdImage *image;
    const MetasdBucket *by;
    MetasdSource *test;
    bool test_is_read;      /* its triples are among the facts; else the query reads it */
    List *known;            /* MetasdSource that the query reads for known facts */
    List *locked;           /* OIDs of relations that the query may read */
    Tuplestorestate *facts; /* read before the query, with labels as numbers; or NULL */
    TupleDesc facts_row;
    int64 fact_count;
    bool asked;       /* the triples that are read now are those of the test */
    int64 triples;    /* in the test relation */
    int64 incomplete; /* rows of it that are no triples */
    MetasdNewcomerTable newcomers;
} Evaluation;

/* ---- reading before the query ---- */

/* Columns of a row of facts. */
enum { FACT_HEAD, FACT_RELATION, FACT_TAIL, FACT_LABEL, FACT_ASKED, FACT_COLUMNS };

/* Stores a fact for the query. */
static void
keep_fact(void *context, const MetasdTripleLabels *row)
{
    Evaluation *evaluation = context;
    Datum values[FACT_COLUMNS] = {[FACT_ASKED] = BoolGetDatum(evaluation->asked)};
    bool nulls[FACT_COLUMNS] = {[FACT_LABEL] = true};

    for (int i = 0; i < 3; i++)
        values[i] = Int64GetDatum(metasd_label_number(i == 1 ? &evaluation->image->relation_labels
                                                             : &evaluation->image->entity_labels,
                                                      row->data[i], row->len[i]));
    if (evaluation->asked) {
        evaluation->triples++;
        for (int i = 0; i < 3; i++)
            metasd_newcomer_table_note(&evaluation->newcomers,
                                       (MetasdLabel){row->data[i], (uint32)row->len[i]}, i == 1);
        if (metasd_evaluation_needs_label(evaluation->by)) {
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

/* Reads a relation with the rights of USER; returns how many of its rows are no triples. */
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
 * Can the caller's query read a relation, according to READING with the caller's rights? If so,
 * notes the relations that it may read. An extension that reads a relation itself might run the
 * query's functions on another server, which has neither this version nor its newcomers.
 */
static bool
let_query_read(Evaluation *evaluation, const MetasdReading *reading)
{
    if (reading->reader != GetUserId() || metasd_custom_plan_reads(reading))
        return false;
    evaluation->locked = list_concat_unique_oid(evaluation->locked, reading->reached);
    return true;
}

/* The same, if the caller gets the rows that the model's owner reads in a source. */
static bool
let_query_read_source(Evaluation *evaluation, const MetasdSource *source)
{
    MetasdReading reading;

    return metasd_source_is_readable(source->relation, source->column, GetUserId()) &&
           metasd_source_is_readable(source->relation, source->column, evaluation->model->owner) &&
           !has_foreign_part(source->relation) &&
           metasd_reading_try(&reading, source->relation, GetUserId(), false) == NULL &&
           let_query_read(evaluation, &reading);
}

/* ---- known facts ---- */

/* A NOTICE that facts of the source, or of the validation source, count as candidates. */
static void
notice_unfiltered(const Evaluation *evaluation, bool validation, const char *why)
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

/* Adds the known facts of a relation that the model was trained from. */
static void
add_known(Evaluation *evaluation, const MetasdRemembered *relation, bool validation)
{
    const MetasdModel *model = evaluation->model;
    char *objection = relation->given
                          ? metasd_source_objection(relation, model->serving_column, model->owner)
                          : NULL;
    MetasdSource *source;

    if (objection)
        notice_unfiltered(evaluation, validation, objection);
    if (!relation->given || objection)
        return;
    source = metasd_source_open(relation->oid, model->serving_column, model->owner);
    if (let_query_read_source(evaluation, source))
        evaluation->known = lappend(evaluation->known, source);
    else
        (void)read_before(evaluation, source, model->owner, false);
}

/*
 * Ranks reveal whether a fact was left out, and a reader of the source need not be allowed to read
 * the validation source. So its facts count only for the owner and for callers that may read them.
 */
static void
add_validation(Evaluation *evaluation)
{
    const MetasdModel *model = evaluation->model;
    const MetasdRemembered *validation = &model->serving_validation;

    if (validation->given && OidIsValid(validation->oid) && !metasd_access_is_mine(model) &&
        !metasd_source_is_readable(validation->oid, model->serving_column, GetUserId()))
        notice_unfiltered(evaluation, true, "They cannot be read with your rights.");
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
        filter = metasd_source_open_to_query(DatumGetObjectId(values[i]), column, true);
        if (let_query_read(evaluation, &filter->reading))
            evaluation->known = lappend(evaluation->known, filter);
        else
            (void)read_before(evaluation, filter, GetUserId(), false);
    }
}

/* ---- running it ---- */

static void
set_locally(const char *name, const char *value)
{
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

/* A plan of a query that may read the checked relations only. */
static SPIPlanPtr
prepare_query(const Evaluation *evaluation, const char *sql, int nargs, Oid *types)
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
    SPIPlanPtr plan = prepare_query(evaluation, metasd_evaluation_count_query(test), 0, NULL);
    bool isnull;

    if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not count the triples of \"%s\"", test->name);
    evaluation->triples = DatumGetInt64(metasd_statement_value(0, 2, &isnull));
    evaluation->incomplete =
        DatumGetInt64(metasd_statement_value(0, 1, &isnull)) - evaluation->triples;
}

/* Notes the labels of the test that the model does not know. */
static void
note_unknown(Evaluation *evaluation, Datum name)
{
    Oid type = TEXTOID;
    SPIPlanPtr plan =
        prepare_query(evaluation, metasd_evaluation_unknown_query(evaluation->test), 1, &type);
    Portal portal = SPI_cursor_open(NULL, plan, &name, " ", true);

    do {
        SPI_cursor_fetch(portal, true, LABELS_PER_FETCH);
        for (uint64 i = 0; i < SPI_processed; i++) {
            bool isnull;
            text *label = DatumGetTextPP(metasd_statement_value(i, 1, &isnull));

            metasd_newcomer_table_note(
                &evaluation->newcomers,
                (MetasdLabel){VARDATA_ANY(label), (uint32)VARSIZE_ANY_EXHDR(label)},
                DatumGetBool(metasd_statement_value(i, 2, &isnull)));
        }
        SPI_freetuptable(SPI_tuptable);
    } while (SPI_processed > 0);
    SPI_cursor_close(portal);
}

/* An error if there are no triples; a NOTICE tells how many rows are none. */
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
reads_temporary(const Evaluation *evaluation)
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
 * The number of branches per side: one per process, if workers can read all relations and pay
 * according to the planner's settings.
 */
static int
count_slices(const Evaluation *evaluation)
{
    double work = 2.0 * (double)evaluation->triples * evaluation->image->plan.entities;

    if (max_parallel_workers_per_gather == 0 || evaluation->facts ||
        evaluation->newcomers.count > 0 || reads_temporary(evaluation) ||
        work * cpu_operator_cost <= parallel_setup_cost)
        return 1;
    return Min(max_parallel_workers_per_gather + 1, MOST_SLICES);
}

/*
 * Sorting stays within work_mem for any number of groups; a hash table with an array per group
 * would not. Slices use workers because count_slices has a better estimate than the planner. Rows
 * must seem costly to transfer, or the planner would gather the facts in each branch and rank them
 * in the leader.
 */
static void
set_planner_locally(int slices)
{
    set_locally("enable_hashagg", "off");
    set_locally("jit", "off");
    if (slices > 1) {
        set_locally("parallel_setup_cost", "0");
        set_locally("parallel_tuple_cost", "10");
    }
}

static void
register_facts(Evaluation *evaluation)
{
    EphemeralNamedRelation facts = palloc0(sizeof(*facts));

    facts->md.name = pstrdup(METASD_FACTS);
    facts->md.reliddesc = InvalidOid;
    facts->md.tupdesc = evaluation->facts_row;
    facts->md.enrtype = ENR_NAMED_TUPLESTORE;
    facts->md.enrtuples = (double)evaluation->fact_count;
    facts->reldata = evaluation->facts;
    if (SPI_register_relation(facts) != SPI_OK_REL_REGISTER)
        elog(ERROR, "could not show known facts to a query");
}

/* Executes the plan of the query, whose functions find the newcomers meanwhile. */
static void
rank_triples(const Evaluation *evaluation, SPIPlanPtr plan, Datum *name)
{
    const MetasdNewcomerTable *before = metasd_newcomer_table_use(&evaluation->newcomers);

    PG_TRY();
    {
        if (SPI_execute_plan(plan, name, " ", true, 0) != SPI_OK_SELECT)
            elog(ERROR, "could not rank the triples of \"%s\"", evaluation->test->name);
    }
    PG_FINALLY();
    {
        (void)metasd_newcomer_table_use(before);
    }
    PG_END_TRY();
}

/* Runs the query with the caller's rights, and a search_path in which no other role can create. */
static void
run_query(Evaluation *evaluation, ReturnSetInfo *result)
{
    MetasdEvaluationQuery query = {.by = evaluation->by,
                                   .test = evaluation->test_is_read ? NULL : evaluation->test,
                                   .known = evaluation->known,
                                   .facts = evaluation->facts != NULL};
    SPIPlanPtr plan;
    int nest_level = NewGUCNestLevel();
    Oid type = TEXTOID;
    Datum name = CStringGetTextDatum(evaluation->model->name);

    set_locally("search_path", "pg_catalog, pg_temp");
    metasd_reading_pin_settings();
    SPI_connect();
    if (!evaluation->test_is_read)
        count_triples(evaluation);
    check_triples(evaluation);
    if (metasd_fold_in && !evaluation->test_is_read)
        note_unknown(evaluation, name);
    metasd_newcomer_table_fill(&evaluation->newcomers);
    query.slices = count_slices(evaluation);
    set_planner_locally(query.slices);
    if (evaluation->newcomers.count > 0) /* workers do not have their rows */
        set_locally("max_parallel_workers_per_gather", "0");
    if (evaluation->facts)
        register_facts(evaluation);
    plan = prepare_query(evaluation, metasd_evaluation_query(&query), 1, &type);
    rank_triples(evaluation, plan, &name);
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
    evaluation.by =
        metasd_evaluation_bucket(PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
    evaluation.model = metasd_access_model_to_ask(name);
    for (int i = 0; i < 3; i++)
        column[i] = PG_ARGISNULL(3 + i) ? evaluation.model->serving_column[i]
                                        : text_to_cstring(PG_GETARG_TEXT_PP(3 + i));
    evaluation.test = metasd_source_open_to_query(PG_GETARG_OID(1), column, false);
    evaluation.image = metasd_image_cache_get(evaluation.model, metasd_image_cache_size);
    metasd_newcomer_table_start(
        &evaluation.newcomers,
        (MetasdQuestion){.fcinfo = fcinfo, .model = evaluation.model, .image = evaluation.image});
    evaluation.test_is_read = !let_query_read(&evaluation, &evaluation.test->reading);
    if (evaluation.test_is_read)
        evaluation.incomplete = read_before(&evaluation, evaluation.test, GetUserId(), true);
    if (!PG_ARGISNULL(6))
        add_filters(&evaluation, PG_GETARG_ARRAYTYPE_P(6), column);
    add_known(&evaluation, &evaluation.model->serving_source, false);
    add_validation(&evaluation);
    run_query(&evaluation, (ReturnSetInfo *)fcinfo->resultinfo);
    if (evaluation.facts)
        tuplestore_end(evaluation.facts);
    return (Datum)0;
}
