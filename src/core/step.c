#include "step.h"

#include <math.h>
#include <string.h>

#include "adagrad.h"
#include "prune.h"
#include "random.h"
#include "regularizer.h"

/* Rows an elementwise pass over a table treats between two polls. */
#define POLL_FLOATS ((size_t)1 << 20)

/* ---- memory and starting values ---- */

static size_t
table_floats(const MetasdStep *step, MetasdArena *arena)
{
    size_t floats;

    if (__builtin_mul_overflow((size_t)step->entities + step->relation_rows, step->width, &floats))
        arena->overflowed = true;
    return floats;
}

void
metasd_step_take(MetasdStep *step, MetasdArena *arena, int members, size_t score_floats)
{
    size_t table = table_floats(step, arena), queries;
    size_t guided = step->guided ? table : 0;

    if (__builtin_mul_overflow(step->batch, step->width, &queries))
        arena->overflowed = true;
    step->entity_slices = metasd_slices(step->entities);
    step->relation_slices = metasd_slices(step->relation_rows);
    step->weights = METASD_TAKE(arena, float, table);
    step->sums = METASD_TAKE(arena, float, table);
    step->gradient = METASD_TAKE(arena, float, table);
    step->student = METASD_TAKE(arena, float, table);
    step->mask = METASD_TAKE(arena, uint8_t, table);
    step->meta_sums = METASD_TAKE(arena, float, guided);
    step->trial = METASD_TAKE(arena, float, guided);
    step->masked_gradient = METASD_TAKE(arena, float, guided);
    metasd_scores_take(&step->scores, arena, step->batch, step->width, score_floats,
                       &step->entity_slices, &step->relation_slices, step->guided);
    for (int i = 0; i < 2; i++) {
        step->query[i] = METASD_TAKE(arena, float, queries);
        step->dquery[i] = METASD_TAKE(arena, float, queries);
    }
    step->query_dot = METASD_TAKE(arena, float, step->guided ? queries : 0);
    step->guides = METASD_TAKE(arena, MetasdGuide, 2 * step->batch);
    step->row_loss = METASD_TAKE(arena, double, step->batch);
    step->each = METASD_TAKE(arena, size_t, step->batch + 1);
    step->example_relation = METASD_TAKE(arena, uint32_t, step->batch);
    step->scratch = METASD_TAKE(arena, float, (size_t)members * 2 * step->width);
}

void
metasd_step_own(const MetasdStep *step, const MetasdTeam *team, MetasdRun runs[2])
{
    uint32_t first, end;
    size_t entities = step->entities;

    metasd_team_rows(team, &step->entity_slices, &first, &end);
    runs[0] = (MetasdRun){first * step->width, end * step->width};
    metasd_team_rows(team, &step->relation_slices, &first, &end);
    runs[1] = (MetasdRun){(entities + first) * step->width, (entities + end) * step->width};
}

MetasdStatus
metasd_step_init(MetasdStep *step, MetasdTeam *team, uint64_t seed, float scale)
{
    MetasdRun runs[2];

    metasd_step_own(step, team, runs);
    for (int run = 0; run < 2; run++)
        for (size_t i = runs[run].first; i < runs[run].end; i++) {
            step->weights[i] = scale * (float)metasd_random_normal(seed, METASD_STREAM_WEIGHTS, i);
            step->student[i] = step->weights[i];
            step->sums[i] = 0;
            if (step->guided)
                step->meta_sums[i] = 0;
            step->mask[i] = 1;
            if (i % POLL_FLOATS == 0)
                METASD_TRY(team->poll(team));
        }
    return team->barrier(team);
}

MetasdStatus
metasd_step_prune(MetasdStep *step, MetasdTeam *team, double sparsity, uint64_t *bins, float *cut)
{
    size_t m = ((size_t)step->entities + step->relation_rows) * step->width;
    MetasdRun runs[2];

    metasd_step_own(step, team, runs);
    METASD_TRY(metasd_prune_cut(team, step->weights, m, runs, 2, sparsity, bins, cut));
    for (int run = 0; run < 2; run++)
        for (size_t i = runs[run].first; i < runs[run].end; i++) {
            step->mask[i] = fabsf(step->weights[i]) >= *cut;
            step->student[i] = step->mask[i] ? step->weights[i] : 0.0f;
        }
    return team->barrier(team);
}

/* ---- what the stages share ---- */

/* One call of a step: everything a stage needs. */
typedef struct Run {
    MetasdStep *step;
    MetasdTeam *team;
    const MetasdStepOptions *options;
    const MetasdBatch *batch;
    MetasdRun own[2];
} Run;

static const float *
relations_of(const MetasdStep *step, const float *table)
{
    return table + (size_t)step->entities * step->width;
}

static MetasdStatus
observe(const Run *run, MetasdStage stage)
{
    if (!run->step->observe)
        return METASD_OK;
    METASD_TRY(run->team->barrier(run->team));
    if (run->team->rank == 0)
        run->step->observe(run->step->observer, stage);
    return run->team->barrier(run->team);
}

static void
clear(const Run *run, float *table)
{
    for (int i = 0; i < 2; i++)
        memset(table + run->own[i].first, 0,
               (run->own[i].end - run->own[i].first) * sizeof(*table));
}

/* query[which] = the queries of all groups of a batch, from a table. */
static MetasdStatus
compose(const Run *run, const MetasdBatch *batch, const float *table, int which)
{
    const MetasdStep *step = run->step;
    size_t first, end, width = step->width;

    metasd_team_share(run->team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++)
        step->family->compose(width, table + batch->heads[g] * width,
                              relations_of(step, table) + batch->relations[g] * width,
                              step->query[which] + g * width);
    return run->team->barrier(run->team);
}

/* Sum of the targets' class weights, or their number; the tail loss is divided by it. */
static double
total_weight(const MetasdStep *step, const MetasdBatch *batch, size_t first, size_t end)
{
    double sum = 0;

    if (!step->class_weights)
        return (double)(end - first);
    for (size_t i = first; i < end; i++)
        sum += step->class_weights[batch->tails[i]];
    return sum;
}

static MetasdTargets
tail_targets(const Run *run, const MetasdBatch *batch, size_t first_group)
{
    return (MetasdTargets){.start = batch->start + first_group,
                           .ids = batch->tails,
                           .class_weights = run->step->class_weights,
                           .scale = (float)(1.0 / total_weight(run->step, batch, 0, batch->n))};
}

static MetasdPass
entity_pass(const Run *run, const MetasdBatch *batch, size_t first)
{
    size_t most =
        metasd_scores_rows(&run->step->scores, &run->step->entity_slices, run->step->batch);

    return (MetasdPass){.team = run->team,
                        .scores = &run->step->scores,
                        .slices = &run->step->entity_slices,
                        .width = run->step->width,
                        .rows = batch->groups - first < most ? batch->groups - first : most};
}

/* The tail loss of groups first .. first + rows - 1, from their sums and their targets' scores. */
static double
tail_loss(const Run *run, const MetasdBatch *batch, size_t first, size_t rows,
          const MetasdGuide *guides, bool of_student)
{
    const MetasdStep *step = run->step;
    const float *target = step->scores.target_scores[of_student];
    double loss = 0, scale = 1.0 / total_weight(step, batch, 0, batch->n);

    for (size_t g = first; g < first + rows; g++) {
        double lse = of_student ? guides[g].student.lse : guides[g].source.lse;

        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            double weight = step->class_weights ? step->class_weights[batch->tails[i]] : 1.0;

            loss += scale * weight * (lse - (double)target[i]);
        }
    }
    return loss;
}

/* Runs an elementwise gradient over the rows of this member's slices of block b. */
#define FOR_EACH_ROW(pass, body)                                                                   \
    do {                                                                                           \
        int first_, end_;                                                                          \
        metasd_team_slices((pass)->team, (pass)->slices, &first_, &end_);                          \
        for (int s = first_; s < end_; s++) {                                                      \
            for (size_t i = 0; i < (pass)->rows; i++)                                              \
                body;                                                                              \
            METASD_TRY((pass)->team->poll((pass)->team));                                          \
        }                                                                                          \
    } while (0)

static float *
panel_row(const MetasdPass *pass, int b, int s, size_t i, size_t *columns)
{
    float *panel = metasd_pass_panel(pass, b, s, columns);

    return panel + i * *columns;
}

/*
 * Carries dquery of all groups back to the heads and relations of a batch. Members add to
 * their own rows only, each in the order of the groups.
 */
static void
queries_back(const Run *run, const MetasdBatch *batch, const float *table, const float *dquery,
             float *gradient)
{
    const MetasdStep *step = run->step;
    size_t width = step->width, shift = (size_t)step->entities;
    const float *relations = relations_of(step, table);

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;

        if (h >= run->own[0].first && h < run->own[0].end)
            step->family->adjoint_head(width, relations + r, dquery + g * width, gradient + h);
        r += shift * width;
        if (r >= run->own[1].first && r < run->own[1].end)
            step->family->adjoint_relation(width, table + h, dquery + g * width, gradient + r);
    }
}

/* The unguided tail loss of a batch and its gradient, added to `gradient`; uses block b. */
static MetasdStatus
tail_stage(const Run *run, const MetasdBatch *batch, const float *table, float *gradient, int b,
           MetasdGuide *guides, double *loss)
{
    MetasdStep *step = run->step;

    *loss = 0;
    METASD_TRY(compose(run, batch, table, 0));
    for (size_t first = 0; first < batch->groups;) {
        MetasdPass pass = entity_pass(run, batch, first);
        MetasdTargets targets = tail_targets(run, batch, first);
        const float *queries = step->query[0] + first * step->width;

        METASD_TRY(metasd_pass_scores(&pass, b, queries, table));
        metasd_pass_keep_targets(&pass, b, 0, &targets);
        METASD_TRY(metasd_pass_sums(&pass, b, -1, 1.0f, guides + first));
        FOR_EACH_ROW(&pass, {
            size_t columns;
            float *row = panel_row(&pass, b, s, i, &columns);
            double weight =
                targets.scale * total_weight(step, batch, targets.start[i], targets.start[i + 1]);

            metasd_gradient_tail(columns, row, &guides[first + i].source, (float)weight);
        });
        metasd_pass_subtract_targets(&pass, b, &targets);
        METASD_TRY(metasd_pass_back(&pass, b, queries, table, gradient,
                                    step->dquery[0] + first * step->width));
        *loss += tail_loss(run, batch, first, pass.rows, guides, false);
        first += pass.rows;
    }
    queries_back(run, batch, table, step->dquery[0], gradient);
    return METASD_OK;
}

/* ---- the relation loss: each example's relation among all P, given head and tail ---- */

static MetasdStatus
relation_back(const Run *run, const float *table, const float *dquery, float *gradient)
{
    const MetasdStep *step = run->step;
    const MetasdBatch *batch = run->batch;
    size_t width = step->width;
    float *scratch = step->scratch + (size_t)run->team->rank * 2 * width;

    for (size_t i = 0; i < batch->n; i++) {
        size_t h = batch->heads[batch->group_of[i]] * width, t = batch->tails[i] * width;
        const float *dx = dquery + i * width;

        /* <x(h, t), r> = <compose(h, r), t>: the same form with dx in the relation's place. */
        if (h >= run->own[0].first && h < run->own[0].end)
            step->family->adjoint_head(width, dx, table + t, gradient + h);
        if (t >= run->own[0].first && t < run->own[0].end) {
            step->family->compose(width, table + h, dx, scratch);
            for (size_t j = 0; j < width; j++)
                gradient[t + j] += scratch[j];
        }
    }
    return METASD_OK;
}

static MetasdStatus
relation_queries(const Run *run, const float *table)
{
    const MetasdStep *step = run->step;
    const MetasdBatch *batch = run->batch;
    size_t width = step->width, first, end;

    metasd_team_share(run->team, batch->n, &first, &end);
    memset(step->query[0] + first * width, 0, (end - first) * width * sizeof(float));
    for (size_t i = first; i < end; i++)
        step->family->adjoint_relation(width, table + batch->heads[batch->group_of[i]] * width,
                                       table + batch->tails[i] * width, step->query[0] + i * width);
    return run->team->barrier(run->team);
}

/* The relation loss of the batch; its gradient times relation_weight is added. */
static MetasdStatus
relation_stage(const Run *run, const float *table, float *gradient, double *loss)
{
    MetasdStep *step = run->step;
    const MetasdBatch *batch = run->batch;
    MetasdGuide *guides = step->guides + step->batch;
    float weight = run->options->relation_weight / (float)batch->n;
    size_t relation_table = (size_t)step->entities * step->width;
    size_t most = metasd_scores_rows(&step->scores, &step->relation_slices, step->batch);

    *loss = 0;
    if (run->options->relation_weight == 0)
        return METASD_OK;
    METASD_TRY(relation_queries(run, table));
    for (size_t first = 0; first < batch->n;) {
        size_t rows = batch->n - first < most ? batch->n - first : most;
        MetasdPass pass = {.team = run->team,
                           .scores = &step->scores,
                           .slices = &step->relation_slices,
                           .width = step->width,
                           .rows = rows};
        MetasdTargets targets = {
            .start = step->each + first, .ids = step->example_relation, .scale = weight};
        const float *queries = step->query[0] + first * step->width;

        METASD_TRY(metasd_pass_scores(&pass, 0, queries, table + relation_table));
        metasd_pass_keep_targets(&pass, 0, 0, &targets);
        METASD_TRY(metasd_pass_sums(&pass, 0, -1, 1.0f, guides + first));
        FOR_EACH_ROW(&pass, {
            size_t columns;
            float *row = panel_row(&pass, 0, s, i, &columns);

            metasd_gradient_tail(columns, row, &guides[first + i].source, weight);
        });
        metasd_pass_subtract_targets(&pass, 0, &targets);
        METASD_TRY(metasd_pass_back(&pass, 0, queries, table + relation_table,
                                    gradient + relation_table,
                                    step->dquery[0] + first * step->width));
        for (size_t i = first; i < first + rows; i++)
            *loss += (guides[i].source.lse - (double)step->scores.target_scores[0][i]) /
                     (double)batch->n;
        first += rows;
    }
    return relation_back(run, table, step->dquery[0], gradient);
}

/* ---- the stages ---- */

static void
regularise(const Run *run, const float *table, float *gradient)
{
    metasd_regularizer_gradient(run->options->regularizer, run->step->width, run->batch, table,
                                relations_of(run->step, table),
                                run->options->reg / (float)run->batch->n, run->own,
                                (size_t)run->step->entities, gradient);
}

/* The regulariser's loss; every member computes its share of the groups, all sum them in order. */
static MetasdStatus
regularizer_loss(const Run *run, const float *table, double *loss)
{
    const MetasdStep *step = run->step;
    size_t first, end;

    metasd_team_share(run->team, run->batch->groups, &first, &end);
    metasd_regularizer_rows(run->options->regularizer, step->width, run->batch, table,
                            relations_of(step, table), first, end, step->row_loss);
    METASD_TRY(run->team->barrier(run->team));
    *loss = 0;
    for (size_t g = 0; g < run->batch->groups; g++)
        *loss += step->row_loss[g];
    *loss *= (double)run->options->reg / (double)run->batch->n;
    return run->team->barrier(run->team);
}

static MetasdStatus
check_finite(double loss)
{
    return isfinite(loss) ? METASD_OK : METASD_NON_FINITE;
}

/* An Adagrad step on this member's rows; the student follows. */
static MetasdStatus
descend(const Run *run, float *sums, const float *gradient, const float *masked_gradient, float lr)
{
    MetasdStep *step = run->step;

    for (int i = 0; i < 2; i++)
        for (size_t at = run->own[i].first; at < run->own[i].end; at += POLL_FLOATS) {
            size_t n = run->own[i].end - at < POLL_FLOATS ? run->own[i].end - at : POLL_FLOATS;

            metasd_adagrad(n, step->weights + at, sums + at, gradient + at,
                           masked_gradient ? masked_gradient + at : NULL, step->mask + at, lr,
                           step->student + at);
            METASD_TRY(run->team->poll(run->team));
        }
    return run->team->barrier(run->team);
}

static MetasdStatus
source_stage(const Run *run, MetasdLosses *losses)
{
    MetasdStep *step = run->step;

    clear(run, step->gradient);
    METASD_TRY(
        tail_stage(run, run->batch, step->weights, step->gradient, 0, step->guides, &losses->tail));
    METASD_TRY(relation_stage(run, step->weights, step->gradient, &losses->relation));
    METASD_TRY(regularizer_loss(run, step->weights, &losses->reg));
    regularise(run, step->weights, step->gradient);
    losses->source = losses->tail + run->options->relation_weight * losses->relation + losses->reg;
    METASD_TRY(check_finite(losses->source));
    METASD_TRY(observe(run, METASD_SOURCE_GRADIENT));
    METASD_TRY(run->team->barrier(run->team));
    METASD_TRY(descend(run, step->sums, step->gradient, NULL, run->options->lr));
    return observe(run, METASD_SOURCE_DONE);
}

/* Scores of source and student for a block of the batch, and the sums that guide each other. */
static MetasdStatus
guided_scores(const Run *run, const MetasdPass *pass, size_t first, bool sums)
{
    MetasdStep *step = run->step;
    MetasdTargets targets = tail_targets(run, run->batch, first);
    size_t at = first * step->width;

    METASD_TRY(metasd_pass_scores(pass, 0, step->query[0] + at, step->weights));
    METASD_TRY(metasd_pass_scores(pass, 1, step->query[1] + at, step->student));
    if (!sums)
        return METASD_OK;
    metasd_pass_keep_targets(pass, 0, 0, &targets);
    metasd_pass_keep_targets(pass, 1, 1, &targets);
    return metasd_pass_sums(pass, 0, 1, run->options->tau, step->guides + first);
}

/* Sets what the gradients of a block weigh: the tail loss, and the divergences by `factor`. */
static MetasdStatus
weigh(const Run *run, size_t first, size_t rows, double forward, double reverse)
{
    MetasdStep *step = run->step;
    const MetasdBatch *batch = run->batch;
    double scale = 1.0 / total_weight(step, batch, 0, batch->n);
    size_t from, to;

    metasd_team_share(run->team, rows, &from, &to);
    for (size_t g = first + from; g < first + to; g++) {
        double share = (double)(batch->start[g + 1] - batch->start[g]) / (double)batch->n;

        step->guides[g].weight =
            (float)(scale * total_weight(step, batch, batch->start[g], batch->start[g + 1]));
        step->guides[g].forward = (float)(share * forward);
        step->guides[g].reverse = (float)(share * reverse);
    }
    return run->team->barrier(run->team);
}

/* Mean divergence of the batch: KL(source || student), or KL(student || source). */
static double
mean_divergence(const Run *run, bool of_student)
{
    const MetasdBatch *batch = run->batch;
    const MetasdGuide *guides = run->step->guides;
    double sum = 0;

    for (size_t g = 0; g < batch->groups; g++)
        sum += (double)(batch->start[g + 1] - batch->start[g]) *
               (of_student ? guides[g].student.divergence : guides[g].source.divergence);
    return sum / (double)batch->n;
}

/* Stage 1: masked_gradient = the student's gradient; trial = the student one step on. */
static MetasdStatus
trial_stage(const Run *run, MetasdLosses *losses)
{
    MetasdStep *step = run->step;
    const MetasdStepOptions *options = run->options;
    const MetasdBatch *batch = run->batch;
    double tail = 0, reg;

    clear(run, step->masked_gradient);
    METASD_TRY(compose(run, batch, step->weights, 0));
    METASD_TRY(compose(run, batch, step->student, 1));
    for (size_t first = 0; first < batch->groups;) {
        MetasdPass pass = entity_pass(run, batch, first);
        MetasdTargets targets = tail_targets(run, batch, first);
        size_t at = first * step->width;

        METASD_TRY(guided_scores(run, &pass, first, true));
        METASD_TRY(weigh(run, first, pass.rows, options->kl_forward / options->tau,
                         options->kl_reverse / options->tau));
        FOR_EACH_ROW(&pass, {
            size_t columns;
            const float *t = panel_row(&pass, 0, s, i, &columns);
            const float *q = panel_row(&pass, 1, s, i, &columns);

            metasd_gradient_student(columns, t, q, &step->guides[first + i],
                                    panel_row(&pass, 2, s, i, &columns));
        });
        metasd_pass_subtract_targets(&pass, 2, &targets);
        METASD_TRY(metasd_pass_back(&pass, 2, step->query[1] + at, step->student,
                                    step->masked_gradient, step->dquery[1] + at));
        tail += tail_loss(run, batch, first, pass.rows, step->guides, true);
        first += pass.rows;
    }
    queries_back(run, batch, step->student, step->dquery[1], step->masked_gradient);
    regularise(run, step->student, step->masked_gradient);
    METASD_TRY(regularizer_loss(run, step->student, &reg));
    losses->trial = tail + reg + options->kl_forward * mean_divergence(run, false) +
                    options->kl_reverse * mean_divergence(run, true);
    METASD_TRY(check_finite(losses->trial));
    METASD_TRY(observe(run, METASD_TRIAL_GRADIENT));
    for (int i = 0; i < 2; i++)
        for (size_t j = run->own[i].first; j < run->own[i].end; j++)
            step->trial[j] = step->mask[j]
                                 ? step->student[j] - options->student_lr * step->masked_gradient[j]
                                 : 0.0f;
    return run->team->barrier(run->team);
}

/* Stage 2, first half: masked_gradient = v, the quiz loss's gradient by the trial student. */
static MetasdStatus
quiz_stage(const Run *run, const MetasdBatch *quiz, MetasdLosses *losses)
{
    MetasdStep *step = run->step;

    clear(run, step->masked_gradient);
    METASD_TRY(tail_stage(run, quiz, step->trial, step->masked_gradient, 2,
                          step->guides + step->batch, &losses->quiz));
    METASD_TRY(check_finite(losses->quiz));
    for (int i = 0; i < 2; i++)
        for (size_t j = run->own[i].first; j < run->own[i].end; j++)
            if (!step->mask[j])
                step->masked_gradient[j] = 0;
    METASD_TRY(run->team->barrier(run->team));
    return observe(run, METASD_QUIZ_GRADIENT);
}

/* query_dot = the derivative of the student's queries along v. */
static MetasdStatus
compose_dot(const Run *run)
{
    const MetasdStep *step = run->step;
    const MetasdBatch *batch = run->batch;
    size_t width = step->width, first, end;
    const float *v = step->masked_gradient;
    float *scratch = step->scratch + (size_t)run->team->rank * 2 * width;

    metasd_team_share(run->team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++)
        metasd_compose_jvp(step->family, width, step->student + batch->heads[g] * width,
                           relations_of(step, step->student) + batch->relations[g] * width,
                           v + batch->heads[g] * width,
                           relations_of(step, v) + batch->relations[g] * width,
                           step->query_dot + g * width, scratch);
    return run->team->barrier(run->team);
}

/*
 * Stage 2, second half: the quiz loss's gradient by the source, through the trial step. Only
 * the divergences of that step depend on the source, through its scores.
 */
static MetasdStatus
meta_stage(const Run *run)
{
    MetasdStep *step = run->step;
    const MetasdStepOptions *options = run->options;
    const MetasdBatch *batch = run->batch;
    double factor = options->student_lr / ((double)options->tau * options->tau);

    clear(run, step->gradient);
    METASD_TRY(compose(run, batch, step->weights, 0)); /* the quiz used these rooms */
    METASD_TRY(compose_dot(run));
    METASD_TRY(
        weigh(run, 0, batch->groups, factor * options->kl_forward, factor * options->kl_reverse));
    for (size_t first = 0; first < batch->groups;) {
        MetasdPass pass = entity_pass(run, batch, first);
        size_t at = first * step->width;
        const double *dots;

        if (pass.rows < batch->groups) /* else both blocks still hold the scores of stage 1 */
            METASD_TRY(guided_scores(run, &pass, first, false));
        METASD_TRY(metasd_pass_scores(&pass, 2, step->query_dot + at, step->student));
        METASD_TRY(metasd_pass_add_scores(&pass, 2, step->query[1] + at, step->masked_gradient));
        METASD_TRY(metasd_pass_dots(&pass, step->guides + first, &dots));
        FOR_EACH_ROW(&pass, {
            size_t columns;
            const float *t = panel_row(&pass, 0, s, i, &columns);
            const float *q = panel_row(&pass, 1, s, i, &columns);

            metasd_gradient_meta(columns, t, q, panel_row(&pass, 2, s, i, &columns),
                                 &step->guides[first + i], dots[2 * i], dots[2 * i + 1]);
        });
        METASD_TRY(metasd_pass_back(&pass, 2, step->query[0] + at, step->weights, step->gradient,
                                    step->dquery[0] + at));
        first += pass.rows;
    }
    queries_back(run, batch, step->weights, step->dquery[0], step->gradient);
    METASD_TRY(observe(run, METASD_META_GRADIENT));
    METASD_TRY(run->team->barrier(run->team));
    METASD_TRY(descend(run, step->meta_sums, step->gradient, NULL, options->meta_lr));
    return observe(run, METASD_META_DONE);
}

/* Stage 3's guided tail losses of source and student, into both gradients. */
static MetasdStatus
mutual_scores(const Run *run, double *source_tail, double *student_tail)
{
    MetasdStep *step = run->step;
    const MetasdStepOptions *options = run->options;
    const MetasdBatch *batch = run->batch;

    *source_tail = *student_tail = 0;
    METASD_TRY(compose(run, batch, step->weights, 0));
    METASD_TRY(compose(run, batch, step->student, 1));
    for (size_t first = 0; first < batch->groups;) {
        MetasdPass pass = entity_pass(run, batch, first);
        MetasdTargets targets = tail_targets(run, batch, first);
        size_t at = first * step->width;

        METASD_TRY(guided_scores(run, &pass, first, true));
        /* Here the learner's own divergence has the forward weight: the roles of section 4. */
        METASD_TRY(weigh(run, first, pass.rows, options->kl_reverse / options->tau,
                         options->kl_forward / options->tau));
        FOR_EACH_ROW(&pass, {
            size_t columns;
            float *t = panel_row(&pass, 0, s, i, &columns);

            metasd_gradient_mutual(columns, t, panel_row(&pass, 1, s, i, &columns),
                                   &step->guides[first + i]);
        });
        metasd_pass_subtract_targets(&pass, 0, &targets);
        metasd_pass_subtract_targets(&pass, 1, &targets);
        METASD_TRY(metasd_pass_back(&pass, 0, step->query[0] + at, step->weights, step->gradient,
                                    step->dquery[0] + at));
        METASD_TRY(metasd_pass_back(&pass, 1, step->query[1] + at, step->student,
                                    step->masked_gradient, step->dquery[1] + at));
        *source_tail += tail_loss(run, batch, first, pass.rows, step->guides, false);
        *student_tail += tail_loss(run, batch, first, pass.rows, step->guides, true);
        first += pass.rows;
    }
    queries_back(run, batch, step->weights, step->dquery[0], step->gradient);
    queries_back(run, batch, step->student, step->dquery[1], step->masked_gradient);
    return METASD_OK;
}

static MetasdStatus
mutual_stage(const Run *run, MetasdLosses *losses)
{
    MetasdStep *step = run->step;
    const MetasdStepOptions *options = run->options;
    double of_source, of_student, relation, reg, forward, reverse;

    clear(run, step->gradient);
    clear(run, step->masked_gradient);
    METASD_TRY(mutual_scores(run, &of_source, &of_student));
    forward = mean_divergence(run, false);
    reverse = mean_divergence(run, true);
    METASD_TRY(relation_stage(run, step->weights, step->gradient, &relation));
    METASD_TRY(regularizer_loss(run, step->weights, &reg));
    regularise(run, step->weights, step->gradient);
    losses->mutual_source = of_source + options->relation_weight * relation + reg +
                            options->kl_forward * forward + options->kl_reverse * reverse;
    METASD_TRY(relation_stage(run, step->student, step->masked_gradient, &relation));
    METASD_TRY(regularizer_loss(run, step->student, &reg));
    regularise(run, step->student, step->masked_gradient);
    losses->mutual_student = of_student + options->relation_weight * relation + reg +
                             options->kl_forward * reverse + options->kl_reverse * forward;
    METASD_TRY(check_finite(losses->mutual_source + losses->mutual_student));
    METASD_TRY(observe(run, METASD_MUTUAL_GRADIENT));
    METASD_TRY(run->team->barrier(run->team));
    METASD_TRY(descend(run, step->sums, step->gradient, step->masked_gradient, options->lr));
    return observe(run, METASD_MUTUAL_DONE);
}

/* The relation loss has one row an example: its target is the relation of the example's group. */
static MetasdStatus
list_examples(const Run *run)
{
    MetasdStep *step = run->step;

    if (run->team->rank == 0) {
        for (size_t i = 0; i < run->batch->n; i++) {
            step->each[i] = i;
            step->example_relation[i] = run->batch->relations[run->batch->group_of[i]];
        }
        step->each[run->batch->n] = run->batch->n;
    }
    return run->team->barrier(run->team);
}

MetasdStatus
metasd_step(MetasdStep *step, MetasdTeam *team, const MetasdStepOptions *options,
            const MetasdBatch *batch, const MetasdBatch *quiz, MetasdLosses *losses)
{
    Run run = {.step = step, .team = team, .options = options, .batch = batch};

    *losses = (MetasdLosses){0};
    if (batch->n == 0)
        return METASD_OK;
    metasd_step_own(step, team, run.own);
    METASD_TRY(list_examples(&run));
    METASD_TRY(source_stage(&run, losses));
    if (options->quiz && quiz && quiz->n > 0) {
        METASD_TRY(trial_stage(&run, losses));
        METASD_TRY(quiz_stage(&run, quiz, losses));
        METASD_TRY(meta_stage(&run));
    }
    if (options->mutual)
        METASD_TRY(mutual_stage(&run, losses));
    return METASD_OK;
}
