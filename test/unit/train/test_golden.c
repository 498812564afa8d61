/*
 * Three steps of training agree with the oracle in every quantity of every stage.
 *
 * The golden files come from test/oracle/make.sh. Each is run with grouped and ungrouped batches,
 * with dense and sparse products of the student, with one block of scores and with several, and by
 * teams of one, two and three, which must not differ by a bit. An argument names another folder
 * of golden files.
 */
#include "unit.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/step.h"
#include "threads.h"
#include "tools.h"

#define TOLERANCE 1e-4
#define TINY 1e-9         /* what counts as 0 */
#define QUIZ_CHANGE 2e-3  /* of what stage 2 changes, which is small against the weights */
#define MOST_MATRICES 128 /* in a file */
#define MOST_TEAM 3

static const char *folder = "test/unit/golden";

/* ---- golden files ---- */

typedef struct Matrix {
    char name[64];
    size_t rows, columns;
    double *values;
} Matrix;

typedef struct Golden {
    const char *path;
    size_t count;
    Matrix matrix[MOST_MATRICES];
} Golden;

static void
skip_comments(FILE *file)
{
    int c;

    while ((c = fgetc(file)) == '#')
        while (c != '\n' && c != EOF)
            c = fgetc(file);
    ungetc(c, file);
}

static Golden
read_golden(const char *path)
{
    Golden golden = {.path = path};
    FILE *file = fopen(path, "r");
    Matrix *m = golden.matrix;

    if (!file)
        fail_msg("cannot open %s", path);
    skip_comments(file);
    while (fscanf(file, "%63s %zu %zu", m->name, &m->rows, &m->columns) == 3) {
        m->values = tools_alloc(m->rows * m->columns * sizeof(*m->values));
        for (size_t i = 0; i < m->rows * m->columns; i++)
            if (fscanf(file, "%lf", &m->values[i]) != 1)
                fail_msg("%s: too few values in %s", path, m->name);
        assert_true(++golden.count < MOST_MATRICES);
        m++;
    }
    assert_true(feof(file));
    fclose(file);
    return golden;
}

static void
free_golden(Golden *golden)
{
    for (size_t i = 0; i < golden->count; i++)
        free(golden->matrix[i].values);
}

static const Matrix *
find(const Golden *golden, const char *name)
{
    for (size_t i = 0; i < golden->count; i++)
        if (strcmp(golden->matrix[i].name, name) == 0)
            return &golden->matrix[i];
    return NULL;
}

static const Matrix *
get(const Golden *golden, const char *name)
{
    const Matrix *m = find(golden, name);

    if (!m)
        fail_msg("%s: no %s", golden->path, name);
    return m;
}

static double
number(const Golden *golden, const char *name)
{
    return get(golden, name)->values[0];
}

/* ---- one run ---- */

/* How a golden file is run. */
typedef struct Variant {
    bool grouped;
    bool sparse; /* the student's products, whatever the mask; else they are dense */
    bool blocks; /* of as few queries as can be, a tile; else one of all */
    int members;
} Variant;

typedef struct Run {
    const Golden *golden;
    Variant variant;
    MetasdState state;
    MetasdStepOptions options;
    MetasdStepContext context;
    void *memory;
    int at;          /* number of the step */
    double *ours;    /* a table, to be compared */
    double *theirs;  /* likewise */
    double *before;  /* ours, before stage 2 */
    double *wanted;  /* theirs, before stage 2 */
    float *class_of; /* N class weights of the step */
    size_t checked;  /* quantities */
    size_t wrong;
} Run;

static struct {
    double error;
    char where[256];
} worst_matrix, worst_number, worst_change;

static void
judge(Run *run, const char *name, double error, double tolerance, bool of_matrix)
{
    char where[256];

    snprintf(where, sizeof(where), "%s step%d %s (%s, %s, %s, team of %d)", run->golden->path,
             run->at, name, run->variant.grouped ? "grouped" : "ungrouped",
             run->variant.sparse ? "sparse" : "dense", run->variant.blocks ? "blocks" : "one block",
             run->variant.members);
    if (tolerance == QUIZ_CHANGE && error > worst_change.error) {
        worst_change.error = error;
        strcpy(worst_change.where, where);
    } else if (tolerance != QUIZ_CHANGE && of_matrix && error > worst_matrix.error) {
        worst_matrix.error = error;
        strcpy(worst_matrix.where, where);
    } else if (!of_matrix && error > worst_number.error) {
        worst_number.error = error;
        strcpy(worst_number.where, where);
    }
    run->checked++;
    if (!(error <= tolerance)) {
        run->wrong++;
        print_error("%s: error %.3g\n", where, error);
    }
}

static const Matrix *
of_step(const Run *run, const char *name)
{
    char full[128];

    snprintf(full, sizeof(full), "step%d.%s", run->at, name);
    return find(run->golden, full);
}

static void
check_number(Run *run, const char *name, double ours)
{
    const Matrix *m = of_step(run, name);

    if (!m) {
        judge(run, name, fabs(ours), 0, false); /* a stage left out leaves its losses 0 */
        return;
    }
    judge(run, name, fmax(0, fabs(ours - m->values[0]) - TINY) / fmax(fabs(m->values[0]), TINY),
          TOLERANCE, false);
}

/* Checks a table against name_E and name_W; false if the file leaves them out. */
static bool
check_table(Run *run, const char *stage, const char *name, const double *ours)
{
    const size_t rows[2] = {run->state.entities, run->state.relation_rows};
    const double *part = ours;

    for (int i = 0; i < 2; i++) {
        char full[96];
        size_t n = rows[i] * run->state.width;
        const Matrix *m;

        snprintf(full, sizeof(full), "%s.%s%c", stage, name, "EW"[i]);
        m = of_step(run, full);
        if (!m)
            return false;
        if (m->rows != rows[i] || m->columns != run->state.width)
            fail_msg("%s: %s has another size", run->golden->path, full);
        memcpy(run->theirs + (part - ours), m->values, n * sizeof(double));
        judge(run, full, tools_distance(part, m->values, n), TOLERANCE, true);
        part += n;
    }
    return true;
}

static const double *
combined(Run *run, const float *plain, const float *masked)
{
    for (size_t i = 0; i < tools_table_floats(&run->state); i++)
        run->ours[i] =
            (plain ? (double)plain[i] : 0) + (masked && run->state.mask[i] ? (double)masked[i] : 0);
    return run->ours;
}

/* Stage 2 moves the weights by little: what it changes is compared for itself. */
static void
check_quiz_change(Run *run)
{
    size_t n = tools_table_floats(&run->state);

    for (size_t i = 0; i < n; i++) {
        run->ours[i] -= run->before[i];
        run->theirs[i] -= run->wanted[i];
    }
    judge(run, "change by the quiz", tools_distance(run->ours, run->theirs, n), QUIZ_CHANGE, true);
}

static void
look(void *context, MetasdStage stage)
{
    Run *run = context;
    const MetasdState *state = &run->state;
    size_t bytes = tools_table_floats(state) * sizeof(double);

    switch (stage) {
        case METASD_FULL_GRADIENT:
            check_table(run, "source", "grad_", combined(run, state->gradient, NULL));
            break;
        case METASD_FULL_DONE:
            check_table(run, "after_source", "", combined(run, state->weights, NULL));
            memcpy(run->before, run->ours, bytes);
            memcpy(run->wanted, run->theirs, bytes);
            break;
        case METASD_TRIAL_GRADIENT:
            check_table(run, "trial", "grad_", combined(run, NULL, state->masked_gradient));
            break;
        case METASD_QUIZ_GRADIENT:
            for (size_t i = 0; i < tools_table_floats(state); i++)
                if (!state->mask[i] && state->masked_gradient[i] != 0)
                    judge(run, "the mask of the quiz", 1, 0, true);
            check_table(run, "quiz", "grad_", combined(run, state->masked_gradient, NULL));
            break;
        case METASD_QUIZ_FULL_GRADIENT:
            check_table(run, "quiz", "meta_grad_", combined(run, state->gradient, NULL));
            break;
        case METASD_QUIZ_DONE:
            if (check_table(run, "after_meta", "", combined(run, state->weights, NULL)))
                check_quiz_change(run);
            break;
        case METASD_MUTUAL_GRADIENT:
            check_table(run, "mutual", "grad_",
                        combined(run, state->gradient, state->masked_gradient));
            break;
        case METASD_MUTUAL_DONE:
            break; /* compared after the step, whatever its stages */
    }
}

static void
check_losses(Run *run, const MetasdLosses *losses)
{
    check_number(run, "source.tail", losses->tail);
    if (run->options.relation_weight > 0)
        check_number(run, "source.relation", losses->relation);
    check_number(run, "source.reg", losses->reg);
    check_number(run, "source.loss", losses->full);
    check_number(run, "trial.loss", losses->trial);
    check_number(run, "quiz.loss", losses->quiz);
    check_number(run, "mutual.loss_source", losses->mutual_full);
    check_number(run, "mutual.loss_student", losses->mutual_student);
}

static void
check_mask(Run *run, const uint8_t *mask, float threshold)
{
    const Matrix *of_entities = get(run->golden, "mask_E");
    const Matrix *of_relations = get(run->golden, "mask_W");
    size_t n = of_entities->rows * of_entities->columns;

    judge(run, "threshold",
          fabs((double)threshold - number(run->golden, "threshold")) /
              number(run->golden, "threshold"),
          1e-7, false);
    for (size_t i = 0; i < tools_table_floats(&run->state); i++)
        if (mask[i] != (i < n ? of_entities->values[i] : of_relations->values[i - n]))
            judge(run, "mask", 1, 0, true);
}

static void
read_options(Run *run)
{
    const Golden *g = run->golden;

    run->options = (MetasdStepOptions){
        .lr = (float)number(g, "lr"),
        .student_lr = (float)number(g, "student_lr"),
        .quiz_lr = (float)number(g, "meta_lr"),
        .reg = (float)number(g, "reg"),
        .relation_weight = (float)number(g, "rel_weight"),
        .tau = (float)number(g, "tau"),
        .kl_forward = (float)number(g, "kl_forward"),
        .kl_reverse = (float)number(g, "kl_reverse"),
        .regularizer = number(g, "n3") > 0 ? METASD_N3 : METASD_DURA,
        .quiz = number(g, "quiz_step") > 0,
        .mutual = number(g, "mutual_step") > 0,
    };
}

static void
start_run(Run *run)
{
    const Golden *golden = run->golden;
    const Matrix *entities = get(golden, "E"), *relations = get(golden, "W");
    size_t table, batch = (size_t)number(golden, "batch"), quiz = (size_t)number(golden, "quiz");
    size_t n = entities->rows * entities->columns;
    size_t rows = metasd_tile_whole(batch + quiz);

    read_options(run);
    run->state = (MetasdState){.entities = (uint32_t)entities->rows,
                               .relation_rows = (uint32_t)relations->rows,
                               .width = entities->columns,
                               .family = &metasd_family_complex,
                               .size = {.batch = batch > quiz ? batch : quiz,
                                        .queries = run->variant.blocks ? 50 : 0, /* no whole tile */
                                        .has_student = run->options.quiz || run->options.mutual,
                                        .has_quiz = run->options.quiz,
                                        .most_density = run->variant.sparse ? 1 : 0,
                                        .whole_from = run->variant.blocks ? 0.5 : 0}};
    run->context = (MetasdStepContext){.observe = look, .observer = run};
    run->memory = tools_state_take(&run->state, MOST_TEAM, rows * entities->rows);
    table = tools_table_floats(&run->state);
    run->ours = tools_alloc(4 * table * sizeof(double));
    run->theirs = run->ours + table;
    run->before = run->theirs + table;
    run->wanted = run->before + table;
    run->class_of = tools_alloc(entities->rows * sizeof(float));
    for (size_t i = 0; i < table; i++)
        run->ours[i] = i < n ? entities->values[i] : relations->values[i - n];
}

static void
end_run(Run *run)
{
    free(run->class_of);
    free(run->ours);
    free(run->memory);
}

/* ---- what every member does ---- */

typedef struct Job {
    Run *run;
    int steps;
    MetasdBatch batch[3], quiz[3];
    void *memory[6];
    MetasdPruner pruner;
    void *pruner_memory;
} Job;

static void *
read_batch(MetasdBatch *batch, const Golden *golden, int step, const char *name, bool grouped)
{
    char full[96];
    MetasdTriple triples[150];
    const Matrix *m;

    snprintf(full, sizeof(full), "step%d.%s", step, name);
    m = get(golden, full);
    assert_true(m->rows <= 150 && m->columns == 3);
    for (size_t i = 0; i < m->rows; i++)
        triples[i] = (MetasdTriple){.head = (uint32_t)m->values[3 * i],
                                    .relation = (uint32_t)m->values[3 * i + 1],
                                    .tail = (uint32_t)m->values[3 * i + 2]};
    return tools_batch(batch, triples, m->rows, grouped);
}

/* Member 0 sets what all share; a barrier follows. */
static void
begin_step(Run *run, int at)
{
    const Matrix *weights;

    run->at = at;
    weights = of_step(run, "class_weights");
    for (size_t i = 0; weights && i < run->state.entities; i++)
        run->class_of[i] = (float)weights->values[i];
    run->context.class_weights = weights ? run->class_of : NULL;
}

static MetasdStatus
train(MetasdTeam *team, void *context)
{
    Job *job = context;
    Run *run = job->run;
    MetasdState *state = &run->state;
    MetasdPruned pruned;

    METASD_TRY(metasd_state_init(state, team, 1, 0.1f));
    if (team->rank == 0)
        for (size_t i = 0; i < tools_table_floats(state); i++)
            state->weights[i] = (float)run->ours[i];
    METASD_TRY(team->barrier(team));
    METASD_TRY(
        metasd_prune_mask(&job->pruner, state, team, number(run->golden, "sparsity"), &pruned));
    if (team->rank == 0)
        check_mask(run, state->mask, (float)pruned.threshold);
    for (int i = 0; i < job->steps; i++) {
        MetasdLosses losses;

        if (team->rank == 0)
            begin_step(run, i);
        METASD_TRY(team->barrier(team));
        METASD_TRY(metasd_step(state, team, &run->options, &run->context, &job->batch[i],
                               &job->quiz[i], &losses));
        if (team->rank == 0) {
            check_losses(run, &losses);
            check_table(run, "after", "", combined(run, state->weights, NULL));
            for (size_t j = 0; j < tools_table_floats(state); j++)
                if (state->student[j] != (state->mask[j] ? state->weights[j] : 0.0f))
                    judge(run, "student", 1, 0, true);
        }
        METASD_TRY(team->barrier(team));
    }
    return METASD_OK;
}

/* Runs a golden file; returns the weights at the end, to be freed. */
static float *
run_golden(const Golden *golden, Variant variant, size_t *n, size_t *wrong)
{
    Run run = {.golden = golden, .variant = variant};
    Job job = {.run = &run, .steps = (int)number(golden, "steps")};
    float *weights;

    assert_in_range(job.steps, 1, 3);
    start_run(&run);
    for (int i = 0; i < job.steps; i++) {
        job.memory[2 * i] = read_batch(&job.batch[i], golden, i, "batch", variant.grouped);
        job.memory[2 * i + 1] = read_batch(&job.quiz[i], golden, i, "quiz_batch", variant.grouped);
    }
    job.pruner_memory = tools_pruner_take(&job.pruner, &run.state, MOST_TEAM);
    assert_int_equal(threads_run(variant.members, train, &job), METASD_OK);
    assert_true(run.checked >= (size_t)job.steps * 9);
    if (run.state.size.has_student)
        assert_true(run.state.sparse[0] == variant.sparse && run.state.sparse[1] == variant.sparse);
    *wrong += run.wrong;
    *n = tools_table_floats(&run.state);
    weights = tools_alloc(*n * sizeof(*weights));
    memcpy(weights, run.state.weights, *n * sizeof(*weights));
    free(job.pruner_memory);
    for (int i = 0; i < 2 * job.steps; i++)
        free(job.memory[i]);
    end_run(&run);
    return weights;
}

/* All variants of one file. */
static size_t
check_file(const char *path)
{
    Golden golden = read_golden(path);
    size_t wrong = 0;

    for (int v = 0; v < 8; v++) {
        Variant variant = {.grouped = v & 1, .sparse = v & 2, .blocks = v & 4};
        float *first = NULL;

        for (variant.members = 1; variant.members <= MOST_TEAM; variant.members++) {
            size_t n;
            float *weights = run_golden(&golden, variant, &n, &wrong);

            if (first && memcmp(first, weights, n * sizeof(*weights)) != 0) {
                wrong++;
                print_error("%s: a team of %d trains otherwise than one\n", path, variant.members);
            }
            if (first)
                free(weights);
            else
                first = weights;
        }
        free(first);
    }
    free_golden(&golden);
    return wrong;
}

static void
steps_agree_with_the_oracle(void **state)
{
    glob_t files;
    char pattern[512];
    size_t wrong = 0;

    (void)state;
    snprintf(pattern, sizeof(pattern), "%s/*.txt", folder);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++)
        wrong += check_file(files.gl_pathv[i]);
    print_message("%zu files; largest relative errors:\n", files.gl_pathc);
    print_message("  matrix %.2g: %s\n", worst_matrix.error, worst_matrix.where);
    print_message("  number %.2g: %s\n", worst_number.error, worst_number.where);
    print_message("  change %.2g: %s\n", worst_change.error, worst_change.where);
    globfree(&files);
    assert_int_equal(wrong, 0);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_agree_with_the_oracle),
    };

    if (argc > 1)
        folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
