#include "pg/serve/known.h"

#include <ctype.h>
#include <errno.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pg/serve/index_advice.h"
#include "pg/serve/known_plan.h"
#include "pg/catalog/statement.h"
#include "pg/source/shard.h"

#define ROWS_PER_FETCH 1000

/*
 * A group of fewer facts is read whole. That is cheaper than a lookup of candidates, for which an
 * index on two columns reads the group, too. Few groups have more facts; for these the first read
 * is in vain.
 */
#define SMALL_GROUP 128

/*
 * Types and operators are qualified: columns may have types of users, with operators and casts of
 * their own.
 */
void
metasd_known_append_condition(StringInfo sql, const MetasdSource *source, int place, int parameter)
{
    const char *column = quote_identifier(source->column[place]);

    appendStringInfo(sql, "%s OPERATOR(pg_catalog.=) $%d", column, parameter);
    if (!source->by_bytes[place]) /* equal strings may differ in their bytes */
        appendStringInfo(sql,
                         " AND %s::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.=) "
                         "$%d::pg_catalog.text COLLATE \"C\"",
                         column, parameter);
}

/*
 * SELECT asked FROM source WHERE given = $1 AND given = $2 AND asked = ANY ($3); the last condition
 * only if SOME answers are asked for.
 */
static char *
write_lookup(const MetasdSource *source, const int given[2], int asked, bool some)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s::pg_catalog.text FROM %s WHERE ",
                     quote_identifier(source->column[asked]), source->quoted);
    for (int i = 0; i < 2; i++) {
        appendStringInfoString(&sql, i ? " AND " : "");
        metasd_known_append_condition(&sql, source, given[i], i + 1);
    }
    if (some)
        appendStringInfo(&sql, " AND %s OPERATOR(pg_catalog.=) ANY ($3)",
                         quote_identifier(source->column[asked]));
    return sql.data;
}

/* ---- labels as values of a column ---- */

/*
 * Is it an integer in that range, in the form that its type writes: no plus, space or leading zero?
 */
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

/* Is it a uuid in the form that its type writes: in lower case? */
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

bool
metasd_known_value(Oid type, MetasdLabel label, Datum *value)
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

/* ---- lookups ---- */

void
metasd_known_start(MetasdKnown *known, const MetasdModel *model, MetasdAsked asked,
                   const MetasdLabel *given)
{
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);

    int place[2] = {asked == METASD_ASKED_HEAD ? 1 : 0, asked == METASD_ASKED_TAIL ? 1 : 2};
    Oid shard;

    *known = (MetasdKnown){.asked = asked, .possible = true};
    for (int i = 0; i < 2; i++)
        if (!metasd_known_value(source->type[place[i]], given[i], &known->given[i]))
            known->possible = false;
    if (known->possible) {
        shard = metasd_shard_of(source, place, known->given, 2);
        if (shard != source->relation)
            source = metasd_source_open(shard, model->serving_column, model->owner);
    }
    known->source = source;
    metasd_index_advise(source, asked);
}

Datum
metasd_known_array(Oid type, const MetasdLabel *labels, size_t n)
{
    Datum *values = palloc_extended(Max(n, 1) * sizeof(*values), MCXT_ALLOC_HUGE);
    int count = 0;
    int16 len;
    bool byval;
    char align;

    for (size_t i = 0; i < n; i++) {
        CHECK_FOR_INTERRUPTS();
        if (metasd_known_value(type, labels[i], &values[count]))
            count++;
    }
    get_typlenbyvalalign(type, &len, &byval, &align);
    return PointerGetDatum(construct_array(values, count, type, len, byval, align));
}

/* The labels of N ids as an array for $3. */
static Datum
build_array(const MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids, size_t n)
{
    MetasdLabel *list = palloc_extended(Max(n, 1) * sizeof(*list), MCXT_ALLOC_HUGE);
    Datum array;

    for (size_t i = 0; i < n; i++) {
        size_t bytes;

        list[i].data = metasd_label_get(labels, ids[i], &bytes);
        list[i].len = (uint32)bytes;
    }
    array = metasd_known_array(known->source->type[known->asked], list, n);
    pfree(list);
    return array;
}

/* Marks the rows that SPI has found. */
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

/* Reads the rows of a whole group, some at a time: there may be millions. */
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

/* Runs a lookup; reads at most MOST rows unless that is 0. */
static void
mark_rows(SPIPlanPtr plan, Datum *values, const char *nulls, long most,
          const MetasdLabelTable *labels, bool *known_ids)
{
    if (SPI_execute_plan(plan, values, nulls, true, most) != SPI_OK_SELECT)
        elog(ERROR, "could not look up known facts");
    mark_found(labels, known_ids);
}

/* Looks up the facts of N ids, or of the whole group if ids is NULL or the group is small. */
static void
look_up(MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids, size_t n,
        bool *known_ids)
{
    MetasdSource *source = known->source;
    int asked = known->asked, given[2] = {asked == 0 ? 1 : 0, asked == 2 ? 1 : 2};
    Oid types[3] = {source->type[given[0]], source->type[given[1]],
                    get_array_type(source->type[asked])};
    Datum values[3] = {known->given[0], known->given[1], (Datum)0};
    SPIPlanPtr plan;

    SPI_connect();
    METASD_READING_BEGIN(&source->reading);
    plan = metasd_known_plan(&source->reading, write_lookup(source, given, asked, false), types);
    if (!ids)
        mark_group(plan, values, labels, known_ids);
    else {
        mark_rows(plan, values, "  n", SMALL_GROUP, labels, known_ids);
        known->whole = SPI_processed < SMALL_GROUP;
        if (!known->whole) {
            values[2] = build_array(known, labels, ids, n);
            plan = metasd_known_plan(&source->reading, write_lookup(source, given, asked, true),
                                     types);
            mark_rows(plan, values, "   ", 0, labels, known_ids);
        }
    }
    METASD_READING_END();
    SPI_finish();
}

void
metasd_known_mark(MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids, size_t n,
                  bool *known_ids)
{
    if (known->possible && !known->whole && n > 0)
        look_up(known, labels, ids, n, known_ids);
}

void
metasd_known_mark_labels(MetasdKnown *known, const MetasdLabel *labels, size_t n, bool *marks)
{
    MetasdSource *source = known->source;
    int asked = known->asked, given[2] = {asked == 0 ? 1 : 0, asked == 2 ? 1 : 2};
    Oid types[3] = {source->type[given[0]], source->type[given[1]],
                    get_array_type(source->type[asked])};
    Datum values[3] = {known->given[0], known->given[1], (Datum)0};

    if (!known->possible || n == 0)
        return;
    values[2] = metasd_known_array(known->source->type[known->asked], labels, n);
    SPI_connect();
    METASD_READING_BEGIN(&source->reading);
    if (SPI_execute_plan(
            metasd_known_plan(&source->reading, write_lookup(source, given, asked, true), types),
            values, "   ", true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not look up known facts");
    for (uint64 row = 0; row < SPI_processed; row++) {
        bool isnull;
        Datum value = metasd_statement_value(row, 1, &isnull);
        text *label = isnull ? NULL : DatumGetTextPP(value);

        for (size_t i = 0; i < n && label; i++)
            marks[i] = marks[i] || (labels[i].len == VARSIZE_ANY_EXHDR(label) &&
                                    memcmp(labels[i].data, VARDATA_ANY(label), labels[i].len) == 0);
    }
    METASD_READING_END();
    SPI_finish();
}

void
metasd_known_mark_all(MetasdKnown *known, const MetasdLabelTable *labels, bool *known_ids)
{
    if (known->possible && !known->whole)
        look_up(known, labels, NULL, 0, known_ids);
}

/* ---- rows of the source ---- */

static bool
find_number(const MetasdQuestion *question, const MetasdTripleLabels *row, int place, uint32 *id)
{
    return metasd_label_find(metasd_question_labels(question, place == METASD_ASKED_RELATION),
                             row->data[place], row->len[place], id);
}

bool
metasd_known_numbers(const MetasdQuestion *question, MetasdAsked asked,
                     const MetasdTripleLabels *row, uint32 *given, uint32 *answer)
{
    int first = asked == METASD_ASKED_HEAD ? 1 : 0, second = asked == METASD_ASKED_TAIL ? 1 : 2;

    if (given && (!find_number(question, row, first, &given[0]) ||
                  !find_number(question, row, second, &given[1])))
        return false;
    return !answer || find_number(question, row, (int)asked, answer);
}
