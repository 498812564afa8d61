#include "pg/control/import_notes.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/catalog/import_order.h"
#include "pg/catalog/statement.h"

/* Columns of the statement below. */
enum { LEFT_OUT = 1, ZEROS, TUNES, TAILS, HEADS, OTHER, INTERLEAVED, RECIPROCAL, FAMILY, TABLE };

/*
 * Models of PyKEEN and LibKGE on UMLS win .95 to .996 of the comparisons. The same with rows of
 * other relations win .49 to .52, with embedding and reciprocal exchanged .54 to .69 (ComplEx).
 */
#define CHANCE 0.75

/* The other layout of complex numbers is the right one if it wins so many more. */
#define MORE 0.1

static bool
bool_at(int column)
{
    bool isnull, value = DatumGetBool(metasd_statement_value(0, column, &isnull));

    return !isnull && value;
}

/* A part of 1; NAN if it is not known. */
static double
part_at(int column)
{
    bool isnull;
    Datum value = metasd_statement_value(0, column, &isnull);

    return isnull ? NAN : DatumGetFloat8(value);
}

/* A count; -1 if it is not known. */
static int64
count_at(int column)
{
    bool isnull;
    Datum value = metasd_statement_value(0, column, &isnull);

    return isnull ? -1 : DatumGetInt64(value);
}

static void
note_left_out(int64 triples)
{
    ereport(NOTICE,
            (errmsg_plural("%lld triple was left out: it has a label that has no embedding",
                           "%lld triples were left out: they have labels that have no embedding",
                           (unsigned long)triples, (long long)triples),
             errdetail("Questions about such entities and relations are answered from their "
                       "facts.")));
}

static void
warn_of_layout(double part, double other)
{
    const char *layout = metasd_import_layouts[!bool_at(INTERLEAVED)];

    ereport(
        WARNING,
        (errmsg("the embeddings seem to have the layout \"%s\"", layout),
         errdetail("Facts outscore triples with another tail in %.0f %% of comparisons. Read in "
                   "that layout they would in %.0f %%.",
                   100 * part, 100 * other),
         errhint("Import again with params => '{\"layout\": \"%s\"}'.", layout)));
}

/* An errhint: where to look. Tails alone need no reciprocals. */
static int
hint_at_slips(bool heads_only)
{
    if (heads_only && bool_at(RECIPROCAL))
        return errhint("Look whether the column reciprocal has the embedding of each relation's "
                       "inverse, which scores heads.");
    if (heads_only)
        return errhint("A model with inverse relations has a second embedding for each relation, "
                       "which scores heads. Give it in a column reciprocal.");
    if (strcmp(metasd_statement_text(0, FAMILY), "complex") == 0)
        return errhint("Look whether each label has its own embedding, whether embedding scores "
                       "tails and reciprocal heads, and whether the score of the model is the "
                       "real part of head times relation times conjugate of tail.");
    return errhint("Look whether each label has its own embedding, whether embedding scores tails "
                   "and reciprocal heads, and whether the score of the model is the sum of head "
                   "times relation times tail.");
}

static void
warn_of_chance(double tails, double heads)
{
    ereport(WARNING,
            (errmsg("the embeddings do not fit the facts of the source"),
             errdetail("Facts outscore triples with another tail in %.0f %% of comparisons, and "
                       "those with another head in %.0f %%. Chance gives 50 %%, and training more "
                       "than 90 %%.",
                       100 * tails, 100 * heads),
             hint_at_slips(tails >= CHANCE)));
}

static void
note_zeros(int64 zeros)
{
    ereport(NOTICE,
            (errmsg_plural("%lld embedding is 0 throughout", "%lld embeddings are 0 throughout",
                           (unsigned long)zeros, (long long)zeros),
             errdetail("All answers to a question about such an entity or relation have "
                       "the same score."),
             errhint("SELECT label FROM %s WHERE 0 = ALL (embedding) finds those of "
                     "entities. If the model was not trained on them, delete these rows "
                     "and give params => '{\"missing\": \"skip\"}': they are answered "
                     "from their facts then.",
                     metasd_statement_text(0, TABLE))));
}

bool
metasd_import_notes_show(int64 run)
{
    static MetasdStatement look = {
        "SELECT CASE WHEN metrics ? 'import' THEN (metrics #>> '{import,left_out}')::int8 "
        "ELSE 0 END, "
        "(metrics #>> '{import,zeros}')::int8, "
        "(params ->> 'finetune')::int4 > 0, (metrics #>> '{import,fit,tails}')::float8, "
        "(metrics #>> '{import,fit,heads}')::float8, "
        "(metrics #>> '{import,fit,other_layout}')::float8, "
        "metrics #>> '{import,layout}' = 'interleaved', "
        "(metrics #>> '{import,reciprocal}')::bool, params ->> 'family', "
        "metrics #>> '{import,entities}' "
        "FROM metasd.run WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    double tails, heads, other;

    if (metasd_statement_execute(&look, &value, NULL, false) == 0 || count_at(LEFT_OUT) < 0)
        return false;
    if (count_at(LEFT_OUT) > 0)
        note_left_out(count_at(LEFT_OUT));
    tails = part_at(TAILS);
    heads = part_at(HEADS);
    other = part_at(OTHER);
    if (other > CHANCE && other > tails + MORE)
        warn_of_layout(tails, other);
    else if (fmin(tails, heads) < CHANCE)
        warn_of_chance(tails, heads);
    if (count_at(ZEROS) > 0 && !bool_at(TUNES))
        note_zeros(count_at(ZEROS));
    return true;
}
