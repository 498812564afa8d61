/*
 * reference_io.c - the SQL functions of types metasd.role_ref and metasd.relation_ref.
 */
#include "pg/catalog/reference.h"

#include "libpq/pqformat.h"

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

/* The binary form is the text, too, because another database has other OIDs. */
static Datum
receive_text(MetasdReferenceKind kind, StringInfo message)
{
    int length;
    char *text = pq_getmsgtext(message, message->len - message->cursor, &length);

    return metasd_reference_read(kind, text);
}

static bytea *
send_text(MetasdReferenceKind kind, Datum value)
{
    char *text = metasd_reference_write(kind, value);
    StringInfoData message;

    pq_begintypsend(&message);
    pq_sendtext(&message, text, (int)strlen(text));
    return pq_endtypsend(&message);
}

Datum
metasd_role_ref_in_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_DATUM(metasd_reference_read(METASD_ROLE, PG_GETARG_CSTRING(0)));
}

Datum
metasd_relation_ref_in_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_DATUM(metasd_reference_read(METASD_RELATION, PG_GETARG_CSTRING(0)));
}

Datum
metasd_role_ref_out_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_CSTRING(metasd_reference_write(METASD_ROLE, PG_GETARG_DATUM(0)));
}

Datum
metasd_relation_ref_out_sql(PG_FUNCTION_ARGS)
{
    PG_RETURN_CSTRING(metasd_reference_write(METASD_RELATION, PG_GETARG_DATUM(0)));
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
    Datum reference = metasd_reference_make(METASD_ROLE, PG_GETARG_OID(0));

    if (reference == (Datum)0)
        PG_RETURN_NULL();
    PG_RETURN_DATUM(reference);
}

/* metasd.relation_ref(oid) returns metasd.relation_ref: null if there is none */
Datum
metasd_relation_ref_of_sql(PG_FUNCTION_ARGS)
{
    Datum reference = metasd_reference_make(METASD_RELATION, PG_GETARG_OID(0));

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
