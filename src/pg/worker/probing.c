#include "pg/worker/probing.h"

#include "core/train/probe.h"
#include "pg/base/json.h"
#include "pg/worker/options.h"

/* The parameters that probes choose. */
static const MetasdParam probed[METASD_PROBED] = {
    [METASD_PROBED_REG] = METASD_P_REG,
    [METASD_PROBED_REGULARIZER] = METASD_P_REGULARIZER,
    [METASD_PROBED_RELATION_WEIGHT] = METASD_P_RELATION_WEIGHT,
    [METASD_PROBED_CLASS_WEIGHTS] = METASD_P_CLASS_WEIGHTS};

bool
metasd_probing_is_wanted(const MetasdParams *params)
{
    for (int i = 0; i < METASD_PROBED; i++)
        if (!params->given[probed[i]])
            return true;
    return false;
}

void
metasd_probing_inherit(MetasdParams *params, const MetasdParams *of)
{
    for (int i = 0; i < METASD_PROBED; i++) {
        MetasdParam p = probed[i];

        if (params->given[p] || !of->given[p])
            continue;
        params->value[p] = of->value[p];
        params->given[p] = true;
    }
}

void
metasd_probing_forgo(MetasdParams *params)
{
    for (int i = 0; i < METASD_PROBED; i++)
        params->given[probed[i]] = true;
}

/* ---- memory ---- */

/* The trainer of all probes, one after the other. */
static bool
measure(const MetasdGraph *graph, const MetasdTrainOptions *options, size_t *shared, size_t *own)
{
    MetasdArena arenas[2] = {metasd_arena_measure(), metasd_arena_measure()};
    MetasdTrainOptions small = metasd_probe_options(graph, options);
    MetasdTrainer trainer;

    metasd_trainer_take(&trainer, &arenas[0], &arenas[1], graph, &small, 1);
    *shared = arenas[0].used;
    *own = arenas[1].used;
    return metasd_arena_ok(&arenas[0]) && metasd_arena_ok(&arenas[1]);
}

size_t
metasd_probing_bytes(const MetasdGraph *graph, const MetasdTrainOptions *options)
{
    size_t shared, own, bytes;

    if (!measure(graph, options, &shared, &own) || __builtin_add_overflow(shared, own, &bytes))
        return SIZE_MAX;
    return bytes;
}

/* ---- progress ---- */

typedef struct Prober {
    MetasdReporter *reporter;
    int probes;
} Prober;

static MetasdStatus
batch_ended(void *context, int probe, size_t done, size_t total, double loss)
{
    const Prober *prober = context;
    MetasdHeartbeat heartbeat = {
        .phase = "probing", .done = probe - 1, .total = Max(probe, prober->probes)};

    (void)done;
    (void)total;
    (void)loss;
    return metasd_progress_heartbeat(prober->reporter, &heartbeat);
}

/* ---- the choice ---- */

static MetasdProbing
make_probing(const MetasdParams *params, const MetasdTraining *training)
{
    const double *value = params->value;
    MetasdProbing probing = {
        .chosen = {.regularizer = (MetasdRegularizer)value[METASD_P_REGULARIZER],
                   .reg = value[METASD_P_REG],
                   .relation_weight = value[METASD_P_RELATION_WEIGHT],
                   .class_weights = value[METASD_P_CLASS_WEIGHTS] != 0}};

    for (int i = 0; i < METASD_PROBED; i++)
        probing.open[i] = !params->given[probed[i]];
    metasd_probe_plan(&probing, &training->graph, &training->options);
    return probing;
}

/* Sets the parameters as if they had been given, and the options that they stand for. */
static void
take_choice(const MetasdProbeChoice *chosen, MetasdParams *params, MetasdTrainOptions *options)
{
    MetasdSplit same;

    params->value[METASD_P_REGULARIZER] = chosen->regularizer;
    params->value[METASD_P_REG] = chosen->reg;
    params->value[METASD_P_RELATION_WEIGHT] = chosen->relation_weight;
    params->value[METASD_P_CLASS_WEIGHTS] = chosen->class_weights;
    for (int i = 0; i < METASD_PROBED; i++)
        params->given[probed[i]] = true;
    metasd_params_settle(params);
    metasd_options_set(params, options, &same);
}

static void
append_choice(MetasdJson *json, const MetasdProbeChoice *choice)
{
    metasd_json_string(json, "regularizer", choice->regularizer == METASD_N3 ? "n3" : "dura");
    metasd_json_number(json, "reg", choice->reg, 9);
    metasd_json_number(json, "relation_weight", choice->relation_weight, 9);
    metasd_json_bool(json, "class_weights", choice->class_weights);
}

static Jsonb *
make_metrics(const MetasdProbing *probing)
{
    MetasdJson *json = metasd_json_begin();

    metasd_json_open(json, "chosen");
    append_choice(json, &probing->chosen);
    metasd_json_close(json);
    metasd_json_open_list(json, "tried");
    for (int i = 0; i < probing->count; i++) {
        const MetasdProbe *probe = &probing->probe[i];

        metasd_json_open(json, NULL);
        append_choice(json, &probe->choice);
        metasd_json_number(json, "epochs", probe->epochs, 3);
        metasd_json_fixed(json, "mrr", probe->mrr, 6);
        metasd_json_close(json);
    }
    metasd_json_close_list(json);
    return metasd_json_end(json);
}

Jsonb *
metasd_probing_run(MetasdProcess *process, MetasdReporter *reporter, MetasdTraining *training,
                   MetasdParams *params)
{
    MetasdTeam alone = metasd_process_team_of_one(process);
    MetasdProbing probing = make_probing(params, training);
    Prober prober = {.reporter = reporter};
    MetasdTrainEvents events = {.context = &prober, .batch = batch_ended};
    MetasdTrainOptions small = metasd_probe_options(&training->graph, &training->options);
    void *memory[2];
    MetasdTrainer trainer;
    MetasdArena shared, own;
    MetasdProbeCounts counts = metasd_halving_count(&probing);
    size_t bytes[2];

    prober.probes = counts.brief + counts.full + counts.longest;
    if (counts.full == 0 || probing.lengths.full <= 0)
        return NULL;
    if (!measure(&training->graph, &training->options, &bytes[0], &bytes[1]))
        metasd_process_check_status(process, METASD_NO_MEMORY);
    metasd_progress_phase(reporter, "probing");
    shared = metasd_process_arena(bytes[0], &memory[0]);
    own = metasd_process_arena(bytes[1], &memory[1]);
    metasd_trainer_take(&trainer, &shared, &own, &training->graph, &small, 1);
    metasd_process_check_status(process, metasd_probe(&probing, &trainer, &alone, &training->graph,
                                                      &training->options, &events));
    pfree(memory[0]);
    pfree(memory[1]);
    take_choice(&probing.chosen, params, &training->options);
    return make_metrics(&probing);
}
