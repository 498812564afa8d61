#include "pg/serve/candidates.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/source/cursor.h"

/* The place of candidates' identifiers in the call site: no other argument has it. */
#define PLACE 3

/* What a relation held, kept for the call site. */
typedef struct MetasdCandidateList {
    Oid relation, user; /* read by whom */
    int64 run;          /* whose numbers these are */
    uint32 count;
    uint32 *ids;
} MetasdCandidateList;

/* ---- sets of numbers ---- */

/* One bit an entity, so that each comes once and in order. */
static uint64 *
empty_set(uint32 entities)
{
    return palloc_extended(((size_t)entities / 64 + 1) * sizeof(uint64),
                           MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* Adds what the label stands for, if the model knows it; returns how many that makes more. */
static uint32
add(uint64 *set, const MetasdLabelTable *labels, MetasdLabel label)
{
    uint32 id;
    uint64 bit;

    if (!metasd_label_find(labels, label.data, label.len, &id))
        return 0;
    bit = UINT64CONST(1) << (id % 64);
    if (set[id / 64] & bit)
        return 0;
    set[id / 64] |= bit;
    return 1;
}

/* The members of a set, COUNT of them, in that memory context. */
static uint32 *
members(const uint64 *set, uint32 entities, uint32 count, MemoryContext context)
{
    uint32 *ids = MemoryContextAllocHuge(context, Max((size_t)count, 1) * sizeof(*ids));
    uint32 n = 0;

    for (uint32 word = 0; word <= entities / 64; word++)
        for (uint64 left = set[word]; left; left &= left - 1)
            ids[n++] = 64 * word + (uint32)pg_rightmost_one_pos64(left);
    Assert(n == count);
    return ids;
}

/* ---- arguments ---- */

/* That no candidate of those given, the first of them with this label, is known. */
static void
notice_none(const MetasdQuestion *question, MetasdLabel first)
{
    if (metasd_question_may_notice(question))
        ereport(NOTICE,
                (errmsg("none of the candidates is known to model \"%s\"", question->model->name),
                 errdetail("The first is \"%.*s\".", pg_mbcliplen(first.data, (int)first.len, 200),
                           first.data),
                 errhint("%s", metasd_question_hint(question, first, false))));
}

static MetasdCandidates
of_relation(const MetasdQuestion *question, Oid relation)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    const MetasdLabelTable *labels = metasd_question_labels(question, false);
    MetasdCandidateList *list = site->chosen;
    MemoryContext context = question->fcinfo->flinfo->fn_mcxt;
    MetasdCursor reader;
    MetasdLabel label, first = {NULL, 0};
    uint64 *set;

    if (!list)
        list = site->chosen = MemoryContextAllocZero(context, sizeof(*list));
    if (list->ids && list->relation == relation && list->user == GetUserId() &&
        list->run == question->model->serving)
        return (MetasdCandidates){.given = true, .count = list->count, .ids = list->ids};
    if (list->ids)
        pfree(list->ids);
    list->ids = NULL;
    list->count = 0;
    metasd_cursor_open(&reader, relation, NULL, 1, METASD_CANDIDATES);
    set = empty_set(labels->count);
    while (metasd_cursor_next(&reader, &label)) {
        if (!label.data)
            continue;
        if (!first.data)
            first = (MetasdLabel){pnstrdup(label.data, label.len), label.len};
        list->count += add(set, labels, label);
    }
    if (list->count == 0 && first.data)
        notice_none(question, first);
    list->ids = members(set, labels->count, list->count, context);
    metasd_cursor_close(&reader);
    list->relation = relation;
    list->user = GetUserId();
    list->run = question->model->serving;
    return (MetasdCandidates){.given = true, .count = list->count, .ids = list->ids};
}

/* Argument N as an array, of whatever type it is: a literal is an array of text. */
static ArrayType *
array_argument(FunctionCallInfo fcinfo, int n, Oid *element)
{
    Oid type = get_fn_expr_argtype(fcinfo->flinfo, n), input, parameter;

    if (type == UNKNOWNOID) {
        *element = TEXTOID;
        getTypeInputInfo(TEXTARRAYOID, &input, &parameter);
        return DatumGetArrayTypeP(
            OidInputFunctionCall(input, DatumGetCString(PG_GETARG_DATUM(n)), parameter, -1));
    }
    *element = OidIsValid(type) ? get_element_type(getBaseType(type)) : InvalidOid;
    if (!OidIsValid(*element))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("candidate_ids must be an array of identifiers, not %s",
                               OidIsValid(type) ? format_type_be(type) : "unknown"),
                        errhint("For example ARRAY['...', '...'], or array_agg(...).")));
    return PG_GETARG_ARRAYTYPE_P(n);
}

static MetasdCandidates
of_array(const MetasdQuestion *question, int n)
{
    FunctionCallInfo fcinfo = question->fcinfo;
    const MetasdLabelTable *labels = metasd_question_labels(question, false);
    Oid element;
    ArrayType *array = array_argument(fcinfo, n, &element);
    MetasdIdentifier *identifier = metasd_identifier(fcinfo, PLACE, element);
    MetasdCandidates candidates = {.given = true};
    MetasdLabel first = {NULL, 0};
    uint64 *set = empty_set(labels->count);
    Datum *values;
    bool *nulls;
    int length;
    int16 len;
    bool byval;
    char align;

    get_typlenbyvalalign(element, &len, &byval, &align);
    deconstruct_array(array, element, len, byval, align, &values, &nulls, &length);
    for (int i = 0; i < length; i++) {
        MetasdLabel label;

        CHECK_FOR_INTERRUPTS();
        if (nulls[i])
            continue;
        label = metasd_identifier_label(identifier, values[i]);
        if (!first.data)
            first = label;
        candidates.count += add(set, labels, label);
    }
    if (candidates.count == 0 && first.data)
        notice_none(question, first);
    candidates.ids = members(set, labels->count, candidates.count, CurrentMemoryContext);
    pfree(set);
    return candidates;
}

MetasdCandidates
metasd_candidates_argument(const MetasdQuestion *question, int n)
{
    FunctionCallInfo fcinfo = question->fcinfo;

    if (!PG_ARGISNULL(n) && !PG_ARGISNULL(n + 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("candidates and candidate_ids cannot both be given"),
                        errhint("Give the entities to rank either in a relation or in an array.")));
    if (!PG_ARGISNULL(n))
        return of_relation(question, PG_GETARG_OID(n));
    if (!PG_ARGISNULL(n + 1))
        return of_array(question, n + 1);
    return (MetasdCandidates){.given = false};
}

float *
metasd_candidates_scores(const MetasdCandidates *candidates, const float *scores)
{
    float *theirs =
        palloc_extended(Max((size_t)candidates->count, 1) * sizeof(*theirs), MCXT_ALLOC_HUGE);

    for (uint32 i = 0; i < candidates->count; i++)
        theirs[i] = scores[candidates->ids[i]];
    return theirs;
}
