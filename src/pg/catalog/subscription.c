#include "pg/catalog/subscription.h"

#include "pg/catalog/statement.h"

/* Does the query, which has no parameters, find a row? */
static bool
finds_row(MetasdStatement *look)
{
    bool found;

    SPI_connect();
    found = metasd_statement_execute(look, NULL, NULL, true) > 0;
    SPI_finish();
    return found;
}

bool
metasd_subscription_exists(void)
{
    static MetasdStatement look = {
        "SELECT FROM pg_catalog.pg_subscription_rel WHERE srrelid = 'metasd.model'::regclass "
        "OR srrelid = 'metasd.run'::regclass",
        0,
        {InvalidOid},
        NULL};

    return finds_row(&look);
}

bool
metasd_subscription_is_copying(void)
{
    static MetasdStatement look = {
        "SELECT FROM pg_catalog.pg_subscription_rel WHERE srsubstate <> 'r' AND srrelid = ANY "
        "(ARRAY['metasd.model'::regclass, 'metasd.run'::regclass, 'metasd.epoch'::regclass, "
        "'metasd.entity'::regclass, 'metasd.relation'::regclass])",
        0,
        {InvalidOid},
        NULL};

    return finds_row(&look);
}

static void
refuse_while_copying(int64 run, const char *detail)
{
    if (metasd_subscription_is_copying())
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("version " INT64_FORMAT " is being copied to this server", run),
                        errdetail("%s", detail),
                        errhint("Ask again when srsubstate in pg_subscription_rel is \"r\" for all "
                                "tables. If it stays another, the server log says why.")));
}

void
metasd_subscription_check_copied(int64 run)
{
    refuse_while_copying(run, _("The function reads rows of the version, not only its image."));
}

void
metasd_subscription_check_whole(int64 run, const char *detail)
{
    refuse_while_copying(run, detail);
    if (metasd_subscription_exists())
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("version " INT64_FORMAT " has not been copied to this server", run),
                 errdetail("%s", detail),
                 errhint("The publication must contain metasd.model, metasd.run, metasd.epoch, "
                         "metasd.entity and metasd.relation, and the subscription must have "
                         "copied them (copy_data).")));
}
