#include "pg/survey/subjects.h"

#include <math.h>

#include "storage/shmem.h"
#include "utils/builtins.h"

#include "core/ranking/topk.h"
#include "core/serve/query.h"

/* Entities that count as similar to one. */
#define SIMILAR 10

MetasdSubjects
metasd_subjects_argument(FunctionCallInfo fcinfo, int n)
{
    char *subjects = text_to_cstring(PG_GETARG_TEXT_PP(n));

    if (strcmp(subjects, "known") == 0)
        return METASD_SUBJECTS_KNOWN;
    if (strcmp(subjects, "like") == 0)
        return METASD_SUBJECTS_LIKE;
    if (strcmp(subjects, "all") == 0)
        return METASD_SUBJECTS_ALL;
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("invalid value for subjects: \"%s\"", subjects),
             errhint("It must be \"known\" (the default: a relation's heads are entities that are "
                     "its head in a fact of the source), \"like\" (also entities similar to "
                     "these) or \"all\".")));
}

/* ---- similar entities ---- */

typedef struct Finder {
    const MetasdImage *image;
    float *scores;
    uint32 *sorted;
    void *scratch;
    uint32 *relations; /* of the entity whose similar ones are found */
    uint32 count;
    const MetasdNewcomerList *newcomers;
} Finder;

static Finder
create_finder(const MetasdImage *image, const MetasdNewcomerList *newcomers)
{
    Size n = image->plan.entities;

    return (Finder){.image = image,
                    .newcomers = newcomers,
                    .scores = palloc_extended(n * sizeof(float), MCXT_ALLOC_HUGE),
                    .sorted = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE),
                    .scratch = palloc(metasd_query_scratch_bytes(image->plan.width)),
                    .relations = palloc_extended((Size)image->plan.relations * sizeof(uint32),
                                                 MCXT_ALLOC_HUGE)};
}

static void
free_finder(const Finder *finder)
{
    pfree(finder->scores);
    pfree(finder->sorted);
    pfree(finder->scratch);
    pfree(finder->relations);
}

/*
 * Writes the entities of the image that are most similar to one; returns their number. A newcomer
 * would be one of them if its similarity is above *LEAST.
 */
static uint32
find_similar(Finder *finder, uint32 head, uint32 similar[SIMILAR], float *least)
{
    MetasdTopk topk;
    uint32 id, found = 0;
    float score;

    *least = -INFINITY;
    metasd_query_scores_similar(finder->image, head, finder->scores, finder->scratch);
    metasd_topk_start(&topk, finder->image->plan.entities, finder->scores, finder->sorted);
    while (found < SIMILAR && metasd_topk_next(&topk, &id, &score)) {
        if (id == head)
            continue;
        similar[found++] = id;
        if (found == SIMILAR)
            *least = score;
    }
    return found;
}

/* The similarity of a newcomer to the entity whose similar ones have been found. */
static float
similarity_of(const Finder *finder, uint32 newcomer)
{
    const MetasdImagePlan *plan = &finder->image->plan;
    const float *unit = finder->scratch; /* query.h */
    const float *row =
        metasd_newcomer_list_entity(finder->newcomers, finder->image, plan->entities + newcomer)
            .row;
    double product = 0, square = 0;

    for (uint32 j = 0; j < plan->width; j++) {
        product += (double)unit[j] * (double)row[j];
        square += (double)row[j] * (double)row[j];
    }
    return square > 0 ? (float)(product / sqrt(square)) : 0;
}

/* Asks the relations of HEAD also of the entities similar to it. */
static void
add_similar(Finder *finder, MetasdSweep *sweep, const MetasdSubjectChoice *choice, uint32 head)
{
    uint32 newcomers = metasd_newcomer_list_count(finder->newcomers, false), similar[SIMILAR];
    float least;
    uint32 found = find_similar(finder, head, similar, &least);

    for (uint32 n = 0; n < found; n++)
        if (choice->head == METASD_ANY || choice->head == similar[n])
            for (uint32 i = 0; i < finder->count; i++)
                metasd_sweep_add(sweep, finder->relations[i], similar[n]);
    for (uint32 n = 0; n < newcomers; n++)
        if (similarity_of(finder, n) > least)
            for (uint32 i = 0; i < finder->count; i++)
                choice->like[(Size)n * finder->image->plan.relations + finder->relations[i]] = true;
}

void
metasd_subjects_mark_like(const MetasdQuestion *question, const uint32 *degree,
                          const MetasdNewcomerList *newcomers, bool *like)
{
    Finder finder = create_finder(question->image, newcomers);
    uint32 entities = question->image->plan.entities, similar[SIMILAR];
    uint32 count = metasd_newcomer_list_count(newcomers, false);

    for (uint32 head = 0; head < entities; head++) {
        float least;
        uint32 found;

        if (degree[head] == 0)
            continue;
        CHECK_FOR_INTERRUPTS();
        found = find_similar(&finder, head, similar, &least);
        for (uint32 n = 0; n < found; n++)
            like[similar[n]] = true;
        for (uint32 n = 0; n < count; n++)
            like[entities + n] = like[entities + n] || similarity_of(&finder, n) > least;
    }
    free_finder(&finder);
}

/* The facts come by head: collects the relations of each. */
static void
add_like(const MetasdQuestion *question, MetasdSweep *sweep, const MetasdSubjectChoice *choice,
         MetasdSortedFacts *heads, const MetasdNewcomerList *newcomers)
{
    Finder finder = create_finder(question->image, newcomers);
    MetasdAnsweredQuestion one;
    uint32 head = METASD_ANY;

    metasd_sorted_facts_sort(heads);
    while (metasd_sorted_facts_next(heads, &one)) {
        if (one.row != head && finder.count > 0)
            add_similar(&finder, sweep, choice, head);
        if (one.row != head)
            finder.count = 0;
        head = one.row;
        if (choice->relation == METASD_ANY || choice->relation == one.entity)
            finder.relations[finder.count++] = one.entity;
    }
    if (finder.count > 0)
        add_similar(&finder, sweep, choice, head);
    free_finder(&finder);
}

/* ---- others ---- */

/* Asks for heads or tails of ENTITY in all relations that count. */
static void
add_entity(const MetasdQuestion *question, MetasdSweep *sweep, const MetasdSubjectChoice *choice,
           bool heads, uint32 entity)
{
    uint32 relations = question->image->plan.relations;

    for (uint32 r = 0; r < relations; r++)
        if (choice->relation == METASD_ANY || choice->relation == r)
            metasd_sweep_add(sweep, heads ? r + relations : r, entity);
}

void
metasd_subjects_add(const MetasdQuestion *question, MetasdSweep *sweep, MetasdSubjectChoice *choice,
                    MetasdSortedFacts *heads, const MetasdNewcomerList *newcomers)
{
    bool by_tail = choice->head == METASD_ANY && choice->tail != METASD_ANY;
    bool trained =
        (choice->relation == METASD_ANY ||
         !metasd_question_is_new(question, true, choice->relation)) &&
        (choice->head == METASD_ANY || !metasd_question_is_new(question, false, choice->head)) &&
        (choice->tail == METASD_ANY || !metasd_question_is_new(question, false, choice->tail));

    if (by_tail &&
        trained) /* its heads are asked for in every relation; their own questions tell subjects */
        add_entity(question, sweep, choice, true, choice->tail);
    if (choice->kind == METASD_SUBJECTS_LIKE) {
        Size n = metasd_newcomer_list_count(newcomers, false);

        choice->like = palloc_extended(Max(mul_size(n, question->image->plan.relations), 1),
                                       MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
        add_like(question, sweep, choice, heads, newcomers);
        metasd_sorted_facts_end(heads);
    } else if (!trained)
        return; /* its triples need no questions of others */
    else if (choice->kind == METASD_SUBJECTS_ALL && choice->head != METASD_ANY)
        add_entity(question, sweep, choice, false, choice->head);
    else if (choice->kind == METASD_SUBJECTS_ALL && !by_tail)
        for (uint32 e = 0; e < question->image->plan.entities; e++) {
            CHECK_FOR_INTERRUPTS();
            add_entity(question, sweep, choice, false, e);
        }
}
