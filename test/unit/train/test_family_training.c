/*
 * Every family trains as it should: each gradient of a whole step, the quiz's second-order one
 * included, is the numerical derivative of losses that are written down here again, in double, as
 * doc/method.md defines them and without a query vector; and each learns a small graph.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"
#include "trainings.h"

#define ENTITIES 6
#define RELATION_ROWS 4
#define ROWS (ENTITIES + RELATION_ROWS)
#define MOST_WIDTH 4
#define MOST_FLOATS (ROWS * MOST_WIDTH)
#define MOVE 1e-4 /* of a weight, to either side */
#define TOLERANCE 1e-4

/* Groups of several and of one, a self-loop, an entity that is head and tail of others. */
static const MetasdTriple triples[] = {{0, 0, 1}, {0, 0, 2}, {1, 2, 0}, {2, 2, 0},
                                       {3, 1, 3}, {3, 3, 4}, {5, 1, 0}, {0, 0, 4}};
static const MetasdTriple questions[] = {{1, 0, 3}, {3, 2, 1}, {0, 1, 5}};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* A step, and what it is compared with. */
typedef struct Trial {
    MetasdState state;
    MetasdStepOptions options;
    MetasdStepContext context;
    size_t floats;
    double full[MOST_FLOATS], student[MOST_FLOATS]; /* tables when a gradient was taken */
    double mask[MOST_FLOATS];
    MetasdLosses wanted;
    int compared;
} Trial;

typedef double (*Loss)(const Trial *trial, const double *table);

/* ---- the losses again ---- */

static double
score(const Trial *trial, const double *table, uint32_t h, uint32_t r, uint32_t t)
{
    size_t width = trial->state.width;

    return tools_score(trial->state.family, width, table + h * width,
                       table + (ENTITIES + r) * width, table + t * width);
}

static double
log_sum_exp(const double *z, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += exp(z[i]);
    return log(sum);
}

static double
tail_loss(const Trial *trial, const double *table, const MetasdTriple *list, size_t n)
{
    double z[ENTITIES], sum = 0;

    for (const MetasdTriple *x = list; x < list + n; x++) {
        for (uint32_t e = 0; e < ENTITIES; e++)
            z[e] = score(trial, table, x->head, x->relation, e);
        sum += log_sum_exp(z, ENTITIES) - z[x->tail];
    }
    return sum / (double)n;
}

static double
relation_loss(const Trial *trial, const double *table)
{
    double z[RELATION_ROWS], sum = 0;

    for (const MetasdTriple *x = triples; x < triples + COUNT(triples); x++) {
        for (uint32_t r = 0; r < RELATION_ROWS; r++)
            z[r] = score(trial, table, x->head, r, x->tail);
        sum += log_sum_exp(z, RELATION_ROWS) - z[x->relation];
    }
    return sum / (double)COUNT(triples);
}

static double
reg_loss(const Trial *trial, const double *table)
{
    size_t width = trial->state.width;
    double sum = 0;

    for (const MetasdTriple *x = triples; x < triples + COUNT(triples); x++)
        sum += tools_regularizer(trial->options.regularizer, trial->state.family, width,
                                 table + x->head * width, table + (ENTITIES + x->relation) * width,
                                 table + x->tail * width);
    return (double)trial->options.reg / (double)COUNT(triples) * sum;
}

/* Mean KL(p || q) at the temperature, p and q by the scores of two tables. */
static double
divergence(const Trial *trial, const double *of_p, const double *of_q)
{
    double a[ENTITIES], b[ENTITIES], sum = 0;

    for (const MetasdTriple *x = triples; x < triples + COUNT(triples); x++) {
        double log_p, log_q;

        for (uint32_t e = 0; e < ENTITIES; e++) {
            a[e] = score(trial, of_p, x->head, x->relation, e) / (double)trial->options.tau;
            b[e] = score(trial, of_q, x->head, x->relation, e) / (double)trial->options.tau;
        }
        log_p = log_sum_exp(a, ENTITIES);
        log_q = log_sum_exp(b, ENTITIES);
        for (int e = 0; e < ENTITIES; e++)
            sum += exp(a[e] - log_p) * (a[e] - log_p - b[e] + log_q);
    }
    return sum / (double)COUNT(triples);
}

/* The divergences of full model T and student S, KL(T || S) with the weight that comes first. */
static double
guidance(const Trial *trial, const double *full, const double *student, double first, double second)
{
    return first * divergence(trial, full, student) + second * divergence(trial, student, full);
}

static double
task_loss(const Trial *trial, const double *table)
{
    return tail_loss(trial, table, triples, COUNT(triples)) +
           (double)trial->options.relation_weight * relation_loss(trial, table) +
           reg_loss(trial, table);
}

/* Stage 1, by the student's weights. */
static double
trial_loss(const Trial *trial, const double *table)
{
    return tail_loss(trial, table, triples, COUNT(triples)) + reg_loss(trial, table) +
           guidance(trial, trial->full, table, (double)trial->options.kl_forward,
                    (double)trial->options.kl_reverse);
}

static void
differentiate(const Trial *trial, Loss loss, const double *at, double *derivative)
{
    double table[MOST_FLOATS], above;

    memcpy(table, at, sizeof(table));
    for (size_t i = 0; i < trial->floats; i++) {
        table[i] = at[i] + MOVE;
        above = loss(trial, table);
        table[i] = at[i] - MOVE;
        derivative[i] = (above - loss(trial, table)) / (2 * MOVE);
        table[i] = at[i];
    }
}

/*
 * Stage 2: the loss of the quiz after the trial step, by the full model's weights, on which that
 * depends.
 */
static double
quiz_loss(const Trial *trial, const double *table)
{
    Trial moved = *trial;
    double derivative[MOST_FLOATS];

    memcpy(moved.full, table, sizeof(moved.full));
    differentiate(&moved, trial_loss, trial->student, derivative);
    for (size_t i = 0; i < trial->floats; i++)
        moved.student[i] -= (double)trial->options.student_lr * trial->mask[i] * derivative[i];
    return tail_loss(&moved, moved.student, questions, COUNT(questions));
}

/* Stage 3: of the full model, with the student constant; and of the student. */
static double
mutual_full_loss(const Trial *trial, const double *table)
{
    return task_loss(trial, table) + guidance(trial, table, trial->student,
                                              (double)trial->options.kl_forward,
                                              (double)trial->options.kl_reverse);
}

static double
mutual_student_loss(const Trial *trial, const double *table)
{
    return task_loss(trial, table) + guidance(trial, trial->full, table,
                                              (double)trial->options.kl_reverse,
                                              (double)trial->options.kl_forward);
}

/* ---- against the step's ---- */

/* Compares plain + mask x masked (either may be NULL) with wanted. */
static void
compare(Trial *trial, const char *what, const float *plain, const float *masked,
        const double *wanted)
{
    double ours[MOST_FLOATS], apart;

    for (size_t i = 0; i < trial->floats; i++)
        ours[i] = (plain ? (double)plain[i] : 0) +
                  (masked && trial->state.mask[i] ? (double)masked[i] : 0);
    apart = tools_distance(ours, wanted, trial->floats);
    if (!(apart <= TOLERANCE))
        fail_msg("%s, regulariser %d, %s: error %g", trial->state.family->name,
                 (int)trial->options.regularizer, what, apart);
    trial->compared++;
}

static void
look(void *context, MetasdStage stage)
{
    Trial *trial = context;
    const MetasdState *state = &trial->state;
    double wanted[MOST_FLOATS], of_student[MOST_FLOATS];

    for (size_t i = 0; i < trial->floats; i++) {
        trial->full[i] = state->weights[i];
        trial->student[i] = state->student[i];
        trial->mask[i] = state->mask[i];
    }
    if (stage == METASD_FULL_GRADIENT) {
        trial->wanted.full = task_loss(trial, trial->full);
        differentiate(trial, task_loss, trial->full, wanted);
        compare(trial, "full model", state->gradient, NULL, wanted);
    } else if (stage == METASD_TRIAL_GRADIENT) {
        trial->wanted.trial = trial_loss(trial, trial->student);
        differentiate(trial, trial_loss, trial->student, wanted);
        for (size_t i = 0; i < trial->floats; i++)
            wanted[i] *= trial->mask[i];
        compare(trial, "trial", NULL, state->masked_gradient, wanted);
    } else if (stage == METASD_QUIZ_FULL_GRADIENT) {
        trial->wanted.quiz = quiz_loss(trial, trial->full);
        differentiate(trial, quiz_loss, trial->full, wanted);
        compare(trial, "quiz", state->gradient, NULL, wanted);
    } else if (stage == METASD_MUTUAL_GRADIENT) {
        trial->wanted.mutual_full = mutual_full_loss(trial, trial->full);
        trial->wanted.mutual_student = mutual_student_loss(trial, trial->student);
        differentiate(trial, mutual_full_loss, trial->full, wanted);
        differentiate(trial, mutual_student_loss, trial->student, of_student);
        for (size_t i = 0; i < trial->floats; i++)
            wanted[i] += trial->mask[i] * of_student[i];
        compare(trial, "mutual", state->gradient, state->masked_gradient, wanted);
    }
}

static void
assert_close(double ours, double wanted)
{
    if (!(fabs(ours - wanted) <= TOLERANCE * fabs(wanted)))
        fail_msg("%.9g is not %.9g", ours, wanted);
}

static void
try_step(const MetasdFamily *family, MetasdRegularizer regularizer, bool sparse)
{
    Trial trial = {
        .state = {.entities = ENTITIES,
                  .relation_rows = RELATION_ROWS,
                  .width = family == &metasd_family_distmult ? 3 : MOST_WIDTH, /* odd, too */
                  .family = family,
                  .size = {.batch = COUNT(triples),
                           .has_student = true,
                           .has_quiz = true,
                           .most_density = sparse ? 1 : 0,
                           .whole_from = 0.6}},
        .context = {.observe = look},
        .options = {.lr = 0.1f,
                    .student_lr = 0.5f,
                    .quiz_lr = 1e-2f,
                    .reg = 0.3f,
                    .relation_weight = 0.7f,
                    .tau = 2,
                    .kl_forward = 3,
                    .kl_reverse = 2,
                    .regularizer = regularizer,
                    .quiz = true,
                    .mutual = true}};
    MetasdTeam team = metasd_team_of_one();
    MetasdPruner pruner = {.bins = NULL};
    MetasdBatch batch, quiz;
    MetasdLosses losses;
    MetasdPruned pruned;
    void *memory[4];

    trial.context.observer = &trial;
    memory[0] = tools_state_take(&trial.state, 1, METASD_TILE * ENTITIES);
    memory[1] = tools_batch(&batch, triples, COUNT(triples), true);
    memory[2] = tools_batch(&quiz, questions, COUNT(questions), true);
    memory[3] = tools_pruner_take(&pruner, &trial.state, 1);
    trial.floats = tools_table_floats(&trial.state);
    assert_int_equal(metasd_state_init(&trial.state, &team, 3, 0.7f), METASD_OK);
    assert_int_equal(metasd_prune_mask(&pruner, &trial.state, &team, 0.4, &pruned), METASD_OK);
    assert_int_equal(trial.state.sparse[0], sparse);
    assert_int_equal(
        metasd_step(&trial.state, &team, &trial.options, &trial.context, &batch, &quiz, &losses),
        METASD_OK);
    assert_int_equal(trial.compared, 4);
    assert_close(losses.full, trial.wanted.full);
    assert_close(losses.trial, trial.wanted.trial);
    assert_close(losses.quiz, trial.wanted.quiz);
    assert_close(losses.mutual_full, trial.wanted.mutual_full);
    assert_close(losses.mutual_student, trial.wanted.mutual_student);
    for (int i = 0; i < 4; i++)
        free(memory[i]);
}

static void
gradients_of_a_step_are_derivatives(void **state)
{
    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++)
        for (int kind = METASD_DURA; kind <= METASD_N3; kind++)
            for (int sparse = tools_quick(); sparse < 2; sparse++)
                try_step(tools_families[f], (MetasdRegularizer)kind, sparse);
}

/* ---- trainings ---- */

/*
 * 36 members of 6 clubs and 24 places: relation 0 joins what belongs to one club, relation 1 all
 * members of a club to all places of the next. Unlike in trainings_clubs, no entity is head and
 * tail of a relation with a direction, which DistMult could not learn.
 */
static World
places(void)
{
    static MetasdTriple list[60 * 60];
    size_t n = 0;

    for (uint32_t h = 0; h < 60; h++)
        for (uint32_t t = 0; t < 60; t++) {
            if (h % 6 == t % 6)
                list[n++] = (MetasdTriple){h, 0, t};
            if (h < 36 && t >= 36 && (h + 1) % 6 == t % 6)
                list[n++] = (MetasdTriple){h, 1, t};
        }
    return trainings_world(list, n, 60, 2, 0.1, 0.02);
}

static void
check_learns(const World *world, const MetasdFamily *family)
{
    MetasdTrainOptions options = trainings_options();
    Training *training;

    options.family = family;
    options.rank = family->reals_per_rank == 1 ? 16 : 8;
    training = trainings_done(world, options);
    if (!(trainings_mrr(&training->best.student) > 0.9))
        fail_msg("MRR of the pruned model of family %s is %g", family->name,
                 trainings_mrr(&training->best.student));
    for (size_t i = 0; i < trainings_floats(training); i++)
        assert_true(isfinite(training->trainer[0].best[i]));
    trainings_unmake(training);
}

/* What follows from the rest is found by the pruned model, whatever the family. */
static void
every_family_learns(void **state)
{
    World world = places();

    (void)state;
    for (int f = tools_quick(); f < TOOLS_FAMILIES; f++) /* the first is that of other tests */
        check_learns(&world, tools_families[f]);
    free(world.memory);
}

/* The same bits from any team, as of the first family, which other tests use. */
static void
teams_train_every_family_alike(void **state)
{
    World world = trainings_noise();

    (void)state;
    for (int f = 1; f < (tools_quick() ? 2 : TOOLS_FAMILIES); f++) {
        MetasdTrainOptions options = trainings_short_options();
        Training *single, *together;

        options.family = tools_families[f];
        single = trainings_done(&world, options);
        together = trainings_make(&world, options);
        assert_int_equal(trainings_run(together, TRAININGS_MOST_TEAM), METASD_OK);
        trainings_assert_same(single, together);
        trainings_unmake(single);
        trainings_unmake(together);
    }
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_step_are_derivatives),
        cmocka_unit_test(every_family_learns),
        cmocka_unit_test(teams_train_every_family_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
