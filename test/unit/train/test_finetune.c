/* The student that learns alone is a model of its own: what it keeps changes as if it were all. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "student.h"
#include "tools.h"
#include "trainings.h"

static MetasdStepOptions
options_of(bool alone)
{
    return (MetasdStepOptions){
        .lr = 0.1f, .reg = 0.05f, .relation_weight = 0.5f, .tau = 3, .alone = alone};
}

static double
take_step(Student *m, const MetasdBatch *batch, bool alone)
{
    MetasdStepOptions options = options_of(alone);
    MetasdLosses losses;

    assert_int_equal(metasd_step(&m->step, &m->team, &options, batch, NULL, &losses), METASD_OK);
    return alone ? losses.mutual_student : losses.source;
}

typedef enum Products { DENSE, SPARSE, HELD, KINDS } Products;

/* A student that has been pruned and begins to learn alone; of an epoch only where it is HELD. */
static Student
begin_alone(Products products)
{
    Student student = student_make(true, products != DENSE);

    student_prune(&student, 0.8);
    assert_int_equal(student.step.sparse[0], products != DENSE);
    if (products != DENSE)
        assert_in_range(student.step.patterns[0].whole, 1, STUDENT_WIDTH - 1);
    if (products == HELD)
        assert_int_equal(metasd_finetune_begin(&student.step, &student.team), METASD_OK);
    assert_int_equal(student.step.held.values != NULL, products == HELD);
    return student;
}

static void
end_alone(Student *student)
{
    assert_int_equal(metasd_finetune_end(&student->step, &student->team), METASD_OK);
    assert_null(student->step.held.values);
}

/* A batch that names some of the entities, others for another `salt`. */
static void *
make_batch(MetasdBatch *batch, uint32_t salt)
{
    MetasdTriple triples[STUDENT_EXAMPLES];

    for (uint32_t i = 0; i < STUDENT_EXAMPLES; i++)
        triples[i] = (MetasdTriple){(i * 37 + salt) % STUDENT_ENTITIES, i % STUDENT_RELATION_ROWS,
                                    (i * i + 3 * salt) % STUDENT_ENTITIES};
    return tools_batch(batch, triples, STUDENT_EXAMPLES, true);
}

static void
learns_as_a_model_of_its_own(void **state)
{
    MetasdBatch batch;
    void *memory = make_batch(&batch, 0);

    (void)state;
    for (Products products = DENSE; products < KINDS; products++) {
        Student pruned = begin_alone(products), whole = student_make(false, false);
        size_t n = tools_table_floats(&pruned.step);
        float *before = tools_alloc(n * sizeof(*before));

        memcpy(before, pruned.step.weights, n * sizeof(*before));
        memcpy(whole.step.weights, pruned.step.student, n * sizeof(*before));
        assert_true(fabs(take_step(&pruned, &batch, true) - take_step(&whole, &batch, false)) <
                    1e-5);
        end_alone(&pruned);
        for (size_t i = 0; i < n; i++) {
            float wanted = pruned.step.mask[i] ? whole.step.weights[i] : before[i];

            if (!(fabsf(pruned.step.weights[i] - wanted) < 1e-4f))
                fail_msg("weight %zu: %g is not %g", i, (double)pruned.step.weights[i],
                         (double)wanted);
            assert_true(pruned.step.student[i] ==
                        (pruned.step.mask[i] ? pruned.step.weights[i] : 0.0f));
        }
        free(before);
        free(pruned.memory);
        free(whole.memory);
    }
    free(memory);
}

/*
 * Batch after batch: what is not named waits for its turn, and learns what it is not the answer to.
 */
static void
check_held(Student *held, Student *sparse)
{
    size_t n = tools_table_floats(&sparse->step);

    assert_int_equal(metasd_finetune_begin(&held->step, &held->team), METASD_OK);
    assert_non_null(held->step.held.values);
    for (uint32_t i = 0; i < 5; i++) {
        MetasdBatch batch;
        void *memory = make_batch(&batch, i % 3);

        assert_true(fabs(take_step(sparse, &batch, true) - take_step(held, &batch, true)) < 1e-4);
        free(memory);
    }
    end_alone(held);
    for (size_t i = 0; i < n; i++) {
        assert_true(fabsf(held->step.weights[i] - sparse->step.weights[i]) < 1e-3f);
        assert_true(held->step.student[i] == (held->step.mask[i] ? held->step.weights[i] : 0.0f));
        assert_true(fabsf(held->step.sums[i] - sparse->step.sums[i]) < 1e-4f);
    }
    free(sparse->memory);
    free(held->memory);
}

static void
held_weights_learn_as_others_do(void **state)
{
    Student sparse = begin_alone(SPARSE), held = begin_alone(SPARSE);

    (void)state;
    assert_false(metasd_finetune_fits(&held.step));
    check_held(&held, &sparse);
}

/* Where it is known how few will be kept, they are held in a table that there is anyway. */
static void
few_weights_are_held_without_a_table_of_their_own(void **state)
{
    Student sparse = student_make(true, true);
    Student held = student_of(
        &(MetasdState){.guided = true, .most_density = 1, .whole_from = 0.5, .pruned = 0.84});

    (void)state;
    assert_true(metasd_finetune_fits(&held.step));
    student_prune(&held, 0.85);
    student_prune(&sparse, 0.85);
    assert_true(held.step.sparse[0]);
    check_held(&held, &sparse);

    held = student_of(
        &(MetasdState){.guided = true, .most_density = 1, .whole_from = 0.5, .pruned = 0.84});
    student_prune(&held, 0.8); /* more are kept than was said */
    assert_false(held.step.sparse[0]);
    free(held.memory);
}

/* In the last epochs mask and rest stay, and the rate falls. */
static void
last_epochs_finetune_the_student(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;
    const MetasdState *step;

    (void)state;
    options.finetune = 3;
    training = trainings_done(&world, options);
    step = &training->trainer[0].step;
    for (int i = 0; i < training->epochs; i++) {
        const MetasdEpoch *epoch = &training->epoch[i];
        int left = options.epochs - i;

        if (left > 3) {
            assert_true(fabs(epoch->lr - 0.1) < 1e-6);
            continue;
        }
        assert_true(fabs(epoch->lr - 0.1 * left / 4) < 1e-6);
        assert_true(epoch->pruned && fabs(epoch->sparsity - 0.5) < 1e-3);
        assert_true(epoch->came == 0 && epoch->went == 0);
        assert_true(epoch->losses.source == 0 && epoch->losses.mutual_student > 0);
    }
    for (size_t i = 0; i < trainings_floats(training); i++)
        if (!step->mask[i])
            assert_true(step->weights[i] == training->trainer[0].saved[0][i]);
    assert_true(trainings_mrr(&training->best.student) > 0.9);
    trainings_unmake(training);
    free(world.memory);
}

/* Without any lessons from the source, too: the sparsity rises while the student learns alone. */
static void
a_student_may_learn_alone_from_the_start(void **state)
{
    World world = trainings_clubs();

    (void)state;
    for (int sampled = 0; sampled < 2; sampled++) {
        MetasdTrainOptions options = trainings_options();
        Training *training;
        double before = 0;

        options.step.quiz = options.step.mutual = false;
        options.warmup = 4;
        options.ramp = 3;
        options.finetune = options.epochs;
        options.negatives = sampled ? 20 : 0;
        training = trainings_done(&world, options);
        for (int i = 0; i < training->epochs; i++) {
            const MetasdEpoch *epoch = &training->epoch[i];

            assert_int_equal(epoch->pruned, i >= options.warmup);
            assert_int_equal(epoch->alone, i >= options.warmup);
            assert_true(i < options.warmup || i >= options.warmup + options.ramp ||
                        epoch->sparsity > before);
            assert_true(i < options.warmup + options.ramp || epoch->came + epoch->went == 0);
            before = epoch->sparsity;
        }
        assert_true(fabs(before - 0.5) < 1e-3);
        assert_true(training->best.epoch >= options.warmup + options.ramp);
        assert_true(trainings_mrr(&training->best.student) > 0.8);
        trainings_unmake(training);
    }
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_as_a_model_of_its_own),
        cmocka_unit_test(held_weights_learn_as_others_do),
        cmocka_unit_test(few_weights_are_held_without_a_table_of_their_own),
        cmocka_unit_test(last_epochs_finetune_the_student),
        cmocka_unit_test(a_student_may_learn_alone_from_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
