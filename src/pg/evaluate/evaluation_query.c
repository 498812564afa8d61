#include "pg/evaluate/evaluation_query.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "pg/evaluate/rank_answers.h"

#define BINS 10 /* of probabilities, of equal width */

/* Logarithmic: the number of digits, or 0 for labels that do not occur. */
#define DIGITS(relation, number)                                                                   \
    "(CASE WHEN metasd.occurrences($1, " relation ", " number ") = 0 THEN 0 "                      \
    "ELSE length(metasd.occurrences($1, " relation ", " number ")::text) END)"
#define RANGE                                                                                      \
    "CASE WHEN x.key = 0 THEN '0' ELSE '1' || repeat('0', x.key - 1) || '-' || repeat('9', "       \
    "x.key) END"

static const MetasdBucket buckets[] = {{"all", "1", "'all'"},
                                       {"side", "b.side", "x.key"},
                                       {"relation", "b.label", "x.key"},
                                       {"frequency", DIGITS("true", "b.relation"), RANGE},
                                       {"degree", DIGITS("false", "(b.a).answer"), RANGE}};

const MetasdBucket *
metasd_evaluation_bucket(const char *name)
{
    if (!name)
        return &buckets[0];
    for (size_t i = 1; i < lengthof(buckets); i++)
        if (strcmp(name, buckets[i].name) == 0)
            return &buckets[i];
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for by: \"%s\"", name),
             errhint("It must be \"side\", \"relation\", \"frequency\", \"degree\" or NULL.")));
}

bool
metasd_evaluation_needs_label(const MetasdBucket *by)
{
    return strcmp(by->name, "relation") == 0;
}

/* The condition that all three identifiers exist. */
static void
append_complete(StringInfo sql, const MetasdSource *source)
{
    for (int i = 0; i < 3; i++) {
        const char *column = quote_identifier(source->column[i]);

        appendStringInfo(sql, "%s%s IS NOT NULL", i ? " AND " : "", column);
        if (source->type[i] == TEXTOID || source->type[i] == VARCHAROID)
            appendStringInfo(sql, " AND %s::text COLLATE \"C\" <> ''", column);
    }
}

/* The rows of a relation as numbers; ASKED: their answers are ranked. */
static void
append_triples(StringInfo sql, const MetasdEvaluationQuery *query, const MetasdSource *source,
               bool asked)
{
    appendStringInfo(sql,
                     "SELECT metasd.entity_number($1, %s::text) AS h, "
                     "metasd.relation_number($1, %s::text) AS r, "
                     "metasd.entity_number($1, %s::text) AS t, ",
                     quote_identifier(source->column[0]), quote_identifier(source->column[1]),
                     quote_identifier(source->column[2]));
    if (asked && metasd_evaluation_needs_label(query->by))
        appendStringInfo(sql, "%s::text COLLATE \"C\" AS label, ",
                         quote_identifier(source->column[1]));
    else
        appendStringInfoString(sql, "NULL::text COLLATE \"C\" AS label, ");
    appendStringInfo(sql, "%s AS asked FROM %s WHERE ", asked ? "true" : "false", source->quoted);
    append_complete(sql, source);
}

/* The ranked answers of one side; with slices those of one group in `slices`. */
static void
append_branch(StringInfo sql, const MetasdEvaluationQuery *query, const char *side, int slice)
{
    bool head = strcmp(side, "head") == 0;
    const char *given = head ? "f.t" : "f.h", *answer = head ? "f.h" : "f.t";
    ListCell *cell;

    appendStringInfo(sql,
                     "SELECT '%s'::text COLLATE \"C\" AS side, g.relation, g.label, "
                     "unnest(metasd.rank_answers($1, '%s', g.entity, g.relation, g.answers, "
                     "g.known)) AS a FROM (SELECT %s AS entity, f.r AS relation, "
                     "min(f.label) AS label, array_agg(%s) FILTER (WHERE f.asked) AS answers, "
                     "array_agg(%s) FILTER (WHERE NOT f.asked) AS known FROM (",
                     side, side, given, answer, answer);
    if (query->facts)
        appendStringInfoString(sql, "SELECT h, r, t, label, asked FROM " METASD_FACTS);
    if (query->test) {
        appendStringInfoString(sql, query->facts ? " UNION ALL " : "");
        append_triples(sql, query, query->test, true);
    }
    foreach (cell, query->known) {
        appendStringInfoString(sql, " UNION ALL ");
        append_triples(sql, query, lfirst(cell), false);
    }
    appendStringInfoString(sql, ") f");
    if (query->slices >
        1) /* a CASE, which the planner expects to keep half of the rows; of "=" it expects few */
        appendStringInfo(sql,
                         " WHERE CASE abs(%s %% %d + 3 * (f.r %% %d)) %% %d WHEN %d THEN true "
                         "ELSE false END",
                         given, query->slices, query->slices, query->slices, slice);
    appendStringInfo(sql, " GROUP BY %s, f.r HAVING bool_or(f.asked)) g", given);
}

/*
 * The expected calibration error: the mean distance of the probabilities of a bin from the part of
 * the bin that holds. Each bin adds |its sum of differences| / all.
 */
static void
append_calibration_error(StringInfo sql)
{
    appendStringInfoString(sql, "(");
    for (int bin = 0; bin < BINS; bin++)
        appendStringInfo(sql, "%scoalesce(abs(sum(x.surplus) FILTER (WHERE x.bin = %d)), 0)",
                         bin ? " + " : "", bin);
    appendStringInfoString(sql, ")::float8 / nullif(count(x.surplus), 0)");
}

/*
 * For all answers: the sum of their probabilities per answer that holds, and the distance of both
 * over the ranges.
 */
static void
append_calibration_of_all(StringInfo sql)
{
    appendStringInfoString(sql, "sum(x.claimed)::float8 / nullif(sum(x.held), 0)::float8, (");
    for (int range = 0; range < METASD_RANGES; range++)
        appendStringInfo(sql,
                         "%scoalesce(abs(sum(x.claimed - x.held) FILTER (WHERE x.range = %d)), 0)",
                         range ? " + " : "", range);
    appendStringInfoString(sql, ")::float8 / nullif(sum(x.held), 0)::float8");
}

/*
 * What is summed is numeric, as its sums are exact: those of floats would depend on the order of
 * the rows, which parallel workers and the plan decide.
 */
char *
metasd_evaluation_query(const MetasdEvaluationQuery *query)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfo(&sql,
                     "SELECT (%s)::text, count(x.rank), count(*) FILTER (WHERE x.unseen), "
                     "avg(1 / x.rank)::float8, avg(1 / x.pessimistic_rank::numeric)::float8, "
                     "avg((x.rank <= 1)::int::float8), avg((x.rank <= 3)::int::float8), "
                     "avg((x.rank <= 10)::int::float8), avg(x.rank)::float8, "
                     "(1 - avg(x.rank - 1) / nullif(avg((x.candidates - 1)::numeric / 2), "
                     "0))::float8, avg(x.surplus * x.surplus)::float8, ",
                     query->by->label);
    append_calibration_error(&sql);
    appendStringInfoString(&sql, ", ");
    append_calibration_of_all(&sql);
    appendStringInfo(&sql,
                     " FROM (SELECT %s AS key, (b.a).rank::numeric, (b.a).pessimistic_rank, "
                     "(b.a).candidates, (b.a).unseen, "
                     "((b.a).probability::float8 - (b.a).holds::int)::numeric AS surplus, "
                     "(b.a).range, (b.a).claimed::numeric, (b.a).held, "
                     "least(floor((b.a).probability * %d), %d) AS bin FROM (",
                     query->by->key, BINS, BINS - 1);
    for (int i = 0; i < query->slices; i++) {
        appendStringInfoString(&sql, i ? " UNION ALL " : "");
        append_branch(&sql, query, "tail", i);
        appendStringInfoString(&sql, " UNION ALL ");
        append_branch(&sql, query, "head", i);
    }
    appendStringInfoString(&sql, ") b) x GROUP BY x.key HAVING count(x.rank) > 0 ORDER BY x.key");
    return sql.data;
}

char *
metasd_evaluation_count_query(const MetasdSource *test)
{
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT count(*), count(*) FILTER (WHERE ");
    append_complete(&sql, test);
    appendStringInfo(&sql, ") FROM %s", test->quoted);
    return sql.data;
}

char *
metasd_evaluation_unknown_query(const MetasdSource *test)
{
    StringInfoData sql;

    initStringInfo(&sql);
    for (int i = 0; i < 3; i++) {
        const char *kind = i == 1 ? "relation" : "entity";

        appendStringInfo(&sql,
                         "%sSELECT x.label, %s FROM (SELECT %s::text COLLATE \"C\" AS label "
                         "FROM %s WHERE ",
                         i ? " UNION " : "", i == 1 ? "true" : "false",
                         quote_identifier(test->column[i]), test->quoted);
        append_complete(&sql, test);
        appendStringInfo(&sql, ") x WHERE metasd.%s_number($1, x.label) < 0", kind);
    }
    return sql.data;
}
