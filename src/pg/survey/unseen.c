#include "pg/survey/unseen.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"

#include "core/graph/split.h"
#include "pg/catalog/statement.h"

double
metasd_unseen_fraction(const MetasdModel *model)
{
    static MetasdStatement statement = {
        .sql = "SELECT CASE WHEN validation IS NULL "
               "THEN (params ->> 'validation_fraction')::pg_catalog.float8 END "
               "FROM metasd.run WHERE id = $1",
        .nargs = 1,
        .types = {INT8OID}};
    Datum values[1] = {Int64GetDatum(model->serving)};
    double fraction = 0;

    SPI_connect();
    if (metasd_statement_execute(&statement, values, NULL, true) > 0) {
        bool isnull;
        Datum value = metasd_statement_value(0, 1, &isnull);

        fraction = isnull ? 0 : DatumGetFloat8(value);
    }
    SPI_finish();
    return fraction;
}

/* The hash of a label by which the training drew. */
static uint64
hash_label(const MetasdLabelTable *labels, uint32 id)
{
    size_t len;
    const char *label = metasd_label_get(labels, id, &len);

    return hash_bytes_extended((const unsigned char *)label, (int)len, 0);
}

bool
metasd_unseen_is(const MetasdImage *image, double fraction, const uint32 id[3])
{
    uint64 entities[2] = {hash_label(&image->entity_labels, id[0]),
                          hash_label(&image->entity_labels, id[2])};
    uint64 relation = hash_label(&image->relation_labels, id[1]);
    MetasdSplit split = {
        .validation_fraction = fraction, .entity_keys = entities, .relation_keys = &relation};
    MetasdTriple triple = {.head = 0, .relation = 0, .tail = 1};

    return metasd_split_draws(&split, &triple);
}
