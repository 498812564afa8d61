#include "pg/source/reading.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "pg/source/trust.h"

/* ---- settings ---- */

/*
 * constraint_exclusion is here for its constraints, which the planner evaluates; row_security, as
 * off makes an error of a policy.
 */
static const char *const settings[][2] = {{"DateStyle", "ISO, MDY"},
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

/* Only what differs is set: that takes a hundred times as long as to look. */
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

/* ---- as whom ---- */

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

/* What the relation's row says. */
typedef struct Relative {
    Oid owner;
    char kind;
    bool row_security;
} Relative;

static Relative
look_at(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    Relative relative;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", relation);
    relative.owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    relative.kind = ((Form_pg_class)GETSTRUCT(tuple))->relkind;
    relative.row_security = ((Form_pg_class)GETSTRUCT(tuple))->relrowsecurity;
    ReleaseSysCache(tuple);
    return relative;
}

static bool
is_table(char kind)
{
    return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE || kind == RELKIND_MATVIEW;
}

/* Does the owner see all that the user sees, and no more? */
static bool
owner_may_stand_in(Oid relation, const Relative *relative, Oid user)
{
    return has_privs_of_role(user, relative->owner) ||
           (is_table(relative->kind) && check_enable_rls(relation, user, true) != RLS_ENABLED);
}

/* May its rows depend on settings? Whether the text of their values does is looked at elsewhere. */
static bool
depends_on_settings(const Relative *relative)
{
    return !is_table(relative->kind) || relative->row_security;
}

/*
 * What was settled last of a relation that reaches no other, as is true of most sources: questions
 * that follow each other read the same one. It holds until something may have changed.
 */
static struct {
    Oid relation, user;
    bool asked; /* for a restricted operation */
    Oid reader;
    bool restricted, pinned;
    uint64 generation;
} settled;

static bool
recall(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    uint64 generation = metasd_trust_generation();

    if (settled.generation != generation || settled.relation != relation || settled.user != user ||
        settled.asked != restricted)
        return false;
    *reading = (MetasdReading){.relation = relation,
                               .user = user,
                               .reader = settled.reader,
                               .restricted = settled.restricted,
                               .pinned = settled.pinned,
                               .reached = list_make1_oid(relation),
                               .generation = generation};
    return true;
}

static void
remember(const MetasdReading *reading, bool restricted)
{
    if (list_length(reading->reached) != 1)
        return;
    settled.relation = reading->relation;
    settled.user = reading->user;
    settled.asked = restricted;
    settled.reader = reading->reader;
    settled.restricted = reading->restricted;
    settled.pinned = reading->pinned;
    settled.generation = reading->generation;
}

/* As whom it is read; the objection, or NULL. */
static char *
settle(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    Relative relative = look_at(relation);
    char *objection;

    *reading = (MetasdReading){.relation = relation,
                               .user = user,
                               .reader = user,
                               .restricted = restricted,
                               .pinned = depends_on_settings(&relative),
                               .generation = metasd_trust_generation()};
    if (!metasd_trusts(user, relative.owner) && owner_may_stand_in(relation, &relative, user)) {
        reading->reader = relative.owner;
        reading->restricted = true;
    }
    objection = metasd_trust_objection(reading->reader, relation, &reading->reached);
    if (!objection)
        remember(reading, restricted);
    return objection;
}

char *
metasd_reading_try(MetasdReading *reading, Oid relation, Oid user, bool restricted)
{
    char *objection = recall(reading, relation, user, restricted)
                          ? NULL
                          : settle(reading, relation, user, restricted);

    if (!objection)
        reading->quoted = quote_qualified_identifier(
            get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
    return objection;
}

static void
refuse(Oid relation, Oid user, const char *objection)
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
        refuse(relation, user, objection);
}

void
metasd_reading_begin(MetasdReading *reading)
{
    metasd_security_switch_to(&reading->saved, reading->reader, reading->restricted);
    if (reading->pinned)
        metasd_reading_pin_settings();
}

void
metasd_reading_end(const MetasdReading *reading)
{
    metasd_security_switch_back(&reading->saved);
}

/* ---- plans ---- */

static bool
reads_nothing_else(SPIPlanPtr plan, const List *locked)
{
    ListCell *source, *cell;

    foreach (source, SPI_plan_get_plan_sources(plan)) {
        const CachedPlanSource *one = lfirst(source);

        foreach (cell, one->relationOids)
            if (!list_member_oid(locked, lfirst_oid(cell)))
                return false;
    }
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
