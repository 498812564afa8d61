#include "pg/survey/both_sides.h"

#include <float.h>
#include <math.h>

#include "core/ranking/rank_counts.h"
#include "core/serve/query.h"

/* The odds of the other question of a triple: as in MetasdOdds. */
typedef struct Level {
    double sum; /* 0: it has not been asked */
    float first;
    bool none; /* all of its candidates are known */
} Level;

struct MetasdBothSides {
    const MetasdImage *image;
    MetasdQuestionFile *file;
    MetasdAsking *asking; /* of the question that is visited */
    MetasdAsking *other;
    /* Of the questions of the other side with the same relation: */
    uint32 row;       /* of the relation; METASD_ANY before the first */
    Level *level;     /* by given entity */
    uint32 *degree;   /* 1 + known answers; 0 if the question is not in the file */
    uint32 most;      /* the highest of them */
    float own_degree; /* half the logarithm of the degree of the question that is visited */
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
    return both;
}

/* The row of the other question of a triple that answers one of row ROW. */
static uint32
other_row(const MetasdBothSides *both, uint32 row)
{
    uint32 relations = both->image->plan.relations;

    return row < relations ? row + relations : row - relations;
}

/* Forgets the other questions of the last relation. */
static void
turn_to_row(MetasdBothSides *both, uint32 row)
{
    Size n = both->image->plan.entities;

    if (both->row == row)
        return;
    both->row = row;
    memset(both->level, 0, n * sizeof(*both->level));
    memset(both->degree, 0, n * sizeof(*both->degree));
    both->most = metasd_question_file_degrees(both->file, row, both->degree);
}

/* For a question of the other side: of its known answers. */
static uint32
answers_of(uint32 degree)
{
    return degree > 0 ? degree - 1 : 0;
}

static float
half_log(uint32 answers)
{
    return (float)(0.5 * log(answers > 0 ? (double)answers : METASD_NO_DEGREE));
}

MetasdAsking *
metasd_both_sides_ask(MetasdBothSides *both, const MetasdSweepQuestion *question)
{
    turn_to_row(both, other_row(both, question->row));
    both->own_degree = half_log(question->count);
    if (metasd_asking_begin(both->asking, question))
        return both->asking;
    metasd_asking_finish(both->asking);
    return NULL;
}

bool
metasd_both_sides_asks(const MetasdBothSides *both, uint32 id)
{
    return both->degree[id] > 0;
}

/* The logarithm of a probability, finite. */
static float
log_probability(double probability)
{
    return (float)log(Max(probability, (double)FLT_MIN));
}

float
metasd_both_sides_bound(const MetasdBothSides *both, float probability, uint32 id)
{
    return log_probability(probability) + both->own_degree + half_log(answers_of(both->degree[id]));
}

float
metasd_both_sides_bound_all(const MetasdBothSides *both, float probability)
{
    return log_probability(probability) + both->own_degree + half_log(answers_of(both->most));
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
    if (metasd_asking_begin(both->other, question ? question : &unanswered)) {
        level->sum = both->other->odds.sum;
        level->first = both->other->odds.first;
    } else
        level->none = true;
    metasd_asking_finish(both->other);
    return level;
}

/* The score of the triple with answer ID as an answer to its other question. */
static float
score_of_other(MetasdBothSides *both, uint32 id)
{
    return metasd_query_score(both->image, id, both->row, both->asking->question->entity,
                              both->other->scratch);
}

float
metasd_both_sides_key(MetasdBothSides *both, float probability, uint32 id)
{
    const Level *level = find_level(both, id);
    float score = score_of_other(both, id);
    MetasdOdds odds = {.sum = level->sum, .first = level->first};
    double other;

    if (level->none || score == METASD_IMPOSSIBLE)
        return -INFINITY;
    other = metasd_probability(metasd_query_sigmoid(both->image, both->row),
                               metasd_probability_odds(&odds, score));
    return metasd_both_sides_bound(both, probability, id) + log_probability(other);
}

/* The log odds of a known answer against the candidates that compete, which do not include it. */
static double
odds_of_known(double sum, float first, float score)
{
    double x = (double)score - (double)first - log(Max(sum, DBL_MIN));

    return fmin(fmax(x, -METASD_MOST_ODDS), METASD_MOST_ODDS);
}

float
metasd_both_sides_key_of_fact(MetasdBothSides *both, uint32 id)
{
    const MetasdAsking *asking = both->asking;
    const Level *level = find_level(both, id);
    float score = score_of_other(both, id);
    double mine, other;

    if (level->none || score == METASD_IMPOSSIBLE || asking->scores[id] == METASD_IMPOSSIBLE)
        return -INFINITY;
    mine = metasd_probability(asking->sigmoid, odds_of_known(asking->odds.sum, asking->odds.first,
                                                             asking->scores[id]));
    other = metasd_probability(metasd_query_sigmoid(both->image, both->row),
                               odds_of_known(level->sum, level->first, score));
    return log_probability(mine) + log_probability(other) +
           half_log(asking->question->count - 1) + half_log(answers_of(both->degree[id]) - 1);
}
