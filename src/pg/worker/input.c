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

/* Does the training need the triple, as the only one left of an entity or relation? */
static bool
is_needed(const MetasdTriple *triple, const uint32 *entity_degree, const uint32 *relation_count)
{
    return entity_degree[triple->head] < 2 || entity_degree[triple->tail] < 2 ||
           relation_count[triple->relation] < 2;
}

static void
count_triple(const MetasdTriple *triple, uint32 *entity_degree, uint32 *relation_count, int32 by)
{
    entity_degree[triple->head] += by;
    if (triple->tail != triple->head)
        entity_degree[triple->tail] += by;
    relation_count[triple->relation] += by;
}

static uint32 *
create_counts(uint32 n)
{
    return palloc_extended((Size)Max(n, 1) * sizeof(uint32), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* An error: the source has no triples but those of the validation source. */
static void
refuse_all_validation(const MetasdSource *source, bool import)
{
    ereport(
        ERROR,
        (errcode(ERRCODE_NO_DATA_FOUND),
         errmsg("all triples of source \"%s\" are facts of the validation source", source->name),
         errdetail("Facts that validate a model are none that it is trained on."),
         import ? errhint("Name as the source the facts that the model was trained on.")
                : errhint("Name another validation source, or none: validation => '-'.")));
}

/*
 * Facts that validate are none to train on, also where the source has them. Both lists are sorted.
 * A training keeps those that are the only ones of an entity or relation: these do not validate. A
 * model from elsewhere needs none of them. Returns how many validation facts are left.
 */
static size_t
remove_validation(MetasdInput *input, MetasdBudget *budget, const MetasdSource *source, bool import)
{
    uint32 entities = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations);
    Size counts = ((Size)entities + relations) * sizeof(uint32);
    uint32 *entity_degree, *relation_count;
    size_t kept = 0, v = 0, common = 0, needed = 0;

    sort_triples(input, budget, input->validation, &input->validation_count);
    metasd_budget_take(budget, counts);
    entity_degree = create_counts(entities);
    relation_count = create_counts(relations);
    for (size_t i = 0; i < input->count; i++)
        count_triple(&input->triples[i], entity_degree, relation_count, 1);
    for (size_t i = 0; i < input->count; i++) {
        const MetasdTriple *triple = &input->triples[i];
        bool keep = true;

        while (v < input->validation_count && compare_triples(&input->validation[v], triple) < 0)
            v++;
        if (v < input->validation_count && compare_triples(&input->validation[v], triple) == 0) {
            keep = !import && is_needed(triple, entity_degree, relation_count);
            common++;
            needed += keep;
        }
        if (keep)
            input->triples[kept++] = *triple;
        else
            count_triple(triple, entity_degree, relation_count, -1);
        CHECK_FOR_INTERRUPTS();
    }
    pfree(entity_degree);
    pfree(relation_count);
    metasd_budget_give(budget, counts);
    if (common == input->count)
        refuse_all_validation(source, import);
    input->count = kept;
    return input->validation_count - needed;
}

/* An error unless there are triples. */
static void
check_triples(const MetasdInput *input, const MetasdSource *source)
{
    if (input->count > 0)
        return;
    ereport(
        ERROR,
        (errcode(ERRCODE_NO_DATA_FOUND), errmsg("source \"%s\" has no triples", source->name),
         input->skipped > 0
             ? errdetail_plural("It has %llu row, with a null or empty identifier.",
                                "It has %llu rows, each with a null or empty identifier.",
                                (unsigned long)input->skipped, (unsigned long long)input->skipped)
             : errdetail("It has no rows."),
         errhint("Each of \"%s\", \"%s\" and \"%s\" needs a value that is not empty.",
                 source->column[0], source->column[1], source->column[2])));
}

/* Why no fact of a validation source is left; SKIPPED of its rows are not whole. */
static int
detail_validation(const MetasdInput *input, uint64 skipped, const MetasdSource *source, bool import)
{
    unsigned long unknown = (unsigned long)input->unknown;

    if (input->validation_count > 0)
        return errdetail("Each is the only one of an entity or relation in source \"%s\", so that "
                         "the training needs it.",
                         source->name);
    if (unknown > 0 && import)
        return errdetail_plural(
            "%lu row has an entity or relation of which there is no embedding.",
            "%lu rows have an entity or relation of which there is no embedding.", unknown,
            unknown);
    if (unknown > 0)
        return errdetail_plural(
            "%lu row has an entity or relation that source \"%s\" does not have.",
            "%lu rows have an entity or relation that source \"%s\" does not have.", unknown,
            unknown, source->name);
    if (skipped > 0)
        return errdetail_plural("It has %llu row, with a null or empty identifier.",
                                "It has %llu rows, each with a null or empty identifier.",
                                (unsigned long)skipped, (unsigned long long)skipped);
    return errdetail("It has no rows.");
}

/* An error unless validation facts are left. */
static void
check_validation(const MetasdInput *input, size_t left, uint64 skipped, const MetasdSource *source,
                 const MetasdSource *validation, bool import)
{
    if (left > 0)
        return;
    ereport(ERROR,
            (errcode(ERRCODE_NO_DATA_FOUND),
             errmsg("no fact of validation source \"%s\" can be ranked", validation->name),
             detail_validation(input, skipped, source, import),
             import ? errhint("Name another validation source, or none.")
                    : errhint("Name another validation source, or none: validation => '-'.")));
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
    uint64 skipped = 0;
    size_t left = 0;

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
        skipped = metasd_source_read(validation, user, add_validation, &reader);
    input->skipped += skipped;
    entity = metasd_labelset_sort(input->entities);
    relation = metasd_labelset_sort(input->relations);
    rename_triples(input->triples, input->count, entity, relation);
    rename_triples(input->validation, input->validation_count, entity, relation);
    sort_triples(input, &own->budget, input->triples, &input->count);
    if (import) {
        metasd_import_number(import, (uint32 *const[]){entity, relation});
    } else {
        pfree(entity);
        pfree(relation);
    }
    if (input->validation_count > 0)
        left = remove_validation(input, &own->budget, source, import != NULL);
    if (validation)
        check_validation(input, left, skipped, source, validation, import != NULL);
    input->questions = metasd_questions_estimate(input->triples, input->count);
    input->bytes = own->budget.taken;
}
