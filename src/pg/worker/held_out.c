#include "pg/worker/held_out.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "pg/catalog/statement.h"

MetasdHeldOut
metasd_held_out(const MetasdSource *validation, double fraction)
{
    if (validation)
        return (MetasdHeldOut){.validation = validation->relation};
    return (MetasdHeldOut){.validation = InvalidOid, .fraction = fraction};
}

MetasdHeldOut
metasd_held_out_of(int64 run)
{
    static MetasdStatement look = {
        "SELECT metasd.oid_of(validation)::oid, (metrics ->> 'held_out')::float8 FROM metasd.run "
        "WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    MetasdHeldOut held = {.validation = InvalidOid};
    bool no_validation, no_fraction;

    if (metasd_statement_execute(&look, &value, NULL, true) > 0) {
        Datum validation = metasd_statement_value(0, 1, &no_validation);
        Datum fraction = metasd_statement_value(0, 2, &no_fraction);

        if (!no_fraction)
            held.fraction = DatumGetFloat8(fraction);
        else if (!no_validation)
            held.validation = DatumGetObjectId(validation);
        SPI_freetuptable(SPI_tuptable);
    }
    return held;
}

MetasdHeldFromBoth
metasd_held_from_both(const MetasdHeldOut *old, const MetasdHeldOut *new)
{
    if (!OidIsValid(old->validation))
        return METASD_HELD_DRAWN;
    return old->validation == new->validation ? METASD_HELD_ALL : METASD_HELD_UNKNOWN;
}

bool
metasd_held_all(const MetasdHeldOut *old, const MetasdHeldOut *new)
{
    if (OidIsValid(new->validation))
        return old->validation == new->validation;
    return new->fraction == 0 || (!OidIsValid(old->validation) && old->fraction >= new->fraction);
}
