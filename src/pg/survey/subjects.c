#include "pg/survey/subjects.h"

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
} Finder;

static Finder
create_finder(const MetasdImage *image)
{
    Size n = image->plan.entities;

    return (Finder){.image = image,
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

/* Asks the relations of HEAD also of the entities similar to it. */
static void
add_similar(Finder *finder, MetasdSweep *sweep, const MetasdSubjectChoice *choice, uint32 head)
{
    MetasdTopk topk;
    uint32 id, found = 0;
    float score;

    metasd_query_scores_similar(finder->image, head, finder->scores, finder->scratch);
    metasd_topk_start(&topk, finder->image->plan.entities, finder->scores, finder->sorted);
    while (found < SIMILAR && metasd_topk_next(&topk, &id, &score)) {
        if (id == head)
            continue;
        found++;
        if (choice->head != METASD_ANY && choice->head != id)
            continue;
        for (uint32 i = 0; i < finder->count; i++)
            metasd_sweep_add(sweep, finder->relations[i], id);
    }
}

/* The facts come by head: collects the relations of each. */
static void
add_like(const MetasdQuestion *question, MetasdSweep *sweep, const MetasdSubjectChoice *choice,
         MetasdSortedFacts *heads)
{
    Finder finder = create_finder(question->image);
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
metasd_subjects_add(const MetasdQuestion *question, MetasdSweep *sweep,
                    const MetasdSubjectChoice *choice, MetasdSortedFacts *heads)
{
    bool by_tail = choice->head == METASD_ANY && choice->tail != METASD_ANY;

    if (by_tail) /* its heads are asked for in every relation; their own questions tell subjects */
        add_entity(question, sweep, choice, true, choice->tail);
    if (choice->kind == METASD_SUBJECTS_LIKE) {
        add_like(question, sweep, choice, heads);
        metasd_sorted_facts_end(heads);
    } else if (choice->kind == METASD_SUBJECTS_ALL && choice->head != METASD_ANY)
        add_entity(question, sweep, choice, false, choice->head);
    else if (choice->kind == METASD_SUBJECTS_ALL && !by_tail)
        for (uint32 e = 0; e < question->image->plan.entities; e++) {
            CHECK_FOR_INTERRUPTS();
            add_entity(question, sweep, choice, false, e);
        }
}
