#include "pg/serve/known_answers.h"

#include "utils/memutils.h"

#include "pg/image/image_file.h"
#include "pg/serve/known_whole.h"
#include "pg/serve/newcomer.h"

/* Marks of so many ids are memory that is not touched where no id is marked. */
#define MANY_IDS ((uint32)1 << 16)

static bool *
allocate_marks(MemoryContext context, uint32 n)
{
    MemoryContext before = MemoryContextSwitchTo(context);
    bool *marks = n < MANY_IDS ? palloc0(Max(n, 1) * sizeof(bool))
                               : metasd_image_file_memory(n * sizeof(bool));

    MemoryContextSwitchTo(before);
    return marks;
}

/* Is one of the given places a newcomer? Facts that were read at once are not about these. */
static bool
gives_newcomer(const MetasdKnownAsk *ask, const uint32 id[2])
{
    const MetasdQuestion *question = ask->question;

    return metasd_question_is_new(question, ask->asked == METASD_ASKED_HEAD, id[0]) ||
           metasd_question_is_new(question, ask->asked == METASD_ASKED_TAIL, id[1]);
}

/* Marks the answers of a newcomer, where the facts that its row is made of tell them. */
static bool
mark_newcomer(const MetasdKnownAsk *ask, const uint32 id[2], bool *marks)
{
    bool heads = ask->asked == METASD_ASKED_HEAD;

    return ask->asked != METASD_ASKED_RELATION &&
           metasd_newcomer_mark_known(ask->question, id[heads], id[!heads], heads, marks);
}

/*
 * Does a fact answer the question with a newcomer of the candidates? -1: the facts that its row is
 * made of do not tell.
 */
static int
completes_fact(const MetasdKnownAsk *ask, const uint32 id[2], const MetasdNewcomerCopy *one)
{
    const MetasdQuestion *question = ask->question;
    bool heads = ask->asked == METASD_ASKED_HEAD;
    uint32 entity = id[heads], relation = id[!heads];

    if (!one->complete)
        return -1;
    if (metasd_question_is_new(question, false, entity) ||
        metasd_question_is_new(question, true, relation))
        return 0;
    /* it asks for what the question gives, so from the other side */
    relation += heads ? 0 : question->image->plan.relations;
    for (uint32 i = 0; i < one->count; i++)
        if (one->facts[i].given == relation && one->facts[i].answer == entity)
            return 1;
    return 0;
}

/* Marks the newcomers among the candidates that answer the question in a fact. */
static void
mark_newcomers(const MetasdKnownAsk *ask, const uint32 id[2], bool *marks)
{
    const MetasdCandidates *candidates = ask->candidates;
    MetasdLabel *labels;
    bool told = true;
    MetasdKnown known;

    for (uint32 i = 0; i < candidates->newcomers; i++) {
        int completes = completes_fact(ask, id, &candidates->list[i]);

        marks[i] = completes > 0;
        told = told && completes >= 0;
    }
    if (told)
        return;
    labels = palloc(candidates->newcomers * sizeof(*labels));
    for (uint32 i = 0; i < candidates->newcomers; i++)
        labels[i] = candidates->list[i].label;
    metasd_known_start(&known, ask->question->model, ask->asked, ask->given);
    metasd_known_mark_labels(&known, labels, candidates->newcomers, marks);
    pfree(labels);
}

MetasdKnownAnswers
metasd_known_answers_start(const MetasdKnownAsk *ask, const uint32 id[2])
{
    const MetasdQuestion *question = ask->question;
    MetasdKnownAnswers facts = {
        .missing = ask->matters,
        .labels = metasd_question_labels(question, ask->asked == METASD_ASKED_RELATION),
        .context = AllocSetContextCreate(CurrentMemoryContext, "metasd facts",
                                         ALLOCSET_START_SMALL_SIZES)};

    facts.n = ask->n;
    facts.ids = allocate_marks(facts.context, ask->n + ask->candidates->newcomers);
    facts.newcomers = facts.ids + ask->n;
    if (!facts.missing)
        return facts;
    mark_newcomers(ask, id, facts.newcomers);
    if (gives_newcomer(ask, id)) {
        facts.missing = !mark_newcomer(ask, id, facts.ids);
        if (facts.missing)
            metasd_known_start(&facts.known, question->model, ask->asked, ask->given);
    } else if (ask->batch) {
        metasd_known_batch_mark(ask->batch, id, facts.ids);
        facts.missing = false;
    } else if (metasd_known_whole_prepare(question, ask->asked)) {
        metasd_known_whole_mark(question, ask->asked, id, facts.ids);
        facts.missing = false;
    } else
        metasd_known_start(&facts.known, question->model, ask->asked, ask->given);
    return facts;
}

/* Those of N ids that are of the image: newcomers have been looked up. */
static uint32 *
choose_trained(const MetasdKnownAnswers *facts, const uint32 *ids, uint32 n, uint32 *count)
{
    uint32 *trained = palloc(n * sizeof(*trained));

    *count = 0;
    for (uint32 i = 0; i < n; i++)
        if (ids[i] < facts->n)
            trained[(*count)++] = ids[i];
    return trained;
}

void
metasd_known_answers_look_up(MetasdKnownAnswers *facts, const uint32 *ids, uint32 n)
{
    if (!facts->missing)
        return;
    if (ids) {
        uint32 count, *trained = choose_trained(facts, ids, n, &count);

        metasd_known_mark(&facts->known, facts->labels, trained, count, facts->ids);
        pfree(trained);
    } else
        metasd_known_mark_all(&facts->known, facts->labels, facts->ids);
    facts->missing = ids != NULL;
}
