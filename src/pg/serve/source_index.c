#include "pg/serve/source_index.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Is COLUMN the key column N of an index, with the collation that its operator = uses? */
static bool
has_key(Relation index, Relation relation, int n, AttrNumber column)
{
    return n < IndexRelationGetNumberOfKeyAttributes(index) &&
           index->rd_index->indkey.values[n] == column &&
           index->rd_indcollation[n] ==
               TupleDescAttr(RelationGetDescr(relation), column - 1)->attcollation;
}

/*
 * Does an index find the rows of a group? Its first key is a given entity, or its first two keys
 * are the relation and the entity: a relation alone may have most of the rows.
 */
static bool
finds_group(Relation index, Relation relation, MetasdAsked asked, const AttrNumber column[3])
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

        found = found || finds_group(index, relation, asked, column);
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
metasd_source_index_is_possible(const MetasdSource *source)
{
    return is_table(get_rel_relkind(source->relation));
}

bool
metasd_source_index_exists(const MetasdSource *source, MetasdAsked asked)
{
    return metasd_source_index_is_possible(source) &&
           has_index(source->relation, source->column, asked);
}
