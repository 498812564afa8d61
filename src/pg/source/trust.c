#include "pg/source/trust.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* ---- what may have changed ---- */

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
    }
    return generation;
}

/* ---- roles and functions ---- */

bool
metasd_trusts(Oid reader, Oid owner)
{
    return owner == reader || superuser_arg(owner) ||
           (!superuser_arg(reader) && has_privs_of_role(owner, reader));
}

/* Is it a type that values are made of without running anybody's code? */
static bool
is_plain_type(Oid type)
{
    char kind = get_typtype(type);

    return type < FirstNormalObjectId && type != XMLOID &&
           (kind == TYPTYPE_BASE || kind == TYPTYPE_RANGE || kind == TYPTYPE_ENUM);
}

/* Functions that only write values, of whatever type: only superusers define how one is written. */
static bool
only_writes(const char *name)
{
    static const char *const names[] = {"concat", "concat_ws", "format", "array_to_string"};

    for (int i = 0; i < (int)lengthof(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/*
 * Can the function do nothing but compute? Of those that are not immutable some run SQL that they
 * are given as text, or as the name of a table, and make XML of it; those of pseudotypes run what
 * belongs to the types that they are given, such as casts.
 */
static bool
only_computes(Form_pg_proc function)
{
    if (function->oid >= FirstNormalObjectId || function->provolatile == PROVOLATILE_VOLATILE)
        return false;
    if (function->provolatile == PROVOLATILE_IMMUTABLE || only_writes(NameStr(function->proname)))
        return true;
    if (!is_plain_type(function->prorettype))
        return false;
    for (int i = 0; i < function->pronargs; i++)
        if (!is_plain_type(function->proargtypes.values[i]))
            return false;
    return true;
}

/* ---- the walk ---- */

typedef struct Walk {
    Oid reader;
    List *reached; /* OIDs of relations */
    /* The relation whose expression is looked at, and its owner; InvalidOid: ours. */
    Oid relation, chooser;
    char *objection; /* the first */
} Walk;

static bool walk_node(Node *node, void *context);
static void walk_relation(Walk *walk, Oid relation);

static char *
role_name(Oid role)
{
    char *name = GetUserNameFromId(role, true);

    return name ? name : psprintf("%u", role);
}

/* Code that a walk objects to. */
typedef enum Code { FUNCTION, TYPE } Code;

/* True, as it ends a walk. */
static bool
object(Walk *walk, Code code, const char *name, Oid owner)
{
    Oid of = walk->chooser;

    if (OidIsValid(of) && !metasd_trusts(walk->reader, of))
        owner = of;
    if (OidIsValid(walk->relation))
        walk->objection =
            psprintf(code == FUNCTION
                         ? _("Reading \"%s\" runs function %s, which role \"%s\" has chosen, with "
                             "the rights of role \"%s\".")
                         : _("Reading \"%s\" runs code of type %s, which role \"%s\" has chosen, "
                             "with the rights of role \"%s\"."),
                     get_rel_name(walk->relation), name, role_name(owner), role_name(walk->reader));
    else
        walk->objection =
            psprintf(code == FUNCTION ? _("Reading it runs function %s of role \"%s\" with the "
                                          "rights of role \"%s\".")
                                      : _("Reading it runs code of type %s of role \"%s\" with the "
                                          "rights of role \"%s\"."),
                     name, role_name(owner), role_name(walk->reader));
    return true;
}

static bool
chooser_is_trusted(const Walk *walk)
{
    return !OidIsValid(walk->chooser) || metasd_trusts(walk->reader, walk->chooser);
}

/* check_function_callback: true for a function that must not run. */
static bool
check_function(Oid function, void *context)
{
    Walk *walk = context;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    Form_pg_proc form;
    bool harmless;
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", function);
    form = (Form_pg_proc)GETSTRUCT(tuple);
    owner = form->proowner;
    harmless =
        only_computes(form) || (chooser_is_trusted(walk) && metasd_trusts(walk->reader, owner));
    ReleaseSysCache(tuple);
    return !harmless && object(walk, FUNCTION, format_procedure_qualified(function), owner);
}

/* True for a type whose input may run what its owner has chosen, and must not. */
static bool
check_type(Walk *walk, Oid type)
{
    HeapTuple tuple;
    Oid owner;

    if (type < FirstNormalObjectId)
        return false;
    tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for type %u", type);
    owner = ((Form_pg_type)GETSTRUCT(tuple))->typowner;
    ReleaseSysCache(tuple);
    return !(chooser_is_trusted(walk) && metasd_trusts(walk->reader, owner)) &&
           object(walk, TYPE, format_type_be(type), owner);
}

static bool
walk_query(Walk *walk, Query *query)
{
    ListCell *cell;

    foreach (cell, query->rtable) {
        RangeTblEntry *rte = lfirst(cell);
        ListCell *type;

        if (rte->rtekind == RTE_RELATION)
            walk_relation(walk, rte->relid);
        else if (rte->rtekind == RTE_FUNCTION) {
            ListCell *function;

            foreach (function, rte->functions)
                foreach (type, ((RangeTblFunction *)lfirst(function))->funccoltypes)
                    if (check_type(walk, lfirst_oid(type)))
                        return true;
        }
        if (walk->objection)
            return true;
    }
    return query_tree_walker(query, walk_node, walk, 0);
}

static bool
walk_node(Node *node, void *context)
{
    Walk *walk = context;

    if (!node || walk->objection)
        return node != NULL;
    switch (nodeTag(node)) {
        case T_Query:
            return walk_query(walk, (Query *)node);
        case T_CoerceToDomain:
            if (check_type(walk, ((CoerceToDomain *)node)->resulttype))
                return true;
            break;
        case T_CoerceViaIO: /* its functions are those of the types */
            if (check_type(walk, ((CoerceViaIO *)node)->resulttype))
                return true;
            break;
        case T_TableFunc: {
            ListCell *type;

            foreach (type, ((TableFunc *)node)->coltypes)
                if (check_type(walk, lfirst_oid(type)))
                    return true;
            break;
        }
        case T_NextValueExpr:
            return !chooser_is_trusted(walk) && object(walk, FUNCTION, "nextval", walk->chooser);
        default:
            if (check_functions_in_node(node, check_function, walk))
                return true;
    }
    return expression_tree_walker(node, walk_node, walk);
}

/* An expression as a catalog has it: what the relation cache gives has been evaluated already. */
static void
walk_stored(Walk *walk, int cache, HeapTuple tuple, AttrNumber attribute)
{
    bool isnull;
    Datum expression = SysCacheGetAttr(cache, tuple, attribute, &isnull);

    if (!isnull)
        (void)walk_node(stringToNode(TextDatumGetCString(expression)), walk);
}

static void
walk_indexes(Walk *walk, Relation relation)
{
    ListCell *cell;

    foreach (cell, RelationGetIndexList(relation)) {
        HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));

        if (!HeapTupleIsValid(tuple))
            continue;
        walk_stored(walk, INDEXRELID, tuple, Anum_pg_index_indexprs);
        walk_stored(walk, INDEXRELID, tuple, Anum_pg_index_indpred);
        ReleaseSysCache(tuple);
    }
}

static void
walk_statistics(Walk *walk, Relation relation)
{
#if PG_VERSION_NUM >= 140000 /* those of expressions */
    ListCell *cell;

    foreach (cell, RelationGetStatExtList(relation)) {
        HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(lfirst_oid(cell)));

        if (!HeapTupleIsValid(tuple))
            continue;
        walk_stored(walk, STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs);
        ReleaseSysCache(tuple);
    }
#endif
}

static void
walk_partition_key(Walk *walk, Relation relation)
{
    HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(RelationGetRelid(relation)));

    if (!HeapTupleIsValid(tuple))
        return;
    walk_stored(walk, PARTRELID, tuple, Anum_pg_partitioned_table_partexprs);
    ReleaseSysCache(tuple);
}

static void
walk_policies(Walk *walk, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relrowsecurity || !relation->rd_rsdesc)
        return;
    foreach (cell, relation->rd_rsdesc->policies)
        (void)walk_node((Node *)((RowSecurityPolicy *)lfirst(cell))->qual, walk);
}

/* Constraints only matter to the planner where constraint_exclusion is on: it is off here. */
static void
walk_virtual_columns(Walk *walk, Relation relation)
{
#if PG_VERSION_NUM >= 180000
    TupleConstr *constraints = RelationGetDescr(relation)->constr;

    for (int i = 0; constraints && i < constraints->num_defval; i++)
        if (TupleDescAttr(RelationGetDescr(relation), constraints->defval[i].adnum - 1)
                ->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
            (void)walk_node(stringToNode(constraints->defval[i].adbin), walk);
#endif
}

static void
walk_children(Walk *walk, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relhassubclass)
        return;
    foreach (cell, find_inheritance_children(RelationGetRelid(relation), AccessShareLock))
        walk_relation(walk, lfirst_oid(cell));
}

/* With the relation open and all else set. */
static void
walk_code(Walk *walk, Relation relation)
{
    if (relation->rd_rel->relkind == RELKIND_VIEW)
        (void)walk_query(walk, get_view_query(relation));
    else {
        walk_policies(walk, relation);
        walk_virtual_columns(walk, relation);
        walk_indexes(walk, relation);
        walk_statistics(walk, relation);
        walk_partition_key(walk, relation);
        walk_children(walk, relation);
    }
}

static void
walk_relation(Walk *walk, Oid oid)
{
    Walk before = *walk;
    Relation relation;

    if (walk->objection || list_member_oid(walk->reached, oid))
        return;
    check_stack_depth();
    relation = try_relation_open(oid, AccessShareLock);
    if (!relation)
        return;
    walk->reached = lappend_oid(walk->reached, oid);
    walk->relation = oid;
    walk->chooser = relation->rd_rel->relowner;
    if (superuser_arg(walk->reader) && !superuser_arg(walk->chooser))
        walk->objection =
            psprintf(_("It reads \"%s\", where role \"%s\" can add code that would run "
                       "with the rights of role \"%s\"."),
                     get_rel_name(oid), role_name(walk->chooser), role_name(walk->reader));
    else
        walk_code(walk, relation);
    walk->relation = before.relation;
    walk->chooser = before.chooser;
    relation_close(relation, NoLock);
}

char *
metasd_trust_objection(Oid reader, Oid relation, List **reached)
{
    Walk walk = {.reader = reader};

    walk_relation(&walk, relation);
    *reached = list_concat_unique_oid(*reached, walk.reached);
    return walk.objection;
}

char *
metasd_trust_query_objection(Oid reader, Node *query)
{
    Walk walk = {.reader = reader};
    Query *one = castNode(Query, query);

    /* What it reads has been looked at: the range table is not. */
    (void)query_tree_walker(one, walk_node, &walk, QTW_IGNORE_RANGE_TABLE);
    return walk.objection;
}
