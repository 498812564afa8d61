#include "pg/source/trust.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* ---- changes ---- */

static uint64 generation = 1;

static void
relation_changed(Datum argument, Oid relation)
{
    (void)argument;
    (void)relation;
    generation++;
}

static void
catalog_changed(Datum argument, int cache, uint32 hash)
{
    (void)argument;
    (void)cache;
    (void)hash;
    generation++;
}

uint64
metasd_trust_generation(void)
{
    static bool registered = false;

    if (!registered) {
        registered = true;
        CacheRegisterRelcacheCallback(relation_changed, (Datum)0);
        CacheRegisterSyscacheCallback(PROCOID, catalog_changed, (Datum)0);
        CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum)0);
        CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum)0);
        CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum)0);
        CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum)0);
        CacheRegisterSyscacheCallback(OPEROID, catalog_changed, (Datum)0);
        CacheRegisterSyscacheCallback(USERMAPPINGOID, catalog_changed, (Datum)0);
    }
    return generation;
}

/* ---- inspection ---- */

static bool inspect_node(Node *node, void *context);
static void inspect_relation(MetasdInspection *inspection, Oid relation);

static bool
inspect_query(MetasdInspection *inspection, Query *query)
{
    ListCell *cell;

    foreach (cell, query->rtable) {
        RangeTblEntry *rte = lfirst(cell);
        ListCell *type;

        if (rte->rtekind == RTE_RELATION)
            inspect_relation(inspection, rte->relid);
        else if (rte->rtekind == RTE_FUNCTION) {
            ListCell *function;

            foreach (function, rte->functions)
                foreach (type, ((RangeTblFunction *)lfirst(function))->funccoltypes)
                    if (metasd_inspection_check_type(inspection, lfirst_oid(type)))
                        return true;
        }
        if (inspection->objection)
            return true;
    }
    return query_tree_walker(query, inspect_node, inspection, 0);
}

static bool
inspect_node(Node *node, void *context)
{
    MetasdInspection *inspection = context;

    if (!node || inspection->objection)
        return node != NULL;
    if (IsA(node, Query))
        return inspect_query(inspection, (Query *)node);
    if (metasd_inspection_check_node(inspection, node))
        return true;
    return expression_tree_walker(node, inspect_node, inspection);
}

/*
 * Inspects an expression as it is stored: the relation cache simplifies it, which runs functions.
 */
static void
inspect_stored(MetasdInspection *inspection, int cache, HeapTuple tuple, AttrNumber attribute)
{
    bool isnull;
    Datum expression = SysCacheGetAttr(cache, tuple, attribute, &isnull);

    if (!isnull)
        (void)inspect_node(stringToNode(TextDatumGetCString(expression)), inspection);
}

/*
 * Locks the indexes of others, too: who makes the planner wait for one could add code to another
 * table meanwhile.
 */
static void
inspect_indexes(MetasdInspection *inspection, Relation relation)
{
    ListCell *cell;

    foreach (cell, RelationGetIndexList(relation)) {
        HeapTuple tuple;

        if (!metasd_inspection_trusts_chooser(inspection))
            LockRelationOid(lfirst_oid(cell), AccessShareLock);
        tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
        if (!HeapTupleIsValid(tuple))
            continue;
        inspect_stored(inspection, INDEXRELID, tuple, Anum_pg_index_indexprs);
        inspect_stored(inspection, INDEXRELID, tuple, Anum_pg_index_indpred);
        ReleaseSysCache(tuple);
    }
}

static void
inspect_statistics(MetasdInspection *inspection, Relation relation)
{
#if PG_VERSION_NUM >= 140000 /* statistics of expressions */
    ListCell *cell;

    foreach (cell, RelationGetStatExtList(relation)) {
        HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(lfirst_oid(cell)));

        if (!HeapTupleIsValid(tuple))
            continue;
        inspect_stored(inspection, STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs);
        ReleaseSysCache(tuple);
    }
#endif
}

static void
inspect_partition_key(MetasdInspection *inspection, Oid relation)
{
    HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relation));

    if (!HeapTupleIsValid(tuple))
        return;
    inspect_stored(inspection, PARTRELID, tuple, Anum_pg_partitioned_table_partexprs);
    ReleaseSysCache(tuple);
}

static Oid
relation_owner(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", relation);
    owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

/*
 * The planner computes the bounds of a partition that has partitions itself. So it evaluates the
 * keys of the tables above, which may have other owners. To attach a table takes a lock on all its
 * partitions, which that of the reader excludes.
 */
static void
inspect_keys_above(MetasdInspection *inspection, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relispartition)
        return;
    foreach (cell, get_partition_ancestors(RelationGetRelid(relation))) {
        MetasdInspection before = *inspection;

        inspection->relation = lfirst_oid(cell);
        inspection->chooser = relation_owner(lfirst_oid(cell));
        inspection->met_others =
            inspection->met_others || !metasd_inspection_trusts_chooser(inspection);
        inspect_partition_key(inspection, lfirst_oid(cell));
        inspection->relation = before.relation;
        inspection->chooser = before.chooser;
    }
}

/*
 * The owner of a foreign table chooses what is read elsewhere. The other server runs it with the
 * rights that the reader's own user mapping has there; it may even be this server. The mapping of
 * PUBLIC is the owner's, too.
 */
static void
inspect_mapping(MetasdInspection *inspection, Oid relation)
{
    HeapTuple tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relation));
    Oid server;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for foreign table %u", relation);
    server = ((Form_pg_foreign_table)GETSTRUCT(tuple))->ftserver;
    ReleaseSysCache(tuple);
    if (!metasd_inspection_trusts_chooser(inspection) &&
        SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(inspection->reader),
                              ObjectIdGetDatum(server)))
        inspection->objection = psprintf(
            _("Reading \"%s\" runs on another server what role \"%s\" has chosen, with the user "
              "mapping of role \"%s\"."),
            get_rel_name(relation), metasd_inspection_role(inspection->chooser),
            metasd_inspection_role(inspection->reader));
}

static void
inspect_policies(MetasdInspection *inspection, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relrowsecurity || !relation->rd_rsdesc)
        return;
    foreach (cell, relation->rd_rsdesc->policies)
        (void)inspect_node((Node *)((RowSecurityPolicy *)lfirst(cell))->qual, inspection);
}

/* Constraints need no inspection: the planner evaluates them only if constraint_exclusion is on. */
static void
inspect_virtual_columns(MetasdInspection *inspection, Relation relation)
{
#if PG_VERSION_NUM >= 180000
    TupleConstr *constraints = RelationGetDescr(relation)->constr;

    for (int i = 0; constraints && i < constraints->num_defval; i++)
        if (TupleDescAttr(RelationGetDescr(relation), constraints->defval[i].adnum - 1)
                ->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
            (void)inspect_node(stringToNode(constraints->defval[i].adbin), inspection);
#endif
}

static void
inspect_children(MetasdInspection *inspection, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relhassubclass)
        return;
    foreach (cell, find_inheritance_children(RelationGetRelid(relation), AccessShareLock))
        inspect_relation(inspection, lfirst_oid(cell));
}

/* RELATION is open, and the inspection names it and its owner. */
static void
inspect_code(MetasdInspection *inspection, Relation relation)
{
    if (relation->rd_rel->relkind == RELKIND_VIEW)
        (void)inspect_query(inspection, get_view_query(relation));
    else if (relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
        inspect_mapping(inspection, RelationGetRelid(relation));
    if (relation->rd_rel->relkind != RELKIND_VIEW) {
        inspect_policies(inspection, relation);
        inspect_virtual_columns(inspection, relation);
        inspect_indexes(inspection, relation);
        inspect_statistics(inspection, relation);
        inspect_partition_key(inspection, RelationGetRelid(relation));
        inspect_keys_above(inspection, relation);
        inspect_children(inspection, relation);
    }
}

static void
inspect_relation(MetasdInspection *inspection, Oid oid)
{
    MetasdInspection before = *inspection;
    Relation relation;

    if (inspection->objection || list_member_oid(inspection->reached, oid))
        return;
    check_stack_depth();
    relation = try_relation_open(oid, AccessShareLock);
    if (!relation)
        return;
    inspection->reached = lappend_oid(inspection->reached, oid);
    inspection->relation = oid;
    inspection->chooser = relation->rd_rel->relowner;
    inspection->met_others =
        inspection->met_others || !metasd_inspection_trusts_chooser(inspection);
    if (superuser_arg(inspection->reader) && !superuser_arg(inspection->chooser) &&
        !inspection->owners_read)
        inspection->objection =
            psprintf(_("It reads \"%s\", where role \"%s\" can add code that would run "
                       "with the rights of role \"%s\"."),
                     get_rel_name(oid), metasd_inspection_role(inspection->chooser),
                     metasd_inspection_role(inspection->reader));
    else
        inspect_code(inspection, relation);
    inspection->relation = before.relation;
    inspection->chooser = before.chooser;
    relation_close(relation, NoLock);
}

/* An owner could go on changing what he owns until a change is missed. */
#define MOST_INSPECTIONS 16

/*
 * Inspects again if something has changed meanwhile: another role can make the inspection wait for
 * a lock on one of its tables, and then add code to a table that has been inspected.
 */
char *
metasd_trust_objection(Oid reader, Oid relation, List **reached)
{
    for (int i = 0; i < MOST_INSPECTIONS; i++) {
        uint64 before = metasd_trust_generation();
        MetasdInspection inspection = {.reader = reader};

        inspect_relation(&inspection, relation);
        AcceptInvalidationMessages();
        if (!inspection.objection && inspection.met_others && before != metasd_trust_generation())
            continue;
        *reached = list_concat_unique_oid(*reached, inspection.reached);
        return inspection.objection;
    }
    return psprintf(_("What \"%s\" reads is being changed all the time."), get_rel_name(relation));
}

bool
metasd_trust_meets_code(Oid user, Oid relation)
{
    MetasdInspection inspection = {.reader = user, .owners_read = true};

    inspect_relation(&inspection, relation);
    return inspection.objection != NULL;
}

char *
metasd_trust_query_objection(Oid reader, Node *query)
{
    MetasdInspection inspection = {.reader = reader};
    Query *one = castNode(Query, query);

    /* The relations that it reads have been inspected, so the range table is skipped. */
    (void)query_tree_walker(one, inspect_node, &inspection, QTW_IGNORE_RANGE_TABLE);
    return inspection.objection;
}
