#include "pg/catalog/reference.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* A value of either type. */
typedef struct Reference {
    int32 vl_len_;
    Oid oid;      /* InvalidOid: not there when it was read in, or dropped before */
    bool dropped; /* before it was dumped */
    char name[FLEXIBLE_ARRAY_MEMBER]; /* in SQL syntax, terminated; then the owner's, or "" */
} Reference;

#define OF " of " /* between a relation and its owner, in text */

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
build_reference(Oid oid, bool dropped, const char *name, const char *owner)
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

/* The present name of an object, in SQL syntax; NULL if it is gone. */
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

/* The object of that name, which may not have the form of a name. */
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
 * The object of a reference. A restore creates some materialized views, those that depend on
 * constraints, after all data, so they are looked up again. Reading a materialized view gives
 * nobody the right to ask, so this is safe.
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

/* ---- text ---- */

/* The place of " of " in the text of a relation, outside quotes; or the end of the text. */
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

Datum
metasd_reference_read(MetasdReferenceKind kind, const char *text)
{
    const char *end = kind == METASD_RELATION ? find_of(text) : text + strlen(text);
    const char *owner = *end ? end + strlen(OF) : end;
    char *name = pnstrdup(text, (Size)(end - text));
    Oid oid;

    if (name[0] == '-')
        return build_reference(InvalidOid, true, name + 1, "");
    oid = find_named(kind, name);
    /* If its owner was not restored, the relation belongs to the user who restores it. */
    if (owner[0] != '\0' && OidIsValid(oid) && !is_of_owner(oid, owner) &&
        metasd_reference_relation_owner(oid) != GetUserId())
        oid = InvalidOid;
    return build_reference(oid, false, name, owner);
}

/*
 * A reference whose object was here and is gone gets a minus. A mere name stays one until another
 * object gets that name: without a minus, a restored dump of this database would mean that object.
 */
char *
metasd_reference_write(MetasdReferenceKind kind, Datum value)
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

Datum
metasd_reference_make(MetasdReferenceKind kind, Oid oid)
{
    char *name = name_of(kind, oid);

    return name ? build_reference(oid, false, name, "") : (Datum)0;
}
