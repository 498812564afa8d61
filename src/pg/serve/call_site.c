#include "pg/serve/call_site.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "pg/base/settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/serve/alike.h"
#include "pg/access/access.h"
#include "pg/source/reading.h"
#include "pg/catalog/reference.h"
#include "pg/source/source.h"
#include "pg/source/trust.h"

/* ---- identifiers ---- */

MetasdCallSite *
metasd_call_site(FunctionCallInfo fcinfo)
{
    if (!fcinfo->flinfo->fn_extra)
        fcinfo->flinfo->fn_extra =
            MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(MetasdCallSite));
    return fcinfo->flinfo->fn_extra;
}

MetasdIdentifier *
metasd_identifier(FunctionCallInfo fcinfo, int n, Oid type)
{
    MetasdIdentifier *identifier = &metasd_call_site(fcinfo)->given[n];
    Oid output;
    bool varlena;

    type = getBaseType(type);
    if (identifier->type == type)
        return identifier;
    getTypeOutputInfo(type, &output, &varlena);
    fmgr_info_cxt(output, &identifier->output, fcinfo->flinfo->fn_mcxt);
    identifier->type = type;
    return identifier;
}

MetasdLabel
metasd_identifier_label(MetasdIdentifier *identifier, Datum value)
{
    Oid type = identifier->type;
    char *text;

    if (type == TEXTOID || type == VARCHAROID || type == BPCHAROID) {
        struct varlena *varlena = PG_DETOAST_DATUM_PACKED(value);
        char *data = VARDATA_ANY(varlena);
        int len = (int)VARSIZE_ANY_EXHDR(varlena);

        if (type == BPCHAROID) /* its padding means nothing */
            len = bpchartruelen(data, len);
        return (MetasdLabel){.data = data, .len = (uint32)len};
    }
    if (metasd_reading_type_is_simple(type))
        text = OutputFunctionCall(&identifier->output, value);
    else { /* as a worker writes it */
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
        identifier = metasd_identifier(fcinfo, n, type);
    }
    return metasd_identifier_label(identifier, PG_GETARG_DATUM(n));
}

/* A label on its way to the caller's type. */
typedef struct Conversion {
    Oid type;
    MetasdLabel label;
} Conversion;

static void
answer_context(void *argument)
{
    const Conversion *answer = argument;

    errcontext("conversion of answer \"%.*s\" to %s, the type of the identifier in the question; "
               "answers to a question with text are text",
               pg_mbcliplen(answer->label.data, (int)answer->label.len, 200), answer->label.data,
               format_type_be(answer->type));
}

static Datum
read_written(MetasdWritten *written, MetasdLabel label)
{
    return InputFunctionCall(&written->input, pnstrdup(label.data, label.len), written->parameter,
                             -1);
}

static void
given_context(void *argument)
{
    const Conversion *given = argument;

    errcontext("conversion of identifier \"%.*s\" of a question to %s, the type asked for; without "
               "a type identifiers are text",
               pg_mbcliplen(given->label.data, (int)given->label.len, 200), given->label.data,
               format_type_be(given->type));
}

/* A label as a value of TYPE; CONTEXT says in an error what it is. */
static Datum
value_of_label(FunctionCallInfo fcinfo, MetasdWritten *written, Oid type, MetasdLabel label,
               void (*context)(void *conversion))
{
    Conversion conversion = {.type = type, .label = label};
    ErrorContextCallback callback = {
        .previous = error_context_stack, .callback = context, .arg = &conversion};
    Datum value;

    if (type == TEXTOID || type == VARCHAROID)
        return PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
    if (written->type != type) {
        Oid input;

        getTypeInputInfo(type, &input, &written->parameter);
        fmgr_info_cxt(input, &written->input, fcinfo->flinfo->fn_mcxt);
        written->type = type;
    }
    error_context_stack = &callback;
    if (metasd_reading_type_is_simple(type))
        value = read_written(written, label);
    else { /* as a worker has written it */
        int nest_level = NewGUCNestLevel();

        metasd_reading_pin_settings();
        value = read_written(written, label);
        AtEOXact_GUC(false, nest_level);
    }
    error_context_stack = callback.previous;
    return value;
}

Datum
metasd_identifier_answer(FunctionCallInfo fcinfo, Oid type, MetasdLabel label)
{
    return value_of_label(fcinfo, &metasd_call_site(fcinfo)->written[0], type, label,
                          answer_context);
}

Datum
metasd_identifier_given(FunctionCallInfo fcinfo, Oid type, MetasdLabel label, bool relation)
{
    return value_of_label(fcinfo, &metasd_call_site(fcinfo)->written[relation], type, label,
                          given_context);
}

/* ---- questions ---- */

MetasdQuestion
metasd_question_open(FunctionCallInfo fcinfo, int model_argument)
{
    MetasdQuestion question = {.fcinfo = fcinfo};
    char *name =
        PG_ARGISNULL(model_argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(model_argument));

    question.model = metasd_access_model_to_ask(name);
    question.image = metasd_image_cache_get(question.model, metasd_image_cache_size);
    return question;
}

bool
metasd_question_may_notice(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    bool may = !site->noticed;

    site->noticed = true;
    return may;
}

/* Bytes of a label that a message shows. */
#define MOST_SHOWN 200

/* More relations than these are not listed. */
#define MOST_LISTED 20

static char *
list_of(const MetasdLabelTable *labels)
{
    StringInfoData list;

    initStringInfo(&list);
    for (uint32 id = 0; id < labels->count; id++) {
        size_t len;
        const char *label = metasd_label_get(labels, id, &len);

        appendStringInfo(&list, "%s\"%.*s\"", id > 0 ? ", " : "",
                         pg_mbcliplen(label, (int)len, 200), label);
    }
    return list.data;
}

char *
metasd_question_hint(const MetasdQuestion *question, MetasdLabel label, bool relation)
{
    const MetasdLabelTable *labels = metasd_question_labels(question, relation);
    MetasdLabel alike;
    uint32 id;

    if (metasd_label_find(metasd_question_labels(question, !relation), label.data, label.len, &id))
        return pstrdup(relation
                           ? _("It is an entity of the model. Check the order of the arguments.")
                           : _("It is a relation of the model. Check the order of the arguments."));
    if (metasd_alike_find(labels, label, &alike)) {
        int len = pg_mbcliplen(alike.data, (int)alike.len, MOST_SHOWN);

        /* Not where what is shown of both is the same. */
        if (len != pg_mbcliplen(label.data, (int)label.len, MOST_SHOWN) ||
            memcmp(alike.data, label.data, len) != 0)
            return psprintf(_("Perhaps you meant \"%.*s\"."), len, alike.data);
    }
    if (relation && labels->count <= MOST_LISTED)
        return psprintf(_("The model has the relations %s."), list_of(labels));
    return pstrdup(_("A training learns the entities and relations that its source has then."));
}

bool
metasd_question_find(const MetasdQuestion *question, MetasdLabel label, bool relation, uint32 *id)
{
    if (metasd_label_find(metasd_question_labels(question, relation), label.data, label.len, id))
        return true;
    if (metasd_question_may_notice(question)) {
        const char *model = question->model->name;
        int len = pg_mbcliplen(label.data, (int)label.len, 200);

        ereport(NOTICE, (relation ? errmsg("relation \"%.*s\" is not known to model \"%s\"", len,
                                           label.data, model)
                                  : errmsg("entity \"%.*s\" is not known to model \"%s\"", len,
                                           label.data, model),
                         errhint("%s", metasd_question_hint(question, label, relation))));
    }
    return false;
}

/* What to do about a source that is not what it was. For ereport. */
static int
hint_for_source(const MetasdModel *model)
{
    if (!OidIsValid(model->owner))
        return errhint("A superuser can give the model to another role with kg_owner.");
    if (metasd_source_is_denied(&model->serving_source, model->serving_column, model->owner))
        return errhint("Grant the owner SELECT on the columns and USAGE on the schema, or give "
                       "the model to a role that has these privileges with kg_owner.");
    return errhint("Train the model again from a source that there is now: kg_train(%s, source).",
                   quote_literal_cstr(model->name));
}

/*
 * A NOTICE, one a statement, where the next training goes on with another relation, which has been
 * given the name that the source had: known facts are still those of the old one.
 */
static void
notice_swapped(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    const MetasdModel *model = question->model;
    const MetasdRemembered *source = &model->serving_source;
    Oid schema = get_rel_namespace(source->oid), named, owner;
    char *now;

    if (site->source_seen || !source->then)
        return;
    site->source_seen = true;
    now = quote_qualified_identifier(get_namespace_name(schema), get_rel_name(source->oid));
    if (strcmp(now, source->then) == 0)
        return;
    named = metasd_reference_relation_named(source->then);
    owner = metasd_reference_relation_owner(named);
    if (!OidIsValid(owner) || named == source->oid ||
        (owner != metasd_reference_relation_owner(source->oid) &&
         !metasd_trusts(model->owner, owner)))
        return;
    ereport(NOTICE,
            (errmsg("known facts of model \"%s\" come from relation %s, which it was trained from",
                    model->name, now),
             errdetail("The name %s now belongs to another relation.", source->then),
             errhint("SELECT kg_train(%s) trains from that relation.",
                     quote_literal_cstr(model->name))));
}

bool
metasd_question_has_source(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    const MetasdModel *model = question->model;
    uint64 generation = metasd_trust_generation();
    char *objection;

    if (site->source_fine == generation && site->source_of == model->serving)
        return true;
    objection =
        metasd_source_objection(&model->serving_source, model->serving_column, model->owner);

    if (!objection) {
        notice_swapped(question);
        site->source_fine = generation;
        site->source_of = model->serving;
        return true;
    }
    if (metasd_question_may_notice(question))
        ereport(NOTICE, (errmsg("known facts of model \"%s\" cannot be looked up", model->name),
                         errdetail("%s", objection), hint_for_source(model)));
    return false;
}

/* ---- arguments ---- */

bool
metasd_call_any_null(FunctionCallInfo fcinfo, int first, int end)
{
    for (int i = first; i < end; i++)
        if (PG_ARGISNULL(i))
            return true;
    return false;
}

uint32
metasd_call_limit(FunctionCallInfo fcinfo, int n)
{
    int32 k = PG_GETARG_INT32(n);

    if (k < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("k must not be negative"),
                        errhint("k is the number of answers wanted.")));
    return (uint32)k;
}
