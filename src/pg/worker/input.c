#include "pg/worker/input.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/graph/graph_build.h"
#include "pg/worker/questions.h"

typedef struct Reader {
    MetasdBudget *budget;
    MetasdInput *input;
    MemoryContext context;
} Reader;

/* It lives in the context that was current, as the labels go on using it. */
typedef struct Budget {
    MetasdBudget budget;
    const MetasdInput *input;
    const char *setting; /* it has the limit */
} Budget;

static void
refuse_memory(MetasdBudget *budget, size_t bytes)
{
    const Budget *own = (const Budget *)budget;

    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("the triples alone need more memory than %s allows", own->setting),
                    errdetail("After %zu triples they need %zu MB; %zu MB are allowed.",
                              own->input->count, bytes >> 20, budget->most >> 20),
                    errhint("Raise %s, or train from a view with fewer triples.", own->setting)));
}

static void
grow_triples(Reader *reader, MetasdTriple **triples, size_t *capacity)
{
    size_t before = *capacity, after = before ? 2 * before : 1024;

    *triples = metasd_budget_grow(reader->budget, reader->context, *triples,
                                  before * sizeof(**triples), after * sizeof(**triples));
    *capacity = after;
}

static void
add_triple(void *context, const MetasdTripleLabels *row)
{
    Reader *reader = context;
    MetasdInput *input = reader->input;
    uint32 number[3];

    for (int i = 0; i < 3; i++)
        number[i] = metasd_labelset_add(i == 1 ? input->relations : input->entities, row->data[i],
                                        row->len[i]);
    if (input->count == input->capacity)
        grow_triples(reader, &input->triples, &input->capacity);
    input->triples[input->count++] = (MetasdTriple){number[0], number[1], number[2]};
}

/* A triple with an identifier that the source does not have cannot be ranked: it is skipped. */
static void
add_validation(void *context, const MetasdTripleLabels *row)
{
    Reader *reader = context;
    MetasdInput *input = reader->input;
    uint32 number[3];

    for (int i = 0; i < 3; i++)
        if (!metasd_labelset_find(i == 1 ? input->relations : input->entities, row->data[i],
                                  row->len[i], &number[i])) {
            input->unknown++;
            return;
        }
    if (input->validation_count == input->validation_capacity)
        grow_triples(reader, &input->validation, &input->validation_capacity);
    input->validation[input->validation_count++] = (MetasdTriple){number[0], number[1], number[2]};
}

static void
rename_triples(MetasdTriple *triples, size_t n, const uint32 *entity, const uint32 *relation)
{
    for (size_t i = 0; i < n; i++) {
        triples[i] = (MetasdTriple){entity[triples[i].head], relation[triples[i].relation],
                                    entity[triples[i].tail]};
        CHECK_FOR_INTERRUPTS();
    }
}

static MetasdStatus
poll_interrupts(MetasdTeam *team)
{
    (void)team;
    CHECK_FOR_INTERRUPTS(); /* may jump: a context owns the memory of the sort, not the core */
    return METASD_OK;
}

/*
 * A fact that the source has twice counts once, also in the sizes that defaults follow from. The
 * graph finds the triples in the order that it needs.
 */
static void
sort_triples(MetasdInput *input, MetasdBudget *budget)
{
    MetasdTeam team = metasd_team_of_one();
    uint32 entities = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations);
    Size triples = (Size)input->count * sizeof(MetasdTriple);
    Size numbers = ((Size)Max(entities, relations) + 1) * sizeof(size_t);
    MetasdTriple *scratch;
    size_t *counts;

    metasd_budget_take(budget, triples + numbers);
    scratch = palloc_extended(triples, MCXT_ALLOC_HUGE);
    counts = palloc_extended(numbers, MCXT_ALLOC_HUGE);

    team.poll = poll_interrupts;
    (void)metasd_graph_sort_triples(&team, input->triples, &input->count, scratch, counts, entities,
                                    relations);
    pfree(scratch);
    pfree(counts);
    metasd_budget_give(budget, triples + numbers);
}

void
metasd_input_read(MetasdInput *input, const MetasdSource *source, const MetasdSource *validation,
                  Oid user, int train_mem, const char *setting)
{
    Budget *own = palloc0(sizeof(*own));
    Reader reader = {.budget = &own->budget, .input = input, .context = CurrentMemoryContext};
    uint32 *entity, *relation;

    memset(input, 0, sizeof(*input));
    own->budget = (MetasdBudget){.most = (size_t)train_mem * 1024, .refuse = refuse_memory};
    own->input = input;
    own->setting = setting;
    input->entities = metasd_labelset_create(&own->budget);
    input->relations = metasd_labelset_create(&own->budget);
    input->skipped = metasd_source_read(source, user, add_triple, &reader);
    if (input->count == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("source \"%s\" has no triples", source->name),
                        errhint("Rows with a null or empty identifier do not count.")));
    if (validation)
        input->skipped += metasd_source_read(validation, user, add_validation, &reader);
    entity = metasd_labelset_sort(input->entities);
    relation = metasd_labelset_sort(input->relations);
    rename_triples(input->triples, input->count, entity, relation);
    rename_triples(input->validation, input->validation_count, entity, relation);
    pfree(entity);
    pfree(relation);
    sort_triples(input, &own->budget);
    input->questions = metasd_questions_estimate(input->triples, input->count);
    input->bytes = own->budget.taken;
}
