#include "pg/source/fetch.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 1000
#define FIRST_ROWS 8                    /* before it is known how long rows are */
#define BYTES_PER_FETCH ((Size)4 << 20) /* more than that: the next fetch has fewer rows */
#define BYTES_KEPT ((Size)1 << 20)      /* of values that were stored out of line */

static const MetasdFetchCondition all_rows = {.sql = NULL};

/*
 * The first N columns may have any type, so the cast names the type text of schema pg_catalog. The
 * others are arrays of floats.
 */
static char *
select_columns(const MetasdReading *reading, char *const *columns, int n, int arrays,
               const char *condition)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT ");
    for (int i = 0; i < n + arrays; i++)
        appendStringInfo(&sql, "%s%s::pg_catalog.%s", i ? ", " : "", quote_identifier(columns[i]),
                         i < n ? "text" : "float4[]");
    appendStringInfo(&sql, " FROM %s", reading->quoted);
    if (condition)
        appendStringInfo(&sql, " WHERE %s", condition);
    return sql.data;
}

/* Begins to read N columns as labels, then so many as arrays of floats. */
static void
begin(MetasdFetch *fetch, const MetasdReading *reading, char *const *columns, int n, int arrays,
      const MetasdFetchCondition *condition)
{
    MemoryContext caller = CurrentMemoryContext;
    SPIPlanPtr plan;

    *fetch = (MetasdFetch){.reading = *reading, .columns = n, .next = FIRST_ROWS};
    fetch->values = AllocSetContextCreate(caller, "metasd fetch", ALLOCSET_DEFAULT_SIZES);
    METASD_READING_BEGIN(&fetch->reading);
    plan = metasd_reading_prepare(&fetch->reading,
                                  select_columns(reading, columns, n, arrays, condition->sql),
                                  condition->nargs, condition->types);
    fetch->portal = SPI_cursor_open(NULL, plan, condition->values, NULL, true);
    METASD_READING_END();
    fetch->reading.own = fetch->portal;
    MemoryContextSwitchTo(caller); /* SPI leaves another one behind */
}

void
metasd_fetch_begin(MetasdFetch *fetch, const MetasdReading *reading, char *const *columns, int n)
{
    begin(fetch, reading, columns, n, 0, &all_rows);
}

void
metasd_fetch_begin_some(MetasdFetch *fetch, const MetasdReading *reading, char *const *columns,
                        int n, const MetasdFetchCondition *condition)
{
    begin(fetch, reading, columns, n, 0, condition ? condition : &all_rows);
}

void
metasd_fetch_begin_arrays(MetasdFetch *fetch, const MetasdReading *reading, char *const *columns,
                          int n, int arrays)
{
    begin(fetch, reading, columns, n, arrays, &all_rows);
}

/* Fetches the next rows: fewer than before if rows are long, as those of a view may be. */
static void
fetch_rows(MetasdFetch *fetch)
{
    MemoryContext caller = CurrentMemoryContext;

    if (fetch->rows) {
        Size bytes = MemoryContextMemAllocated(fetch->rows->tuptabcxt, true);

        fetch->next = bytes > BYTES_PER_FETCH ? Max(1, fetch->next / 8)
                                              : Min(2 * fetch->next, ROWS_PER_FETCH);
        SPI_freetuptable(fetch->rows);
    }
    METASD_READING_BEGIN(&fetch->reading);
    SPI_cursor_fetch(fetch->portal, true, fetch->next);
    METASD_READING_END();
    MemoryContextSwitchTo(caller);
    fetch->rows = SPI_tuptable; /* the caller may connect to SPI between two rows */
    fetch->count = SPI_processed;
    fetch->at = 0;
    MemoryContextReset(fetch->values);
}

bool
metasd_fetch_next(MetasdFetch *fetch, MetasdLabel *labels)
{
    MemoryContext caller;

    CHECK_FOR_INTERRUPTS();
    if (fetch->at == fetch->count) {
        fetch_rows(fetch);
        if (fetch->count == 0)
            return false;
    }
    if (MemoryContextMemAllocated(fetch->values, true) > BYTES_KEPT)
        MemoryContextReset(fetch->values);
    caller = MemoryContextSwitchTo(fetch->values);
    for (int i = 0; i < fetch->columns; i++) {
        bool isnull;
        Datum value =
            heap_getattr(fetch->rows->vals[fetch->at], i + 1, fetch->rows->tupdesc, &isnull);
        text *label = isnull ? NULL : DatumGetTextPP(value);

        labels[i] = isnull ? (MetasdLabel){NULL, 0}
                           : (MetasdLabel){VARDATA_ANY(label), (uint32)VARSIZE_ANY_EXHDR(label)};
    }
    MemoryContextSwitchTo(caller);
    fetch->at++;
    return true;
}

ArrayType *
metasd_fetch_array(const MetasdFetch *fetch, int i)
{
    MemoryContext caller = MemoryContextSwitchTo(fetch->values);
    bool isnull;
    Datum value = heap_getattr(fetch->rows->vals[fetch->at - 1], fetch->columns + i + 1,
                               fetch->rows->tupdesc, &isnull);
    ArrayType *array = isnull ? NULL : DatumGetArrayTypeP(value);

    MemoryContextSwitchTo(caller);
    return array;
}

void
metasd_fetch_end(MetasdFetch *fetch)
{
    MemoryContext caller = CurrentMemoryContext;

    if (fetch->rows)
        SPI_freetuptable(fetch->rows);
    SPI_cursor_close(fetch->portal);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(fetch->values);
}
