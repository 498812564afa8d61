#include "student.h"

#include "unit.h"

#include "tools.h"

Student
student_of(const MetasdState *settings)
{
    Student student = {.step = *settings, .team = metasd_team_of_one()};

    student.step.entities = STUDENT_ENTITIES;
    student.step.relation_rows = STUDENT_RELATION_ROWS;
    student.step.width = STUDENT_WIDTH;
    student.step.batch = STUDENT_EXAMPLES;
    student.step.family = &metasd_family_complex;
    student.memory = tools_step_take(&student.step, 1, METASD_TILE * STUDENT_ENTITIES);
    assert_int_equal(metasd_state_init(&student.step, &student.team, 4, 0.5f), METASD_OK);
    return student;
}

Student
student_make(bool guided, bool sparse)
{
    return student_of(&(MetasdState){
        .guided = guided, .quizzed = guided, .most_density = sparse ? 1 : 0, .whole_from = 0.21});
}

void
student_prune(Student *student, double sparsity)
{
    static uint64_t bins[METASD_PRUNE_BINS];
    MetasdMasked masked;

    assert_int_equal(metasd_mask_take(&student->step, &student->team, sparsity, bins, &masked),
                     METASD_OK);
}
