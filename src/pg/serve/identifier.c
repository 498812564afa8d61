#include "pg/serve/identifier.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "pg/serve/call_site.h"
#include "pg/source/reading.h"

/*
 * The function by which PostgreSQL itself casts a type to text, where that is not what its output
 * function writes: true and not t, 10.0.0.1/32 and not 10.0.0.1. A source's columns are cast, so
 * its labels are written so. Casts of users do not count: their code would run here.
 */
static Oid
find_text_cast(Oid type)
{
    Oid function;

    if (type >= FirstNormalObjectId ||
        find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC ||
        function >= FirstNormalObjectId)
        return InvalidOid;
    return function;
}

/* Prepares place N of the call site for identifiers of TYPE. */
static MetasdIdentifier *
prepare_identifier(FunctionCallInfo fcinfo, int n, Oid type)
{
    MetasdIdentifier *identifier = &metasd_call_site(fcinfo)->given[n];
    Oid output;
    bool varlena;

    type = getBaseType(type);
    if (identifier->type == type)
        return identifier;
    output = find_text_cast(type);
    identifier->cast = OidIsValid(output);
    if (!identifier->cast)
        getTypeOutputInfo(type, &output, &varlena);
    fmgr_info_cxt(output, &identifier->output, fcinfo->flinfo->fn_mcxt);
    identifier->type = type;
    return identifier;
}

/* The label of an identifier; in the current memory context, or the value's own bytes. */
static MetasdLabel
read_identifier(MetasdIdentifier *identifier, Datum value)
{
    Oid type = identifier->type;
    char *text;

    if (type == TEXTOID || type == VARCHAROID || type == BPCHAROID) {
        struct varlena *varlena = PG_DETOAST_DATUM_PACKED(value);
        char *data = VARDATA_ANY(varlena);
        int len = (int)VARSIZE_ANY_EXHDR(varlena);

        if (type == BPCHAROID) /* its padding has no meaning */
            len = bpchartruelen(data, len);
        return (MetasdLabel){.data = data, .len = (uint32)len};
    }
    if (identifier->cast) {
        struct varlena *label = PG_DETOAST_DATUM_PACKED(FunctionCall1(&identifier->output, value));

        return (MetasdLabel){.data = VARDATA_ANY(label), .len = (uint32)VARSIZE_ANY_EXHDR(label)};
    }
    if (metasd_reading_type_is_simple(type))
        text = OutputFunctionCall(&identifier->output, value);
    else { /* with the settings of a worker that reads the source */
        int nest_level = NewGUCNestLevel();

        metasd_reading_pin_settings();
        text = OutputFunctionCall(&identifier->output, value);
        AtEOXact_GUC(false, nest_level);
    }
    return (MetasdLabel){.data = text, .len = (uint32)strlen(text)};
}

MetasdLabel
metasd_identifier_argument(FunctionCallInfo fcinfo, int n)
{
    MetasdIdentifier *identifier = &metasd_call_site(fcinfo)->given[n];

    if (!OidIsValid(identifier->type)) {
        Oid type = get_fn_expr_argtype(fcinfo->flinfo, n);

        if (!OidIsValid(type))
            elog(ERROR, "could not determine the type of argument %d", n + 1);
        identifier = prepare_identifier(fcinfo, n, type);
    }
    return read_identifier(identifier, PG_GETARG_DATUM(n));
}

MetasdIdentifierArray
metasd_identifier_array(FunctionCallInfo fcinfo, int n, ArrayType *array)
{
    Oid type = ARR_ELEMTYPE(array);
    MetasdIdentifierArray elements = {.identifier = prepare_identifier(fcinfo, n, type)};
    int16 len;
    bool byval;
    char align;

    get_typlenbyvalalign(type, &len, &byval, &align);
    deconstruct_array(array, type, len, byval, align, &elements.values, &elements.nulls,
                      &elements.n);
    return elements;
}

MetasdLabel
metasd_identifier_element(const MetasdIdentifierArray *array, int i)
{
    return array->nulls[i] ? (MetasdLabel){NULL, 0}
                           : read_identifier(array->identifier, array->values[i]);
}

/* A label that is converted, for errors. */
typedef struct Conversion {
    Oid type;
    MetasdLabel label;
} Conversion;

static void
add_answer_context(void *argument)
{
    const Conversion *answer = argument;

    errcontext("conversion of answer \"%.*s\" to %s, the type of the identifier in the question; "
               "answers to a question with text are text",
               pg_mbcliplen(answer->label.data, (int)answer->label.len, 200), answer->label.data,
               format_type_be(answer->type));
}

static Datum
read_label(MetasdLabelInput *input, MetasdLabel label)
{
    return InputFunctionCall(&input->input, pnstrdup(label.data, label.len), input->parameter, -1);
}

static void
add_given_context(void *argument)
{
    const Conversion *given = argument;

    errcontext("conversion of identifier \"%.*s\" of a question to %s, the type asked for; without "
               "a type identifiers are text",
               pg_mbcliplen(given->label.data, (int)given->label.len, 200), given->label.data,
               format_type_be(given->type));
}

/* A label as a value of TYPE; CONTEXT adds the context of an error. */
static Datum
convert_label(FunctionCallInfo fcinfo, MetasdLabelInput *input, Oid type, MetasdLabel label,
              void (*context)(void *conversion))
{
    Conversion conversion = {.type = type, .label = label};
    ErrorContextCallback callback = {
        .previous = error_context_stack, .callback = context, .arg = &conversion};
    Datum value;

    if (type == TEXTOID || type == VARCHAROID)
        return PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
    if (input->type != type) {
        Oid function;

        getTypeInputInfo(type, &function, &input->parameter);
        fmgr_info_cxt(function, &input->input, fcinfo->flinfo->fn_mcxt);
        input->type = type;
    }
    error_context_stack = &callback;
    if (metasd_reading_type_is_simple(type))
        value = read_label(input, label);
    else { /* with the settings of the worker that wrote it */
        int nest_level = NewGUCNestLevel();

        metasd_reading_pin_settings();
        value = read_label(input, label);
        AtEOXact_GUC(false, nest_level);
    }
    error_context_stack = callback.previous;
    return value;
}

Datum
metasd_identifier_answer(FunctionCallInfo fcinfo, Oid type, MetasdLabel label)
{
    return convert_label(fcinfo, &metasd_call_site(fcinfo)->result[0], type, label,
                         add_answer_context);
}

Datum
metasd_identifier_given(FunctionCallInfo fcinfo, Oid type, MetasdLabel label, bool relation)
{
    return convert_label(fcinfo, &metasd_call_site(fcinfo)->result[relation], type, label,
                         add_given_context);
}
