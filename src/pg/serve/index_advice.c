#include "pg/serve/index_advice.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/serve/known_cost.h"

/*
 * Pages from which on it is worth while: to read fewer takes about as long as to score the
 * entities.
 */
#define LEAST_PAGES 128

/* The same of what has no pages of its own, in the planner's units: such a table costs that. */
#define LEAST_COST 250

/* What this session has looked at last. So many tables: it may create and drop others for ever. */
#define MOST_ADVISED 64

typedef struct Advised {
    Oid relation;
    MetasdAsked asked;
} Advised;

static Advised advised[MOST_ADVISED];
static unsigned next_advised; /* which may wrap around */

static bool
is_advised(Oid relation, MetasdAsked asked)
{
    for (int i = 0; i < MOST_ADVISED; i++)
        if (advised[i].relation == relation && advised[i].asked == asked)
            return true;
    return false;
}

static void
remember(Oid relation, MetasdAsked asked)
{
    advised[next_advised++ % MOST_ADVISED] = (Advised){.relation = relation, .asked = asked};
}

/* Pages of a table, of its partitions and of what inherits from it. */
static uint64
pages_of(Oid relation)
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

/*
 * Is key column N of an index this one, so that it is found by the operator = of its own collation?
 */
static bool
has_key(Relation index, Relation relation, int n, AttrNumber column)
{
    return n < IndexRelationGetNumberOfKeyAttributes(index) &&
           index->rd_index->indkey.values[n] == column &&
           index->rd_indcollation[n] ==
               TupleDescAttr(RelationGetDescr(relation), column - 1)->attcollation;
}

/*
 * Does an index find the rows of a group? One of a given entity first, or of the relation and then
 * the entity: a relation alone may have most of the rows.
 */
static bool
supports(Relation index, Relation relation, MetasdAsked asked, const AttrNumber column[3])
{
    Oid method = index->rd_rel->relam;

    if (!index->rd_index->indisvalid || (method != BTREE_AM_OID && method != HASH_AM_OID) ||
        !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
        return false;
    for (int place = 0; place < 3; place += 2)
        if (place != (int)asked &&
            (has_key(index, relation, 0, column[place]) ||
             (asked != METASD_ASKED_RELATION && has_key(index, relation, 0, column[1]) &&
              has_key(index, relation, 1, column[place]))))
            return true;
    return false;
}

static bool
is_table(char kind)
{
    return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE || kind == RELKIND_MATVIEW;
}

/* Has the relation, or has each of its partitions, such an index? */
static bool
has_index(Oid id, char *const names[3], MetasdAsked asked)
{
    Relation relation = relation_open(id, AccessShareLock);
    AttrNumber column[3];
    bool found = false;
    ListCell *cell;

    for (int i = 0; i < 3; i++)
        column[i] = get_attnum(id, names[i]);
    foreach (cell, RelationGetIndexList(relation)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);

        found = found || supports(index, relation, asked, column);
        index_close(index, NoLock);
    }
    if (!found && relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
        List *parts = find_inheritance_children(id, AccessShareLock);

        found = parts != NIL;
        foreach (cell, parts)
            found = found && is_table(get_rel_relkind(lfirst_oid(cell))) &&
                    has_index(lfirst_oid(cell), names, asked);
    }
    relation_close(relation, NoLock);
    return found;
}

bool
metasd_index_exists(const MetasdSource *source, MetasdAsked asked)
{
    return is_table(get_rel_relkind(source->relation)) &&
           has_index(source->relation, source->column, asked);
}

/* ---- what is said ---- */

/* The two columns that a question gives, an entity's first: as an index should have them. */
static void
columns_given(const MetasdSource *source, MetasdAsked asked, const char *column[2])
{
    column[0] = source->column[asked == METASD_ASKED_HEAD ? METASD_ASKED_TAIL : METASD_ASKED_HEAD];
    column[1] =
        source->column[asked == METASD_ASKED_RELATION ? METASD_ASKED_TAIL : METASD_ASKED_RELATION];
}

static void
advise_table(const MetasdSource *source, MetasdAsked asked)
{
    const char *column[2];

    if (pages_of(source->relation) < LEAST_PAGES || metasd_index_exists(source, asked))
        return;
    columns_given(source, asked, column);
    ereport(NOTICE, (errmsg("source \"%s\" has no index to look up known facts", source->name),
                     errdetail("Each question that gives a \"%s\" and a \"%s\" reads all of it.",
                               column[0], column[1]),
                     errhint("CREATE INDEX ON %s (%s, %s);", source->quoted,
                             pstrdup(quote_identifier(column[0])), quote_identifier(column[1]))));
}

/* A view may use indexes of what it reads, a foreign table those of another server. */
static void
advise_other(const MetasdSource *source, MetasdAsked asked)
{
    MetasdReadCost cost = metasd_known_cost(source, asked);
    const char *column[2];

    if (cost.whole < LEAST_COST || !metasd_known_cost_is_dear(&cost))
        return;
    columns_given(source, asked, column);
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
    remember(source->relation, asked);
    if (is_table(get_rel_relkind(source->relation)))
        advise_table(source, asked);
    else
        advise_other(source, asked);
}
