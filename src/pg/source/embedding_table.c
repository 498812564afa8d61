#include "pg/source/embedding_table.h"

#include <math.h>

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "executor/spi.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pg/source/fetch.h"
#include "pg/source/source.h"

/* An image refuses larger weights, so that no score overflows. */
#define MOST_WEIGHT 1e9f

static char *const columns[] = {"label", "embedding", "reciprocal"};

/* ---- the table ---- */

static void
check_kind(Oid relation)
{
    const char *name = get_rel_name(relation);

    if (!metasd_reading_kind_has_rows(get_rel_relkind(relation)))
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("\"%s\" cannot be a table of embeddings", name),
                        errhint("Use a table, view, materialized view or foreign table.")));
    if (get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("temporary relation \"%s\" cannot be a table of embeddings", name),
                        errdetail("A background worker reads the table, and cannot see it."),
                        errhint("Use a permanent or unlogged table.")));
}

static bool
is_readable(int column, Oid base)
{
    return column == 0 ? metasd_source_is_identifier(base)
                       : base == FLOAT4ARRAYOID || base == FLOAT8ARRAYOID;
}

/* The name of the only column that could be COLUMN, or NULL if there are several or none. */
static char *
find_only(Oid relation, int column)
{
    char *found = NULL, *name;

    for (AttrNumber i = 1; (name = get_attname(relation, i, true)) != NULL; i++) {
        Oid type = get_atttype(relation, i); /* none: the column was dropped */

        if (!OidIsValid(type) || !is_readable(column, getBaseType(type)))
            continue;
        if (found)
            return NULL;
        found = name;
    }
    return found;
}

/* A view that gives columns their names, as an errhint, where there is no doubt which they are. */
static int
propose_names(const MetasdEmbeddingTable *table)
{
    char *label = find_only(table->relation, 0), *embedding = find_only(table->relation, 1);

    if (label && embedding)
        return errhint("It needs the columns label and embedding: CREATE VIEW %s AS SELECT %s AS "
                       "label, %s AS embedding FROM %s.",
                       quote_identifier(psprintf("%s_read", table->name)), quote_identifier(label),
                       quote_identifier(embedding), table->quoted);
    return table->of_relations
               ? errhint("It needs the columns label and embedding, and may have a column "
                         "reciprocal. A view can give columns these names.")
               : errhint("It needs the columns label and embedding. A view can give columns "
                         "these names.");
}

static void
refuse_column(const MetasdEmbeddingTable *table, const char *column)
{
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("table \"%s\" has no column \"%s\"", table->name, column),
                    errdetail("Its columns are: %s.", metasd_source_columns(table->relation)),
                    propose_names(table)));
}

/* The type of a column, that below a domain; an error if there is no such column. */
static Oid
type_of(const MetasdEmbeddingTable *table, int column)
{
    AttrNumber number = get_attnum(table->relation, columns[column]);

    if (number <= 0)
        refuse_column(table, columns[column]);
    return getBaseType(get_atttype(table->relation, number));
}

/* A column in a select list, of a type that can be read; NULL if no cast is known for its type. */
static char *
cast_column(int column, Oid base)
{
    const char *name = columns[column];
    Oid function;

    if (is_readable(column, base))
        return pstrdup(name);
    if (column == 0)
        return psprintf("%s::text AS %s", name, name);
    if (base == JSONOID || base == JSONBOID)
        return psprintf("ARRAY(SELECT x::real FROM %s_array_elements_text(%s) x) AS %s",
                        base == JSONOID ? "json" : "jsonb", name, name);
    if (base == TEXTOID || base == VARCHAROID)
        return psprintf("translate(%s, '[]', '{}')::real[] AS %s", name, name);
    if (find_coercion_pathway(FLOAT4ARRAYOID, base, COERCION_EXPLICIT, &function) ==
        COERCION_PATH_NONE)
        return NULL;
    return psprintf("%s::real[] AS %s", name, name);
}

/* A view of the table that can be read, as an errhint. */
static int
propose_view(const MetasdEmbeddingTable *table)
{
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; i <= table->arrays; i++) {
        char *item = cast_column(i, type_of(table, i));

        if (!item)
            return errhint("Cast the column in a view, and import from that.");
        appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", item);
    }
    return errhint("Cast the column in a view, and import from that: CREATE VIEW %s AS SELECT %s "
                   "FROM %s.",
                   quote_identifier(psprintf("%s_read", table->name)), list.data, table->quoted);
}

static void
check_column(const MetasdEmbeddingTable *table, int column)
{
    Oid type;

    if (is_readable(column, type_of(table, column)))
        return;
    type = get_atttype(table->relation, get_attnum(table->relation, columns[column]));
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("column \"%s\" of table \"%s\" is of type %s", columns[column],
                           table->name, format_type_be(type)),
                    column == 0 ? errdetail("Identifiers are text, character varying, smallint, "
                                            "integer, bigint or uuid.")
                                : errdetail("Embeddings are real[] or double precision[]."),
                    propose_view(table)));
}

static void
check_rights(const MetasdEmbeddingTable *table, Oid user)
{
    Oid schema = get_rel_namespace(table->relation);
    bool may = metasd_schema_aclcheck(schema, user, ACL_USAGE) == ACLCHECK_OK;

    if (may && pg_class_aclcheck(table->relation, user, ACL_SELECT) == ACLCHECK_OK)
        return;
    for (int i = 0; i <= table->arrays && may; i++)
        may = pg_attribute_aclcheck(table->relation, get_attnum(table->relation, columns[i]), user,
                                    ACL_SELECT) == ACLCHECK_OK;
    if (!may)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for table \"%s\"", table->name),
                        errhint("Role \"%s\" needs USAGE on schema \"%s\" and SELECT on the "
                                "columns of labels and embeddings.",
                                GetUserNameFromId(user, false), get_namespace_name(schema))));
}

MetasdEmbeddingTable *
metasd_embedding_open(Oid relation, bool of_relations, Oid user)
{
    MetasdEmbeddingTable *table = palloc0(sizeof(*table));

    if (!metasd_reading_lock(relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        of_relations ? errmsg("the table of relations' embeddings does not exist")
                                     : errmsg("the table of entities' embeddings does not exist"),
                        errhint("Name another: kg_import(model, entities, relations, source).")));
    check_kind(relation);
    table->relation = relation;
    table->of_relations = of_relations;
    table->name = get_rel_name(relation);
    table->quoted =
        quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), table->name);
    table->arrays = of_relations && get_attnum(relation, columns[2]) > 0 ? 2 : 1;
    for (int i = 0; i <= table->arrays; i++)
        check_column(table, i);
    check_rights(table, user);
    metasd_reading_open(&table->reading, relation, user, true);
    return table;
}

/* ---- rows ---- */

/* A row being read, for messages. */
typedef struct Row {
    const MetasdEmbeddingTable *table;
    MetasdLabel label;
    const char *column; /* of the array */
} Row;

/* An errdetail about an array, where it is not that of the column that messages speak of. */
static int
tell_column(const Row *row)
{
    return row->column == columns[2] ? errdetail("It is in the column \"reciprocal\".") : 0;
}

/* A label in a message, cut to a length that people can read. */
#define SHOWN_BYTES 60

static char *
show_label(const MetasdLabel *label)
{
    int len = (int)Min(label->len, SHOWN_BYTES);

    len = pg_mbcliplen(label->data, (int)label->len, len);
    return psprintf("%.*s%s", len, label->data, (uint32)len < label->len ? "..." : "");
}

static void
check_label(const Row *row)
{
    const char *table = row->table->name;

    if (!row->label.data)
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("a label in table \"%s\" is null", table),
                        errhint("Delete such rows: DELETE FROM %s WHERE label IS NULL.",
                                row->table->quoted)));
    if (row->label.len == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a label in table \"%s\" is empty", table),
                        errhint("Delete such rows: DELETE FROM %s WHERE label = ''.",
                                row->table->quoted)));
}

/* Adds the label; an error if another row has it. */
static void
number_label(const Row *row, MetasdLabelSet *labels)
{
    uint32 next = metasd_labelset_count(labels);

    if (metasd_labelset_add(labels, row->label.data, row->label.len) == next)
        return;
    ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                    errmsg("label \"%s\" is in table \"%s\" more than once",
                           show_label(&row->label), row->table->name),
                    errhint("This finds all such labels: SELECT label, count(*) FROM %s GROUP BY "
                            "label HAVING count(*) > 1.",
                            row->table->quoted)));
}

/* An error unless the length can be that of an embedding. */
static void
check_first(const Row *row, const MetasdEmbeddingShape *shape, size_t width)
{
    if (width == 0 || width > shape->most_rank * shape->reals)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the embedding of \"%s\" in table \"%s\" has %zu numbers",
                               show_label(&row->label), row->table->name, width),
                        errhint("An embedding of this family has 1 to %zu numbers.",
                                shape->most_rank * shape->reals)));
    if (width % shape->reals != 0)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("the embedding of \"%s\" in table \"%s\" has %zu numbers, which is odd",
                        show_label(&row->label), row->table->name, width),
                 errdetail("A component of ComplEx has a real and an imaginary part."),
                 errhint("If this is a DistMult model, say so: params => '{\"family\": "
                         "\"distmult\"}'.")));
}

static void
check_width(const Row *row, MetasdEmbeddingShape *shape, size_t width)
{
    if (shape->width == 0) {
        check_first(row, shape, width);
        shape->width = width;
    }
    if (width != shape->width)
        ereport(ERROR,
                (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                 row->table->of_relations
                     ? errmsg("the embedding of \"%s\" in table \"%s\" has %zu numbers, not %zu as "
                              "those of entities have",
                              show_label(&row->label), row->table->name, width, shape->width)
                     : errmsg("the embedding of \"%s\" in table \"%s\" has %zu numbers, not %zu as "
                              "others have",
                              show_label(&row->label), row->table->name, width, shape->width),
                 tell_column(row),
                 errhint("In a ComplEx or DistMult model, the only ones that can be imported, all "
                         "embeddings of entities and relations have the same length: SELECT "
                         "cardinality(%s), count(*) FROM %s GROUP BY 1 counts them.",
                         row->column, row->table->quoted)));
}

static void
refuse_number(const Row *row, size_t i, float x)
{
    ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                    isfinite(x) ? errmsg("number %zu of the embedding of \"%s\" in table \"%s\" is "
                                         "too large: %g",
                                         i + 1, show_label(&row->label), row->table->name, x)
                                : errmsg("number %zu of the embedding of \"%s\" in table \"%s\" is "
                                         "not finite",
                                         i + 1, show_label(&row->label), row->table->name),
                    tell_column(row),
                    isfinite(x) ? errhint("Magnitudes up to %g are allowed.", (double)MOST_WEIGHT)
                                : errhint("Such a model did not train to its end. Import one of an "
                                          "earlier epoch.")));
}

/* The numbers of an array; an error if they cannot be an embedding. */
static const float *
check_array(const Row *row, MetasdEmbeddingShape *shape, ArrayType *array)
{
    const float *numbers;

    if (!array || array_contains_nulls(array))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        array ? errmsg("the embedding of \"%s\" in table \"%s\" has a null in it",
                                       show_label(&row->label), row->table->name)
                              : errmsg("the embedding of \"%s\" in table \"%s\" is null",
                                       show_label(&row->label), row->table->name),
                        tell_column(row),
                        errhint("This finds such rows: SELECT label FROM %s WHERE %s IS NULL OR "
                                "array_position(%s, NULL) IS NOT NULL.",
                                row->table->quoted, row->column, row->column)));
    if (ARR_NDIM(array) > 1)
        ereport(
            ERROR,
            (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
             errmsg("the embedding of \"%s\" in table \"%s\" has %d dimensions",
                    show_label(&row->label), row->table->name, ARR_NDIM(array)),
             tell_column(row),
             errhint("Use an array of one dimension, as ARRAY(SELECT unnest(%s)) makes it: real "
                     "parts and then imaginary parts, or params => '{\"layout\": "
                     "\"interleaved\"}' where each real part is followed by its imaginary "
                     "part.",
                     row->column)));
    check_width(row, shape, (size_t)ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
    numbers = (const float *)ARR_DATA_PTR(array);
    for (size_t i = 0; i < shape->width; i++)
        if (!(fabsf(numbers[i]) <= MOST_WEIGHT))
            refuse_number(row, i, numbers[i]);
    return numbers;
}

/*
 * Whether the relation has a reciprocal: all have one, or none. The first one tells, and an error
 * says which one is not like it.
 */
static bool
check_reciprocal(const Row *row, const MetasdLabelSet *labels, bool *given, const ArrayType *array)
{
    if (metasd_labelset_count(labels) == 0)
        *given = array != NULL;
    if (*given == (array != NULL))
        return *given;
    ereport(
        ERROR,
        (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
         array ? errmsg("relation \"%s\" in table \"%s\" has a reciprocal, and others have none",
                        show_label(&row->label), row->table->name)
               : errmsg("relation \"%s\" in table \"%s\" has no reciprocal, and others have one",
                        show_label(&row->label), row->table->name),
         errdetail("A model with inverse relations has a second embedding for each relation, which "
                   "scores heads."),
         errhint("This finds relations without one: SELECT label FROM %s WHERE reciprocal IS NULL.",
                 row->table->quoted)));
}

/* For errors of the table's own: those of a view, and of numbers that are no real ones. */
static void
add_context(void *argument)
{
    const MetasdEmbeddingTable *table = argument;

    errcontext("reading embeddings as real[] from table \"%s\"; magnitudes up to %g are allowed",
               table->name, (double)MOST_WEIGHT);
}

static bool
next_row(MetasdFetch *fetch, Row *row)
{
    ErrorContextCallback callback = {.previous = error_context_stack,
                                     .callback = add_context,
                                     .arg = unconstify(MetasdEmbeddingTable *, row->table)};
    bool found;

    error_context_stack = &callback;
    found = metasd_fetch_next(fetch, &row->label);
    error_context_stack = callback.previous;
    return found;
}

void
metasd_embedding_read(const MetasdEmbeddingTable *table, Oid user, MetasdEmbeddingShape *shape,
                      MetasdLabelSet *labels, MetasdEmbeddingFunction function, void *context)
{
    Row row = {.table = metasd_embedding_open(table->relation, table->of_relations, user)};
    int arrays = row.table->arrays;
    bool reciprocals = false;
    MetasdFetch fetch;

    metasd_fetch_begin_arrays(&fetch, &row.table->reading, columns, 1, arrays);
    while (next_row(&fetch, &row)) {
        const float *numbers[2] = {NULL};

        check_label(&row);
        for (int i = 0; i < arrays; i++) {
            ArrayType *array = metasd_fetch_array(&fetch, i);

            row.column = columns[1 + i];
            if (i == 0 || check_reciprocal(&row, labels, &reciprocals, array))
                numbers[i] = check_array(&row, shape, array);
        }
        number_label(&row, labels);
        if (function)
            function(context, numbers[0], numbers[1]);
    }
    metasd_fetch_end(&fetch);
    if (metasd_labelset_count(labels) == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("table \"%s\" has no embeddings", table->name),
                        errhint("Fill it: it needs a row for each label.")));
}
