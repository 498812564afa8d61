#include "pg/source/shard.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "pg/catalog/statement.h"

/* Citus gives sessions that it opens on other nodes a name that begins so; it plans queries. */
#define PART_NAME "citus_internal gpid="

/* Its setting that lets them send queries to other nodes. */
#define NESTED "citus.allow_nested_distributed_execution"

bool
metasd_shard_runs_part(void)
{
    return planner_hook && application_name &&
           strncmp(application_name, PART_NAME, strlen(PART_NAME)) == 0;
}

bool
metasd_shard_is_part(void)
{
    const char *nested;

    if (!metasd_shard_runs_part())
        return false;
    nested = GetConfigOption(NESTED, true, false);
    return nested && strcmp(nested, "on") != 0 && OidIsValid(get_extension_oid("citus", true));
}

/* How Citus spreads a table; METHOD is 0 if it does not. */
typedef struct Distribution {
    char method;  /* 'h': by a hash of COLUMN, 'n': it has one shard, on one node or on all */
    char *column; /* NULL if there is none */
} Distribution;

static Distribution
read_distribution(Oid relation)
{
    static MetasdStatement look = {"SELECT partmethod::text, CASE WHEN partkey IS NOT NULL THEN "
                                   "pg_catalog.column_to_column_name(logicalrelid, partkey) END "
                                   "FROM pg_catalog.pg_dist_partition WHERE logicalrelid = $1",
                                   1,
                                   {OIDOID},
                                   NULL};
    Distribution distribution = {0};
    Datum value = ObjectIdGetDatum(relation);

    SPI_connect();
    if (metasd_statement_execute(&look, &value, NULL, true) > 0) {
        distribution.method = metasd_statement_text(0, 1)[0];
        distribution.column = metasd_statement_text(0, 2);
    }
    SPI_finish();
    return distribution;
}

#define SHARD_HERE                                                                                 \
    "SELECT pg_catalog.shard_name(s.logicalrelid, s.shardid) FROM pg_catalog.pg_dist_shard s "     \
    "JOIN pg_catalog.pg_dist_placement p ON p.shardid = s.shardid "                                \
    "JOIN pg_catalog.pg_dist_local_group g ON g.groupid = p.groupid WHERE s.logicalrelid = $1"

/* One for each type of an identifier. */
static MetasdStatement *
find_statement(Oid type)
{
#define BY_VALUE(type)                                                                             \
    {                                                                                              \
        SHARD_HERE " AND s.shardid = pg_catalog.get_shard_id_for_distribution_column($1, $2)", 2,  \
            {OIDOID, type}, NULL                                                                   \
    }
    static MetasdStatement statements[] = {BY_VALUE(TEXTOID), BY_VALUE(VARCHAROID),
                                           BY_VALUE(INT2OID), BY_VALUE(INT4OID),
                                           BY_VALUE(INT8OID), BY_VALUE(UUIDOID)};

    for (int i = 0; i < (int)lengthof(statements); i++)
        if (statements[i].types[1] == type)
            return &statements[i];
    elog(ERROR, "type %u is not one of an identifier", type);
}

/* The shard of this node that has the rows; InvalidOid if it is on another. */
static Oid
find_shard(const MetasdSource *source, int place, Datum value)
{
    static MetasdStatement only = {SHARD_HERE, 1, {OIDOID}, NULL};
    Datum values[2] = {ObjectIdGetDatum(source->relation), value};
    MetasdStatement *look = place < 0 ? &only : find_statement(source->type[place]);
    char *name = NULL;
    List *names = NIL;

    SPI_connect();
    if (metasd_statement_execute(look, values, NULL, true) > 0)
        name = metasd_statement_text(0, 1);
    SPI_finish();
    if (!name || !SplitIdentifierString(name, '.', &names) || names == NIL)
        return InvalidOid;
    return get_relname_relid(llast(names), get_rel_namespace(source->relation));
}

Oid
metasd_shard_of(const MetasdSource *source, const int *place, const Datum *value, int n)
{
    Distribution distribution;
    Oid shard = InvalidOid;

    if (!metasd_shard_is_part())
        return source->relation;
    distribution = read_distribution(source->relation);
    if (distribution.method == 0)
        return source->relation;
    if (distribution.method == 'n')
        shard = find_shard(source, -1, (Datum)0);
    for (int i = 0; i < n && distribution.method == 'h'; i++)
        if (strcmp(source->column[place[i]], distribution.column) == 0)
            shard = find_shard(source, place[i], value[i]);
    if (!OidIsValid(shard))
        ereport(
            ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("the facts of table \"%s\" that the question needs are not all on this node",
                    source->name),
             distribution.column
                 ? errdetail("The question is asked in a part of a distributed query, which "
                             "reads the shards of one node. The table is distributed by "
                             "column \"%s\".",
                             distribution.column)
                 : errdetail("The question is asked in a part of a distributed query, which "
                             "reads the shards of one node."),
             n == 0
                 ? errhint("The model does not know the entity or relation, so its facts are "
                           "looked up. Train the model again, or set metasd.fold_in to off in "
                           "the database of each node.")
                 : errhint("Ask with known => 'include', or about the distribution column of the "
                           "same row. Or ask outside of such a query: kg_predict_many answers all "
                           "questions of a table on the node that is asked.")));
    return shard;
}
