#include "pg/survey/both_sides.h"

#include <float.h>
#include <math.h>

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
    MetasdAsking *asking; /* of the question that is visited */
    MetasdAsking *other;
    float own_degree; /* half the logarithm of the degree of that question */
    /* Of the questions of the other side with the same relation: */
    uint32 row;      /* of the relation; METASD_ANY before the first */
    Level *level;    /* by given entity */
    uint32 *degree;  /* 1 + known answers; 0 if the question is not in the file */
    float *half_log; /* half the logarithm of the degree */
    float most;      /* the highest of them */
};

MetasdBothSides *
metasd_both_sides_create(const MetasdImage *image, MetasdQuestionFile *file)
{
    MetasdBothSides *both = palloc0(sizeof(*both));
    Size n = image->plan.entities;

    both->image = image;
    both->file = file;
    both->asking = metasd_asking_create(image);
    both->other = metasd_asking_create(image);
    both->row = METASD_ANY;
    both->level = palloc_extended(n * sizeof(*both->level), MCXT_ALLOC_HUGE);
    both->degree = palloc_extended(n * sizeof(*both->degree), MCXT_ALLOC_HUGE);
    both->half_log = palloc_extended(n * sizeof(*both->half_log), MCXT_ALLOC_HUGE);
    return both;
}

/* The row of the other question of a triple that answers one of row ROW. */
static uint32
other_row(const MetasdBothSides *both, uint32 row)
{
    uint32 relations = both->image->plan.relations;

    return row < relations ? row + relations : row - relations;
}

/* For a question of that many known answers. */
static float
half_log_of(uint32 answers)
{
    return (float)(0.5 * log(answers > 0 ? (double)answers : METASD_NO_DEGREE));
}

/* Turns to the other questions of another relation. */
static void
turn_to_row(MetasdBothSides *both, uint32 row)
{
    uint32 n = both->image->plan.entities, most;

    if (both->row == row)
        return;
    both->row = row;
    memset(both->level, 0, (Size)n * sizeof(*both->level));
    memset(both->degree, 0, (Size)n * sizeof(*both->degree));
    most = metasd_question_file_degrees(both->file, row, both->degree);
    both->most = half_log_of(most > 0 ? most - 1 : 0);
    for (uint32 i = 0; i < n; i++)
        both->half_log[i] = both->degree[i] > 1 ? half_log_of(both->degree[i] - 1) : half_log_of(0);
}

MetasdAsking *
metasd_both_sides_ask(MetasdBothSides *both, const MetasdSweepQuestion *question)
{
    turn_to_row(both, other_row(both, question->row));
    both->own_degree = half_log_of(question->count);
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

double
metasd_both_sides_least(const MetasdBothSides *both, float key)
{
    return exp((double)key - (double)both->own_degree - (double)both->most);
}

float
metasd_both_sides_bound(const MetasdBothSides *both, double probability, uint32 id)
{
    return log_probability(probability) + both->own_degree + both->half_log[id];
}

/* Asks the other question with given entity ID, unless it has been asked. */
static const Level *
find_level(MetasdBothSides *both, uint32 id)
{
    Level *level = &both->level[id];
    const MetasdSweepQuestion *question;
    MetasdSweepQuestion unanswered = {.row = both->row, .entity = id};

    if (level->sum > 0 || level->none)
        return level;
    question = metasd_question_file_find(both->file, both->row, id);
    level->none = !metasd_asking_begin(both->other, question ? question : &unanswered);
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
    return metasd_query_score(both->image, id, both->row, both->asking->question->entity,
                              both->other->scratch);
}

float
metasd_both_sides_key(MetasdBothSides *both, double probability, uint32 id)
{
    const Level *level = find_level(both, id);
    MetasdOdds odds = {.sum = level->sum, .first = level->first};
    float score = score_of_other(both, id);
    double other;

    if (level->none || score == METASD_IMPOSSIBLE)
        return -INFINITY;
    other = metasd_probability(metasd_query_sigmoid(both->image, both->row),
                               metasd_probability_odds(&odds, score));
    return metasd_both_sides_bound(both, probability, id) + log_probability(other);
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
           half_log_of(asking->question->count - 1) + half_log_of(both->degree[id] - 2);
}
