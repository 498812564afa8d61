#include "core/model/growth.h"

#include <string.h>

/* Questions of the usual kind that are added to each range, and what one without answers lacks. */
#define USUAL 5.0
#define USUAL_OF_NONE 0.1

/* 0 to 3 are ranges of their own; then there are two for each power of two. */
static int
range_of(uint32_t answers)
{
    int power = 31;

    if (answers < 4)
        return (int)answers;
    while (!(answers >> power))
        power--;
    return 2 * power + (int)(answers >> (power - 1) & 1);
}

void
metasd_growth_start(MetasdGrowth *growth)
{
    memset(growth, 0, sizeof(*growth));
}

void
metasd_growth_count(MetasdGrowth *growth, uint32_t answers)
{
    growth->counted++;
    growth->questions[range_of(answers)]++;
    growth->answers[range_of(answers - 1)] += answers;
}

void
metasd_growth_complete(MetasdGrowth *growth, uint32_t n)
{
    growth->questions[0] = (double)n - growth->counted;
}

double
metasd_growth_of(const MetasdGrowth *growth, uint32_t answers)
{
    int range = range_of(answers);
    double usual = answers > 0 ? (double)answers : USUAL_OF_NONE;

    return (growth->answers[range] + USUAL * usual) / (growth->questions[range] + USUAL);
}
