#include "pg/catalog/reference.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "libpq/pqformat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* A value of both types. */
typedef struct Reference {
    int32 vl_len_;
    Oid oid;      /* InvalidOid: not there when it was read in, or dropped before */
    bool dropped; /* before it was dumped */
    char name[FLEXIBLE_ARRAY_MEMBER]; /* as SQL has it; terminated; then its owner's, or none */
} Reference;

#define OF " of " /* between the two, in text */

static const Reference *
reference_of(Datum value)
{
    return (const Reference *)PG_DETOAST_DATUM(value);
}

static const char *
owner_of(const Reference *reference)
{
    return reference->name + strlen(reference->name) + 1;
}

static Datum
make_reference(Oid oid, bool dropped, const char *name, const char *owner)
{
    Size length = strlen(name) + 1;
    Size size = offsetof(Reference, name) + length + strlen(owner) + 1;
    Reference *reference = palloc0(size);

    SET_VARSIZE(reference, size);
    reference->oid = oid;
    reference->dropped = dropped;
    strcpy(reference->name, name);
    strcpy(reference->name + length, owner);
    return PointerGetDatum(reference);
}

Oid
metasd_reference_relation_owner(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    Oid owner = InvalidOid;

    if (HeapTupleIsValid(tuple)) {
        owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
        ReleaseSysCache(tuple);
    }
    return owner;
}

/* The name that an object has now, as SQL has it; NULL if it is gone. */
static char *
name_of(MetasdReferenceKind kind, Oid oid)
{
    char *name = NULL;

    if (!OidIsValid(oid))
        return NULL;
    if (kind == METASD_RELATION) {
        name = get_rel_name(oid);
        return name ? quote_qualified_identifier(get_namespace_name(get_rel_namespace(oid)), name)
                    : NULL;
    }
    name = GetUserNameFromId(oid, true);
    return name ? pstrdup(quote_identifier(name)) : NULL;
}

/* The object of that name, which may be in no form that a name has. */
static Oid
find_named(MetasdReferenceKind kind, const char *name)
{
    List *names = NIL;
    char *copy = pstrdup(name);

    if (!SplitIdentifierString(copy, '.', &names))
        return InvalidOid;
    if (kind == METASD_ROLE)
        return list_length(names) == 1 ? get_role_oid(linitial(names), true) : InvalidOid;
    if (list_length(names) == 1)
        return RelnameGetRelid(linitial(names));
    if (list_length(names) == 2) {
        Oid schema = get_namespace_oid(linitial(names), true);

        return OidIsValid(schema) ? get_relname_relid(lsecond(names), schema) : InvalidOid;
    }
    return InvalidOid;
}

static bool
is_of_owner(Oid relation, const char *owner)
{
    Oid now = metasd_reference_relation_owner(relation);

    return superuser_arg(now) || (OidIsValid(now) && now == find_named(METASD_ROLE, owner));
}

/*
 * The object. A materialized view that depends on a constraint is not there yet when a dump is
 * restored and this is read in: it comes after all data. Nobody may ask by reading such a view.
 */
static Oid
find_object(MetasdReferenceKind kind, const Reference *reference)
{
    Oid named;

    if (OidIsValid(reference->oid) || reference->dropped || owner_of(reference)[0] == '\0')
        return reference->oid;
    named = find_named(kind, reference->name);
    return OidIsValid(named) && get_rel_relkind(named) == RELKIND_MATVIEW &&
                   is_of_owner(named, owner_of(reference))
               ? named
               : InvalidOid;
}

Oid
metasd_reference_oid(MetasdReferenceKind kind, Datum value)
{
    Oid oid = find_object(kind, reference_of(value));
    bool there = OidIsValid(oid) && SearchSysCacheExists1(kind == METASD_ROLE ? AUTHOID : RELOID,
                                                          ObjectIdGetDatum(oid));

    return there ? oid : InvalidOid;
}

char *
metasd_reference_name(MetasdReferenceKind kind, Datum value)
{
    const Reference *reference = reference_of(value);
    char *now = name_of(kind, find_object(kind, reference));

    return now ? now : pstrdup(reference->name);
}

char *
metasd_reference_then(Datum value)
{
    return pstrdup(reference_of(value)->name);
}

Oid
metasd_reference_relation_named(const char *name)
{
    return find_named(METASD_RELATION, name);
}

Oid
metasd_reference_named(Datum value)
{
    const Reference *reference = reference_of(value);

    return reference->dropped ? InvalidOid : find_named(METASD_RELATION, reference->name);
}

/* ---- the types ---- */

PG_FUNCTION_INFO_V1(metasd_role_ref_in_sql);
PG_FUNCTION_INFO_V1(metasd_role_ref_out_sql);
PG_FUNCTION_INFO_V1(metasd_role_ref_recv_sql);
PG_FUNCTION_INFO_V1(metasd_role_ref_send_sql);
PG_FUNCTION_INFO_V1(metasd_role_ref_of_sql);
PG_FUNCTION_INFO_V1(metasd_role_oid_sql);
PG_FUNCTION_INFO_V1(metasd_relation_ref_in_sql);
PG_FUNCTION_INFO_V1(metasd_relation_ref_out_sql);
PG_FUNCTION_INFO_V1(metasd_relation_ref_recv_sql);
PG_FUNCTION_INFO_V1(metasd_relation_ref_send_sql);
PG_FUNCTION_INFO_V1(metasd_relation_ref_of_sql);
PG_FUNCTION_INFO_V1(metasd_relation_oid_sql);

/* Where " of " is in the text of a relation, outside of quotes; or its end. */
static const char *
find_of(const char *text)
{
    bool quoted = false;

    for (; *text; text++) {
        quoted ^= *text == '"';
        if (!quoted && strncmp(text, OF, strlen(OF)) == 0)
            break;
    }
    return text;
}

static Datum
read_in(MetasdReferenceKind kind, const char *text)
{
    const char *end = kind == METASD_RELATION ? find_of(text) : text + strlen(text);
    const char *owner = *end ? end + strlen(OF) : end;
    char *name = pnstrdup(text, (Size)(end - text));
    Oid oid;

    if (name[0] == '-')
        return make_reference(InvalidOid, true, name + 1, "");
    oid = find_named(kind, name);
    /* Restored without its owner, a relation is of the user who does it. */
    if (owner[0] != '\0' && OidIsValid(oid) && !is_of_owner(oid, owner) &&
        metasd_reference_relation_owner(oid) != GetUserId())
        oid = InvalidOid;
    return make_reference(oid, false, name, owner);
}

/*
 * What was there once and is not any more has been dropped. What was not there when it was read in
 * stays a mere name, but not the name of what has been made here since: a dump of this database,
 * restored, would take that for it.
 */
static char *
write_out(MetasdReferenceKind kind, Datum value)
{
    const Reference *reference = reference_of(value);
    Oid oid = find_object(kind, reference);
    char *now = name_of(kind, oid), *owner = NULL;

    if (now && kind == METASD_RELATION)
        owner = name_of(METASD_ROLE, metasd_reference_relation_owner(oid));
    if (now)
        return owner ? psprintf("%s" OF "%s", now, owner) : now;
    if (reference->dropped || OidIsValid(oid) || OidIsValid(find_named(kind, reference->name)))
        return psprintf("-%s", reference->name);
    if (owner_of(reference)[0] != '\0')
        return psprintf("%s" OF "%s", reference->name, owner_of(reference));
    return pstrdup(reference->name);
}

/* Binary, too, they are text: another database has other OIDs. */
static Datum
receive_text(MetasdReferenceKind kind, StringInfo message)
{
    int length;
    char *text = pq_getmsgtext(message, message->len - message->cursor, &length);

    return read_in(kind, text);
}

static bytea *
send_text(MetasdReferenceKind kind, Datum value)
{
    char *text = write_out(kind, value);
    StringInfoData message;

    pq_begintypsend(&message);
    pq_sendtext(&message, text, (int)strlen(text));
    return pq_endtypsend(&message);
}

static Datum
reference_to(MetasdReferenceKind kind, Oid oid)
{
    char *name = name_of(kind, oid);

    return name ? make_reference(oid, false, name, "") : (Datum)0;
}

Datum
metasd_role_ref_in_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_DATUM(read_in(METASD_ROLE, PG_GETARG_CSTRING(0)));
}

Datum
metasd_relation_ref_in_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_DATUM(read_in(METASD_RELATION, PG_GETARG_CSTRING(0)));
}

Datum
metasd_role_ref_out_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_CSTRING(write_out(METASD_ROLE, PG_GETARG_DATUM(0)));
}

Datum
metasd_relation_ref_out_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_CSTRING(write_out(METASD_RELATION, PG_GETARG_DATUM(0)));
}

Datum
metasd_role_ref_recv_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_DATUM(receive_text(METASD_ROLE, (StringInfo)PG_GETARG_POINTER(0)));
}

Datum
metasd_relation_ref_recv_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_DATUM(receive_text(METASD_RELATION, (StringInfo)PG_GETARG_POINTER(0)));
}

Datum
metasd_role_ref_send_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_BYTEA_P(send_text(METASD_ROLE, PG_GETARG_DATUM(0)));
}

Datum
metasd_relation_ref_send_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_BYTEA_P(send_text(METASD_RELATION, PG_GETARG_DATUM(0)));
}

/* metasd.role_ref(oid) returns metasd.role_ref: null if there is none */
Datum
metasd_role_ref_of_sql(PG_FUNCTION_ARGS)
{
    Datum reference = reference_to(METASD_ROLE, PG_GETARG_OID(0));

    if (reference == (Datum)0)
        PG_RETURN_NULL();
    PG_RETURN_DATUM(reference);
}

/* metasd.relation_ref(oid) returns metasd.relation_ref: null if there is none */
Datum
metasd_relation_ref_of_sql(PG_FUNCTION_ARGS)
{
    Datum reference = reference_to(METASD_RELATION, PG_GETARG_OID(0));

    if (reference == (Datum)0)
        PG_RETURN_NULL();
    PG_RETURN_DATUM(reference);
}

/* metasd.oid_of(metasd.role_ref) returns regrole: null if it is gone */
Datum
metasd_role_oid_sql(PG_FUNCTION_ARGS)
{
    Oid oid = metasd_reference_oid(METASD_ROLE, PG_GETARG_DATUM(0));

    if (!OidIsValid(oid))
        PG_RETURN_NULL();
    PG_RETURN_OID(oid);
}

/* metasd.oid_of(metasd.relation_ref) returns regclass: null if it is gone */
Datum
metasd_relation_oid_sql(PG_FUNCTION_ARGS)
{
    Oid oid = metasd_reference_oid(METASD_RELATION, PG_GETARG_DATUM(0));

    if (!OidIsValid(oid))
        PG_RETURN_NULL();
    PG_RETURN_OID(oid);
}
