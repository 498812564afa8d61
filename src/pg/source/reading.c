#include "pg/source/reading.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "pg/catalog/statement.h"
#include "pg/source/trust.h"

/* ---- what can be read, and under which settings ---- */

/*
 * The search_path decides how names of relations are written. constraint_exclusion is off because
 * the planner would evaluate constraints. row_security is on because off turns a policy into an
 * error.
 */
static const char *const settings[][2] = {{"search_path", METASD_SECURITY_PATH},
                                          {"DateStyle", "ISO, MDY"},
                                          {"IntervalStyle", "postgres"},
                                          {"TimeZone", "UTC"},
                                          {"timezone_abbreviations", "Default"},
                                          {"extra_float_digits", "1"},
                                          {"bytea_output", "hex"},
                                          {"lc_monetary", "C"},
                                          {"lc_numeric", "C"},
                                          {"lc_time", "C"},
                                          {"xmlbinary", "base64"},
                                          {"xmloption", "content"},
                                          {"array_nulls", "on"},
                                          {"quote_all_identifiers", "off"},
                                          {"default_text_search_config", "pg_catalog.simple"},
                                          {"transform_null_equals", "off"},
                                          {"standard_conforming_strings", "on"},
                                          {"row_security", "on"},
                                          {"constraint_exclusion", "off"}};

/* Sets only those that differ: to set one takes a hundred times longer than to look it up. */
void
metasd_reading_pin_settings(void)
{
    for (int i = 0; i < (int)lengthof(settings); i++) {
        const char *now = GetConfigOption(settings[i][0], true, false);

        if (now && strcmp(now, settings[i][1]) != 0)
            (void)set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
                                    GUC_ACTION_SAVE, true, 0, false);
    }
}

bool
metasd_reading_type_is_simple(Oid type)
{
    switch (getBaseType(type)) {
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID:
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case NUMERICOID:
        case BOOLOID:
        case OIDOID:
        case UUIDOID:
            return true;
        default:
            return false;
    }
}

bool
metasd_reading_kind_has_rows(char kind)
{
    return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE || kind == RELKIND_VIEW ||
           kind == RELKIND_MATVIEW || kind == RELKIND_FOREIGN_TABLE;
}

/* ---- the reader ---- */

bool
metasd_reading_lock(Oid relation)
{
    if (!OidIsValid(relation))
        return false;
    LockRelationOid(relation, AccessShareLock);
    if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
        return true;
    UnlockRelationOid(relation, AccessShareLock);
    return false;
}

/* Columns of the relation's row in pg_class. */
typedef struct RelationRow {
    Oid owner;
    char kind;
    bool row_security;
} RelationRow;

static RelationRow
read_relation_row(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    RelationRow row;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", relation);
    row.owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    row.kind = ((Form_pg_class)GETSTRUCT(tuple))->relkind;
    row.row_security = ((Form_pg_class)GETSTRUCT(tuple))->relrowsecurity;
    ReleaseSysCache(tuple);
    return row;
}

static bool
is_table(char kind)
{
    return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE || kind == RELKIND_MATVIEW;
}

/* Are parts of the table elsewhere, where it depends on the reader what there is to see? */
static bool
has_foreign_parts(Oid relation)
{
    ListCell *cell;

    if (!has_subclass(relation))
        return false;
    foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL))
        if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
            return true;
    return false;
}

/* Does the owner see all that the user sees, and no more? */
static bool
owner_may_stand_in(Oid relation, const RelationRow *row, Oid user)
{
    return has_privs_of_role(user, row->owner) ||
           (is_table(row->kind) && check_enable_rls(relation, user, true) != RLS_ENABLED &&
            !has_foreign_parts(relation));
}

/*
 * May the choice of rows depend on settings? (metasd_reading_type_is_simple is about their text.)
 */
static bool
depends_on_settings(const RelationRow *row)
{
    return !is_table(row->kind) || row->row_security;
}

/*
 * The reading that was settled last, of a relation that reaches no other, like most sources.
 * Several questions in a row read the same source. It is valid until something may have changed.
 */
static struct {
    Oid relation, user, caller;
    bool asked; /* argument RESTRICTED */
    Oid reader;
    bool restricted, foreign, pinned;
    uint64 generation;
} settled;

static bool
recall_reading(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    uint64 generation = metasd_trust_generation();

    if (settled.generation != generation || settled.relation != relation || settled.user != user ||
        settled.caller != GetUserId() || settled.asked != restricted)
        return false;
    *reading = (MetasdReading){.relation = relation,
                               .user = user,
                               .reader = settled.reader,
                               .restricted = settled.restricted,
                               .foreign = settled.foreign,
                               .pinned = settled.pinned,
                               .reached = list_make1_oid(relation),
                               .generation = generation};
    return true;
}

static void
remember_reading(const MetasdReading *reading, bool restricted)
{
    if (list_length(reading->reached) != 1)
        return;
    settled.relation = reading->relation;
    settled.user = reading->user;
    settled.caller = GetUserId();
    settled.asked = restricted;
    settled.reader = reading->reader;
    settled.restricted = reading->restricted;
    settled.foreign = reading->foreign;
    settled.pinned = reading->pinned;
    settled.generation = reading->generation;
}

/* Settles who reads. Returns the objection, or NULL. */
static char *
settle_reading(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    RelationRow row = read_relation_row(relation);
    char *objection;

    *reading = (MetasdReading){.relation = relation,
                               .user = user,
                               .reader = user,
                               .restricted = restricted,
                               .pinned = depends_on_settings(&row)};
    if (!metasd_inspection_trusts(user, row.owner) && owner_may_stand_in(relation, &row, user)) {
        reading->reader = row.owner;
        reading->restricted = true;
    }
    objection = metasd_trust_objection(reading->reader, relation, &reading->reached);
    reading->generation = metasd_trust_generation();
    reading->foreign = !objection && reading->reader != GetUserId() &&
                       metasd_trust_meets_code(GetUserId(), relation);
    if (!objection)
        remember_reading(reading, restricted);
    return objection;
}

char *
metasd_reading_try(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    char *objection = recall_reading(reading, relation, user, restricted)
                          ? NULL
                          : settle_reading(reading, relation, user, restricted);

    if (!objection)
        reading->quoted = quote_qualified_identifier(
            get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
    return objection;
}

static void
refuse_reading(Oid relation, Oid user, const char *objection)
{
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("relation \"%s\" must not be read on behalf of role \"%s\"",
                    get_rel_name(relation), GetUserNameFromId(user, false)),
             errdetail("%s", objection),
             errhint("Let one role own all that is read, read a table or a materialized view, or "
                     "call this function as the role whose code it is.")));
}

void
metasd_reading_open(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    char *objection = metasd_reading_try(reading, relation, user, restricted);

    if (objection)
        refuse_reading(relation, user, objection);
}

/* ---- the session of the user ---- */

static void
list_cursor(MetasdReading *reading, const char *name)
{
    Portal portal = GetPortalByName(name);

    if (portal && portal != reading->own && portal->status == PORTAL_READY)
        reading->hidden = lappend(reading->hidden, portal);
}

/*
 * Code of another role that runs in the caller's session could fetch from his cursors by name,
 * whose rows it may not see, and read the text of his query. A cursor that is active cannot be
 * fetched from nor closed.
 */
static void
hide_session(MetasdReading *reading)
{
    static MetasdStatement cursors = {
        "SELECT name FROM pg_catalog.pg_cursors", 0, {InvalidOid}, NULL};
    MemoryContext caller = CurrentMemoryContext;
    List *names = NIL;
    ListCell *cell;

    reading->hidden = NIL;
    SPI_connect();
    for (uint64 i = metasd_statement_execute(&cursors, NULL, NULL, true); i > 0; i--)
        names = lappend(names, metasd_statement_text(i - 1, 1));
    MemoryContextSwitchTo(caller);
    list_cursor(reading, "");
    foreach (cell, names)
        list_cursor(reading, lfirst(cell));
    SPI_finish();
    foreach (cell, reading->hidden) /* nothing fails from here on */
        ((Portal)lfirst(cell))->status = PORTAL_ACTIVE;
    reading->query = debug_query_string;
    debug_query_string = NULL;
}

void
metasd_reading_show_session(MetasdReading *reading)
{
    ListCell *cell;

    if (!reading->foreign)
        return;
    foreach (cell, reading->hidden)
        ((Portal)lfirst(cell))->status = PORTAL_READY;
    reading->hidden = NIL;
    debug_query_string = reading->query;
}

/* ---- names that a function does not find ---- */

/*
 * A function in a view may name what the caller's search_path has. The error then says that it does
 * not exist, although the user sees it.
 */
static void
hint_at_search_path(void *argument)
{
    const MetasdReading *reading = argument;

    switch (geterrcode()) {
        case ERRCODE_UNDEFINED_TABLE:
        case ERRCODE_UNDEFINED_FUNCTION:
        case ERRCODE_UNDEFINED_OBJECT:
            errhint("Names are looked up in schema pg_catalog alone while %s is read. Qualify "
                    "them in the functions that it calls: schema.name.",
                    reading->quoted);
    }
}

/* Citus cannot plan a query of all shards before it knows the parameters. */
void
metasd_reading_begin(MetasdReading *reading)
{
    metasd_security_switch_to(&reading->saved, reading->reader, reading->restricted);
    if (plan_cache_mode == PLAN_CACHE_MODE_FORCE_GENERIC_PLAN)
        (void)set_config_option("plan_cache_mode", "auto", PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_SAVE, true, 0, false);
    if (reading->pinned)
        metasd_reading_pin_settings();
    reading->hint = (ErrorContextCallback){
        .previous = error_context_stack, .callback = hint_at_search_path, .arg = reading};
    error_context_stack = &reading->hint;
    if (reading->foreign)
        hide_session(reading); /* last: an error before the end must show it again */
}

void
metasd_reading_end(MetasdReading *reading)
{
    metasd_reading_show_session(reading);
    error_context_stack = reading->hint.previous;
    metasd_security_switch_back(&reading->saved);
}

/* ---- plans ---- */

/*
 * Does a query read a relation that is not in the list? The relationOids of a plan do not tell:
 * they have constants of type regclass, too, which only name a relation.
 */
static bool
reads_another(Node *node, void *locked)
{
    ListCell *cell;

    if (!node)
        return false;
    if (!IsA(node, Query))
        return expression_tree_walker(node, reads_another, locked);
    foreach (cell, ((Query *)node)->rtable) {
        const RangeTblEntry *rte = lfirst(cell);

        if (rte->rtekind == RTE_RELATION && !list_member_oid(locked, rte->relid))
            return true;
    }
    return query_tree_walker((Query *)node, reads_another, locked, 0);
}

static bool
reads_nothing_else(SPIPlanPtr plan, const List *locked)
{
    ListCell *source, *cell;

    foreach (source, SPI_plan_get_plan_sources(plan))
        foreach (cell, ((const CachedPlanSource *)lfirst(source))->query_list)
            if (reads_another(lfirst(cell), unconstify(List *, locked)))
                return false;
    return true;
}

void
metasd_reading_check_plan(SPIPlanPtr plan, const List *locked, Oid reader)
{
    ListCell *source, *cell;

    if (!reads_nothing_else(plan, locked))
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("a relation was renamed while it was being read"), errhint("Try again.")));

    foreach (source, SPI_plan_get_plan_sources(plan)) {
        const CachedPlanSource *one = lfirst(source);

        foreach (cell, one->query_list) {
            char *objection = metasd_trust_query_objection(reader, lfirst(cell));

            if (objection)
                ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                                errmsg("a relation must not be read on behalf of role \"%s\"",
                                       GetUserNameFromId(reader, false)),
                                errdetail("%s", objection),
                                errhint("Cast its columns to text in a view of your own.")));
        }
    }
}

SPIPlanPtr
metasd_reading_prepare(const MetasdReading *reading, const char *sql, int nargs, Oid *types)
{
    SPIPlanPtr plan = SPI_prepare(sql, nargs, types);

    if (!plan)
        elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
    metasd_reading_check_plan(plan, reading->reached, reading->reader);
    return plan;
}
