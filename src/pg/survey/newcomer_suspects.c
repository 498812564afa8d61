#include "pg/survey/newcomer_suspects.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/serve/query.h"
#include "pg/serve/newcomer.h"
#include "pg/source/labelset.h"
#include "pg/survey/sorted_facts.h"

/* A NOTICE about progress comes every so many milliseconds. */
#define NOTICE_INTERVAL 5000

/*
 * Facts are kept as questions of their newcomers, which have a file of their own. Newcomer number I
 * has the row KINDS I + kind: an entity asks with a relation row, as in MetasdFoldFact; a relation
 * with the head, and with the tail.
 */
enum { ENTITY, FORWARD, BACKWARD, KINDS };

struct MetasdNewcomerSuspects {
    const MetasdQuestion *question;
    MemoryContext context;
    MetasdLabel only; /* the relation that counts */
    MetasdBudget budget;
    MetasdLabelSet *labels[2]; /* entities, relations */
    uint32 *places[2];         /* once sorted: the numbers that labels had while they were read,
                                  as those that they have now */
    MetasdSortedFacts *facts;  /* until they are in the file; NULL: none */
    MetasdQuestionIndex *index;
    MetasdQuestionFile *file; /* NULL: no facts */
    uint64 judged, left_out;
    bool some_left; /* work_mem had no room for all labels */
};

/* ---- reading ---- */

MetasdNewcomerSuspects *
metasd_newcomer_suspects_create(const MetasdQuestion *question, MetasdLabel relation)
{
    MetasdNewcomerSuspects *suspects = palloc0(sizeof(*suspects));

    suspects->question = question;
    suspects->context = CurrentMemoryContext;
    suspects->only = relation;
    for (int i = 0; i < 2; i++)
        suspects->labels[i] = metasd_labelset_create(&suspects->budget);
    return suspects;
}

/* The number of a newcomer. False if there is no room. */
static bool
number_newcomer(MetasdNewcomerSuspects *suspects, bool relation, const char *data, size_t len,
                uint32 *number)
{
    MetasdLabelSet *labels = suspects->labels[relation];

    if (metasd_labelset_find(labels, data, len, number))
        return true;
    if (suspects->budget.taken >= (Size)work_mem * 1024 ||
        metasd_labelset_count(labels) >= METASD_ANY / KINDS - 1) {
        suspects->some_left = true;
        return false;
    }
    *number = metasd_labelset_add(labels, data, len);
    return true;
}

static void
add_pair(MetasdNewcomerSuspects *suspects, uint32 row, uint32 entity, uint32 answer)
{
    if (!suspects->facts) {
        MemoryContext before = MemoryContextSwitchTo(suspects->context);

        suspects->facts = metasd_sorted_facts_create();
        MemoryContextSwitchTo(before);
    }
    metasd_sorted_facts_add(
        suspects->facts, &(MetasdAnsweredQuestion){.row = row, .entity = entity, .answer = answer});
}

void
metasd_newcomer_suspects_keep(void *context, const MetasdTripleLabels *row)
{
    MetasdNewcomerSuspects *suspects = context;
    const MetasdQuestion *question = suspects->question;
    uint32 relations = question->image->plan.relations, id[3], number;
    int unknown = 0, place = 0;

    if (suspects->only.data && (suspects->only.len != row->len[1] ||
                                memcmp(suspects->only.data, row->data[1], row->len[1]) != 0))
        return;
    for (int i = 0; i < 3; i++)
        if (!metasd_label_find(metasd_question_labels(question, i == 1), row->data[i], row->len[i],
                               &id[i])) {
            unknown++;
            place = i;
        }
    if (unknown > 1 ||
        !number_newcomer(suspects, place == 1, row->data[place], row->len[place], &number)) {
        suspects->left_out++;
        return;
    }
    switch (place) {
        case 0: /* it asks for the tail */
            add_pair(suspects, KINDS * number + ENTITY, id[1], id[2]);
            break;
        case 2: /* it asks for the head, which is a tail of the reciprocal */
            add_pair(suspects, KINDS * number + ENTITY, relations + id[1], id[0]);
            break;
        default:
            add_pair(suspects, KINDS * number + FORWARD, id[0], id[2]);
            add_pair(suspects, KINDS * number + BACKWARD, id[2], id[0]);
    }
}

void
metasd_newcomer_suspects_sort(MetasdNewcomerSuspects *suspects)
{
    MemoryContext before = MemoryContextSwitchTo(suspects->context);

    for (int i = 0; i < 2; i++)
        suspects->places[i] = metasd_labelset_sort(suspects->labels[i]);
    if (suspects->facts) {
        metasd_sorted_facts_sort(suspects->facts);
        suspects->index = palloc(sizeof(*suspects->index));
        suspects->file = metasd_question_file_write(suspects->facts, METASD_ANY, NULL,
                                                    suspects->index); /* all are of one side */
        metasd_sorted_facts_end(suspects->facts);
        suspects->facts = NULL;
    }
    MemoryContextSwitchTo(before);
}

MetasdLabel
metasd_newcomer_suspects_label(const MetasdNewcomerSuspects *suspects, bool relation, uint32 id)
{
    uint32 known = metasd_question_labels(suspects->question, relation)->count;

    return id < known ? metasd_question_label(suspects->question, relation, id)
                      : metasd_labelset_get(suspects->labels[relation], id - known);
}

void
metasd_newcomer_suspects_end(MetasdNewcomerSuspects *suspects)
{
    if (suspects->file)
        metasd_question_file_close(suspects->file);
}

/* ---- judging ---- */

typedef struct Judge {
    MetasdNewcomerSuspects *suspects;
    const MetasdQuestion *question;
    const MetasdImage *image;
    MetasdQuestionFile *file;
    const MetasdUsualForAll *usual;
    MetasdBestTriples *best;
    float *rows[2]; /* of the newcomer without a fact; the second of a relation's reciprocal */
    float *scores;
    void *scratch;
    uint32 ahead[2]; /* the facts of newcomers below these numbers have been read */
    uint32 row;      /* of the newcomer, without its kind: */
    bool relation;
    MetasdNewcomer found;
    uint32 id; /* the number that triples have */
    bool irreflexive;
} Judge;

/* The label that had that number while it was read. */
static MetasdLabel
label_of(const MetasdNewcomerSuspects *suspects, bool relation, uint32 number)
{
    return metasd_labelset_get(suspects->labels[relation], suspects->places[relation][number]);
}

/* Reads the facts of many newcomers, from NUMBER on, with a query or two. */
static void
read_ahead(Judge *judge, bool relation, uint32 number)
{
    uint32 count = metasd_labelset_count(judge->suspects->labels[relation]), n = 0;
    MetasdLabel labels[METASD_MOST_AHEAD];
    size_t bytes = 0;

    if (number < judge->ahead[relation])
        return;
    while (number + n < count && n < METASD_MOST_AHEAD && bytes < METASD_MOST_AHEAD_BYTES) {
        labels[n] = label_of(judge->suspects, relation, number + n);
        bytes += labels[n++].len;
    }
    judge->ahead[relation] = number + n;
    metasd_newcomer_read_ahead(judge->question, labels, n, relation);
}

/* Turns to another newcomer. */
static void
turn_to(Judge *judge, bool relation, uint32 number)
{
    if (judge->row == number && judge->relation == relation)
        return;
    judge->row = number;
    judge->relation = relation;
    if (metasd_newcomer_too_many(judge->question))
        metasd_newcomer_start(judge->question);
    read_ahead(judge, relation, number);
    judge->found = metasd_newcomer_find(judge->question,
                                        label_of(judge->suspects, relation, number), relation);
    judge->id = metasd_question_labels(judge->question, relation)->count +
                judge->suspects->places[relation][number];
    judge->irreflexive =
        judge->found.facts > 0 && relation &&
        metasd_newcomer_given(judge->question, true, judge->found.id, false).irreflexive;
}

/* The place of an answer of the image. */
static MetasdSuspectPlace
find_place(Judge *judge, MetasdGiven entity, MetasdGiven row, const MetasdSweepQuestion *known,
           uint32 answer)
{
    metasd_query_scores_tails_of(judge->image, entity, row, judge->scores, judge->scratch);
    CHECK_FOR_INTERRUPTS();
    return metasd_suspect_visitor_place(judge->scores, judge->image->plan.entities, known, answer,
                                        judge->scores[answer]);
}

/* The place of a newcomer, which answers (ENTITY, ROW). */
static MetasdSuspectPlace
find_own_place(Judge *judge, uint32 entity, uint32 row, MetasdGiven newcomer)
{
    MetasdGiven given = metasd_given(entity), relation = metasd_given(row);
    float score = metasd_query_score_of(judge->image, given, relation, newcomer, judge->scratch);
    const MetasdSweepQuestion *known = metasd_question_file_find(judge->file, row, entity);

    metasd_query_scores_tails_of(judge->image, given, relation, judge->scores, judge->scratch);
    CHECK_FOR_INTERRUPTS();
    return metasd_suspect_visitor_place(judge->scores, judge->image->plan.entities, known,
                                        METASD_ANY, score);
}

/* Judges a fact of an entity: an answer to one of its questions. False if nothing else tells. */
static bool
judge_entity(Judge *judge, const MetasdSweepQuestion *question, uint32 answer)
{
    uint32 relations = judge->image->plan.relations, row = question->entity;
    bool is_head = row < relations;
    uint32 other_row = is_head ? row + relations : row - relations;
    uint32 relation = Min(row, other_row);
    MetasdScoredTriple triple = {
        .id = {is_head ? judge->id : answer, relation, is_head ? answer : judge->id}};
    MetasdGiven newcomer = {.id = judge->id, .row = judge->rows[0]};
    MetasdSuspectPlace places[2];

    if (!metasd_newcomer_row_without(judge->question, false, judge->found.id, false,
                                     (MetasdFoldFact){.given = row, .answer = answer},
                                     judge->rows[0]))
        return false;
    places[!is_head] = find_place(judge, newcomer, metasd_given(row), question, answer);
    places[is_head] = find_own_place(judge, answer, other_row, newcomer);
    metasd_suspect_visitor_complete(&triple, &judge->usual->of[relation], places);
    metasd_best_triples_offer(judge->best, &triple);
    return true;
}

/* The same of a relation, and a question of its tails. */
static bool
judge_relation(Judge *judge, const MetasdSweepQuestion *question, uint32 tail)
{
    uint32 head = question->entity;
    MetasdScoredTriple triple = {.id = {head, judge->id, tail}};
    MetasdSuspectPlace places[2];
    const MetasdSweepQuestion *known;

    for (int i = 0; i < 2; i++) {
        MetasdFoldFact fact = {.given = i == 0 ? head : tail, .answer = i == 0 ? tail : head};

        if (!metasd_newcomer_row_without(judge->question, true, judge->found.id, i == 1, fact,
                                         judge->rows[i]))
            return false;
    }
    known = metasd_question_file_find(judge->suspects->file, KINDS * judge->row + BACKWARD, tail);
    for (int i = 0; i < 2; i++)
        places[i] = find_place(judge, metasd_given(i == 0 ? head : tail),
                               (MetasdGiven){.id = judge->id,
                                             .row = judge->rows[i],
                                             .irreflexive = judge->irreflexive},
                               i == 0 ? question : known, i == 0 ? tail : head);
    metasd_suspect_visitor_complete(&triple, &judge->usual->others, places);
    metasd_best_triples_offer(judge->best, &triple);
    return true;
}

/* Judges the facts that answer a question of a newcomer. */
static void
judge_question(Judge *judge, const MetasdSweepQuestion *question)
{
    MetasdNewcomerSuspects *suspects = judge->suspects;
    bool relation = question->row % KINDS != ENTITY;

    turn_to(judge, relation, question->row / KINDS);
    for (uint32 i = 0; i < question->count; i++) {
        uint32 answer = question->answers[i];

        CHECK_FOR_INTERRUPTS();
        if (judge->found.facts > 0 && (relation ? judge_relation(judge, question, answer)
                                                : judge_entity(judge, question, answer)))
            suspects->judged++;
        else
            suspects->left_out++;
    }
}

/* ---- all of them ---- */

static void
tell_progress(const MetasdNewcomerSuspects *suspects, TimestampTz *told)
{
    TimestampTz now = GetCurrentTimestamp();

    if (!TimestampDifferenceExceeds(*told, now, NOTICE_INTERVAL))
        return;
    *told = now;
    ereport(NOTICE, (errmsg("%llu of %llu questions of newcomers have been asked",
                            (unsigned long long)pg_atomic_read_u64(&suspects->index->taken),
                            (unsigned long long)suspects->index->questions[METASD_BOTH_SIDES])));
}

static int
tell_left_out(const MetasdNewcomerSuspects *suspects)
{
    unsigned long left = (unsigned long)suspects->left_out;

    if (left > 0 && suspects->judged > 0)
        errdetail_plural("%lu more fact is left out: it has two newcomers, or nothing else tells "
                         "of its newcomer.",
                         "%lu more facts are left out: they have two newcomers, or nothing else "
                         "tells of their newcomer.",
                         left, left);
    else if (left > 0)
        errdetail_plural("It has two newcomers, or nothing else tells of its newcomer.",
                         "They have two newcomers, or nothing else tells of their newcomer.", left);
    return suspects->some_left ? errhint("A larger work_mem has room for more newcomers.")
                               : errhint("The next training learns what is new.");
}

static void
tell_counts(const MetasdNewcomerSuspects *suspects)
{
    const char *model = suspects->question->model->name;
    unsigned long judged = (unsigned long)suspects->judged;
    unsigned long left = (unsigned long)suspects->left_out;

    if ((judged == 0 && left == 0) || !metasd_question_may_notice(suspects->question))
        return;
    ereport(NOTICE,
            (judged > 0
                 ? errmsg_plural("%lu fact of the source has what is new to model \"%s\": it is "
                                 "judged by the newcomer's other facts",
                                 "%lu facts of the source have what is new to model \"%s\": they "
                                 "are judged by the newcomers' other facts",
                                 judged, judged, model)
                 : errmsg_plural("%lu fact of the source has what is new to model \"%s\", and is "
                                 "left out",
                                 "%lu facts of the source have what is new to model \"%s\", and "
                                 "are left out",
                                 left, left, model),
             tell_left_out(suspects)));
}

static Judge
create_judge(MetasdNewcomerSuspects *suspects)
{
    const MetasdImage *image = suspects->question->image;
    Judge judge = {.suspects = suspects,
                   .question = suspects->question,
                   .image = image,
                   .row = METASD_ANY,
                   .scratch = palloc(metasd_query_scratch_bytes(image->plan.width))};

    for (int i = 0; i < 2; i++)
        judge.rows[i] =
            palloc_extended(image->plan.width * sizeof(*judge.rows[i]), MCXT_ALLOC_HUGE);
    judge.scores =
        palloc_extended((Size)image->plan.entities * sizeof(*judge.scores), MCXT_ALLOC_HUGE);
    return judge;
}

void
metasd_newcomer_suspects_judge(MetasdNewcomerSuspects *suspects, MetasdQuestionFile *file,
                               const MetasdUsualForAll *usual, MetasdBestTriples *best)
{
    MemoryContext each =
        AllocSetContextCreate(CurrentMemoryContext, "metasd newcomers", ALLOCSET_DEFAULT_SIZES);
    TimestampTz told = GetCurrentTimestamp();
    const MetasdSweepQuestion *question;
    Judge judge = create_judge(suspects);

    judge.file = file;
    judge.usual = usual;
    judge.best = best;
    if (suspects->file)
        metasd_question_file_rewind(suspects->index, METASD_BOTH_SIDES);
    while (suspects->file && (question = metasd_question_file_next(suspects->file)) != NULL) {
        MemoryContext before;

        if (question->row % KINDS == BACKWARD)
            continue;
        before = MemoryContextSwitchTo(each);
        judge_question(&judge, question);
        MemoryContextSwitchTo(before);
        MemoryContextReset(each);
        tell_progress(suspects, &told);
    }
    metasd_newcomer_end_ahead(suspects->question);
    MemoryContextDelete(each);
    tell_counts(suspects);
}
