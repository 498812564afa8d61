/*
 * Probabilities of unlabelled triples hold where as many are missing as is supposed, and fall to
 * what the triples show where fewer are.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/random.h"
#include "core/model/unlabelled.h"
#include "tools.h"

#define TRIPLES 40000

/* Triples with keys, of which some are facts; some of the facts are known, others are missing. */
typedef struct World {
    MetasdUnlabelledSample *samples; /* known facts, and all others: these first by number */
    bool *missing;                   /* of the others */
    size_t n, positives, missing_count;
} World;

static double
uniform(uint64_t stream, uint64_t i)
{
    return (double)(metasd_random(7, stream, i) >> 11) * 0x1p-53;
}

/* Sorts, finds the ratio and fits. */
static MetasdUnlabelledFit
fit_samples(MetasdUnlabelledSample *samples, size_t n, double most)
{
    metasd_unlabelled_sort(samples, n);
    return metasd_unlabelled_fit(samples, n, metasd_unlabelled_ratio(samples, n, most));
}

/* A triple of key x is a fact with the probability of a sigmoid; of the facts a part is known. */
static World
make_world(double slope, double offset, double known)
{
    World world = {.samples = tools_alloc(TRIPLES * sizeof(MetasdUnlabelledSample)),
                   .missing = tools_alloc(TRIPLES * sizeof(bool)),
                   .n = TRIPLES};

    for (size_t i = 0; i < TRIPLES; i++) {
        double x = -4 + 7 * uniform(1, i);
        bool fact = uniform(2, i) < 1 / (1 + exp(-(offset + slope * x)));
        bool positive = fact && uniform(3, i) < known;

        world.samples[i] =
            (MetasdUnlabelledSample){.key = (float)x, .weight = 1, .positive = positive};
        world.missing[i] = fact && !positive;
        world.positives += positive;
        world.missing_count += world.missing[i];
    }
    return world;
}

static void
free_world(World *world)
{
    free(world->samples);
    free(world->missing);
}

/*
 * Checks the probabilities of unlabelled triples in ten parts: each sums to about the number of
 * missing facts there.
 */
static void
check_reliability(const World *world, const MetasdUnlabelledSample *before,
                  const MetasdUnlabelledFit *fit)
{
    double claimed[10] = {0}, missing[10] = {0}, count[10] = {0};

    for (size_t i = 0; i < world->n; i++) {
        double p;
        int part;

        if (before[i].positive)
            continue;
        p = metasd_unlabelled_probability(fit, (double)before[i].key);
        part = p >= 1 ? 9 : (int)(10 * p);
        claimed[part] += p;
        missing[part] += world->missing[i];
        count[part]++;
    }
    for (int part = 0; part < 10; part++)
        if (count[part] > 200)
            assert_true(fabs(claimed[part] - missing[part]) / count[part] < 0.07);
}

/* Of the facts half are known: for each known one another one is missing. */
static void
probabilities_hold(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        World world = make_world(1.0 + 0.5 * i, -1.0 + i, 0.5);
        MetasdUnlabelledSample *before = tools_alloc(TRIPLES * sizeof(*before));
        MetasdUnlabelledFit fit;

        for (size_t j = 0; j < TRIPLES; j++)
            before[j] = world.samples[j];
        fit = fit_samples(world.samples, world.n,
                          (double)world.missing_count / (double)world.positives);
        check_reliability(&world, before, &fit);
        free(before);
        free_world(&world);
    }
}

/* A sample of the others, with weights, gives about the same. */
static void
weights_count(void **state)
{
    World world = make_world(1.5, 0, 0.5);
    MetasdUnlabelledSample *sample = tools_alloc(TRIPLES * sizeof(*sample));
    MetasdUnlabelledFit whole, part;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < world.n; i++)
        if (world.samples[i].positive || uniform(4, i) < 0.25) {
            sample[n] = world.samples[i];
            sample[n++].weight = world.samples[i].positive ? 1 : 4;
        }
    whole = fit_samples(world.samples, world.n, 1);
    part = fit_samples(sample, n, 1);
    for (double x = -4; x < 3; x += 0.5)
        assert_true(fabs(metasd_unlabelled_probability(&whole, x) -
                         metasd_unlabelled_probability(&part, x)) < 0.05);
    free(sample);
    free_world(&world);
}

/* Hardly any fact is missing, though one in two is supposed to be: the triples show it. */
static void
few_missing_facts_show(void **state)
{
    World world = make_world(3, 0, 0.98);
    MetasdUnlabelledFit fit = fit_samples(world.samples, world.n, 1);
    double claimed = 0;

    (void)state;
    assert_true(fit.ratio < 0.1);
    for (size_t i = 0; i < world.n; i++)
        if (!world.samples[i].positive)
            claimed += metasd_unlabelled_probability(&fit, (double)world.samples[i].key);
    assert_true(claimed < 0.2 * (double)world.positives);
    free_world(&world);
}

static void
few_positives_tell_nothing(void **state)
{
    MetasdUnlabelledSample samples[100];
    MetasdUnlabelledFit fit;

    (void)state;
    for (int i = 0; i < 100; i++)
        samples[i] = (MetasdUnlabelledSample){
            .key = (float)i, .weight = 1, .positive = i < METASD_LEAST_POSITIVES - 1};
    fit = fit_samples(samples, 100, 1);
    assert_true(fit.slope == metasd_unlabelled_default.slope);
    assert_true(fit.offset == metasd_unlabelled_default.offset);
    (void)fit_samples(samples, 0, 1);
}

/* A fit is finite and rises, whatever the samples are: also where keys tell the wrong way. */
static void
every_fit_is_usable(void **state)
{
    MetasdUnlabelledSample samples[400];

    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        MetasdUnlabelledFit fit;

        for (int i = 0; i < 400; i++) {
            bool positive = i % 4 == 0;
            float key = kind == 0   ? (positive ? -3.0f : 3.0f) /* the wrong way */
                        : kind == 1 ? (positive ? 3.0f : -3.0f) /* apart */
                        : kind == 2 ? 1.0f                      /* all the same */
                        : kind == 3 ? (float)i * 1e4f
                        : kind == 4 ? (float)(i % 7) - 3
                                    : (positive ? 90.0f : -90.0f);

            samples[i] = (MetasdUnlabelledSample){
                .key = key, .weight = kind == 4 ? 1e6f : 1.0f, .positive = positive};
        }
        fit = fit_samples(samples, 400, 5);
        assert_true(fit.slope > 0 && isfinite(fit.slope) && isfinite(fit.offset));
        assert_true(fit.ratio > 0 && fit.ratio <= 5);
        for (double p = 0.05; p < 1; p += 0.1) {
            double key = metasd_unlabelled_key(&fit, p);

            assert_true(fabs(metasd_unlabelled_probability(&fit, key) - p) < 1e-6);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_hold),     cmocka_unit_test(weights_count),
        cmocka_unit_test(few_missing_facts_show), cmocka_unit_test(few_positives_tell_nothing),
        cmocka_unit_test(every_fit_is_usable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
