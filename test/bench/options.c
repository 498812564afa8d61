#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "processes.h"

static BenchOptions
defaults(void)
{
    return (BenchOptions){.train = {.seed = 1,
                                    .family = &metasd_family_complex,
                                    .rank = 200,
                                    .sparsity = 0.9,
                                    .epochs = 20,
                                    .batch = 4500,
                                    .quiz_batch = 1000,
                                    .finetune_relation_weight = 0.5f,
                                    .validation_most = 10000,
                                    .lean_from = 100000,
                                    .step = {.lr = 0.1f,
                                             .student_lr = 0.1f,
                                             .quiz_lr = 1e-4f,
                                             .reg = 0.05f,
                                             .relation_weight = 4,
                                             .tau = 3,
                                             .kl_forward = 3,
                                             .kl_reverse = 1,
                                             .quiz = true,
                                             .mutual = true}},
                          .split = {.quiz_fraction = 0.02},
                          .members = 1,
                          .memory = 20};
}

/* Sets the option of a name; false where there is none. */
static bool
set_option(BenchOptions *options, const char *name, size_t length, double value)
{
    MetasdTrainOptions *o = &options->train;

#define OPTION(known, place)                                                                       \
    if (length == strlen(known) && strncmp(name, known, length) == 0) {                            \
        place = (__typeof__(place))value;                                                          \
        return true;                                                                               \
    }
    OPTION("members", options->members)
    OPTION("phases", options->phases)
    OPTION("seconds", options->seconds)
    OPTION("memory", options->memory)
    OPTION("rank", o->rank)
    OPTION("sparsity", o->sparsity)
    OPTION("epochs", o->epochs)
    OPTION("warmup", o->warmup)
    OPTION("warmup_lr", o->warmup_lr)
    OPTION("ramp", o->ramp)
    OPTION("batch", o->batch)
    OPTION("quiz_batch", o->quiz_batch)
    OPTION("salience", o->pruning.salience)
    OPTION("by_component", o->pruning.by_component)
    OPTION("alignment", o->pruning.alignment)
    OPTION("finetune", o->finetune)
    OPTION("finetune_lr", o->finetune_lr)
    OPTION("finetune_relation_weight", o->finetune_relation_weight)
    OPTION("negatives", o->negatives)
    OPTION("lean_from", o->lean_from)
    OPTION("patience", o->patience)
    OPTION("storage", o->storage)
    OPTION("seed", o->seed)
    OPTION("validation", o->validation_most)
    OPTION("lr", o->step.lr)
    OPTION("student_lr", o->step.student_lr)
    OPTION("quiz_lr", o->step.quiz_lr)
    OPTION("reg", o->step.reg)
    OPTION("relation_weight", o->step.relation_weight)
    OPTION("tau", o->step.tau)
    OPTION("kl_forward", o->step.kl_forward)
    OPTION("kl_reverse", o->step.kl_reverse)
    OPTION("n3", o->step.regularizer)
    OPTION("class_weights", o->class_weights)
    OPTION("quiz", o->step.quiz)
    OPTION("mutual", o->step.mutual)
    OPTION("quiz_fraction", options->split.quiz_fraction)
    OPTION("validation_fraction", options->split.validation_fraction)
#undef OPTION
    return false;
}

BenchOptions
options_parse(int n, char **arguments)
{
    BenchOptions options = defaults();

    for (int i = 0; i < n; i++) {
        const char *equals = strchr(arguments[i], '=');

        if (!equals || !set_option(&options, arguments[i], (size_t)(equals - arguments[i]),
                                   atof(equals + 1))) {
            fprintf(stderr, "unknown option %s\n", arguments[i]);
            exit(2);
        }
    }
    if (options.members < 1 || options.members > PROCESSES_MOST) {
        fprintf(stderr, "members: 1 .. %d\n", PROCESSES_MOST);
        exit(2);
    }
    options.split.seed = options.train.seed;
    return options;
}
