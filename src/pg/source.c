#include "source.h"

#include "access/htup_details.h"
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

#include "catalog.h"

#define ROWS_PER_FETCH 1000
#define FIRST_ROWS 8                    /* before it is known how long they are */
#define BYTES_PER_FETCH ((Size)4 << 20) /* from which on fewer are fetched */
#define BYTES_KEPT ((Size)1 << 20)      /* of rows whose values are out of line */

static const char *const roles[3] = {"head", "relation", "tail"};

/* How messages speak of a relation: what it is, and the call that names it. */
typedef struct Wording {
    const char *noun;
    const char *missing; /* hint where it does not exist */
    const char *call;
} Wording;

static const Wording of_source = {"source", "Name another source: kg_train(model, source).",
                                  "kg_train"};
static const Wording of_reader = {"relation", "Name another: kg_evaluate(model, test).",
                                  "kg_evaluate"};

/* Errors unless triples can be in a relation of that kind; its persistence and owner. */
static char
check_kind(Oid relation, const char *name, const Wording *wording, char *persistence, Oid *owner)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    char kind;

    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the %s does not exist",
                               wording == &of_source ? "source relation" : "relation of triples"),
                        errhint("%s", wording->missing)));
    kind = ((Form_pg_class)GETSTRUCT(tuple))->relkind;
    *persistence = ((Form_pg_class)GETSTRUCT(tuple))->relpersistence;
    *owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("\"%s\" cannot be a %s of triples", name, wording->noun),
                        errhint("Use a table, view, materialized view or foreign table.")));
    return kind;
}

/* A source is read by a worker, with the rights of USER. */
static void
check_source(Oid relation, const char *name, Oid user)
{
    char persistence, kind;
    Oid owner;

    kind = check_kind(relation, name, &of_source, &persistence, &owner);
    if (persistence == RELPERSISTENCE_TEMP)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("temporary relation \"%s\" cannot be a source of triples", name),
                        errdetail("A background worker reads the source, and cannot see it."),
                        errhint("Use a permanent or unlogged table.")));
    if (kind == RELKIND_VIEW && superuser_arg(user) && !superuser_arg(owner))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("view \"%s\" of a role that is no superuser cannot be the source of "
                               "a superuser's model",
                               name),
                        errdetail("Functions in the view would run with the superuser's rights."),
                        errhint("Train as another role, or from a table or materialized view.")));
}

static char *
column_names(Oid relation)
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

/* The type of a column, its domain looked through; errors name what would do. */
static Oid
column_type(Oid relation, const char *name, const char *column, const char *role,
            const Wording *wording)
{
    AttrNumber number = get_attnum(relation, column);
    Oid type;

    if (number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s \"%s\" has no column \"%s\"", wording->noun, name, column),
                        errdetail("Its columns are: %s.", column_names(relation)),
                        errhint("Name the column of the %s: %s(..., %s => '...').", role,
                                wording->call, role)));
    type = getBaseType(get_atttype(relation, number));
    if (type != TEXTOID && type != VARCHAROID && type != INT2OID && type != INT4OID &&
        type != INT8OID && type != UUIDOID)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("column \"%s\" of %s \"%s\" is of type %s", column, wording->noun,
                               name, format_type_be(get_atttype(relation, number))),
                        errdetail("Identifiers are text, character varying, smallint, integer, "
                                  "bigint or uuid."),
                        errhint("Cast the column in a view, and %s from that.",
                                wording == &of_source ? "train" : "evaluate")));
    return type;
}

static bool
may_select(Oid relation, char *const column[3], Oid user)
{
    if (pg_class_aclcheck(relation, user, ACL_SELECT) == ACLCHECK_OK)
        return true;
    for (int i = 0; i < 3; i++) {
        AttrNumber number = get_attnum(relation, column[i]);

        if (number <= 0 || pg_attribute_aclcheck(relation, number, user, ACL_SELECT) != ACLCHECK_OK)
            return false;
    }
    return true;
}

/* What is known of a relation whose kind will do: its columns, their types, its quoted name. */
static MetasdSource *
describe(Oid relation, char *const column[3], const Wording *wording)
{
    MetasdSource *source = palloc0(sizeof(*source));

    source->relation = relation;
    source->name = get_rel_name(relation);
    for (int i = 0; i < 3; i++) {
        source->column[i] = pstrdup(column[i]);
        source->type[i] = column_type(relation, source->name, column[i], roles[i], wording);
    }
    source->quoted =
        quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), source->name);
    return source;
}

MetasdSource *
metasd_source_open(Oid relation, char *const column[3], Oid user)
{
    MetasdSource *source;

    check_source(relation, get_rel_name(relation), user);
    source = describe(relation, column, &of_source);
    if (!may_select(relation, column, user))
        ereport(ERROR,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                 errmsg("permission denied for source \"%s\"", source->name),
                 errhint("Grant SELECT on its columns \"%s\", \"%s\" and \"%s\" to role \"%s\".",
                         column[0], column[1], column[2], metasd_owner_name(user))));
    return source;
}

MetasdSource *
metasd_source_open_to_query(Oid relation, char *const column[3])
{
    MetasdSource *source;
    char persistence;
    Oid owner;

    (void)check_kind(relation, get_rel_name(relation), &of_reader, &persistence, &owner);
    source = describe(relation, column, &of_reader);
    if (!may_select(relation, column, GetUserId()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for relation \"%s\"", source->name),
                        errhint("It takes SELECT on its columns \"%s\", \"%s\" and \"%s\".",
                                column[0], column[1], column[2])));
    return source;
}

bool
metasd_source_is_readable(Oid relation, char *const column[3], Oid user)
{
    char kind = OidIsValid(relation) ? get_rel_relkind(relation) : '\0';

    return (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
           metasd_schema_aclcheck(get_rel_namespace(relation), user, ACL_USAGE) == ACLCHECK_OK &&
           may_select(relation, column, user) &&
           check_enable_rls(relation, user, true) != RLS_ENABLED;
}

/* ---- reading ---- */

static char *
select_triples(const MetasdSource *source)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT ");
    for (int i = 0; i < 3; i++)
        appendStringInfo(&sql, "%s%s::pg_catalog.text", i ? ", " : "",
                         quote_identifier(source->column[i]));
    appendStringInfo(&sql, " FROM %s", source->quoted);
    return sql.data;
}

/* Fills *row from a tuple; false if one of the three is NULL or empty. */
static bool
labels_of(HeapTuple tuple, TupleDesc desc, MetasdLabels3 *row)
{
    for (int i = 0; i < 3; i++) {
        bool isnull;
        Datum value = heap_getattr(tuple, i + 1, desc, &isnull);
        text *label;

        if (isnull)
            return false;
        label = DatumGetTextPP(value);
        row->data[i] = VARDATA_ANY(label);
        row->len[i] = VARSIZE_ANY_EXHDR(label);
        if (row->len[i] == 0)
            return false;
    }
    return true;
}

/* How many rows to fetch next: of long ones that a view has made, few. */
static long
next_fetch(long rows)
{
    Size bytes = MemoryContextMemAllocated(SPI_tuptable->tuptabcxt, true);

    return bytes > BYTES_PER_FETCH ? Max(1, rows / 8) : Min(2 * rows, ROWS_PER_FETCH);
}

uint64
metasd_source_read(const MetasdSource *source, Oid user, MetasdRowFunction row, void *context)
{
    uint64 skipped = 0;
    long rows = FIRST_ROWS;
    MetasdSwitch saved;
    SPIPlanPtr plan;
    Portal portal;
    MemoryContext caller = CurrentMemoryContext; /* SPI leaves another one behind */
    MemoryContext per_fetch = AllocSetContextCreate(caller, "metasd fetch", ALLOCSET_DEFAULT_SIZES);

    metasd_switch_to(&saved, user, true);
    plan = SPI_prepare(select_triples(source), 0, NULL);
    if (!plan)
        elog(ERROR, "could not prepare to read the source: %s", SPI_result_code_string(SPI_result));
    portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
    for (;;) {
        SPI_cursor_fetch(portal, true, rows);
        if (SPI_processed == 0)
            break;
        rows = next_fetch(rows);
        for (uint64 i = 0; i < SPI_processed; i++) {
            MetasdLabels3 labels;
            bool whole;

            MemoryContextSwitchTo(per_fetch); /* for values out of line */
            whole = labels_of(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &labels);
            MemoryContextSwitchTo(caller);
            if (whole)
                row(context, &labels);
            else
                skipped++;
            if (MemoryContextMemAllocated(per_fetch, true) > BYTES_KEPT)
                MemoryContextReset(per_fetch);
        }
        MemoryContextReset(per_fetch);
        SPI_freetuptable(SPI_tuptable);
        CHECK_FOR_INTERRUPTS();
    }
    SPI_cursor_close(portal);
    metasd_switch_back(&saved);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(per_fetch);
    return skipped;
}

bool
metasd_source_has_rows(const MetasdSource *source, Oid user)
{
    StringInfoData sql;
    MetasdSwitch saved;
    bool found;

    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT 1 FROM %s WHERE ", source->quoted);
    for (int i = 0; i < 3; i++)
        appendStringInfo(&sql, "%s%s IS NOT NULL", i ? " AND " : "",
                         quote_identifier(source->column[i]));
    appendStringInfoString(&sql, " LIMIT 1");
    SPI_connect();
    metasd_switch_to(&saved, user, true);
    if (SPI_execute(sql.data, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look for rows of the source");
    found = SPI_processed > 0;
    metasd_switch_back(&saved);
    SPI_finish();
    return found;
}
