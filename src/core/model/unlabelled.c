#include "core/model/unlabelled.h"

#include <math.h>
#include <stdlib.h>

/* Fitted to the graphs UMLS, Kinship and FB15k-237: about the middle of the three. */
const MetasdUnlabelledFit metasd_unlabelled_default = {.slope = 1, .offset = -0.5, .ratio = 1};

/* A prior of so many observations around the default, for graphs of few positives. */
#define PRIOR 4.0

#define LEAST_SLOPE 0.05
#define MOST_STEPS 50

/* The ratio is found where so many positives are, and this part of all. */
#define REGION_POSITIVES 50
#define REGION_PART 0.1

static int
compare_keys(const void *a, const void *b)
{
    const MetasdUnlabelledSample *x = a, *y = b;

    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    if (x->positive != y->positive)
        return x->positive ? -1 : 1;
    return x->weight > y->weight ? -1 : x->weight < y->weight;
}

static size_t
count_positives(const MetasdUnlabelledSample *samples, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += samples[i].positive;
    return count;
}

void
metasd_unlabelled_sort(MetasdUnlabelledSample *samples, size_t n)
{
    if (n > 1)
        qsort(samples, n, sizeof(*samples), compare_keys);
}

/* The lowest number of unlabelled samples for each positive above some key. */
double
metasd_unlabelled_ratio(const MetasdUnlabelledSample *samples, size_t n, double most)
{
    double enough = fmax(REGION_POSITIVES, REGION_PART * (double)count_positives(samples, n));
    double ratio = most, known = 0, unlabelled = 0;
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (samples[i].positive) {
            known += (double)samples[i].weight;
            count++;
        } else
            unlabelled += (double)samples[i].weight;
        /* Samples of the same key belong to the same region. */
        if ((double)count >= enough && (i + 1 == n || samples[i + 1].key < samples[i].key)) {
            ratio = fmin(ratio, (unlabelled + 1) / (known + 1));
            enough *= 2; /* the least of many regions would be too low by chance */
        }
    }
    return ratio;
}

/* The derivatives of the risk, and its value. */
typedef struct Risk {
    double value, by_offset, by_slope, offset2, both, slope2;
} Risk;

static Risk
find_risk(const MetasdUnlabelledSample *samples, size_t n, const MetasdUnlabelledFit *fit)
{
    double from_offset = fit->offset - metasd_unlabelled_default.offset;
    double from_slope = fit->slope - metasd_unlabelled_default.slope;
    Risk risk = {.value = PRIOR / 2 * (from_offset * from_offset + from_slope * from_slope),
                 .by_offset = PRIOR * from_offset,
                 .by_slope = PRIOR * from_slope,
                 .offset2 = PRIOR,
                 .slope2 = PRIOR};

    for (size_t i = 0; i < n; i++) {
        double x = (double)samples[i].key, z = fit->offset + fit->slope * x, w, p, q;

        w = (double)samples[i].weight;
        if (samples[i].positive) {
            w *= fit->ratio;
            risk.value -= w * z;
            risk.by_offset -= w;
            risk.by_slope -= w * x;
            continue;
        }
        p = 1 / (1 + exp(-z));
        q = w * p * (1 - p);
        risk.value += w * (z > 0 ? z + log1p(exp(-z)) : log1p(exp(z)));
        risk.by_offset += w * p;
        risk.by_slope += w * p * x;
        risk.offset2 += q;
        risk.both += q * x;
        risk.slope2 += q * x * x;
    }
    return risk;
}

/* Newton's method; a step that does not lower the risk is halved. */
static void
minimise(const MetasdUnlabelledSample *samples, size_t n, MetasdUnlabelledFit *fit)
{
    Risk risk = find_risk(samples, n, fit);

    for (int step = 0; step < MOST_STEPS; step++) {
        double determinant = risk.offset2 * risk.slope2 - risk.both * risk.both, part = 1;
        double offset = (risk.by_offset * risk.slope2 - risk.by_slope * risk.both) / determinant;
        double slope = (risk.by_slope * risk.offset2 - risk.by_offset * risk.both) / determinant;
        MetasdUnlabelledFit next = *fit;
        Risk then;

        for (;; part /= 2) {
            next.offset = fit->offset - part * offset;
            next.slope = fmax(fit->slope - part * slope, LEAST_SLOPE);
            then = find_risk(samples, n, &next);
            if (then.value < risk.value)
                break;
            if (part < 1e-4)
                return;
        }
        if (risk.value - then.value < 1e-9 * (1 + fabs(then.value))) {
            *fit = next;
            return;
        }
        *fit = next;
        risk = then;
    }
}

MetasdUnlabelledFit
metasd_unlabelled_fit(const MetasdUnlabelledSample *samples, size_t n, double ratio)
{
    size_t positives = count_positives(samples, n);
    MetasdUnlabelledFit fit = metasd_unlabelled_default;

    if (positives < METASD_LEAST_POSITIVES || positives == n)
        return fit;
    fit.ratio = ratio;
    minimise(samples, n, &fit);
    return fit;
}

double
metasd_unlabelled_probability(const MetasdUnlabelledFit *fit, double key)
{
    return 1 / (1 + exp(-(fit->offset + fit->slope * key)));
}

double
metasd_unlabelled_key(const MetasdUnlabelledFit *fit, double probability)
{
    return (log(probability / (1 - probability)) - fit->offset) / fit->slope;
}
