#include "pg/survey/sweep.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A NOTICE about progress comes every so many milliseconds. */
#define NOTICE_INTERVAL 5000

struct MetasdSweep {
    MemoryContext context;
    const MetasdQuestion *question;
    MetasdSortedFacts *facts; /* until they are in the file */
    MetasdQuestionIndex *index;
    MetasdQuestionFile *file;
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
    MemoryContext before = MemoryContextSwitchTo(sweep->context);

    metasd_sorted_facts_sort(sweep->facts);
    sweep->index = palloc(sizeof(*sweep->index));
    sweep->file = metasd_question_file_write(sweep->facts, sweep->question->image->plan.relations,
                                             NULL, sweep->index);
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

void
metasd_sweep_end(MetasdSweep *sweep)
{
    metasd_question_file_close(sweep->file);
    MemoryContextDelete(sweep->context);
}

/* ---- a pass ---- */

/* Gives a NOTICE if the last one is long ago. */
static void
tell_progress(MetasdQuestionIndex *index, MetasdSides sides, TimestampTz *told)
{
    TimestampTz now = GetCurrentTimestamp();

    if (!TimestampDifferenceExceeds(*told, now, NOTICE_INTERVAL))
        return;
    *told = now;
    ereport(NOTICE, (errmsg("%llu of %llu questions have been asked",
                            (unsigned long long)pg_atomic_read_u64(&index->taken),
                            (unsigned long long)index->questions[sides])));
}

/* Visits all questions that this process can take. */
static void
visit_questions(const MetasdSweep *sweep, const MetasdSweepPass *pass, MetasdVisitor *visitor)
{
    const MetasdVisitorFunctions *functions = &metasd_visitor_functions[pass->kind];
    MemoryContext each =
        AllocSetContextCreate(CurrentMemoryContext, "metasd visit", ALLOCSET_DEFAULT_SIZES);
    const MetasdSweepQuestion *question;
    TimestampTz told = GetCurrentTimestamp();

    functions->start(visitor);
    while ((question = metasd_question_file_next(visitor->file)) != NULL) {
        MemoryContext before = MemoryContextSwitchTo(each);

        functions->visit(visitor, question);
        MemoryContextSwitchTo(before);
        MemoryContextReset(each);
        if (!pass->quiet)
            tell_progress(sweep->index, pass->sides, &told);
    }
    MemoryContextDelete(each);
}

void
metasd_sweep_pass(MetasdSweep *sweep, const MetasdSweepPass *pass, MetasdBestTriples *best)
{
    MetasdSharedLeast shared;
    MetasdVisitor visitor = {
        .image = sweep->question->image, .parameters = pass->parameters, .file = sweep->file};

    metasd_question_file_rewind(sweep->index, pass->sides);
    metasd_best_triples_init_shared(&shared, pass->least);
    metasd_best_triples_start(&visitor.best, pass->k, &shared, pass->least);
    visit_questions(sweep, pass, &visitor);
    metasd_best_triples_sort(&visitor.best);
    *best = visitor.best;
}
