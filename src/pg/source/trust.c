#include "pg/source/trust.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/transam.h"
#include "catalog/partition.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
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
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "pg/source/harmless.h"

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

/* ---- roles ---- */

bool
metasd_trusts(Oid reader, Oid owner)
{
    return owner == reader || superuser_arg(owner) ||
           (!superuser_arg(reader) && has_privs_of_role(owner, reader));
}

/* ---- inspection ---- */

/* An inspection of all code that reading a relation may run. It ends with the first objection. */
typedef struct Inspection {
    Oid reader;
    List *reached; /* OIDs of relations */
    /* The relation whose expression is inspected, and its owner; InvalidOid: a query of our own. */
    Oid relation, chooser;
    bool met_others;  /* one whom the reader does not trust has chosen something, and may again */
    bool owners_read; /* a superuser does not read himself what another role owns */
    char *objection;  /* or NULL */
} Inspection;

static bool inspect_node(Node *node, void *context);
static void inspect_relation(Inspection *inspection, Oid relation);

static char *
role_name(Oid role)
{
    char *name = GetUserNameFromId(role, true);

    return name ? name : psprintf("%u", role);
}

typedef enum Code { FUNCTION, TYPE } Code; /* kinds of code */

/* Notes the objection, and returns true, which ends the inspection. */
static bool
note_objection(Inspection *inspection, Code code, const char *name, Oid owner)
{
    Oid of = inspection->chooser;

    if (OidIsValid(of) && !metasd_trusts(inspection->reader, of))
        owner = of;
    if (OidIsValid(inspection->relation))
        inspection->objection =
            psprintf(code == FUNCTION
                         ? _("Reading \"%s\" runs function %s, which role \"%s\" has chosen, with "
                             "the rights of role \"%s\".")
                         : _("Reading \"%s\" runs code of type %s, which role \"%s\" has chosen, "
                             "with the rights of role \"%s\"."),
                     get_rel_name(inspection->relation), name, role_name(owner),
                     role_name(inspection->reader));
    else
        inspection->objection =
            psprintf(code == FUNCTION ? _("Reading it runs function %s of role \"%s\" with the "
                                          "rights of role \"%s\".")
                                      : _("Reading it runs code of type %s of role \"%s\" with the "
                                          "rights of role \"%s\"."),
                     name, role_name(owner), role_name(inspection->reader));
    return true;
}

static bool
chooser_is_trusted(const Inspection *inspection)
{
    return !OidIsValid(inspection->chooser) ||
           metasd_trusts(inspection->reader, inspection->chooser);
}

/* A check_function_callback: true for a function that must not run. */
static bool
check_function(Oid function, void *context)
{
    Inspection *inspection = context;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    Form_pg_proc form;
    bool harmless;
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", function);
    form = (Form_pg_proc)GETSTRUCT(tuple);
    owner = form->proowner;
    harmless = metasd_harmless_function(form) ||
               (chooser_is_trusted(inspection) && metasd_trusts(inspection->reader, owner));
    ReleaseSysCache(tuple);
    return !harmless &&
           note_objection(inspection, FUNCTION, format_procedure_qualified(function), owner);
}

/* True for a type that must not be read, because its owner has chosen code that its input runs. */
static bool
check_type(Inspection *inspection, Oid type)
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
    return !(chooser_is_trusted(inspection) && metasd_trusts(inspection->reader, owner)) &&
           note_objection(inspection, TYPE, format_type_be(type), owner);
}

/*
 * True for a type whose values must not be given to code that looks for casts of its own, as making
 * JSON does, or that makes such values. The owner of a type chooses its casts; those of rows are
 * not looked for, but those of their fields are.
 */
static bool
check_value(Inspection *inspection, Oid type)
{
    TupleDesc fields = NULL;
    bool objects = false;

    check_stack_depth();
    if (OidIsValid(get_element_type(type)))
        return check_value(inspection, get_element_type(type));
    if (get_typtype(type) != TYPTYPE_COMPOSITE)
        return check_type(inspection, type) ||
               (get_typtype(type) == TYPTYPE_DOMAIN && check_value(inspection, getBaseType(type)));
    fields = lookup_rowtype_tupdesc(type, -1);
    for (int i = 0; i < fields->natts && !objects; i++)
        objects = !TupleDescAttr(fields, i)->attisdropped &&
                  check_value(inspection, TupleDescAttr(fields, i)->atttypid);
    ReleaseTupleDesc(fields);
    return objects;
}

static bool
check_values(Inspection *inspection, List *values)
{
    ListCell *cell;

    foreach (cell, values) {
        Node *value = lfirst(cell);

        if (IsA(value, TargetEntry))
            value = (Node *)((TargetEntry *)value)->expr;
        if (IsA(value, RowExpr) ? check_values(inspection, ((RowExpr *)value)->args)
                                : check_value(inspection, exprType(value)))
            return true;
    }
    return false;
}

/* True for a function that does with a value what its type says, if it must not. */
static bool
check_arguments(Inspection *inspection, Oid function, List *values)
{
    HeapTuple tuple;
    Form_pg_proc form;
    bool depends = false;

    if (function >= FirstNormalObjectId)
        return false;
    tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", function);
    form = (Form_pg_proc)GETSTRUCT(tuple);
    for (int i = 0; i < form->pronargs && !metasd_harmless_function(form); i++)
        depends = depends || get_typtype(form->proargtypes.values[i]) == TYPTYPE_PSEUDO;
    ReleaseSysCache(tuple);
    return depends && check_values(inspection, values);
}

/*
 * True for an operator that must not be used: the planner may take its negator instead, which its
 * owner can add at any time.
 */
static bool
check_operator(Inspection *inspection, Oid operator)
{
    HeapTuple tuple;
    Oid owner;

    if (operator<FirstNormalObjectId)
        return false;
    tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for operator %u", operator);
    owner = ((Form_pg_operator)GETSTRUCT(tuple))->oprowner;
    ReleaseSysCache(tuple);
    return !(chooser_is_trusted(inspection) && metasd_trusts(inspection->reader, owner)) &&
           note_objection(inspection, FUNCTION, format_operator_qualified(operator), owner);
}

/* The range type that a value is of or made of, InvalidOid if it is of another kind. */
static Oid
range_of(Oid type)
{
    Oid element;

    type = getBaseType(type);
    element = get_element_type(type);
    if (OidIsValid(element))
        return range_of(element);
#if PG_VERSION_NUM >= 140000
    if (get_typtype(type) == TYPTYPE_MULTIRANGE)
        return get_multirange_range(type);
#endif
    return get_typtype(type) == TYPTYPE_RANGE ? type : InvalidOid;
}

/*
 * True for a range type with a function that must not run: PostgreSQL's own operators on ranges
 * make canonical values, and the planner measures distances to estimate how many rows they choose.
 */
static bool
check_range(Inspection *inspection, Oid type)
{
    Oid range = range_of(type), canonical, difference;
    HeapTuple tuple;

    if (range < FirstNormalObjectId)
        return false;
    tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(range));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for range type %u", range);
    canonical = ((Form_pg_range)GETSTRUCT(tuple))->rngcanonical;
    difference = ((Form_pg_range)GETSTRUCT(tuple))->rngsubdiff;
    ReleaseSysCache(tuple);
    return (OidIsValid(canonical) && check_function(canonical, inspection)) ||
           (OidIsValid(difference) && check_function(difference, inspection));
}

static bool
check_ranges(Inspection *inspection, List *values)
{
    ListCell *cell;

    foreach (cell, values) {
        Node *value = lfirst(cell);

        if (IsA(value, TargetEntry))
            value = (Node *)((TargetEntry *)value)->expr;
        if (check_range(inspection, exprType(value)))
            return true;
    }
    return false;
}

/* True for an aggregate that is made of a function that must not run. */
static bool
check_parts(Inspection *inspection, Oid aggregate)
{
    HeapTuple tuple;
    Form_pg_aggregate form;
    bool refused = false;

    if (aggregate < FirstNormalObjectId)
        return false;
    tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
    if (!HeapTupleIsValid(tuple))
        return false; /* a window function */
    form = (Form_pg_aggregate)GETSTRUCT(tuple);
    {
        const Oid parts[] = {form->aggtransfn,     form->aggfinalfn,    form->aggcombinefn,
                             form->aggserialfn,    form->aggdeserialfn, form->aggmtransfn,
                             form->aggminvtransfn, form->aggmfinalfn};

        for (int i = 0; i < (int)lengthof(parts) && !refused; i++)
            refused = OidIsValid(parts[i]) && check_function(parts[i], inspection);
        refused = refused || check_type(inspection, form->aggtranstype);
    }
    ReleaseSysCache(tuple);
    return refused;
}

/* True for a call or an operator whose arguments or parts bring code that must not run. */
static bool
check_operands(Inspection *inspection, Node *node)
{
    switch (nodeTag(node)) {
        case T_FuncExpr:
            return check_ranges(inspection, ((FuncExpr *)node)->args);
        case T_OpExpr:
        case T_DistinctExpr:
        case T_NullIfExpr: /* which are OpExprs */
            return check_ranges(inspection, ((OpExpr *)node)->args);
        case T_ScalarArrayOpExpr:
            return check_ranges(inspection, ((ScalarArrayOpExpr *)node)->args);
        case T_Aggref:
            return check_parts(inspection, ((Aggref *)node)->aggfnoid) ||
                   check_ranges(inspection, ((Aggref *)node)->args);
        case T_WindowFunc:
            return check_parts(inspection, ((WindowFunc *)node)->winfnoid) ||
                   check_ranges(inspection, ((WindowFunc *)node)->args);
        default:
            return false;
    }
}

static bool
inspect_query(Inspection *inspection, Query *query)
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
                    if (check_type(inspection, lfirst_oid(type)))
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
    Inspection *inspection = context;

    if (!node || inspection->objection)
        return node != NULL;
    switch (nodeTag(node)) {
        case T_Query:
            return inspect_query(inspection, (Query *)node);
        case T_CoerceToDomain:
            if (check_type(inspection, ((CoerceToDomain *)node)->resulttype))
                return true;
            break;
        case T_CoerceViaIO: /* runs the functions of the types */
            if (check_type(inspection, ((CoerceViaIO *)node)->resulttype))
                return true;
            break;
        case T_TableFunc: {
            ListCell *type;

            foreach (type, ((TableFunc *)node)->coltypes)
                if (check_type(inspection, lfirst_oid(type)))
                    return true;
            break;
        }
#if PG_VERSION_NUM >= 160000
        case T_JsonConstructorExpr:
            if (!chooser_is_trusted(inspection))
                return note_objection(inspection, TYPE, "json", inspection->chooser);
            if (check_values(inspection, ((JsonConstructorExpr *)node)->args))
                return true;
            break;
#endif
#if PG_VERSION_NUM >= 170000
        case T_JsonExpr:
            if (check_type(inspection, ((JsonExpr *)node)->returning->typid))
                return true;
            break;
#endif
        case T_NextValueExpr:
            return !chooser_is_trusted(inspection) &&
                   note_objection(inspection, FUNCTION, "nextval", inspection->chooser);
        default:
            if (check_functions_in_node(node, check_function, inspection) ||
                (IsA(node, FuncExpr) && check_arguments(inspection, ((FuncExpr *)node)->funcid,
                                                        ((FuncExpr *)node)->args)) ||
                (IsA(node, Aggref) &&
                 check_arguments(inspection, ((Aggref *)node)->aggfnoid, ((Aggref *)node)->args)))
                return true;
            if ((IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr)) &&
                check_operator(inspection, ((OpExpr *)node)->opno))
                return true;
            if (IsA(node, ScalarArrayOpExpr) &&
                check_operator(inspection, ((ScalarArrayOpExpr *)node)->opno))
                return true;
            if (check_operands(inspection, node))
                return true;
    }
    return expression_tree_walker(node, inspect_node, inspection);
}

/*
 * Inspects an expression as it is stored: the relation cache simplifies it, which runs functions.
 */
static void
inspect_stored(Inspection *inspection, int cache, HeapTuple tuple, AttrNumber attribute)
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
inspect_indexes(Inspection *inspection, Relation relation)
{
    ListCell *cell;

    foreach (cell, RelationGetIndexList(relation)) {
        HeapTuple tuple;

        if (!chooser_is_trusted(inspection))
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
inspect_statistics(Inspection *inspection, Relation relation)
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
inspect_partition_key(Inspection *inspection, Oid relation)
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
inspect_keys_above(Inspection *inspection, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relispartition)
        return;
    foreach (cell, get_partition_ancestors(RelationGetRelid(relation))) {
        Inspection before = *inspection;

        inspection->relation = lfirst_oid(cell);
        inspection->chooser = relation_owner(lfirst_oid(cell));
        inspection->met_others = inspection->met_others || !chooser_is_trusted(inspection);
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
inspect_mapping(Inspection *inspection, Oid relation)
{
    HeapTuple tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relation));
    Oid server;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for foreign table %u", relation);
    server = ((Form_pg_foreign_table)GETSTRUCT(tuple))->ftserver;
    ReleaseSysCache(tuple);
    if (!chooser_is_trusted(inspection) &&
        SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(inspection->reader),
                              ObjectIdGetDatum(server)))
        inspection->objection = psprintf(
            _("Reading \"%s\" runs on another server what role \"%s\" has chosen, with the user "
              "mapping of role \"%s\"."),
            get_rel_name(relation), role_name(inspection->chooser), role_name(inspection->reader));
}

static void
inspect_policies(Inspection *inspection, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relrowsecurity || !relation->rd_rsdesc)
        return;
    foreach (cell, relation->rd_rsdesc->policies)
        (void)inspect_node((Node *)((RowSecurityPolicy *)lfirst(cell))->qual, inspection);
}

/* Constraints need no inspection: the planner evaluates them only if constraint_exclusion is on. */
static void
inspect_virtual_columns(Inspection *inspection, Relation relation)
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
inspect_children(Inspection *inspection, Relation relation)
{
    ListCell *cell;

    if (!relation->rd_rel->relhassubclass)
        return;
    foreach (cell, find_inheritance_children(RelationGetRelid(relation), AccessShareLock))
        inspect_relation(inspection, lfirst_oid(cell));
}

/* RELATION is open, and the inspection names it and its owner. */
static void
inspect_code(Inspection *inspection, Relation relation)
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
inspect_relation(Inspection *inspection, Oid oid)
{
    Inspection before = *inspection;
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
    inspection->met_others = inspection->met_others || !chooser_is_trusted(inspection);
    if (superuser_arg(inspection->reader) && !superuser_arg(inspection->chooser) &&
        !inspection->owners_read)
        inspection->objection = psprintf(
            _("It reads \"%s\", where role \"%s\" can add code that would run "
              "with the rights of role \"%s\"."),
            get_rel_name(oid), role_name(inspection->chooser), role_name(inspection->reader));
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
        Inspection inspection = {.reader = reader};

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
    Inspection inspection = {.reader = user, .owners_read = true};

    inspect_relation(&inspection, relation);
    return inspection.objection != NULL;
}

char *
metasd_trust_query_objection(Oid reader, Node *query)
{
    Inspection inspection = {.reader = reader};
    Query *one = castNode(Query, query);

    /* The relations that it reads have been inspected, so the range table is skipped. */
    (void)query_tree_walker(one, inspect_node, &inspection, QTW_IGNORE_RANGE_TABLE);
    return inspection.objection;
}
