/*
 * import.c - kg_import: a version of a model from embeddings that were trained elsewhere.
 *
 * The call checks the two tables, so that what is wrong with them is an error at once. A worker
 * then reads them again, and makes a version of them as a training does.
 */
#include "pg/base/compat.h"

#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pg/access/access.h"
#include "pg/base/settings.h"
#include "pg/catalog/import_order.h"
#include "pg/control/train.h"
#include "pg/params/params.h"
#include "pg/source/embedding_table.h"
#include "pg/source/source.h"

PG_FUNCTION_INFO_V1(metasd_kg_import);

/* ---- parameters ---- */

/* What only imports have among their parameters. */
typedef struct Choice {
    const char *name;
    const char *const *word; /* two, of which the first is the default */
} Choice;

static const Choice layout = {"layout", metasd_import_layouts};
static const Choice missing = {"missing", metasd_import_missing};

static Jsonb *
remove_member(Jsonb *json, const char *name)
{
    return DatumGetJsonbP(
        DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(json), CStringGetTextDatum(name)));
}

/* Takes the choice out of the parameters; true if it is the second word. */
static bool
take_choice(Jsonb **params, const Choice *choice)
{
    JsonbValue room, *value = getKeyJsonValueFromContainer(&(*params)->root, choice->name,
                                                           (int)strlen(choice->name), &room);

    *params = remove_member(*params, choice->name);
    if (!value || value->type == jbvNull)
        return false;
    for (int i = 0; i < 2 && value->type == jbvString; i++)
        if (strlen(choice->word[i]) == (size_t)value->val.string.len &&
            strncmp(choice->word[i], value->val.string.val, value->val.string.len) == 0)
            return i == 1;
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("invalid value for parameter \"%s\"", choice->name),
             errhint("It must be one of \"%s\", \"%s\".", choice->word[0], choice->word[1])));
}

/* The parameters of an import that the call gives, apart from those that only imports have. */
static void
check_params(const MetasdParams *params)
{
    if (params->given[METASD_P_EPOCHS])
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("an import has no parameter \"epochs\""),
                        errhint("The parameter finetune says how many epochs train the pruned "
                                "weights.")));
    if (params->value[METASD_P_VALIDATION_FRACTION] > 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("an import cannot hold out facts of its source"),
                        errdetail("The model may have been trained on any of them."),
                        errhint("Name a relation of facts that it was not trained on: "
                                "kg_import(..., validation => '...').")));
}

/* ---- the tables ---- */

static void
refuse_memory(MetasdBudget *budget, size_t bytes)
{
    ereport(ERROR,
            (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
             errmsg("the labels alone need more memory than metasd.train_mem allows"),
             errdetail("They need %zu MB; %zu MB are allowed.", bytes >> 20, budget->most >> 20),
             errhint("Raise metasd.train_mem.")));
}

/* So much of a label is in a message. */
#define SHOWN_BYTES 200

/* What PyKEEN, LibKGE and others append to the name of a relation for that of its inverse. */
static const char *const inverse_suffixes[] = {"_inverse", "_reciprocal", "_reverse"};

/* The suffix of an inverse of another label of the set, or NULL. */
static const char *
find_suffix(const MetasdLabelSet *labels, MetasdLabel label)
{
    for (size_t i = 0; i < lengthof(inverse_suffixes); i++) {
        size_t len = strlen(inverse_suffixes[i]);
        uint32 number;

        if (label.len > len &&
            memcmp(label.data + label.len - len, inverse_suffixes[i], len) == 0 &&
            metasd_labelset_find(labels, label.data, label.len - len, &number))
            return inverse_suffixes[i];
    }
    return NULL;
}

/* Inverses as relations of their own would import without an error, and heads be scored badly. */
static void
note_inverses(const MetasdEmbeddingTable *table, const MetasdLabelSet *labels)
{
    for (uint32 i = 0; i < metasd_labelset_count(labels) && table->arrays == 1; i++) {
        MetasdLabel label = metasd_labelset_get(labels, i);
        const char *suffix = find_suffix(labels, label);

        if (!suffix)
            continue;
        ereport(
            NOTICE,
            (errmsg("relation \"%.*s\" in table \"%s\" seems to be the inverse of another",
                    pg_mbcliplen(label.data, (int)label.len, SHOWN_BYTES), label.data, table->name),
             errdetail("The import takes it for a relation of its own. Embeddings of inverse "
                       "relations score heads if they are in a column reciprocal."),
             errhint("CREATE VIEW %s AS SELECT r.label, r.embedding, i.embedding AS reciprocal "
                     "FROM %s r JOIN %s i ON i.label = r.label || '%s', and import from that.",
                     quote_identifier(psprintf("%s_read", table->name)), table->quoted,
                     table->quoted, suffix)));
        return;
    }
}

/* An error unless both tables can be imported; returns the rank of their embeddings. */
static size_t
check_tables(const Oid table[2], Oid owner, const MetasdFamily *family)
{
    MetasdBudget budget = {.most = (size_t)metasd_train_mem * 1024, .refuse = refuse_memory};
    MetasdEmbeddingShape shape = {.reals = family->reals_per_rank, .most_rank = METASD_MOST_RANK};
    MetasdEmbeddingTable *open[2];
    MetasdLabelSet *labels[2];

    for (int i = 0; i < 2; i++)
        open[i] = metasd_embedding_open(table[i], i == 1, owner);
    SPI_connect();
    for (int i = 0; i < 2; i++) {
        labels[i] = metasd_labelset_create(&budget);
        metasd_embedding_read(open[i], owner, &shape, labels[i], NULL, NULL);
    }
    note_inverses(open[1], labels[1]);
    SPI_finish();
    return shape.width / shape.reals;
}

static void
check_rank(const MetasdParams *given, size_t rank)
{
    if (given->given[METASD_P_RANK] && given->value[METASD_P_RANK] != (double)rank)
        ereport(
            ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("the embeddings have rank %zu, not %.0f", rank, given->value[METASD_P_RANK]),
             errhint("Leave the parameter rank out: the import takes that of the tables.")));
}

/* ---- the run ---- */

static Jsonb *
rank_json(size_t rank)
{
    MetasdJson *json = metasd_json_begin();

    metasd_json_whole(json, "rank", (int64)rank);
    return metasd_json_end(json);
}

/* What the model remembers, with the fine-tuning that this call asks for and no other. */
static Jsonb *
run_params(const MetasdModel *model, const MetasdParams *given)
{
    Jsonb *params = remove_member(model->params, "finetune");
    MetasdJson *json;

    if (!given->given[METASD_P_FINETUNE])
        return params;
    json = metasd_json_begin();
    metasd_json_whole(json, "finetune", (int64)given->value[METASD_P_FINETUNE]);
    return metasd_train_merge(params, metasd_json_end(json));
}

static char *
name_relation(Oid relation)
{
    return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
                                      get_rel_name(relation));
}

/* The metrics that the run begins with, from which the worker knows what it imports. */
static Jsonb *
describe_import(MetasdImportOrder *order)
{
    MetasdJson *json = metasd_json_begin();

    for (int i = 0; i < 2; i++)
        order->name[i] = name_relation(order->relation[i]);
    metasd_json_open(json, "import");
    metasd_import_order_write(order, json);
    metasd_json_close(json);
    return metasd_json_end(json);
}

/* An error about the source that proposes arguments of this function, not of kg_train. */
static void
check_source(const MetasdModel *model)
{
    if (OidIsValid(model->source.oid))
        (void)metasd_source_open(model->source.oid, model->column, metasd_access_owner(model));
}

static void
note_calibration(const MetasdModel *model)
{
    if (!model->validation.given)
        ereport(NOTICE, (errmsg("no facts are held out: probabilities are not calibrated"),
                         errhint("Name a relation of facts that the model was not trained on: "
                                 "kg_import(..., validation => '...').")));
}

/*
 * kg_import(model text, entities, relations, source regclass, params jsonb, head, relation, tail
 * text, validation regclass)
 */
Datum
metasd_kg_import(PG_FUNCTION_ARGS)
{
    MetasdRequest request = {
        .function = "kg_import()",
        .hint = "Name the source of its facts: kg_import(model, entities, relations, source).",
        .name = metasd_train_text(fcinfo, 0),
        .source_given = !PG_ARGISNULL(3),
        .source = PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3),
        .validation_given = !PG_ARGISNULL(8),
        .validation = PG_ARGISNULL(8) ? InvalidOid : PG_GETARG_OID(8)};
    MetasdParams given = {.given = {false}}, all;
    MetasdImportOrder order = {.interleaved = false};
    MetasdModel *model;
    size_t rank;
    int64 run;

    for (int i = 0; i < 2; i++) {
        if (PG_ARGISNULL(1 + i))
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("the tables of embeddings must not be null"),
                            errhint("Name both: kg_import(model, entities, relations, source).")));
        order.relation[i] = PG_GETARG_OID(1 + i);
    }
    for (int i = 0; i < 3; i++)
        request.column[i] = metasd_train_text(fcinfo, 5 + i);
    if (!PG_ARGISNULL(4)) {
        Jsonb *params = PG_GETARG_JSONB_P(4);

        if (JB_ROOT_IS_OBJECT(params)) {
            order.interleaved = take_choice(&params, &layout);
            order.skips = take_choice(&params, &missing);
        }
        metasd_params_read(&given, params);
        check_params(&given);
        request.params = remove_member(params, "finetune");
    }
    model = metasd_train_request(&request);
    check_source(model);
    metasd_params_read(&all, model->params);
    rank = check_tables(order.relation, metasd_access_owner(model), metasd_params_family(&all));
    check_rank(&given, rank);
    model->params = metasd_train_merge(model->params, rank_json(rank));
    run = metasd_train_start(model, run_params(model, &given), describe_import(&order));
    note_calibration(model);
    PG_RETURN_INT64(run);
}
