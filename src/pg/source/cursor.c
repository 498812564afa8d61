#include "pg/source/cursor.h"

#include "access/htup_details.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define ROWS_PER_FETCH 1000

/* Locks it until the transaction ends; an error unless rows can be read from it. Its name. */
static char *
check_relation(Oid relation, MetasdReaderUse use)
{
    bool there = metasd_reading_lock(relation);
    char kind = get_rel_relkind(relation), *name = get_rel_name(relation);

    if (!there)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE),
                 use == METASD_QUERIES ? errmsg("the relation of queries does not exist")
                                       : errmsg("the relation of candidates does not exist")));
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR,
                (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                 use == METASD_QUERIES ? errmsg("\"%s\" cannot be a relation of queries", name)
                                       : errmsg("\"%s\" cannot be a relation of candidates", name),
                 errhint("Use a table, view, materialized view or foreign table.")));
    return name;
}

static char *
first_column(Oid relation, const char *name)
{
    for (AttrNumber a = 1;; a++) {
        HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(a));
        char *column = NULL;

        if (!HeapTupleIsValid(tuple))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("relation \"%s\" has no columns", name),
                            errdetail("Candidates are read from the first column.")));
        if (!((Form_pg_attribute)GETSTRUCT(tuple))->attisdropped)
            column = pstrdup(NameStr(((Form_pg_attribute)GETSTRUCT(tuple))->attname));
        ReleaseSysCache(tuple);
        if (column)
            return column;
    }
}

/* The caller must be allowed to read it, whoever does so for him. */
static void
check_rights(Oid relation, const char *name, char *const *columns, int n)
{
    bool all = pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
    Oid schema = get_rel_namespace(relation);

    if (metasd_schema_aclcheck(schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
        aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
    for (int i = 0; i < n && !all; i++)
        if (pg_attribute_aclcheck(relation, get_attnum(relation, columns[i]), GetUserId(),
                                  ACL_SELECT) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relation)), name);
}

/* Settles which columns are read, by what names, and whether what they hold depends on settings. */
static void
choose_columns(MetasdCursor *reader, Oid relation, const char *name, const char *const *column,
               char **chosen, bool *simple)
{
    *simple = true;
    for (int i = 0; i < reader->columns; i++) {
        AttrNumber number;

        chosen[i] = column ? pstrdup(column[i]) : first_column(relation, name);
        number = get_attnum(relation, chosen[i]);
        if (number <= 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("relation \"%s\" has no column \"%s\"", name, chosen[i]),
                            errhint("A view can give a column that name.")));
        *simple = *simple && metasd_reading_type_is_simple(get_atttype(relation, number));
    }
}

void
metasd_cursor_open(MetasdCursor *reader, Oid relation, const char *const *column, int n,
                   MetasdReaderUse use)
{
    char *name = check_relation(relation, use), *chosen[METASD_MOST_READ];
    StringInfoData sql;
    SPIPlanPtr plan;
    bool simple;

    Assert(n <= METASD_MOST_READ);
    *reader = (MetasdCursor){.columns = n};
    choose_columns(reader, relation, name, column, chosen, &simple);
    check_rights(relation, name, chosen, n);
    metasd_reading_open(&reader->reading, relation, GetUserId(), false);
    reader->reading.pinned = reader->reading.pinned || !simple;
    initStringInfo(&sql);
    appendStringInfoString(&sql,
                           "SELECT "); /* columns of any type: the cast to text is qualified */
    for (int i = 0; i < n; i++)
        appendStringInfo(&sql, "%s%s::pg_catalog.text", i ? ", " : "", quote_identifier(chosen[i]));
    appendStringInfo(&sql, " FROM %s", reader->reading.quoted);
    SPI_connect();
    reader->values =
        AllocSetContextCreate(CurrentMemoryContext, "metasd reader", ALLOCSET_DEFAULT_SIZES);
    metasd_reading_begin(&reader->reading);
    plan = metasd_reading_prepare(&reader->reading, sql.data, 0, NULL);
    reader->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
    metasd_reading_end(&reader->reading);
}

static MetasdLabel
label_of(const MetasdCursor *reader, int column)
{
    bool isnull;
    Datum value =
        SPI_getbinval(reader->rows->vals[reader->at], reader->rows->tupdesc, column + 1, &isnull);
    text *label;

    if (isnull)
        return (MetasdLabel){NULL, 0};
    label = DatumGetTextPP(value);
    return (MetasdLabel){VARDATA_ANY(label), (uint32)VARSIZE_ANY_EXHDR(label)};
}

bool
metasd_cursor_next(MetasdCursor *reader, MetasdLabel *labels)
{
    MemoryContext before;

    CHECK_FOR_INTERRUPTS();
    if (reader->at == reader->count) {
        if (reader->rows)
            SPI_freetuptable(reader->rows);
        metasd_reading_begin(&reader->reading);
        SPI_cursor_fetch(reader->portal, true, ROWS_PER_FETCH);
        metasd_reading_end(&reader->reading);
        reader->rows = SPI_tuptable; /* those who connect to SPI in between have others */
        reader->count = SPI_processed;
        reader->at = 0;
        if (reader->count == 0)
            return false;
    }
    MemoryContextReset(reader->values);
    before = MemoryContextSwitchTo(reader->values);
    for (int i = 0; i < reader->columns; i++)
        labels[i] = label_of(reader, i);
    MemoryContextSwitchTo(before);
    reader->at++;
    return true;
}

void
metasd_cursor_close(MetasdCursor *reader)
{
    SPI_cursor_close(reader->portal);
    SPI_finish();
}
