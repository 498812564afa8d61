#include "pg/survey/sweep.h"

#include "utils/memutils.h"

#include "pg/survey/sweep_team.h"
#include "pg/survey/sweep_visit.h"

struct MetasdSweep {
    MemoryContext context;
    const MetasdQuestion *question;
    MetasdSortedFacts *facts; /* until they are in the file */
    MetasdQuestionIndex *index;
    MetasdQuestionFile *file;
    MetasdSweepTeam *team; /* NULL: this process works alone */
};

/* ---- the questions ---- */

MetasdSweep *
metasd_sweep_begin(const MetasdQuestion *question, const MetasdFactChoice *choice,
                   MetasdSortedFacts *subjects)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd sweep", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);
    MetasdSweep *sweep = palloc0(sizeof(*sweep));

    sweep->context = context;
    sweep->question = question;
    sweep->facts = metasd_sorted_facts_create();
    metasd_sorted_facts_read(sweep->facts, question, choice, subjects);
    MemoryContextSwitchTo(before);
    return sweep;
}

void
metasd_sweep_add(MetasdSweep *sweep, uint32 row, uint32 entity)
{
    metasd_sorted_facts_add(
        sweep->facts,
        &(MetasdAnsweredQuestion){.row = row, .entity = entity, .answer = METASD_NO_ANSWER});
}

void
metasd_sweep_sort(MetasdSweep *sweep)
{
    const MetasdImagePlan *plan = &sweep->question->image->plan;
    MemoryContext before = MemoryContextSwitchTo(sweep->context);

    metasd_sorted_facts_sort(sweep->facts);
    sweep->team =
        metasd_sweep_team_create((double)metasd_sorted_facts_count(sweep->facts), plan->entities);
    sweep->index = sweep->team ? &sweep->team->shared->index
                               : MemoryContextAlloc(sweep->context, sizeof(*sweep->index));
    sweep->file =
        metasd_question_file_write(sweep->facts, plan->relations,
                                   sweep->team ? &sweep->team->shared->files : NULL, sweep->index);
    metasd_sorted_facts_end(sweep->facts);
    sweep->facts = NULL;
    MemoryContextSwitchTo(before);
}

uint64
metasd_sweep_questions(const MetasdSweep *sweep, MetasdSides sides)
{
    return sweep->index->questions[sides];
}

uint64
metasd_sweep_facts(const MetasdSweep *sweep)
{
    return sweep->index->answers;
}

MetasdQuestionFile *
metasd_sweep_file(const MetasdSweep *sweep)
{
    return sweep->file;
}

void
metasd_sweep_end(MetasdSweep *sweep)
{
    metasd_question_file_close(sweep->file);
    if (sweep->team)
        metasd_sweep_team_end(sweep->team);
    MemoryContextDelete(sweep->context);
}

/* ---- a pass ---- */

void
metasd_sweep_pass(MetasdSweep *sweep, const MetasdSweepPass *pass, MetasdBestTriples *best)
{
    MetasdSharedLeast shared;
    MetasdVisitor visitor = {
        .image = sweep->question->image, .parameters = pass->parameters, .file = sweep->file};
    MetasdSweepWork work = {.kind = pass->kind,
                            .sides = pass->sides,
                            .quiet = pass->quiet,
                            .parameters = pass->parameters,
                            .parameter_bytes = pass->parameter_bytes};
    MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metasd pass",
                                                  ALLOCSET_DEFAULT_SIZES),
                  before;

    metasd_question_file_rewind(sweep->index, pass->sides);
    metasd_best_triples_init_shared(&shared, pass->least);
    metasd_best_triples_start(&visitor.best, pass->k, &shared, pass->least);
    before = MemoryContextSwitchTo(context);
    if (sweep->team)
        metasd_sweep_team_work(sweep->team, sweep->question->model, &work, &visitor);
    else
        metasd_sweep_visit(pass->kind, &visitor, sweep->index, pass->quiet ? 0 : (int)pass->sides);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    metasd_best_triples_sort(&visitor.best);
    visitor.best.shared = NULL;
    *best = visitor.best;
}
