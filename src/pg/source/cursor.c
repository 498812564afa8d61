#include "pg/source/cursor.h"

#include "access/htup_details.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Locks the relation until the transaction ends, and returns its name; an error if a relation of
 * that kind has no rows.
 */
static char *
check_relation(Oid relation, MetasdCursorUse use)
{
    bool there = metasd_reading_lock(relation);
    char kind = get_rel_relkind(relation), *name = get_rel_name(relation);

    if (!there)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE),
                 use == METASD_QUERIES ? errmsg("the relation of queries does not exist")
                                       : errmsg("the relation of candidates does not exist")));
    if (!metasd_reading_kind_has_rows(kind))
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

/* The caller needs the right to read the relation, whichever role then reads it for him. */
static void
check_caller_rights(Oid relation, const char *name, char *const *columns, int n)
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

/* Chooses the N columns to read. *SIMPLE: the text of their values does not depend on settings. */
static void
choose_columns(Oid relation, const char *name, const char *const *column, int n, char **chosen,
               bool *simple)
{
    *simple = true;
    for (int i = 0; i < n; i++) {
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
metasd_cursor_open(MetasdCursor *cursor, Oid relation, const char *const *column, int n,
                   MetasdCursorUse use)
{
    char *name = check_relation(relation, use), *chosen[METASD_MOST_READ];
    MemoryContext caller = CurrentMemoryContext;
    MetasdReading reading;
    bool simple;

    Assert(n <= METASD_MOST_READ);
    choose_columns(relation, name, column, n, chosen, &simple);
    check_caller_rights(relation, name, chosen, n);
    metasd_reading_open(&reading, relation, GetUserId(), false);
    reading.pinned = reading.pinned || !simple;
    SPI_connect();
    metasd_fetch_begin(&cursor->fetch, &reading, chosen, n);
    MemoryContextSwitchTo(caller); /* what the caller keeps outlives the cursor: SPI's would not */
}

bool
metasd_cursor_next(MetasdCursor *cursor, MetasdLabel *labels)
{
    return metasd_fetch_next(&cursor->fetch, labels);
}

void
metasd_cursor_close(MetasdCursor *cursor)
{
    metasd_fetch_end(&cursor->fetch);
    SPI_finish();
}
