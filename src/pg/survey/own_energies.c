#include "pg/survey/own_energies.h"

#include "executor/spi.h"

#include "core/serve/own_pull.h"
#include "pg/serve/known.h"
#include "pg/source/source.h"
#include "pg/survey/sorted_facts.h"
#include "pg/survey/unseen.h"

/*
 * Facts are sorted as questions are: the row is what they share. Below N that is an entity; then
 * come its relation row and the other entity. From N on it is a relation, then head and tail.
 */
typedef struct Reading {
    const MetasdQuestion *question;
    double unseen;
    MetasdSortedFacts *facts;
} Reading;

Size
metasd_own_energies_bytes(const MetasdImage *image)
{
    const MetasdImagePlan *plan = &image->plan;

    if ((uint64)plan->entities + 2 * (uint64)plan->relations >= METASD_ANY)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("the model has too many entities and relations")));
    return mul_size((Size)plan->entities + 2 * (Size)plan->relations, plan->width);
}

/* ---- reading ---- */

static void
keep_fact(void *context, const MetasdTripleLabels *row)
{
    const Reading *reading = context;
    const MetasdImagePlan *plan = &reading->question->image->plan;
    uint32 given[2], head, relation, tail;

    if (!metasd_known_numbers(reading->question, METASD_ASKED_TAIL, row, given, &tail))
        return;
    head = given[0];
    relation = given[1];
    metasd_sorted_facts_add(
        reading->facts, &(MetasdAnsweredQuestion){.row = head, .entity = relation, .answer = tail});
    metasd_sorted_facts_add(reading->facts,
                            &(MetasdAnsweredQuestion){
                                .row = tail, .entity = relation + plan->relations, .answer = head});
    metasd_sorted_facts_add(reading->facts,
                            &(MetasdAnsweredQuestion){
                                .row = plan->entities + relation, .entity = head, .answer = tail});
}

static void
read_facts(const Reading *reading)
{
    const MetasdModel *model = reading->question->model;
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);

    SPI_connect();
    (void)metasd_source_read(source, model->owner, keep_fact, (void *)reading);
    SPI_finish();
    metasd_sorted_facts_sort(reading->facts);
}

/* ---- energies ---- */

/* The energies of what facts share: of an entity, or of a relation and of its reciprocal. */
typedef struct Shared {
    const MetasdImage *image;
    uint32 number; /* of the entity, or N + that of the relation; METASD_ANY: none yet */
    double *energy[2];
    uint8 *codes; /* of all rows */
} Shared;

static void
write_row(const Shared *shared, Size row, const double *energy)
{
    uint32 width = shared->image->plan.width;

    metasd_own_pull_encode(width, energy, shared->codes + row * width);
}

/* Writes the energies of what has been shared so far, and begins with another. */
static void
share(Shared *shared, uint32 number)
{
    const MetasdImagePlan *plan = &shared->image->plan;

    if (shared->number != METASD_ANY)
        write_row(shared, shared->number, shared->energy[0]);
    if (shared->number != METASD_ANY && shared->number >= plan->entities)
        write_row(shared, (Size)shared->number + plan->relations, shared->energy[1]);
    shared->number = number;
    for (int i = 0; i < 2; i++)
        memset(shared->energy[i], 0, plan->width * sizeof(double));
}

/* The fact of a sorted row. */
static void
find_fact(const MetasdImagePlan *plan, const MetasdAnsweredQuestion *one, uint32 id[3])
{
    bool relation = one->row >= plan->entities;
    bool is_tail = !relation && one->entity >= plan->relations;

    id[0] = relation ? one->entity : is_tail ? one->answer : one->row;
    id[1] = relation ? one->row - plan->entities : one->entity - (is_tail ? plan->relations : 0);
    id[2] = is_tail ? one->row : one->answer;
}

static void
add_fact(Shared *shared, MetasdOwnPull *own, const MetasdAnsweredQuestion *one, const uint32 id[3])
{
    metasd_own_pull_read(own, id[0], id[1], id[2]);
    if (one->row >= shared->image->plan.entities) {
        metasd_own_pull_add_energy(own, METASD_PULL_RELATION, shared->energy[0]);
        metasd_own_pull_add_energy(own, METASD_PULL_RECIPROCAL, shared->energy[1]);
    } else
        metasd_own_pull_add_energy(
            own, one->entity < shared->image->plan.relations ? METASD_PULL_HEAD : METASD_PULL_TAIL,
            shared->energy[0]);
}

void
metasd_own_energies_fill(const MetasdQuestion *question, double unseen, uint8 *energies,
                         uint64 *counts)
{
    const MetasdImagePlan *plan = &question->image->plan;
    Reading reading = {
        .question = question, .unseen = unseen, .facts = metasd_sorted_facts_create()};
    Shared shared = {.image = question->image, .number = METASD_ANY, .codes = energies};
    MetasdAnsweredQuestion one;
    MetasdOwnPull own;
    uint32 id[3];

    for (int i = 0; i < 2; i++)
        shared.energy[i] = palloc(plan->width * sizeof(double));
    metasd_own_pull_start(&own, question->image, NULL, METASD_OWN_STEP,
                          palloc(metasd_own_pull_bytes(plan->width)));
    memset(energies, 0, metasd_own_energies_bytes(question->image));
    memset(counts, 0, plan->relations * sizeof(*counts));
    read_facts(&reading);
    while (metasd_sorted_facts_next(reading.facts, &one)) {
        if (one.row != shared.number)
            share(&shared, one.row);
        find_fact(plan, &one, id);
        if (one.row >= plan->entities)
            counts[id[1]]++;
        if (!metasd_unseen_is(question->image, unseen, id))
            add_fact(&shared, &own, &one, id);
    }
    share(&shared, METASD_ANY);
    metasd_sorted_facts_end(reading.facts);
}
