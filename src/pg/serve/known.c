#include "pg/serve/known.h"

#include <ctype.h>
#include <errno.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/serve/index_advice.h"

#define MOST_PLANS 16
#define ROWS_PER_FETCH 1000

/*
 * A group of fewer facts is read whole: that takes less than looking for candidates, which an index
 * on two columns finds by reading the group as well. More are in few groups, and cost that once in
 * vain.
 */
#define SMALL_GROUP 128

/* ---- plans, kept for the session ---- */

typedef struct KeptPlan {
    char *sql;
    Oid types[3];
    Oid reader; /* as whom it was made */
    SPIPlanPtr plan;
    uint64 generation;   /* when what it runs was looked at (trust.h) */
    TimestampTz used_in; /* start of the transaction that used it last */
} KeptPlan;

static KeptPlan plans[MOST_PLANS];

static void
drop_plan(KeptPlan *place)
{
    SPI_freeplan(place->plan);
    pfree(place->sql);
    place->plan = NULL;
}

/*
 * A free place, or the one that has not been used for longest; NULL if there is none.
 * What this transaction has used stays: a view's function may ask other models while
 * a lookup in the view is running.
 */
static KeptPlan *
place_for_plan(void)
{
    TimestampTz now = GetCurrentTransactionStartTimestamp();
    KeptPlan *oldest = NULL;

    for (int i = 0; i < MOST_PLANS; i++) {
        if (!plans[i].plan)
            return &plans[i];
        if (plans[i].used_in != now && (!oldest || plans[i].used_in < oldest->used_in))
            oldest = &plans[i];
    }
    if (oldest)
        drop_plan(oldest);
    return oldest;
}

static KeptPlan *
find_plan(const MetasdReading *reading, const char *sql, const Oid *types)
{
    for (int i = 0; i < MOST_PLANS; i++)
        if (plans[i].plan && plans[i].reader == reading->reader &&
            plans[i].generation == reading->generation &&
            memcmp(plans[i].types, types, sizeof(plans[i].types)) == 0 &&
            strcmp(plans[i].sql, sql) == 0)
            return &plans[i];
    return NULL;
}

/* Plans of before might be made anew with what nobody has looked at: they go, unless in use. */
static void
drop_outdated(uint64 generation)
{
    static uint64 seen = 0;
    TimestampTz now = GetCurrentTransactionStartTimestamp();

    if (seen == generation)
        return;
    seen = generation;
    for (int i = 0; i < MOST_PLANS; i++)
        if (plans[i].plan && plans[i].generation != generation && plans[i].used_in != now)
            drop_plan(&plans[i]);
}

/* The plan of a lookup, valid until SPI_finish. */
static SPIPlanPtr
plan_for(const MetasdReading *reading, const char *sql, Oid *types)
{
    KeptPlan *place = find_plan(reading, sql, types);
    SPIPlanPtr plan;

    if (place) {
        place->used_in = GetCurrentTransactionStartTimestamp();
        return place->plan;
    }
    drop_outdated(reading->generation);
    plan = metasd_reading_prepare(reading, sql, 3, types);
    place = place_for_plan();
    if (place) {
        place->sql = MemoryContextStrdup(TopMemoryContext, sql);
        memcpy(place->types, types, sizeof(place->types));
        place->reader = reading->reader;
        place->generation = reading->generation;
        if (SPI_keepplan(plan) != 0)
            elog(ERROR, "could not keep a plan");
        place->used_in = GetCurrentTransactionStartTimestamp();
        place->plan = plan;
    }
    return plan;
}

/*
 * SELECT asked FROM source WHERE given = $1 AND given = $2 AND asked = ANY ($3), the last condition
 * only where SOME are asked for. Types and operators are qualified: the columns may be of types of
 * users, which bring operators and casts of their own.
 */
static char *
lookup_sql(const MetasdSource *source, const int given[2], int asked, bool some)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s::pg_catalog.text FROM %s WHERE ",
                     quote_identifier(source->column[asked]), source->quoted);
    for (int i = 0; i < 2; i++) {
        const char *column = quote_identifier(source->column[given[i]]);

        appendStringInfo(&sql, "%s%s OPERATOR(pg_catalog.=) $%d", i ? " AND " : "", column, i + 1);
        if (!source->by_bytes[given[i]]) /* where strings that are equal may differ */
            appendStringInfo(&sql,
                             " AND %s::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.=) "
                             "$%d::pg_catalog.text COLLATE \"C\"",
                             column, i + 1);
    }
    if (some)
        appendStringInfo(&sql, " AND %s OPERATOR(pg_catalog.=) ANY ($3)",
                         quote_identifier(source->column[asked]));
    return sql.data;
}

/* ---- labels as values of a column ---- */

/* Is it an integer in that range, as its type writes it: no plus, no space, no leading zero? */
static bool
fits_integer(const char *text, int64 least, int64 most)
{
    const char *digits = text + (text[0] == '-');
    char *end;
    long long x;

    if (!isdigit((unsigned char)digits[0]) || (digits[0] == '0' && strcmp(text, "0") != 0))
        return false;
    errno = 0;
    x = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && x >= least && x <= most;
}

/* Is it a uuid as its type writes it: in lower case? */
static bool
fits_uuid(const char *text)
{
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i]) || text[i] == '\0')
            return false;
    }
    return text[36] == '\0';
}

/*
 * The label as a value of that type; false if it can be none: an entity that occurs as a head
 * need not fit the column of the tails. Labels are what the types themselves write.
 */
static bool
value_of_label(Oid type, MetasdLabel label, Datum *value)
{
    char *text;
    Oid input, parameter;

    if (type == TEXTOID || type == VARCHAROID) {
        *value = PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
        return true;
    }
    text = pnstrdup(label.data, label.len);
    switch (type) {
        case INT2OID:
            if (!fits_integer(text, PG_INT16_MIN, PG_INT16_MAX))
                return false;
            break;
        case INT4OID:
            if (!fits_integer(text, PG_INT32_MIN, PG_INT32_MAX))
                return false;
            break;
        case INT8OID:
            if (!fits_integer(text, PG_INT64_MIN, PG_INT64_MAX))
                return false;
            break;
        default:
            if (!fits_uuid(text))
                return false;
    }
    getTypeInputInfo(type, &input, &parameter);
    *value = OidInputFunctionCall(input, text, parameter, -1);
    pfree(text);
    return true;
}

/* ---- looking up ---- */

void
metasd_known_start(MetasdKnown *known, const MetasdModel *model, MetasdAsked asked,
                   const MetasdLabel *given)
{
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);

    *known = (MetasdKnown){.source = source, .asked = asked, .possible = true};
    metasd_index_advise(source, asked);
    for (int place = 0, i = 0; place < 3; place++)
        if (place != (int)asked) {
            if (!value_of_label(source->type[place], given[i], &known->given[i]))
                known->possible = false;
            i++;
        }
}

static Datum
labels_array(const MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids, size_t n)
{
    Oid type = known->source->type[known->asked];
    Datum *values = palloc(n * sizeof(*values));
    int count = 0;
    int16 len;
    bool byval;
    char align;

    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        MetasdLabel label = {.data = metasd_label_get(labels, ids[i], &bytes)};

        label.len = (uint32)bytes;
        if (value_of_label(type, label, &values[count]))
            count++;
    }
    get_typlenbyvalalign(type, &len, &byval, &align);
    return PointerGetDatum(construct_array(values, count, type, len, byval, align));
}

/* Marks what SPI has found. */
static void
mark_found(const MetasdLabelTable *labels, bool *known_ids)
{
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool isnull;
        Datum value = metasd_statement_value(i, 1, &isnull);
        text *label;
        uint32 id;

        if (isnull)
            continue;
        label = DatumGetTextPP(value);
        if (metasd_label_find(labels, VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label), &id))
            known_ids[id] = true;
    }
}

/* Reads the rows of a whole group, a few at a time: there may be millions. */
static void
mark_group(SPIPlanPtr plan, Datum *values, const MetasdLabelTable *labels, bool *known_ids)
{
    Portal portal = SPI_cursor_open(NULL, plan, values, "  n", true);

    do {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
        mark_found(labels, known_ids);
        SPI_freetuptable(SPI_tuptable);
    } while (SPI_processed > 0);
    SPI_cursor_close(portal);
}

/* Runs a lookup; of the rows no more than MOST count, if that is not 0. */
static void
mark_rows(SPIPlanPtr plan, Datum *values, const char *nulls, long most,
          const MetasdLabelTable *labels, bool *known_ids)
{
    if (SPI_execute_plan(plan, values, nulls, true, most) != SPI_OK_SELECT)
        elog(ERROR, "could not look up known facts");
    mark_found(labels, known_ids);
}

/* Looks up the facts among N ids, or all of the group where ids is NULL or the group is small. */
static void
mark(MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids, size_t n,
     bool *known_ids)
{
    MetasdSource *source = known->source;
    int asked = known->asked, given[2] = {asked == 0 ? 1 : 0, asked == 2 ? 1 : 2};
    Oid types[3] = {source->type[given[0]], source->type[given[1]],
                    get_array_type(source->type[asked])};
    Datum values[3] = {known->given[0], known->given[1], (Datum)0};
    SPIPlanPtr plan;

    SPI_connect();
    metasd_reading_begin(&source->reading);
    plan = plan_for(&source->reading, lookup_sql(source, given, asked, false), types);
    if (!ids)
        mark_group(plan, values, labels, known_ids);
    else {
        mark_rows(plan, values, "  n", SMALL_GROUP, labels, known_ids);
        known->whole = SPI_processed < SMALL_GROUP;
        if (!known->whole) {
            values[2] = labels_array(known, labels, ids, n);
            plan = plan_for(&source->reading, lookup_sql(source, given, asked, true), types);
            mark_rows(plan, values, "   ", 0, labels, known_ids);
        }
    }
    metasd_reading_end(&source->reading);
    SPI_finish();
}

void
metasd_known_mark(MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids, size_t n,
                  bool *known_ids)
{
    if (known->possible && !known->whole && n > 0)
        mark(known, labels, ids, n, known_ids);
}

void
metasd_known_mark_all(MetasdKnown *known, const MetasdLabelTable *labels, bool *known_ids)
{
    if (known->possible && !known->whole)
        mark(known, labels, NULL, 0, known_ids);
}
