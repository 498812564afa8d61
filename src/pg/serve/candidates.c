#include "pg/serve/candidates.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/base/settings.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/source/cursor.h"

/* The place of candidates in the call site's identifiers: no other argument has it. */
#define PLACE 3

/* The candidates in a relation, kept for the call site. */
typedef struct MetasdCandidateList {
    Oid relation;
    Oid user;              /* who read it */
    int64 run;             /* whose numbers the ids are */
    bool folded;           /* newcomers were looked for */
    MemoryContext context; /* of what follows; NULL: there is nothing */
    MetasdCandidates candidates;
} MetasdCandidateList;

/* ---- candidates that the model does not know ---- */

/* So many are looked at. */
#define MOST_UNKNOWN 1000

typedef struct Unknown {
    MetasdLabelSet *set; /* NULL: newcomers count as unknown */
    MetasdBudget budget;
    bool some_left;
} Unknown;

static void
note_unknown(Unknown *unknown, MetasdLabel label)
{
    uint32 number;

    if (!unknown->set || label.len == 0)
        return;
    if (metasd_labelset_count(unknown->set) < MOST_UNKNOWN &&
        unknown->budget.taken < (Size)work_mem * 1024)
        (void)metasd_labelset_add(unknown->set, label.data, label.len);
    else if (!metasd_labelset_find(unknown->set, label.data, label.len, &number))
        unknown->some_left = true;
}

/* Gives a NOTICE about N newcomers, and that others were left out. */
static void
notice_newcomers(const MetasdQuestion *question, uint32 n, bool some_left)
{
    const char *model = question->model->name;

    if ((n == 0 && !some_left) || !metasd_question_may_notice(question))
        return;
    ereport(NOTICE,
            (n > 0 ? errmsg_plural("%u candidate is new to model \"%s\": it is answered from its "
                                   "facts in the source",
                                   "%u candidates are new to model \"%s\": they are answered from "
                                   "their facts in the source",
                                   n, n, model)
                   : errmsg("there are many candidates that model \"%s\" does not know", model),
             some_left
                 ? errdetail("Only some of those that the model does not know were looked at.")
                 : 0,
             some_left ? errhint("Name at most %d of these at a time, so many that work_mem has "
                                 "room for their embeddings.",
                                 MOST_UNKNOWN)
                       : errhint("The next training learns what is new.")));
}

/* Adds those that are newcomers to the candidates, in that memory context. */
static void
add_newcomers(const MetasdQuestion *question, Unknown *unknown, MemoryContext context,
              MetasdCandidates *candidates)
{
    uint32 n = unknown->set ? metasd_labelset_count(unknown->set) : 0, ahead = 0;
    MetasdNewcomerCopy *list;
    Size bytes = 0;

    if (n == 0)
        return;
    pfree(metasd_labelset_sort(unknown->set));
    list = MemoryContextAlloc(context, n * sizeof(*list));
    candidates->list = list;
    for (uint32 i = 0; i < n && !(unknown->some_left && bytes > (Size)work_mem * 1024); i++) {
        MetasdNewcomer found;

        CHECK_FOR_INTERRUPTS();
        if (metasd_newcomer_too_many(question)) /* copies do not need them */
            metasd_newcomer_start(question);
        if (i == ahead)
            ahead = metasd_newcomer_read_set_ahead(question, unknown->set, i, false);
        found = metasd_newcomer_find(question, metasd_labelset_get(unknown->set, i), false);
        if (found.facts == 0)
            continue;
        bytes += metasd_newcomer_copy_bytes(question, found.id);
        if (bytes > (Size)work_mem * 1024)
            unknown->some_left = true;
        else
            list[candidates->newcomers++] = metasd_newcomer_copy(question, found.id, context);
    }
    metasd_newcomer_end_ahead(question);
    notice_newcomers(question, candidates->newcomers, unknown->some_left);
}

/* ---- sets of numbers ---- */

/* One bit per entity, so that each comes once and in order. */
static uint64 *
create_set(uint32 entities)
{
    return palloc_extended(((size_t)entities / 64 + 1) * sizeof(uint64),
                           MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* Adds the entity of a label, if the model knows it; returns the number of new members. */
static uint32
add_label(uint64 *set, const MetasdLabelTable *labels, MetasdLabel label, Unknown *unknown)
{
    uint32 id;
    uint64 bit;

    if (!metasd_label_find(labels, label.data, label.len, &id)) {
        note_unknown(unknown, label);
        return 0;
    }
    bit = UINT64CONST(1) << (id % 64);
    if (set[id / 64] & bit)
        return 0;
    set[id / 64] |= bit;
    return 1;
}

/* The members of a set, COUNT of them, in that memory context. */
static uint32 *
list_members(const uint64 *set, uint32 entities, uint32 count, MemoryContext context)
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

/* Gives a NOTICE that the model knows none of the candidates; FIRST is the label of the first. */
static void
notice_no_candidate(const MetasdQuestion *question, MetasdLabel first)
{
    if (metasd_question_may_notice(question))
        ereport(NOTICE,
                (errmsg("none of the candidates is known to model \"%s\"", question->model->name),
                 errdetail("The first is \"%.*s\".", pg_mbcliplen(first.data, (int)first.len, 200),
                           first.data),
                 errhint("%s", metasd_question_hint(question, first, false))));
}

static MetasdLabel
copy_label(MetasdLabel label, MemoryContext context)
{
    char *data = MemoryContextAlloc(context, Max(label.len, 1));

    memcpy(data, label.data, label.len);
    return (MetasdLabel){.data = data, .len = label.len};
}

MetasdCandidates
metasd_candidates_relation(const MetasdQuestion *question, Oid relation)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    const MetasdLabelTable *labels = metasd_question_labels(question, false);
    MetasdCandidateList *list = site->candidates;
    MemoryContext context = question->fcinfo->flinfo->fn_mcxt, caller = CurrentMemoryContext;
    MetasdCandidates candidates = {.given = true};
    Unknown unknown = {.set = NULL};
    MetasdCursor cursor;
    MetasdLabel label, first = {NULL, 0};
    uint64 *set;

    if (!list)
        list = site->candidates = MemoryContextAllocZero(context, sizeof(*list));
    if (list->context && list->relation == relation && list->user == GetUserId() &&
        list->run == question->model->serving && list->folded == metasd_fold_in)
        return list->candidates;
    if (list->context)
        MemoryContextDelete(list->context);
    list->context = NULL;
    if (metasd_fold_in)
        unknown.set = metasd_labelset_create(&unknown.budget);
    set = create_set(labels->count); /* the cursor's memory ends with it */
    metasd_cursor_open(&cursor, relation, NULL, 1, METASD_CANDIDATES);
    while (metasd_cursor_next(&cursor, &label)) {
        if (!label.data)
            continue;
        if (!first.data)
            first = copy_label(label, caller);
        candidates.count += add_label(set, labels, label, &unknown);
    }
    metasd_cursor_close(&cursor);
    context = AllocSetContextCreate(context, "metasd candidates", ALLOCSET_SMALL_SIZES);
    candidates.ids = list_members(set, labels->count, candidates.count, context);
    pfree(set);
    add_newcomers(question, &unknown, context, &candidates);
    if (candidates.count == 0 && candidates.newcomers == 0 && first.data)
        notice_no_candidate(question, first);
    *list = (MetasdCandidateList){.relation = relation,
                                  .user = GetUserId(),
                                  .run = question->model->serving,
                                  .folded = metasd_fold_in,
                                  .context = context,
                                  .candidates = candidates};
    return candidates;
}

/* Argument N as an array of any type: a literal is an array of text. */
static ArrayType *
get_array(FunctionCallInfo fcinfo, int n)
{
    Oid type = get_fn_expr_argtype(fcinfo->flinfo, n), input, parameter;

    if (type == UNKNOWNOID) {
        getTypeInputInfo(TEXTARRAYOID, &input, &parameter);
        return DatumGetArrayTypeP(
            OidInputFunctionCall(input, DatumGetCString(PG_GETARG_DATUM(n)), parameter, -1));
    }
    if (!OidIsValid(type) || !OidIsValid(get_element_type(getBaseType(type))))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("candidate_ids must be an array of identifiers, not %s",
                               OidIsValid(type) ? format_type_be(type) : "unknown"),
                        errhint("For example ARRAY['...', '...'], or array_agg(...).")));
    return PG_GETARG_ARRAYTYPE_P(n);
}

static MetasdCandidates
read_array(const MetasdQuestion *question, int n)
{
    FunctionCallInfo fcinfo = question->fcinfo;
    const MetasdLabelTable *labels = metasd_question_labels(question, false);
    MetasdIdentifierArray array = metasd_identifier_array(fcinfo, PLACE, get_array(fcinfo, n));
    MetasdCandidates candidates = {.given = true};
    MetasdLabel first = {NULL, 0};
    uint64 *set = create_set(labels->count);
    Unknown unknown = {.set = NULL};

    if (metasd_fold_in)
        unknown.set = metasd_labelset_create(&unknown.budget);
    for (int i = 0; i < array.n; i++) {
        MetasdLabel label = metasd_identifier_element(&array, i);

        CHECK_FOR_INTERRUPTS();
        if (!label.data)
            continue;
        if (!first.data)
            first = label;
        candidates.count += add_label(set, labels, label, &unknown);
    }
    add_newcomers(question, &unknown, CurrentMemoryContext, &candidates);
    if (candidates.count == 0 && candidates.newcomers == 0 && first.data)
        notice_no_candidate(question, first);
    candidates.ids = list_members(set, labels->count, candidates.count, CurrentMemoryContext);
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
        return metasd_candidates_relation(question, PG_GETARG_OID(n));
    if (!PG_ARGISNULL(n + 1))
        return read_array(question, n + 1);
    return (MetasdCandidates){.given = false};
}

float *
metasd_candidates_scores(const MetasdCandidates *candidates, const float *scores)
{
    float *chosen =
        palloc_extended(Max((size_t)candidates->count + candidates->newcomers, 1) * sizeof(*chosen),
                        MCXT_ALLOC_HUGE);

    for (uint32 i = 0; i < candidates->count; i++)
        chosen[i] = scores[candidates->ids[i]];
    return chosen;
}
