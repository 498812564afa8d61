#include "pg/source/inspection.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "pg/source/harmless.h"

/* ---- roles ---- */

bool
metasd_inspection_trusts(Oid reader, Oid owner)
{
    return owner == reader || superuser_arg(owner) ||
           (!superuser_arg(reader) && has_privs_of_role(owner, reader));
}

char *
metasd_inspection_role(Oid role)
{
    char *name = GetUserNameFromId(role, true);

    return name ? name : psprintf("%u", role);
}

typedef enum Code { FUNCTION, TYPE } Code; /* kinds of code */

/* Notes the objection, and returns true, which ends the inspection. */
static bool
note_objection(MetasdInspection *inspection, Code code, const char *name, Oid owner)
{
    Oid of = inspection->chooser;

    if (OidIsValid(of) && !metasd_inspection_trusts(inspection->reader, of))
        owner = of;
    if (OidIsValid(inspection->relation))
        inspection->objection =
            psprintf(code == FUNCTION
                         ? _("Reading \"%s\" runs function %s, which role \"%s\" has chosen, with "
                             "the rights of role \"%s\".")
                         : _("Reading \"%s\" runs code of type %s, which role \"%s\" has chosen, "
                             "with the rights of role \"%s\"."),
                     get_rel_name(inspection->relation), name, metasd_inspection_role(owner),
                     metasd_inspection_role(inspection->reader));
    else
        inspection->objection = psprintf(
            code == FUNCTION ? _("Reading it runs function %s of role \"%s\" with the "
                                 "rights of role \"%s\".")
                             : _("Reading it runs code of type %s of role \"%s\" with the "
                                 "rights of role \"%s\"."),
            name, metasd_inspection_role(owner), metasd_inspection_role(inspection->reader));
    return true;
}

bool
metasd_inspection_trusts_chooser(const MetasdInspection *inspection)
{
    return !OidIsValid(inspection->chooser) ||
           metasd_inspection_trusts(inspection->reader, inspection->chooser);
}

/* A check_function_callback: true for a function that must not run. */
static bool
check_function(Oid function, void *context)
{
    MetasdInspection *inspection = context;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    Form_pg_proc form;
    bool harmless;
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", function);
    form = (Form_pg_proc)GETSTRUCT(tuple);
    owner = form->proowner;
    harmless =
        metasd_harmless_function(form) || (metasd_inspection_trusts_chooser(inspection) &&
                                           metasd_inspection_trusts(inspection->reader, owner));
    ReleaseSysCache(tuple);
    return !harmless &&
           note_objection(inspection, FUNCTION, format_procedure_qualified(function), owner);
}

static bool
owner_is_refused(MetasdInspection *inspection, Oid type)
{
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for type %u", type);
    owner = ((Form_pg_type)GETSTRUCT(tuple))->typowner;
    ReleaseSysCache(tuple);
    return !(metasd_inspection_trusts_chooser(inspection) &&
             metasd_inspection_trusts(inspection->reader, owner)) &&
           note_objection(inspection, TYPE, format_type_be(type), owner);
}

static bool
check_fields(MetasdInspection *inspection, Oid type,
             bool (*check)(MetasdInspection *inspection, Oid type))
{
    TupleDesc fields = lookup_rowtype_tupdesc(type, -1);
    bool refused = false;

    for (int i = 0; i < fields->natts && !refused; i++)
        refused = !TupleDescAttr(fields, i)->attisdropped &&
                  check(inspection, TupleDescAttr(fields, i)->atttypid);
    ReleaseTupleDesc(fields);
    return refused;
}

/* The type that a domain restricts, which may be a domain itself. */
static Oid
type_below(Oid domain)
{
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(domain));
    Oid below;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for type %u", domain);
    below = ((Form_pg_type)GETSTRUCT(tuple))->typbasetype;
    ReleaseSysCache(tuple);
    return below;
}

/* A walker of an expression without queries. */
static bool
check_expression(Node *node, void *context)
{
    return node && (metasd_inspection_check_node(context, node) ||
                    expression_tree_walker(node, check_expression, context));
}

/* True for a domain with a check that must not run. */
static bool
check_constraints(MetasdInspection *inspection, Oid domain)
{
    Relation constraints = table_open(ConstraintRelationId, AccessShareLock);
    ScanKeyData key;
    SysScanDesc scan;
    HeapTuple tuple;
    bool refused = false;

    ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(domain));
    scan = systable_beginscan(constraints, ConstraintTypidIndexId, true, NULL, 1, &key);
    while (!refused && HeapTupleIsValid(tuple = systable_getnext(scan))) {
        bool isnull;
        Datum check =
            heap_getattr(tuple, Anum_pg_constraint_conbin, RelationGetDescr(constraints), &isnull);

        if (!isnull)
            refused = check_expression(stringToNode(TextDatumGetCString(check)), inspection);
    }
    systable_endscan(scan);
    table_close(constraints, AccessShareLock);
    return refused;
}

/*
 * True for a type that must not be read: its owner has chosen code that its input runs, or so has
 * the owner of a type that it is made of.
 */
bool
metasd_inspection_check_type(MetasdInspection *inspection, Oid type)
{
    check_stack_depth();
    if (OidIsValid(get_element_type(type)))
        return metasd_inspection_check_type(inspection, get_element_type(type));
    if (type < FirstNormalObjectId)
        return false;
    if (owner_is_refused(inspection, type))
        return true;
    switch (get_typtype(type)) {
        case TYPTYPE_COMPOSITE:
            return check_fields(inspection, type, metasd_inspection_check_type);
        case TYPTYPE_DOMAIN:
            return check_constraints(inspection, type) ||
                   metasd_inspection_check_type(inspection, type_below(type));
        case TYPTYPE_RANGE:
            return metasd_inspection_check_type(inspection, get_range_subtype(type));
        default:
            return false;
    }
}

/*
 * True for a type whose values must not be given to code that looks for casts of its own, as making
 * JSON does, or that makes such values. The owner of a type chooses its casts; those of rows are
 * not looked for, but those of their fields are.
 */
static bool
check_value(MetasdInspection *inspection, Oid type)
{
    check_stack_depth();
    if (OidIsValid(get_element_type(type)))
        return check_value(inspection, get_element_type(type));
    if (get_typtype(type) == TYPTYPE_COMPOSITE)
        return check_fields(inspection, type, check_value);
    return metasd_inspection_check_type(inspection, type) ||
           (get_typtype(type) == TYPTYPE_DOMAIN && check_value(inspection, getBaseType(type)));
}

static bool
check_values(MetasdInspection *inspection, List *values)
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
check_arguments(MetasdInspection *inspection, Oid function, List *values)
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
check_operator(MetasdInspection *inspection, Oid operator)
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
    return !(metasd_inspection_trusts_chooser(inspection) &&
             metasd_inspection_trusts(inspection->reader, owner)) &&
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
check_range(MetasdInspection *inspection, Oid type)
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
check_ranges(MetasdInspection *inspection, List *values)
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
check_parts(MetasdInspection *inspection, Oid aggregate)
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
        refused = refused || metasd_inspection_check_type(inspection, form->aggtranstype);
    }
    ReleaseSysCache(tuple);
    return refused;
}

/* True for a call or an operator whose arguments or parts bring code that must not run. */
static bool
check_operands(MetasdInspection *inspection, Node *node)
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
check_types(MetasdInspection *inspection, List *types)
{
    ListCell *cell;

    foreach (cell, types)
        if (metasd_inspection_check_type(inspection, lfirst_oid(cell)))
            return true;
    return false;
}

bool
metasd_inspection_check_node(MetasdInspection *inspection, Node *node)
{
    if (check_functions_in_node(node, check_function, inspection))
        return true;
    switch (nodeTag(node)) {
        case T_CoerceToDomain:
            return metasd_inspection_check_type(inspection, ((CoerceToDomain *)node)->resulttype);
        case T_CoerceViaIO: /* runs the functions of the types */
            return metasd_inspection_check_type(inspection, ((CoerceViaIO *)node)->resulttype);
        case T_TableFunc:
            return check_types(inspection, ((TableFunc *)node)->coltypes);
        case T_NextValueExpr:
            return !metasd_inspection_trusts_chooser(inspection) &&
                   note_objection(inspection, FUNCTION, "nextval", inspection->chooser);
#if PG_VERSION_NUM >= 170000
        case T_JsonExpr:
            return metasd_inspection_check_type(inspection, ((JsonExpr *)node)->returning->typid);
#endif
        case T_FuncExpr:
            if (check_arguments(inspection, ((FuncExpr *)node)->funcid, ((FuncExpr *)node)->args))
                return true;
            break;
        case T_Aggref:
            if (check_arguments(inspection, ((Aggref *)node)->aggfnoid, ((Aggref *)node)->args))
                return true;
            break;
        case T_OpExpr:
        case T_DistinctExpr:
        case T_NullIfExpr:
            if (check_operator(inspection, ((OpExpr *)node)->opno))
                return true;
            break;
        case T_ScalarArrayOpExpr:
            if (check_operator(inspection, ((ScalarArrayOpExpr *)node)->opno))
                return true;
            break;
#if PG_VERSION_NUM >= 160000
        case T_JsonConstructorExpr:
            if (!metasd_inspection_trusts_chooser(inspection))
                return note_objection(inspection, TYPE, "json", inspection->chooser);
            return check_values(inspection, ((JsonConstructorExpr *)node)->args);
#endif
        default:
            break;
    }
    return check_operands(inspection, node);
}
