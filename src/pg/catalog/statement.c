#include "pg/catalog/statement.h"

#include "pg/catalog/extension.h"
#include "pg/catalog/security.h"

uint64
metasd_statement_execute(MetasdStatement *statement, Datum *values, const char *nulls,
                         bool read_only)
{
    MetasdSwitch saved;
    int result;

    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    if (!statement->plan) {
        SPIPlanPtr plan = SPI_prepare(statement->sql, statement->nargs, statement->types);

        if (!plan || SPI_keepplan(plan) != 0)
            elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
                 SPI_result_code_string(SPI_result));
        statement->plan = plan;
    }
    if (nulls && strlen(nulls) != (size_t)statement->nargs)
        elog(ERROR, "\"%s\" has %d parameters, not %zu", statement->sql, statement->nargs,
             strlen(nulls));
    result = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
    if (result < 0)
        elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(result));
    metasd_security_switch_back(&saved);
    return SPI_processed;
}

int
metasd_statement_column(const char *name)
{
    int number = SPI_fnumber(SPI_tuptable->tupdesc, name);

    if (number <= 0)
        elog(ERROR, "there is no column \"%s\"", name);
    return number;
}

Datum
metasd_statement_value(uint64 row, int column, bool *isnull)
{
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
metasd_statement_text(uint64 row, int column)
{
    char *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column), *copy;

    if (!text)
        return NULL;
    copy = SPI_palloc(strlen(text) + 1);
    strcpy(copy, text);
    pfree(text);
    return copy;
}

MetasdRemembered
metasd_statement_relation(uint64 row, int column)
{
    bool isnull;
    Datum value = metasd_statement_value(row, column, &isnull);
    char *name, *copy;

    if (isnull)
        return (MetasdRemembered){.given = false};
    name = metasd_reference_name(METASD_RELATION, value);
    copy = SPI_palloc(strlen(name) + 1);
    strcpy(copy, name);
    return (MetasdRemembered){
        .given = true, .oid = metasd_reference_oid(METASD_RELATION, value), .name = copy};
}
