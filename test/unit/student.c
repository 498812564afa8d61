#include "student.h"

#include "unit.h"

#include "tools.h"

Pupil
pupil_of(const MetasdState *settings)
{
    Pupil pupil = {.step = *settings, .team = metasd_team_of_one()};

    pupil.step.entities = PUPIL_ENTITIES;
    pupil.step.relation_rows = PUPIL_RELATION_ROWS;
    pupil.step.width = PUPIL_WIDTH;
    pupil.step.batch = PUPIL_EXAMPLES;
    pupil.step.family = &metasd_family_complex;
    pupil.memory = tools_step_take(&pupil.step, 1, METASD_TILE * PUPIL_ENTITIES);
    assert_int_equal(metasd_state_init(&pupil.step, &pupil.team, 4, 0.5f), METASD_OK);
    return pupil;
}

Pupil
pupil_make(bool guided, bool sparse)
{
    return pupil_of(&(MetasdState){
        .guided = guided, .quizzed = guided, .most_density = sparse ? 1 : 0, .whole_from = 0.21});
}

void
pupil_prune(Pupil *pupil, double sparsity)
{
    static uint64_t bins[METASD_PRUNE_BINS];
    MetasdMasked masked;

    assert_int_equal(metasd_mask_take(&pupil->step, &pupil->team, sparsity, bins, &masked),
                     METASD_OK);
}
