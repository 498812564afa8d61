#include "advice.h"

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
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * Pages from which on it is worth while: to read fewer takes about as long as to score the
 * entities.
 */
#define LEAST_PAGES 128

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
has_index(const MetasdSource *source, MetasdAsked asked)
{
    Relation relation = relation_open(source->relation, AccessShareLock);
    AttrNumber column[3];
    bool found = false;
    ListCell *cell;

    for (int i = 0; i < 3; i++)
        column[i] = get_attnum(source->relation, source->column[i]);
    foreach (cell, RelationGetIndexList(relation)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);

        found = found || supports(index, relation, asked, column);
        index_close(index, NoLock);
    }
    relation_close(relation, NoLock);
    return found;
}

void
metasd_advise_index(const MetasdSource *source, MetasdAsked asked)
{
    char kind = get_rel_relkind(source->relation);
    const char *first, *second;

    if (is_advised(source->relation, asked) ||
        (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
         kind != RELKIND_MATVIEW) ||
        !metasd_owns_relation(source->relation, GetUserId()))
        return;
    remember(source->relation, asked);
    if (pages_of(source->relation) < LEAST_PAGES || has_index(source, asked))
        return;
    first = source->column[asked == METASD_ASKED_HEAD ? METASD_ASKED_TAIL : METASD_ASKED_HEAD];
    second =
        source->column[asked == METASD_ASKED_RELATION ? METASD_ASKED_TAIL : METASD_ASKED_RELATION];
    ereport(NOTICE,
            (errmsg("source \"%s\" has no index by which to look known facts up", source->name),
             errdetail("Each question about a \"%s\" and a \"%s\" reads all of it.", first, second),
             errhint("CREATE INDEX ON %s (%s, %s);", source->quoted,
                     pstrdup(quote_identifier(first)), quote_identifier(second))));
}
