#include "pupil.h"

#include "unit.h"

#include "tools.h"

Pupil
pupil_make(bool guided, bool sparse, bool apart)
{
    Pupil pupil = {.step = {.entities = PUPIL_ENTITIES,
                            .relation_rows = PUPIL_RELATION_ROWS,
                            .width = PUPIL_WIDTH,
                            .batch = PUPIL_EXAMPLES,
                            .family = &metasd_complex,
                            .guided = guided,
                            .quizzed = guided,
                            .apart = apart,
                            .most_density = sparse ? 1 : 0,
                            .whole_from = 0.21},
                   .team = metasd_team_of_one()};

    pupil.memory = tools_step_take(&pupil.step, 1, METASD_TILE * PUPIL_ENTITIES);
    assert_int_equal(metasd_step_init(&pupil.step, &pupil.team, 4, 0.5f), METASD_OK);
    return pupil;
}

void
pupil_prune(Pupil *pupil, double sparsity)
{
    static uint64_t bins[METASD_PRUNE_BINS];
    float cut;

    assert_int_equal(metasd_step_prune(&pupil->step, &pupil->team, sparsity, bins, &cut),
                     METASD_OK);
}
