#include "pg/control/doubt_notes.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pg/catalog/statement.h"

/* Columns of the statement below. */
enum { KNOWN = 1, SOURCE, COLUMNS, BLANKS = COLUMNS + 3, TWINS, EXAMPLE, HEADER };

static char *
text_at(int column)
{
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

static int64
number_at(int column)
{
    bool isnull;
    Datum value = metasd_statement_value(0, column, &isnull);

    return isnull ? 0 : DatumGetInt64(value);
}

/* SQL that takes the blanks off all labels of a table; only texts have any. */
static char *
write_trimming(Oid source)
{
    StringInfoData sql;
    int columns = 0;

    initStringInfo(&sql);
    appendStringInfo(&sql, "UPDATE %s SET ", text_at(SOURCE));
    for (int i = 0; i < 3; i++) {
        const char *name = text_at(COLUMNS + i), *column = quote_identifier(name);
        AttrNumber number = get_attnum(source, name);
        Oid type = number > 0 ? getBaseType(get_atttype(source, number)) : InvalidOid;

        if (type == TEXTOID || type == VARCHAROID)
            appendStringInfo(&sql, "%s%s = btrim(%s, E' \\t\\r\\n')", columns++ > 0 ? ", " : "",
                             column, column);
    }
    return sql.data;
}

/* An errhint: what takes the blanks off. */
static int
hint_at_trimming(void)
{
    bool isnull;
    Oid source = DatumGetObjectId(metasd_statement_value(0, SOURCE, &isnull));
    char kind = get_rel_relkind(source);

    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        return errhint("If they are slips, let the source be a view that takes them off: "
                       "btrim(..., E' \\t\\r\\n').");
    return errhint("If they are slips, this mends the table: %s;", write_trimming(source));
}

static void
note_blanks(int64 labels, int64 twins)
{
    char *example = text_at(EXAMPLE);

    ereport(NOTICE,
            (errmsg_plural("%lld label has blanks around it", "%lld labels have blanks around them",
                           (unsigned long)labels, (long long)labels),
             twins > 0
                 ? errdetail_plural("%lld is also there without them, as another label: \"%s\".",
                                    "%lld are also there without them, as other labels, such as "
                                    "\"%s\".",
                                    (unsigned long)twins, (long long)twins, example)
                 : errdetail("Such as \"%s\". Questions must have the blanks, too.", example),
             hint_at_trimming()));
}

static void
note_header(void)
{
    char *relation = text_at(HEADER + 1);

    ereport(NOTICE,
            (errmsg("the triple (\"%s\", \"%s\", \"%s\") has nothing in common with any other",
                    text_at(HEADER), relation, text_at(HEADER + 2)),
             errdetail("A header line that was loaded as a fact looks like that."),
             errhint("If it is one, DELETE FROM %s WHERE %s = %s removes it. The option HEADER of "
                     "COPY leaves such a line out.",
                     text_at(SOURCE), quote_identifier(text_at(COLUMNS + 1)),
                     quote_literal_cstr(relation))));
}

bool
metasd_doubt_notes_show(int64 run)
{
    static MetasdStatement look = {
        "SELECT metrics ? 'skipped_rows', metasd.oid_of(source), head, relation, tail, "
        "(metrics #>> '{doubts,blanks}')::int8, (metrics #>> '{doubts,twins}')::int8, "
        "metrics #>> '{doubts,example}', metrics #>> '{doubts,header,head}', "
        "metrics #>> '{doubts,header,relation}', metrics #>> '{doubts,header,tail}' "
        "FROM metasd.run WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    bool isnull;

    if (metasd_statement_execute(&look, &value, NULL, false) == 0 ||
        !DatumGetBool(metasd_statement_value(0, KNOWN, &isnull)) || isnull)
        return false;
    if (!text_at(SOURCE)) /* it has been dropped: nothing is to be mended */
        return true;
    if (number_at(BLANKS) > 0)
        note_blanks(number_at(BLANKS), number_at(TWINS));
    if (text_at(HEADER))
        note_header();
    return true;
}
