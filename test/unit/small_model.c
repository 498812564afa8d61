#include "small_model.h"

#include "unit.h"

#include <stdlib.h>

#include "tools.h"

SmallModel
small_model_of(MetasdStateSize size)
{
    SmallModel model = {.state = {.entities = SMALL_ENTITIES,
                                  .relation_rows = SMALL_RELATION_ROWS,
                                  .width = SMALL_WIDTH,
                                  .family = &metasd_family_complex,
                                  .size = size},
                        .team = metasd_team_of_one()};

    model.state.size.batch = SMALL_EXAMPLES;
    model.memory = tools_state_take(&model.state, 1, METASD_TILE * SMALL_ENTITIES);
    assert_int_equal(metasd_state_init(&model.state, &model.team, 4, 0.5f), METASD_OK);
    return model;
}

SmallModel
small_model(bool has_student, bool sparse)
{
    return small_model_of((MetasdStateSize){.has_student = has_student,
                                            .has_quiz = has_student,
                                            .most_density = sparse ? 1 : 0,
                                            .whole_from = 0.21});
}

void
small_model_prune(SmallModel *model, double sparsity)
{
    MetasdPruned pruned;
    void *memory = tools_pruner_take(&model->pruner, &model->state, 1);

    assert_int_equal(
        metasd_prune_mask(&model->pruner, &model->state, &model->team, sparsity, &pruned),
        METASD_OK);
    free(memory);
}

void *
small_model_batch(MetasdBatch *batch, uint32_t salt)
{
    MetasdTriple triples[SMALL_EXAMPLES];

    for (uint32_t i = 0; i < SMALL_EXAMPLES; i++)
        triples[i] = (MetasdTriple){(i * 37 + salt) % SMALL_ENTITIES, i % SMALL_RELATION_ROWS,
                                    (i * i + 3 * salt) % SMALL_ENTITIES};
    return tools_batch(batch, triples, SMALL_EXAMPLES, true);
}
