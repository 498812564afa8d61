#include "pg/survey/newcomer_list.h"

#include "utils/memutils.h"

#include "pg/survey/sorted_facts.h"

typedef struct Newcomer {
    const float *row[2]; /* the second is the reciprocal of a relation */
    bool irreflexive;
} Newcomer;

/* Entities, or relations. */
typedef struct Kind {
    MetasdLabelSet *labels;
    Newcomer *list;
    uint32 capacity;
} Kind;

struct MetasdNewcomerList {
    const MetasdQuestion *question;
    MemoryContext context;
    MetasdBudget budget;
    Kind kind[2];
    MetasdSortedFacts *facts; /* until they are in the file; NULL: none */
    MetasdQuestionIndex *index;
    MetasdQuestionFile *file; /* NULL: no facts */
};

/* ---- the newcomers ---- */

MetasdNewcomerList *
metasd_newcomer_list_create(const MetasdQuestion *question)
{
    MetasdNewcomerList *list = palloc0(sizeof(*list));

    list->question = question;
    list->context = CurrentMemoryContext;
    for (int i = 0; i < 2; i++)
        list->kind[i].labels = metasd_labelset_create(&list->budget);
    return list;
}

static uint32
known_of(const MetasdNewcomerList *list, bool relation)
{
    return metasd_question_labels(list->question, relation)->count;
}

uint32
metasd_newcomer_list_count(const MetasdNewcomerList *list, bool relation)
{
    return list ? metasd_labelset_count(list->kind[relation].labels) : 0;
}

MetasdLabel
metasd_newcomer_list_label(const MetasdNewcomerList *list, bool relation, uint32 id)
{
    uint32 known = known_of(list, relation);

    return id < known ? metasd_question_label(list->question, relation, id)
                      : metasd_labelset_get(list->kind[relation].labels, id - known);
}

static const float *
copy_row(const MetasdNewcomerList *list, const float *row)
{
    Size bytes = list->question->image->plan.width * sizeof(*row);

    return row ? memcpy(MemoryContextAllocHuge(list->context, bytes), row, bytes) : NULL;
}

/* Adds one, unless it is there; its rows are copied. */
static uint32
add(MetasdNewcomerList *list, MetasdLabel label, bool relation, const Newcomer *one)
{
    Kind *kind = &list->kind[relation];
    uint32 count = metasd_labelset_count(kind->labels);
    uint32 number = metasd_labelset_add(kind->labels, label.data, label.len);

    if (number < count)
        return known_of(list, relation) + number;
    if (count == kind->capacity) {
        kind->capacity = Max(2 * kind->capacity, 8);
        kind->list = kind->list
                         ? repalloc_huge(kind->list, kind->capacity * sizeof(*kind->list))
                         : MemoryContextAlloc(list->context, kind->capacity * sizeof(*kind->list));
    }
    kind->list[number] = (Newcomer){.irreflexive = one->irreflexive};
    for (int i = 0; i < 2; i++)
        kind->list[number].row[i] = copy_row(list, one->row[i]);
    return known_of(list, relation) + number;
}

uint32
metasd_newcomer_list_add(MetasdNewcomerList *list, const MetasdNewcomerCopy *one)
{
    return add(list, one->label, false, &(Newcomer){.row = {one->row}});
}

bool
metasd_newcomer_list_name(MetasdNewcomerList *list, MetasdLabel label, bool relation, uint32 *id)
{
    const MetasdQuestion *question = list->question;
    Newcomer one = {.irreflexive = false};

    if (!metasd_question_find(question, label, relation, id))
        return false;
    if (!metasd_question_is_new(question, relation, *id))
        return true;
    for (int i = 0; i < 1 + relation; i++) {
        MetasdGiven given = metasd_newcomer_given(question, relation, *id, i == 1);

        one.row[i] = given.row;
        one.irreflexive = given.irreflexive;
    }
    *id = add(list, label, relation, &one);
    return true;
}

/* ---- what queries take ---- */

MetasdGiven
metasd_newcomer_list_entity(const MetasdNewcomerList *list, const MetasdImage *image, uint32 id)
{
    uint32 known = image->plan.entities;

    return id < known ? metasd_given(id)
                      : (MetasdGiven){.id = id, .row = list->kind[false].list[id - known].row[0]};
}

MetasdGiven
metasd_newcomer_list_row(const MetasdNewcomerList *list, const MetasdImage *image, uint32 row)
{
    uint32 known = 2 * image->plan.relations;
    const Newcomer *one;

    if (row < known)
        return metasd_given(row);
    one = &list->kind[true].list[(row - known) / 2];
    return (MetasdGiven){
        .id = row, .row = one->row[(row - known) % 2], .irreflexive = one->irreflexive};
}

MetasdSigmoid
metasd_newcomer_list_sigmoid(const MetasdImage *image, uint32 row)
{
    return row < 2 * image->plan.relations ? metasd_query_sigmoid(image, row)
                                           : metasd_query_mean_sigmoid(image);
}

uint32
metasd_newcomer_list_row_of(const MetasdImage *image, uint32 relation, bool heads)
{
    uint32 known = image->plan.relations;

    return relation < known ? relation + (heads ? known : 0) : 2 * relation + heads;
}

uint32
metasd_newcomer_list_other_row(const MetasdImage *image, uint32 row)
{
    uint32 known = image->plan.relations;

    if (row >= 2 * known) /* the pairs begin at an even number */
        return row ^ 1;
    return row < known ? row + known : row - known;
}

/* ---- facts ---- */

/* The number of a label; sets *IS_NEW if it is in the list. */
static bool
find_number(const MetasdNewcomerList *list, const MetasdTripleLabels *row, int place, uint32 *id,
            bool *is_new)
{
    bool relation = place == 1;

    if (metasd_label_find(metasd_question_labels(list->question, relation), row->data[place],
                          row->len[place], id))
        return true;
    if (!metasd_labelset_find(list->kind[relation].labels, row->data[place], row->len[place], id))
        return false;
    *id += known_of(list, relation);
    *is_new = true;
    return true;
}

static void
add_pair(MetasdNewcomerList *list, uint32 row, uint32 entity, uint32 answer)
{
    if (!list->facts) {
        MemoryContext before = MemoryContextSwitchTo(list->context);

        list->facts = metasd_sorted_facts_create();
        MemoryContextSwitchTo(before);
    }
    metasd_sorted_facts_add(
        list->facts, &(MetasdAnsweredQuestion){.row = row, .entity = entity, .answer = answer});
}

/* A newcomer whose fact has an unknown tail is a head of the relation all the same. */
void
metasd_newcomer_list_keep(void *context, const MetasdTripleLabels *row)
{
    MetasdNewcomerList *list = context;
    const MetasdImage *image = list->question->image;
    uint32 id[3], tails, heads;
    bool is_new = false;

    if (!find_number(list, row, 0, &id[0], &is_new) || !find_number(list, row, 1, &id[1], &is_new))
        return;
    tails = metasd_newcomer_list_row_of(image, id[1], false);
    heads = metasd_newcomer_list_row_of(image, id[1], true);
    if (!find_number(list, row, 2, &id[2], &is_new)) {
        if (is_new)
            add_pair(list, tails, id[0], METASD_NO_ANSWER);
        return;
    }
    if (!is_new)
        return;
    add_pair(list, tails, id[0], id[2]);
    add_pair(list, heads, id[2], id[0]);
}

void
metasd_newcomer_list_sort(MetasdNewcomerList *list)
{
    MemoryContext before;

    if (!list->facts)
        return;
    before = MemoryContextSwitchTo(list->context);
    metasd_sorted_facts_sort(list->facts);
    list->index = palloc(sizeof(*list->index));
    /* Nobody asks for one side of these questions. */
    list->file = metasd_question_file_write(list->facts, PG_UINT32_MAX, NULL, list->index);
    metasd_sorted_facts_end(list->facts);
    list->facts = NULL;
    MemoryContextSwitchTo(before);
}

static const MetasdSweepQuestion *
find(const MetasdNewcomerList *list, uint32 row, uint32 entity)
{
    return list->file ? metasd_question_file_find(list->file, row, entity) : NULL;
}

bool
metasd_newcomer_list_find(MetasdNewcomerList *list, uint32 row, uint32 entity,
                          MetasdSweepQuestion *question)
{
    const MetasdSweepQuestion *found = find(list, row, entity);
    uint32 entities = list->question->image->plan.entities;

    *question = (MetasdSweepQuestion){.row = row, .entity = entity};
    if (!found)
        return false;
    question->answers = found->answers;
    for (uint32 i = 0; i < found->count && found->answers[i] < entities; i++)
        question->count++;
    return true;
}

bool
metasd_newcomer_list_has(MetasdNewcomerList *list, uint32 row, uint32 entity, uint32 answer)
{
    const MetasdSweepQuestion *found = find(list, row, entity);

    for (uint32 i = found ? found->count : 0; i-- > 0 && found->answers[i] >= answer;)
        if (found->answers[i] == answer)
            return true;
    return false;
}

void
metasd_newcomer_list_degrees(MetasdNewcomerList *list, uint32 row, uint32 *degrees)
{
    uint32 entities = known_of(list, false), newcomers = metasd_newcomer_list_count(list, false);
    bool is_new = row >= 2 * list->question->image->plan.relations;
    MetasdSweepQuestion question;

    if (is_new && list->file)
        metasd_question_file_degrees(list->file, row, degrees);
    for (uint32 id = is_new && newcomers > 0 ? 0 : entities; id < entities + newcomers; id++) {
        if (id < entities && degrees[id] == 0)
            continue;
        CHECK_FOR_INTERRUPTS();
        /* answers that are newcomers do not count */
        degrees[id] = metasd_newcomer_list_find(list, row, id, &question) ? 1 + question.count : 0;
    }
}

void
metasd_newcomer_list_end(MetasdNewcomerList *list)
{
    if (list->file)
        metasd_question_file_close(list->file);
}
