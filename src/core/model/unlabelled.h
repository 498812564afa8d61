/*
 * unlabelled.h - from keys to probabilities, if positives are known but no negatives.
 *
 * A triple that is no known fact may be a missing fact or none: it is unlabelled. Facts that the
 * training has not seen are positives, and missing facts are like them. So of unlabelled triples
 * whose key is x the part that is missing is
 *
 *     p(x) = ratio P(x) / U(x),
 *
 * P and U being the densities of positives and of unlabelled triples, and ratio the number of
 * missing facts for each positive. p is fitted as 1 / (1 + exp(-(slope x + offset))), by the risk
 * of du Plessis, Niu and Sugiyama (2015), which for the logistic loss is convex: its minimum is
 * where the probabilities of the unlabelled sum to the number of missing facts.
 *
 * No data tell the ratio. The caller gives what it supposes. But missing facts are unlabelled, so
 * above any key there cannot be more of them than unlabelled triples (Elkan and Noto 2008): where
 * that shows that fewer are missing, the ratio is lower.
 */
#ifndef METASD_CORE_MODEL_UNLABELLED_H
#define METASD_CORE_MODEL_UNLABELLED_H

#include <stdbool.h>
#include <stddef.h>

typedef struct MetasdUnlabelledSample {
    float key;    /* finite */
    float weight; /* for how many it stands: above 0 */
    bool positive;
} MetasdUnlabelledSample;

typedef struct MetasdUnlabelledFit {
    double slope, offset; /* slope above 0 */
    double ratio;
} MetasdUnlabelledFit;

/* What holds for other graphs: for a graph of which too few positives are known. */
extern const MetasdUnlabelledFit metasd_unlabelled_default;

/* Fewer positives tell too little: the fit is the default. */
#define METASD_LEAST_POSITIVES 20

/* Sorts samples by falling key, as the next two functions need them. */
extern void metasd_unlabelled_sort(MetasdUnlabelledSample *samples, size_t n);

/* The ratio that N samples allow: at most MOST, above 0. */
extern double metasd_unlabelled_ratio(const MetasdUnlabelledSample *samples, size_t n, double most);

/* Fits N samples with that ratio. */
extern MetasdUnlabelledFit metasd_unlabelled_fit(const MetasdUnlabelledSample *samples, size_t n,
                                                 double ratio);

extern double metasd_unlabelled_probability(const MetasdUnlabelledFit *fit, double key);

/* The lowest key with that probability, 0 < probability < 1. */
extern double metasd_unlabelled_key(const MetasdUnlabelledFit *fit, double probability);

#endif
