#include "pg/source/source.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

static const char *const places[3] = {"head", "relation", "tail"};

/* ---- the relation ---- */

static void
refuse_missing(bool to_query)
{
    if (to_query)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the relation of triples does not exist"),
                 errhint("Name another: kg_evaluate(model, test).")));
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the source relation does not exist"),
                    errhint("Name another source: kg_train(model, source).")));
}

/* An error unless a relation of that kind can hold triples, and a worker can read a source. */
static void
check_kind(Oid relation, bool to_query)
{
    const char *name = get_rel_name(relation);

    if (!metasd_reading_kind_has_rows(get_rel_relkind(relation)))
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        to_query ? errmsg("\"%s\" cannot be a relation of triples", name)
                                 : errmsg("\"%s\" cannot be a source of triples", name),
                        errhint("Use a table, view, materialized view or foreign table.")));
    if (!to_query && get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("temporary relation \"%s\" cannot be a source of triples", name),
                        errdetail("A background worker reads the source, and cannot see it."),
                        errhint("Use a permanent or unlogged table.")));
}

char *
metasd_source_columns(Oid relation)
{
    StringInfoData names;

    initStringInfo(&names);
    for (AttrNumber a = 1;; a++) {
        HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(a));

        if (!HeapTupleIsValid(tuple))
            break;
        if (!((Form_pg_attribute)GETSTRUCT(tuple))->attisdropped)
            appendStringInfo(&names, "%s\"%s\"", names.len ? ", " : "",
                             NameStr(((Form_pg_attribute)GETSTRUCT(tuple))->attname));
        ReleaseSysCache(tuple);
    }
    return names.data;
}

bool
metasd_source_is_identifier(Oid type)
{
    return type == TEXTOID || type == VARCHAROID || type == INT2OID || type == INT4OID ||
           type == INT8OID || type == UUIDOID;
}

/* The names of columns that can hold identifiers: their number, and at most MOST of them. */
static int
find_candidates(Oid relation, char **names, int most)
{
    int n = 0;

    for (AttrNumber a = 1;; a++) {
        HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(a));
        Form_pg_attribute column;

        if (!HeapTupleIsValid(tuple))
            return n;
        column = (Form_pg_attribute)GETSTRUCT(tuple);
        if (!column->attisdropped && metasd_source_is_identifier(getBaseType(column->atttypid))) {
            if (n < most)
                names[n] = pstrdup(NameStr(column->attname));
            n++;
        }
        ReleaseSysCache(tuple);
    }
}

/* An errdetail: the columns, and which of them can hold identifiers unless all can. */
static int
detail_columns(Oid relation)
{
    char *name[MaxHeapAttributeNumber], *all = metasd_source_columns(relation);
    int n = find_candidates(relation, name, lengthof(name));
    StringInfoData candidates;

    initStringInfo(&candidates);
    for (int i = 0; i < n; i++)
        appendStringInfo(&candidates, "%s\"%s\"", i > 0 ? ", " : "", name[i]);
    if (strcmp(candidates.data, all) == 0)
        return errdetail("Its columns are: %s.", all);
    if (n == 0)
        return errdetail("Its columns are: %s. None of them can hold identifiers.", all);
    return errdetail("Its columns are: %s. Identifiers can be in: %s.", all, candidates.data);
}

/*
 * Arguments that name the columns, for a call to copy, where three columns can hold identifiers. A
 * column that is there under its name keeps its place; the others come in their order. NULL where
 * there are more columns, or fewer: nothing tells which they should be.
 */
static char *
propose_columns(const MetasdSource *source)
{
    char *candidate[3], *chosen[3] = {NULL};
    StringInfoData call;

    if (find_candidates(source->relation, candidate, 3) != 3)
        return NULL;
    for (int place = 0; place < 3; place++)
        for (int i = 0; i < 3 && !chosen[place]; i++)
            if (candidate[i] && strcmp(candidate[i], source->column[place]) == 0) {
                chosen[place] = candidate[i];
                candidate[i] = NULL;
            }
    initStringInfo(&call);
    for (int place = 0; place < 3; place++) {
        for (int i = 0; i < 3 && !chosen[place]; i++) {
            chosen[place] = candidate[i];
            candidate[i] = NULL;
        }
        appendStringInfo(&call, "%s%s => %s", place > 0 ? ", " : "", places[place],
                         quote_literal_cstr(chosen[place]));
    }
    return call.data;
}

/* The relation as a literal that names it where the search path is the caller's. */
static char *
quote_relation(Oid relation)
{
    char *name = get_rel_name(relation);

    return quote_literal_cstr(
        RelationIsVisible(relation)
            ? quote_identifier(name)
            : quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name));
}

/* Who opens a source, for messages. */
typedef struct Opening {
    bool to_query;     /* a caller has named it for a query */
    bool to_validate;  /* it is a model's validation source */
    const char *model; /* that is trained from it, or NULL */
} Opening;

/* An errhint: how to name the columns of a source that has others. */
static int
hint_at_columns(const MetasdSource *source, const Opening *opening)
{
    char *candidate[3], *call;

    if (opening->to_validate)
        return errhint("A validation source has the columns of the source. A view can give its "
                       "columns these names.");
    if (find_candidates(source->relation, candidate, 3) < 3)
        return errhint("A source needs three columns that can hold identifiers. A view can cast "
                       "columns of other types.");
    call = propose_columns(source);
    if (!call)
        call = pstrdup("head => '...', relation => '...', tail => '...'");
    if (opening->to_query)
        return errhint("Name the columns: kg_evaluate(..., %s).", call);
    if (!opening->model)
        return errhint("Name the columns: %s.", call);
    return errhint("Name the columns: SELECT kg_train(%s, %s, %s).",
                   quote_literal_cstr(opening->model), quote_relation(source->relation), call);
}

static void
refuse_column(const MetasdSource *source, int place, const Opening *opening)
{
    const char *column = source->column[place];

    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_COLUMN),
             source->to_query ? errmsg("relation \"%s\" has no column \"%s\"", source->name, column)
                              : errmsg("source \"%s\" has no column \"%s\"", source->name, column),
             detail_columns(source->relation), hint_at_columns(source, opening)));
}

static void
refuse_type(const MetasdSource *source, int place, Oid type)
{
    const char *column = source->column[place];

    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    source->to_query ? errmsg("column \"%s\" of relation \"%s\" is of type %s",
                                              column, source->name, format_type_be(type))
                                     : errmsg("column \"%s\" of source \"%s\" is of type %s",
                                              column, source->name, format_type_be(type)),
                    errdetail("Identifiers are text, character varying, smallint, integer, "
                              "bigint or uuid."),
                    source->to_query ? errhint("Cast the column in a view, and evaluate from that.")
                                     : errhint("Cast the column in a view, and train from that.")));
}

/* An error if one column stands for two places: what comes of that is no graph. */
static void
check_distinct(const MetasdSource *source, const Opening *opening)
{
    for (int a = 0; a < 3; a++)
        for (int b = a + 1; b < 3; b++)
            if (strcmp(source->column[a], source->column[b]) == 0)
                ereport(ERROR,
                        (errcode(ERRCODE_DUPLICATE_COLUMN),
                         source->to_query
                             ? errmsg("column \"%s\" of relation \"%s\" is named as %s and as %s",
                                      source->column[a], source->name, places[a], places[b])
                             : errmsg("column \"%s\" of source \"%s\" is named as %s and as %s",
                                      source->column[a], source->name, places[a], places[b]),
                         detail_columns(source->relation), hint_at_columns(source, opening)));
}

/* Looks up a column's type, that below a domain, and whether its = compares bytes. */
static void
look_up_column(MetasdSource *source, int place, const Opening *opening)
{
    AttrNumber number = get_attnum(source->relation, source->column[place]);
    Oid type, collation;
    int32 modifier;

    if (number <= 0)
        refuse_column(source, place, opening);
    get_atttypetypmodcoll(source->relation, number, &type, &modifier, &collation);
    source->type[place] = getBaseType(type);
    if (!metasd_source_is_identifier(source->type[place]))
        refuse_type(source, place, type);
    source->by_bytes[place] = !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* ---- rights ---- */

static bool
may_select(Oid relation, char *const column[3], Oid user)
{
    bool all = pg_class_aclcheck(relation, user, ACL_SELECT) == ACLCHECK_OK;

    for (int i = 0; i < 3; i++) {
        AttrNumber number = get_attnum(relation, column[i]);

        if (number <= 0 ||
            (!all && pg_attribute_aclcheck(relation, number, user, ACL_SELECT) != ACLCHECK_OK))
            return false;
    }
    return metasd_schema_aclcheck(get_rel_namespace(relation), user, ACL_USAGE) == ACLCHECK_OK;
}

static void
check_rights(const MetasdSource *source, Oid user)
{
    if (may_select(source->relation, source->column, user))
        return;
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             source->to_query ? errmsg("permission denied for relation \"%s\"", source->name)
                              : errmsg("permission denied for source \"%s\"", source->name),
             errhint("Role \"%s\" needs USAGE on schema \"%s\" and SELECT on columns \"%s\", "
                     "\"%s\" and \"%s\".",
                     GetUserNameFromId(user, false),
                     get_namespace_name(get_rel_namespace(source->relation)), source->column[0],
                     source->column[1], source->column[2])));
}

static MetasdSource *
open_relation(Oid relation, char *const column[3], Oid user, const Opening *opening)
{
    MetasdSource *source = palloc0(sizeof(*source));
    bool to_query = opening->to_query;

    if (!metasd_reading_lock(relation))
        refuse_missing(to_query);
    check_kind(relation, to_query);
    source->relation = relation;
    source->to_query = to_query;
    source->name = get_rel_name(relation);
    for (int i = 0; i < 3; i++)
        source->column[i] = pstrdup(column[i]);
    for (int i = 0; i < 3; i++)
        look_up_column(source, i, opening);
    check_distinct(source, opening);
    check_rights(source, user);
    metasd_reading_open(&source->reading, relation, user, !to_query);
    source->quoted = source->reading.quoted;
    return source;
}

MetasdSource *
metasd_source_open(Oid relation, char *const column[3], Oid user)
{
    return open_relation(relation, column, user, &(Opening){.to_query = false});
}

MetasdSource *
metasd_source_open_remembered(const MetasdRemembered *source, bool validation, const char *model,
                              char *const column[3], Oid user)
{
    if (metasd_reading_lock(source->oid))
        return open_relation(source->oid, column, user,
                             &(Opening){.to_validate = validation, .model = model});
    if (validation)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE),
                 errmsg("the validation source %s of model \"%s\" does not exist any more",
                        source->name, model),
                 errhint("Name another, or train without one: kg_train(%s, validation => '-').",
                         quote_literal_cstr(model))));
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_TABLE),
             errmsg("the source %s of model \"%s\" does not exist any more", source->name, model),
             errhint("Name another: kg_train(%s, source).", quote_literal_cstr(model))));
}

MetasdSource *
metasd_source_open_to_query(Oid relation, char *const column[3])
{
    return open_relation(relation, column, GetUserId(), &(Opening){.to_query = true});
}

char *
metasd_source_objection(const MetasdRemembered *source, char *const column[3], Oid owner)
{
    if (!metasd_reading_lock(source->oid))
        return psprintf(_("Relation %s does not exist any more."), source->name);
    if (!OidIsValid(owner))
        return pstrdup(_("The role that owned the model does not exist any more."));
    if (!metasd_reading_kind_has_rows(get_rel_relkind(source->oid)))
        return psprintf(_("Relation %s is not a table or view any more."), source->name);
    for (int i = 0; i < 3; i++) {
        AttrNumber number = get_attnum(source->oid, column[i]);

        if (number <= 0)
            return psprintf(_("Relation %s has no column \"%s\" any more."), source->name,
                            column[i]);
        if (!metasd_source_is_identifier(getBaseType(get_atttype(source->oid, number))))
            return psprintf(_("Column \"%s\" of relation %s has another type now."), column[i],
                            source->name);
    }
    if (!may_select(source->oid, column, owner))
        return psprintf(_("Role \"%s\", which owns the model, may not read relation %s any more."),
                        GetUserNameFromId(owner, false), source->name);
    return NULL;
}

bool
metasd_source_is_denied(const MetasdRemembered *source, char *const column[3], Oid owner)
{
    for (int i = 0; i < 3; i++)
        if (!OidIsValid(source->oid) || get_attnum(source->oid, column[i]) <= 0)
            return false;
    return OidIsValid(owner) && !may_select(source->oid, column, owner);
}

bool
metasd_source_is_readable(Oid relation, char *const column[3], Oid user)
{
    char kind = OidIsValid(relation) ? get_rel_relkind(relation) : '\0';

    return (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
           may_select(relation, column, user) &&
           check_enable_rls(relation, user, true) != RLS_ENABLED;
}

/* ---- reading ---- */

/* Fills in a row; false if one of its three labels is NULL or empty. */
static bool
fill_row(MetasdTripleLabels *row, const MetasdLabel *labels)
{
    for (int i = 0; i < 3; i++) {
        if (labels[i].len == 0)
            return false;
        row->data[i] = labels[i].data;
        row->len[i] = labels[i].len;
    }
    return true;
}

uint64
metasd_source_read_some(const MetasdSource *source, Oid user, const MetasdFetchCondition *condition,
                        MetasdRowFunction row, void *context)
{
    MetasdLabel labels[3];
    MetasdTripleLabels triple;
    MetasdSource *now;
    MetasdFetch fetch;
    uint64 skipped = 0;

    if (!metasd_reading_lock(source->relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("relation \"%s\" was dropped before it was read", source->name),
                        errhint("Name another with kg_train.")));
    now = open_relation(source->relation, source->column, user,
                        &(Opening){.to_query = source->to_query});
    metasd_fetch_begin_some(&fetch, &now->reading, now->column, 3, condition);
    while (metasd_fetch_next(&fetch, labels)) {
        if (fill_row(&triple, labels))
            row(context, &triple);
        else
            skipped++;
    }
    metasd_fetch_end(&fetch);
    return skipped;
}

uint64
metasd_source_read(const MetasdSource *source, Oid user, MetasdRowFunction row, void *context)
{
    return metasd_source_read_some(source, user, NULL, row, context);
}

bool
metasd_source_has_rows(MetasdSource *source)
{
    StringInfoData sql;
    bool found;

    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT 1 FROM %s WHERE ", source->quoted);
    for (int i = 0; i < 3; i++)
        appendStringInfo(&sql, "%s%s IS NOT NULL", i ? " AND " : "",
                         quote_identifier(source->column[i]));
    appendStringInfoString(&sql, " LIMIT 1");
    SPI_connect();
    METASD_READING_BEGIN(&source->reading);
    if (SPI_execute_plan(metasd_reading_prepare(&source->reading, sql.data, 0, NULL), NULL, NULL,
                         true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look for rows of the source");
    found = SPI_processed > 0;
    METASD_READING_END();
    SPI_finish();
    return found;
}
