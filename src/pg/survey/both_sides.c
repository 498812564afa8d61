#include "pg/survey/both_sides.h"

#include <float.h>
#include <math.h>

#include "core/model/growth.h"
#include "core/ranking/rank_counts.h"
#include "core/serve/query.h"

/* The odds of the other question of a triple. */
typedef struct Level {
    double sum; /* as in MetasdOdds; 0: it has not been asked */
    float first;
    bool none; /* no answer is possible and not known */
} Level;

struct MetasdBothSides {
    const MetasdImage *image;
    MetasdQuestionFile *file;
    MetasdNewcomerList *newcomers;
    uint32 n;             /* entities, newcomers included */
    MetasdAsking *asking; /* of the question that is visited */
    MetasdAsking *other;
    float own_growth; /* WEIGHT x the logarithm of what that question lacks */
    /* Of the questions of the other side with the same relation: */
    uint32 row;               /* of the relation; METASD_ANY before the first */
    Level *level;             /* by given entity */
    uint32 *degree;           /* 1 + known answers; 0 if the question is not in the file */
    float *growth;            /* WEIGHT x the logarithm of what the question lacks */
    float most;               /* the highest of them */
    MetasdGrowth own, others; /* of the questions of both sides */
};

#define WEIGHT 0.4

MetasdBothSides *
metasd_both_sides_create(const MetasdImage *image, MetasdQuestionFile *file,
                         MetasdNewcomerList *newcomers)
{
    MetasdBothSides *both = palloc0(sizeof(*both));
    Size n = image->plan.entities + metasd_newcomer_list_count(newcomers, false);

    both->image = image;
    both->file = file;
    both->newcomers = newcomers;
    both->n = (uint32)n;
    both->asking = metasd_asking_create(image, newcomers);
    both->other = metasd_asking_create(image, newcomers);
    both->row = METASD_ANY;
    both->level = palloc_extended(n * sizeof(*both->level), MCXT_ALLOC_HUGE);
    both->degree = palloc_extended(n * sizeof(*both->degree), MCXT_ALLOC_HUGE);
    both->growth = palloc_extended(n * sizeof(*both->growth), MCXT_ALLOC_HUGE);
    return both;
}

/* What a question of so many known answers lacks, as keys have it. */
static float
growth_of(const MetasdGrowth *growth, uint32 answers)
{
    return (float)(WEIGHT * log(metasd_growth_of(growth, answers)));
}

/* Sets the degrees of the questions of a row, and counts them. */
static void
count_degrees(MetasdBothSides *both, uint32 row, MetasdGrowth *growth)
{
    uint32 n = both->image->plan.entities;

    memset(both->degree, 0, (Size)both->n * sizeof(*both->degree));
    if (row < 2 * both->image->plan.relations)
        metasd_question_file_degrees(both->file, row, both->degree);
    if (both->newcomers)
        metasd_newcomer_list_degrees(both->newcomers, row, both->degree);
    metasd_growth_start(growth);
    for (uint32 i = 0; i < n; i++)
        if (both->degree[i] > 1)
            metasd_growth_count(growth, both->degree[i] - 1);
    metasd_growth_complete(growth, n);
}

/* Turns to the questions of another relation. */
static void
turn_to_row(MetasdBothSides *both, uint32 row)
{
    uint32 n = both->n;

    if (both->row == row)
        return;
    both->row = row;
    memset(both->level, 0, (Size)n * sizeof(*both->level));
    count_degrees(both, metasd_newcomer_list_other_row(both->image, row), &both->own);
    count_degrees(both, row, &both->others);
    both->most = -INFINITY;
    for (uint32 i = 0; i < n; i++) {
        both->growth[i] = growth_of(&both->others, both->degree[i] > 0 ? both->degree[i] - 1 : 0);
        both->most = Max(both->most, both->growth[i]);
    }
}

MetasdAsking *
metasd_both_sides_ask(MetasdBothSides *both, const MetasdSweepQuestion *question)
{
    turn_to_row(both, metasd_newcomer_list_other_row(both->image, question->row));
    both->own_growth = growth_of(&both->own, question->count);
    return metasd_asking_begin(both->asking, question) ? both->asking : NULL;
}

bool
metasd_both_sides_asks(const MetasdBothSides *both, uint32 id)
{
    return both->degree[id] > 0;
}

/* ---- keys ---- */

/* The logarithm of a probability, finite. */
static float
log_probability(double probability)
{
    return (float)log(Max(probability, (double)FLT_MIN));
}

/* Rounding of keys. */
#define SLACK 1e-4

double
metasd_both_sides_least(const MetasdBothSides *both, float key)
{
    return exp((double)key - (double)(both->own_growth + both->most) - SLACK);
}

float
metasd_both_sides_bound(const MetasdBothSides *both, double probability, uint32 id)
{
    return log_probability(probability) + (both->own_growth + both->growth[id]);
}

/* Asks the other question with given entity ID, unless it has been asked. */
static const Level *
find_level(MetasdBothSides *both, uint32 id)
{
    Level *level = &both->level[id];
    const MetasdSweepQuestion *question = NULL;
    MetasdSweepQuestion other = {.row = both->row, .entity = id};
    bool is_new = id >= both->image->plan.entities || both->row >= 2 * both->image->plan.relations;

    if (level->sum > 0 || level->none)
        return level;
    if (is_new)
        (void)metasd_newcomer_list_find(both->newcomers, both->row, id, &other);
    else
        question = metasd_question_file_find(both->file, both->row, id);
    level->none = !metasd_asking_begin(both->other, question ? question : &other);
    if (!level->none) {
        level->sum = both->other->odds.sum;
        level->first = both->other->odds.first;
    }
    return level;
}

/* The score of the triple with answer ID as an answer to its other question. */
static float
score_of_other(const MetasdBothSides *both, uint32 id)
{
    return metasd_query_score_of(
        both->image, metasd_newcomer_list_entity(both->newcomers, both->image, id),
        metasd_newcomer_list_row(both->newcomers, both->image, both->row),
        metasd_newcomer_list_entity(both->newcomers, both->image, both->asking->question->entity),
        both->other->scratch);
}

/* The same number whichever of its questions is visited. */
float
metasd_both_sides_key(MetasdBothSides *both, double probability, uint32 id)
{
    const Level *level = find_level(both, id);
    MetasdSigmoid sigmoid = metasd_newcomer_list_sigmoid(both->image, both->row);
    MetasdOdds odds = {.sum = level->sum, .first = level->first};
    float score = score_of_other(both, id);
    double other;

    if (level->none || score == METASD_IMPOSSIBLE)
        return -INFINITY;
    /* What is given here is the answer there; the scores there are those of the image alone. */
    if (both->asking->question->entity >= both->image->plan.entities)
        other = metasd_asking_probability_beside(sigmoid, &odds, score);
    else
        other = metasd_probability(sigmoid, metasd_probability_odds(&odds, score));
    return (log_probability(probability) + log_probability(other)) +
           (both->own_growth + both->growth[id]);
}

float
metasd_both_sides_key_of_newcomer(MetasdBothSides *both, uint32 id)
{
    const MetasdAsking *asking = both->asking;
    float score = metasd_query_score_of(
        both->image,
        metasd_newcomer_list_entity(both->newcomers, both->image, asking->question->entity),
        metasd_newcomer_list_row(both->newcomers, both->image, asking->question->row),
        metasd_newcomer_list_entity(both->newcomers, both->image, id), asking->scratch);

    if (score == METASD_IMPOSSIBLE)
        return -INFINITY;
    return metasd_both_sides_key(
        both, metasd_asking_probability_beside(asking->sigmoid, &asking->odds, score), id);
}

float
metasd_both_sides_key_of_known(MetasdBothSides *both, uint32 i)
{
    const MetasdAsking *asking = both->asking;
    uint32 id = asking->question->answers[i];
    const Level *level = find_level(both, id);
    MetasdOdds odds = {.sum = level->sum, .first = level->first};
    float score = score_of_other(both, id);
    double mine = metasd_asking_probability_of_known(asking, i), other;

    if (level->none || score == METASD_IMPOSSIBLE)
        return -INFINITY;
    other = metasd_asking_probability_beside(metasd_query_sigmoid(both->image, both->row), &odds,
                                             score);
    return log_probability(mine) + log_probability(other) +
           growth_of(&both->own, asking->question->count - 1) +
           growth_of(&both->others, both->degree[id] - 2);
}
