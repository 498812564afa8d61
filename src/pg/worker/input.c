#include "pg/worker/input.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/graph/graph_build.h"
#include "pg/base/interruptible.h"
#include "pg/worker/questions.h"

typedef struct Reader {
    MetasdBudget *budget;
    MetasdInput *input;
    MemoryContext context;
    MetasdImport *import; /* or NULL */
} Reader;

/* It lives in the context that was current, as the labels go on using it. */
typedef struct Budget {
    MetasdBudget budget;
    const MetasdInput *input;
    const char *setting; /* it has the limit */
    bool import;
} Budget;

static void
refuse_memory(MetasdBudget *budget, size_t bytes)
{
    const Budget *own = (const Budget *)budget;

    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    own->import
                        ? errmsg("the embeddings and triples alone need more memory than "
                                 "%s allows",
                                 own->setting)
                        : errmsg("the triples alone need more memory than %s allows", own->setting),
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

/* The numbers of a triple's labels; false if an import lacks one of them. */
static bool
number_triple(Reader *reader, const MetasdTripleLabels *row, uint32 number[3])
{
    for (int i = 0; i < 3; i++) {
        MetasdLabelSet *set = i == 1 ? reader->input->relations : reader->input->entities;

        if (!reader->import)
            number[i] = metasd_labelset_add(set, row->data[i], row->len[i]);
        else if (!metasd_labelset_find(set, row->data[i], row->len[i], &number[i])) {
            metasd_import_miss(reader->import, i == 1, row->data[i], row->len[i]);
            return false;
        }
    }
    return true;
}

static void
add_triple(void *context, const MetasdTripleLabels *row)
{
    Reader *reader = context;
    MetasdInput *input = reader->input;
    uint32 number[3];

    if (!number_triple(reader, row, number))
        return;
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

/*
 * A fact that the source has twice counts once, also in the sizes that defaults follow from. The
 * graph finds the triples in the order that it needs.
 */
static void
sort_triples(const MetasdInput *input, MetasdBudget *budget, MetasdTriple *list, size_t *n)
{
    MetasdTeam team = metasd_interruptible_team();
    uint32 entities = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations);
    Size triples = (Size)*n * sizeof(MetasdTriple);
    Size numbers = ((Size)Max(entities, relations) + 1) * sizeof(size_t);
    MetasdTriple *scratch;
    size_t *counts;

    metasd_budget_take(budget, triples + numbers);
    scratch = palloc_extended(triples, MCXT_ALLOC_HUGE);
    counts = palloc_extended(numbers, MCXT_ALLOC_HUGE);

    (void)metasd_graph_sort_triples(&team, list, n, scratch, counts, entities, relations);
    pfree(scratch);
    pfree(counts);
    metasd_budget_give(budget, triples + numbers);
}

static int
compare_triples(const MetasdTriple *a, const MetasdTriple *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    if (a->relation != b->relation)
        return a->relation < b->relation ? -1 : 1;
    return a->tail < b->tail ? -1 : a->tail > b->tail;
}

/*
 * A model from elsewhere was not trained on its validation facts, also where the source has them.
 * Both lists are sorted.
 */
static void
remove_validation(MetasdInput *input, MetasdBudget *budget, const MetasdSource *source)
{
    size_t kept = 0, v = 0;

    sort_triples(input, budget, input->validation, &input->validation_count);
    for (size_t i = 0; i < input->count; i++) {
        const MetasdTriple *triple = &input->triples[i];

        while (v < input->validation_count && compare_triples(&input->validation[v], triple) < 0)
            v++;
        if (v == input->validation_count || compare_triples(&input->validation[v], triple) != 0)
            input->triples[kept++] = *triple;
        CHECK_FOR_INTERRUPTS();
    }
    input->count = kept;
    if (kept == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("all triples of source \"%s\" are facts of the validation source",
                               source->name),
                        errhint("Name as the source the facts that the model was trained on.")));
}

/* An error unless there are triples. */
static void
check_triples(const MetasdInput *input, const MetasdSource *source)
{
    if (input->count == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("source \"%s\" has no triples", source->name),
                        errhint("Rows with a null or empty identifier do not count.")));
}

void
metasd_input_read(MetasdInput *input, const MetasdSource *source, const MetasdSource *validation,
                  Oid user, int train_mem, const char *setting, MetasdImport *import,
                  const MetasdFamily *family)
{
    Budget *own = palloc0(sizeof(*own));
    Reader reader = {
        .budget = &own->budget, .input = input, .context = CurrentMemoryContext, .import = import};
    uint32 *entity, *relation;

    memset(input, 0, sizeof(*input));
    own->budget = (MetasdBudget){.most = (size_t)train_mem * 1024, .refuse = refuse_memory};
    own->input = input;
    own->setting = setting;
    own->import = import != NULL;
    input->entities = metasd_labelset_create(&own->budget);
    input->relations = metasd_labelset_create(&own->budget);
    if (import)
        metasd_import_read(import, user, family, &own->budget,
                           (MetasdLabelSet *const[]){input->entities, input->relations});
    input->skipped = metasd_source_read(source, user, add_triple, &reader);
    if (import)
        metasd_import_check_missing(import, source->name, input->count);
    check_triples(input, source);
    if (validation)
        input->skipped += metasd_source_read(validation, user, add_validation, &reader);
    entity = metasd_labelset_sort(input->entities);
    relation = metasd_labelset_sort(input->relations);
    rename_triples(input->triples, input->count, entity, relation);
    rename_triples(input->validation, input->validation_count, entity, relation);
    sort_triples(input, &own->budget, input->triples, &input->count);
    if (import) {
        metasd_import_number(import, (uint32 *const[]){entity, relation});
        if (input->validation_count > 0)
            remove_validation(input, &own->budget, source);
    } else {
        pfree(entity);
        pfree(relation);
    }
    input->questions = metasd_questions_estimate(input->triples, input->count);
    input->bytes = own->budget.taken;
}
