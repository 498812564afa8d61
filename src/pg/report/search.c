#include "pg/report/search.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "pg/base/settings.h"
#include "pg/catalog/security.h"
#include "pg/catalog/statement.h"
#include "pg/report/sample.h"
#include "pg/source/source.h"

/*
 * Products of weights that a search may take, about a second of one processor: a question takes as
 * many as the entities keep weights.
 */
#define PRODUCTS 4e9

/* Questions to draw where not all can be asked; with fewer there is little to find. */
#define MOST_QUESTIONS 2000
#define LEAST_QUESTIONS 50
#define QUESTION_PRODUCTS (PRODUCTS / 2) /* known facts are looked up, too */
#define ANSWERS "3"                      /* to each question */

/* To read more facts takes longer than a page may. */
#define MOST_FACTS 2e6

/* What is explained: the first findings. */
#define MOST_EXPLAINED 8

/* ---- calls of SQL functions ---- */

typedef void (*Search)(MetasdReport *report, MetasdFindings *findings);

/*
 * Runs a query of functions of schema metasd, as the caller, with a search_path that nobody else
 * can write to. Notices say what the page says itself, and it tells of what the model was trained
 * on: newcomers may take longer than a page may.
 */
static uint64
run_query(const char *sql, int n, Oid *types, Datum *values, const char *nulls)
{
    MetasdSwitch saved;
    int result;

    metasd_security_switch_to(&saved, GetUserId(), false);
    (void)set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
    (void)set_config_option("metasd.fold_in", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                            true, 0, false);
    result = SPI_execute_with_args(sql, n, types, values, nulls, true, 0);
    if (result != SPI_OK_SELECT)
        elog(ERROR, "could not execute \"%s\": %s", sql, SPI_result_code_string(result));
    metasd_security_switch_back(&saved);
    return SPI_processed;
}

/* Is it an error after which the statement must not go on? */
static bool
must_end(int sqlstate)
{
    return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_OPERATOR_INTERVENTION ||
           ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INSUFFICIENT_RESOURCES ||
           ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INTERNAL_ERROR;
}

/* Searches in a subtransaction, and keeps the message of an error. */
static void
attempt(MetasdReport *report, Search search, MetasdFindings *findings)
{
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;

    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        search(report, findings);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        ErrorData *error;

        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction(); /* in any case: nobody else ends it */
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
        if (must_end(error->sqlerrcode))
            ReThrowError(error);
        findings->count = 0;
        findings->error = error->message;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    report->image = metasd_image_cache_get(report->model, metasd_image_cache_size);
}

/* Why the source cannot be searched, without the full stop; NULL if it can. */
static char *
find_objection(const MetasdReport *report)
{
    const MetasdModel *model = report->model;
    char *objection =
        metasd_source_objection(&model->serving_source, model->serving_column, model->owner);
    size_t len = objection ? strlen(objection) : 0;

    if (len > 0 && objection[len - 1] == '.')
        objection[len - 1] = '\0';
    return objection;
}

/* ---- what a search costs ---- */

/* Products of one question. */
static double
question_cost(const MetasdReport *report)
{
    return Max((double)report->image->plan.entity_kept, report->image->plan.entities);
}

static double
facts_of(const MetasdReport *report)
{
    return isnan(report->figures.triples) ? 0 : report->figures.triples;
}

/* May both questions of each fact be asked? */
static bool
can_ask_all(const MetasdReport *report)
{
    return 2 * facts_of(report) * question_cost(report) <= PRODUCTS;
}

/* ---- explanations ---- */

/* Adds the facts that speak most for a finding, or against it. */
static void
explain(const MetasdReport *report, MetasdFinding *finding)
{
    Oid types[5] = {TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID};
    Datum values[5] = {CStringGetTextDatum(finding->label[0]),
                       CStringGetTextDatum(finding->label[1]),
                       CStringGetTextDatum(finding->label[2]), Int32GetDatum(METASD_MOST_REASONS),
                       CStringGetTextDatum(report->model->name)};
    uint64 n = run_query(
        "SELECT head, relation, tail, share::float8 FROM metasd.reasons($1, $2, $3, $4, $5)", 5,
        types, values, NULL);

    for (uint64 i = 0; i < n && i < METASD_MOST_REASONS; i++) {
        MetasdReason *reason = &finding->reason[finding->reasons++];

        for (int c = 0; c < 3; c++)
            reason->label[c] = metasd_statement_text(i, c + 1);
        reason->share = metasd_figures_number(i, 4);
    }
    SPI_freetuptable(SPI_tuptable);
}

static void
explain_all(MetasdReport *report, MetasdFindings *findings)
{
    for (int i = 0; i < findings->count && i < MOST_EXPLAINED; i++)
        explain(report, &findings->finding[i]);
}

/* ---- discoveries ---- */

/* Keeps the rows of a query whose columns are head, relation, tail and probability. */
static void
keep_discoveries(MetasdFindings *findings, uint64 n)
{
    for (uint64 i = 0; i < n && i < METASD_MOST_FINDINGS; i++) {
        MetasdFinding *finding = &findings->finding[findings->count++];

        for (int c = 0; c < 3; c++)
            finding->label[c] = metasd_statement_text(i, c + 1);
        finding->probability = metasd_figures_number(i, 4);
    }
    SPI_freetuptable(SPI_tuptable);
}

static void
discover_all(MetasdReport *report, MetasdFindings *findings)
{
    Oid types[2] = {TEXTOID, INT4OID};
    Datum values[2] = {CStringGetTextDatum(report->model->name),
                       Int32GetDatum(METASD_MOST_FINDINGS)};

    keep_discoveries(findings,
                     run_query("SELECT head, relation, tail, probability::float8 FROM "
                               "metasd.discoveries($1, $2, NULL, NULL, NULL, NULL, NULL, 'known')",
                               2, types, values, NULL));
}

static Datum
labels_of(const MetasdLabelTable *labels, const uint32 *ids, int n)
{
    Datum *elements = palloc((size_t)(n + 1) * sizeof(*elements));

    for (int i = 0; i < n; i++) {
        size_t len;
        const char *label = metasd_label_get(labels, ids[i], &len);

        elements[i] = PointerGetDatum(cstring_to_text_with_len(label, (int)len));
    }
    return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The best answers to questions that are drawn from the facts. */
static void
discover_some(MetasdReport *report, MetasdFindings *findings)
{
    MetasdSample sample = metasd_sample_read(
        report, (int)Min(QUESTION_PRODUCTS / question_cost(report), MOST_QUESTIONS));
    const MetasdImage *image = report->image;
    Oid types[4] = {TEXTARRAYOID, TEXTARRAYOID, TEXTOID, INT4OID};
    Datum values[4] = {labels_of(&image->entity_labels, sample.head, sample.count),
                       labels_of(&image->relation_labels, sample.relation, sample.count),
                       CStringGetTextDatum(report->model->name),
                       Int32GetDatum(METASD_MOST_FINDINGS)};

    findings->questions = sample.count;
    if (sample.count == 0)
        return;
    keep_discoveries(findings,
                     run_query("SELECT head, relation, tail, probability::float8 FROM "
                               "metasd.answers($1, $2, " ANSWERS
                               ", $3, 'exclude', 'tail', NULL, NULL, NULL) ORDER BY probability "
                               "DESC NULLS LAST, query, rank, tail COLLATE \"C\" LIMIT $4",
                               4, types, values, NULL));
}

void
metasd_search_discoveries(MetasdReport *report, MetasdFindings *findings)
{
    double questions = QUESTION_PRODUCTS / question_cost(report);

    *findings = (MetasdFindings){.error = find_objection(report)};
    if (findings->error)
        return;
    if (can_ask_all(report))
        attempt(report, discover_all, findings);
    else if (facts_of(report) <= MOST_FACTS && questions >= LEAST_QUESTIONS)
        attempt(report, discover_some, findings);
    else
        findings->large = true;
    if (findings->count > 0)
        attempt(report, explain_all, findings);
}

/* ---- suspects ---- */

/* Suspects of all relations, or of FINDINGS->relation. */
static void
suspect(MetasdReport *report, MetasdFindings *findings)
{
    Oid types[3] = {TEXTOID, INT4OID, TEXTOID};
    Datum values[3] = {CStringGetTextDatum(report->model->name),
                       Int32GetDatum(METASD_MOST_FINDINGS),
                       findings->relation ? CStringGetTextDatum(findings->relation) : (Datum)0};
    uint64 n = run_query("SELECT head, relation, tail, best_tail, tail_rank::float8 FROM "
                         "metasd.suspects($1, $2, $3)",
                         3, types, values, findings->relation ? NULL : "  n");

    for (uint64 i = 0; i < n && i < METASD_MOST_FINDINGS; i++) {
        MetasdFinding *finding = &findings->finding[findings->count++];

        for (int c = 0; c < 3; c++)
            finding->label[c] = metasd_statement_text(i, c + 1);
        finding->best_tail = metasd_statement_text(i, 4);
        finding->tail_rank = metasd_figures_number(i, 5);
    }
    SPI_freetuptable(SPI_tuptable);
}

/* The largest relation both questions of whose facts may be asked; NULL if there is none. */
static char *
choose_relation(const MetasdReport *report)
{
    static MetasdStatement look = {"SELECT label FROM metasd.relation WHERE run = $1 AND count <= "
                                   "$2 ORDER BY count DESC, id LIMIT 1",
                                   2,
                                   {INT8OID, FLOAT8OID},
                                   NULL};
    Datum values[2] = {Int64GetDatum(report->model->serving),
                       Float8GetDatum(PRODUCTS / 3 / question_cost(report))};

    return metasd_statement_execute(&look, values, NULL, true) > 0 ? metasd_statement_text(0, 1)
                                                                   : NULL;
}

void
metasd_search_suspects(MetasdReport *report, MetasdFindings *findings)
{
    *findings = (MetasdFindings){.error = find_objection(report)};
    if (findings->error)
        return;
    if (!can_ask_all(report)) {
        if (facts_of(report) <= MOST_FACTS)
            findings->relation = choose_relation(report);
        findings->large = !findings->relation;
    }
    if (!findings->large)
        attempt(report, suspect, findings);
    if (findings->count > 0)
        attempt(report, explain_all, findings);
}
