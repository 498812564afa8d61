#include "pg/survey/sweep_visit.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A NOTICE about progress comes every so many milliseconds. */
#define NOTICE_INTERVAL 5000

/* Gives a NOTICE if the last one is long ago. */
static void
tell_progress(MetasdQuestionIndex *index, int sides, TimestampTz *told)
{
    TimestampTz now = GetCurrentTimestamp();

    if (!TimestampDifferenceExceeds(*told, now, NOTICE_INTERVAL))
        return;
    *told = now;
    ereport(NOTICE, (errmsg("%llu of %llu questions have been asked",
                            (unsigned long long)pg_atomic_read_u64(&index->taken),
                            (unsigned long long)index->questions[sides])));
}

void
metasd_sweep_visit(MetasdVisitorKind kind, MetasdVisitor *visitor, MetasdQuestionIndex *index,
                   int sides)
{
    const MetasdVisitorFunctions *functions = &metasd_visitor_functions[kind];
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
        if (sides != 0)
            tell_progress(index, sides, &told);
    }
    MemoryContextDelete(each);
}
