#include "pg/serve/index_advice.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/serve/known_cost.h"
#include "pg/serve/source_index.h"

/* A smaller table needs no index: to read it takes about as long as to score the entities. */
#define LEAST_PAGES 128

/* The cost of such a table in the planner's units, for sources without pages of their own. */
#define LEAST_COST 250

/* The sources that this session checked last; the number is bounded, tables come and go. */
#define MOST_ADVISED 64

typedef struct Advised {
    Oid relation;
    MetasdAsked asked;
} Advised;

static Advised advised[MOST_ADVISED];
static unsigned next_advised; /* it may wrap around */

static bool
is_advised(Oid relation, MetasdAsked asked)
{
    for (int i = 0; i < MOST_ADVISED; i++)
        if (advised[i].relation == relation && advised[i].asked == asked)
            return true;
    return false;
}

static void
remember_advised(Oid relation, MetasdAsked asked)
{
    advised[next_advised++ % MOST_ADVISED] = (Advised){.relation = relation, .asked = asked};
}

/* The pages of a table, of its partitions and of tables that inherit from it. */
static uint64
count_pages(Oid relation)
{
    uint64 pages = 0;
    ListCell *cell;

    foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL)) {
        Relation part = relation_open(lfirst_oid(cell), NoLock);
        char kind = part->rd_rel->relkind;

        if (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW)
            pages += RelationGetNumberOfBlocks(part);
        relation_close(part, NoLock);
    }
    return pages;
}

/* The two given columns, an entity first: the order that an index should have. */
static void
list_given_columns(const MetasdSource *source, MetasdAsked asked, const char *column[2])
{
    column[0] = source->column[asked == METASD_ASKED_HEAD ? METASD_ASKED_TAIL : METASD_ASKED_HEAD];
    column[1] =
        source->column[asked == METASD_ASKED_RELATION ? METASD_ASKED_TAIL : METASD_ASKED_RELATION];
}

static void
advise_table(const MetasdSource *source, MetasdAsked asked)
{
    const char *column[2];

    if (count_pages(source->relation) < LEAST_PAGES || metasd_source_index_exists(source, asked))
        return;
    list_given_columns(source, asked, column);
    ereport(NOTICE, (errmsg("source \"%s\" has no index to look up known facts", source->name),
                     errdetail("Each question that gives a \"%s\" and a \"%s\" reads all of it.",
                               column[0], column[1]),
                     errhint("CREATE INDEX ON %s (%s, %s);", source->quoted,
                             pstrdup(quote_identifier(column[0])), quote_identifier(column[1]))));
}

/* A view may use indexes of the tables that it reads, a foreign table those of another server. */
static void
advise_other(const MetasdSource *source, MetasdAsked asked)
{
    MetasdReadCost cost = metasd_known_cost(source, asked);
    const char *column[2];

    if (cost.whole < LEAST_COST || !metasd_known_cost_is_high(&cost))
        return;
    list_given_columns(source, asked, column);
    ereport(
        NOTICE,
        (errmsg("source \"%s\" uses no index to look up known facts", source->name),
         errdetail("Each question that gives a \"%s\" and a \"%s\" reads all or much of it.",
                   column[0], column[1]),
         errhint("Ask many questions at once with kg_predict_many, which reads it once, or train "
                 "from a materialized view of it that has an index on (%s, %s).",
                 pstrdup(quote_identifier(column[0])), quote_identifier(column[1]))));
}

void
metasd_index_advise(const MetasdSource *source, MetasdAsked asked)
{
    if (is_advised(source->relation, asked) || !metasd_owns_relation(source->relation, GetUserId()))
        return;
    remember_advised(source->relation, asked);
    if (metasd_source_index_is_possible(source))
        advise_table(source, asked);
    else
        advise_other(source, asked);
}
