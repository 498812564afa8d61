#include "reader.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define ROWS_PER_FETCH 1000

/* An error unless rows can be read from it; its name. */
static char *
check_relation(Oid relation, const char *use)
{
    char kind = get_rel_relkind(relation), *name = get_rel_name(relation);

    if (!name)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the relation of %s does not exist", use)));
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("\"%s\" cannot be a relation of %s", name, use),
                        errhint("Use a table, view, materialized view or foreign table.")));
    return name;
}

static char *
first_column(Oid relation, const char *name, const char *use)
{
    for (AttrNumber a = 1;; a++) {
        HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(a));
        char *column = NULL;

        if (!HeapTupleIsValid(tuple))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("\"%s\" has no column of %s", name, use)));
        if (!((Form_pg_attribute)GETSTRUCT(tuple))->attisdropped)
            column = pstrdup(NameStr(((Form_pg_attribute)GETSTRUCT(tuple))->attname));
        ReleaseSysCache(tuple);
        if (column)
            return column;
    }
}

void
metasd_reader_open(MetasdReader *reader, Oid relation, const char *const *column, int n,
                   const char *use)
{
    char *name = check_relation(relation, use);
    StringInfoData sql;
    SPIPlanPtr plan;

    Assert(n <= METASD_MOST_READ);
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT ");
    for (int i = 0; i < n; i++) {
        if (column && get_attnum(relation, column[i]) <= 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("relation \"%s\" has no column \"%s\"", name, column[i]),
                            errhint("A view of %s can give a column that name.", use)));
        appendStringInfo(&sql, "%s%s::pg_catalog.text", i ? ", " : "",
                         quote_identifier(column ? column[i] : first_column(relation, name, use)));
    }
    appendStringInfo(
        &sql, " FROM %s",
        quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name));
    SPI_connect();
    *reader = (MetasdReader){.columns = n};
    reader->values =
        AllocSetContextCreate(CurrentMemoryContext, "metasd reader", ALLOCSET_DEFAULT_SIZES);
    plan = SPI_prepare(sql.data, 0, NULL);
    if (!plan)
        elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
    reader->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
}

static MetasdLabel
label_of(const MetasdReader *reader, int column)
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
metasd_reader_next(MetasdReader *reader, MetasdLabel *labels)
{
    MemoryContext before;

    CHECK_FOR_INTERRUPTS();
    if (reader->at == reader->count) {
        if (reader->rows)
            SPI_freetuptable(reader->rows);
        SPI_cursor_fetch(reader->portal, true, ROWS_PER_FETCH);
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
metasd_reader_close(MetasdReader *reader)
{
    SPI_cursor_close(reader->portal);
    SPI_finish();
}
