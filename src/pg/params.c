#include "params.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "codec.h"
#include "json.h"

typedef enum Kind { WHOLE, REAL, SWITCH, WORD } Kind;

typedef struct Parameter {
    const char *name;
    Kind kind;
    double least, most;       /* of a number */
    const char *const *words; /* allowed ones, ended by NULL */
} Parameter;

static const char *const families[] = {"complex", "distmult", NULL};
static const char *const regularizers[] = {"dura", "n3", NULL}; /* as MetasdRegularizer */

static const char *const presets[] = {"fast", "balanced", "best", NULL}; /* as MetasdPreset */
static const char *const cuts[] = {"together", "apart", NULL};
static const char *const samplings[] = {"uniform", "degree", NULL};
static const char *const storages[] = {"float32", "int8", "int6", NULL}; /* MetasdStorage */

/* In the order of MetasdParam. */
static const Parameter parameters[METASD_PARAMS] = {
    {"alignment", REAL, 0, 100, NULL},
    {"batch", WHOLE, 1, 1000000, NULL},
    {"by_component", SWITCH, 0, 1, NULL},
    {"checkpoint_every", REAL, -1, 1000000, NULL},
    {"class_weights", SWITCH, 0, 1, NULL},
    {"cut", WORD, 0, 0, cuts},
    {"epochs", WHOLE, 1, 100000, NULL},
    {"family", WORD, 0, 0, families},
    {"finish", WHOLE, 0, 100000, NULL},
    {"finish_kl", REAL, 0, 1000, NULL},
    {"finish_lr", REAL, 1e-9, 10, NULL},
    {"finish_relation_weight", REAL, 0, 1000, NULL},
    {"finish_restart", SWITCH, 0, 1, NULL},
    {"fixed_mask", SWITCH, 0, 1, NULL},
    {"keep_versions", WHOLE, 1, 1000000, NULL},
    {"kl_forward", REAL, 0, 1000, NULL},
    {"kl_reverse", REAL, 0, 1000, NULL},
    {"lr", REAL, 1e-9, 10, NULL},
    {"meta", SWITCH, 0, 1, NULL},
    {"meta_lr", REAL, 1e-12, 10, NULL},
    {"mutual", SWITCH, 0, 1, NULL},
    {"negative_sampling", WORD, 0, 0, samplings},
    {"negatives", WHOLE, 0, 100000000, NULL},
    {"patience", WHOLE, 0, 100000, NULL},
    {"preset", WORD, 0, 0, presets},
    {"promote_tolerance", REAL, 0, 1, NULL},
    {"quiz_batch", WHOLE, 1, 1000000, NULL},
    {"quiz_fraction", REAL, 0, 0.5, NULL},
    {"ramp", WHOLE, 0, 100000, NULL},
    {"rank", WHOLE, 1, 10000, NULL},
    {"reg", REAL, 0, 1000, NULL},
    {"regularizer", WORD, 0, 0, regularizers},
    {"relation_weight", REAL, 0, 1000, NULL},
    {"salience", REAL, 0, 2, NULL},
    {"seed", WHOLE, 0, 9007199254740992.0, NULL},
    {"sparsity", REAL, 0, 0.999, NULL},
    {"storage", WORD, 0, 0, storages},
    {"student_lr", REAL, 1e-9, 10, NULL},
    {"temperature", REAL, 0.01, 1000, NULL},
    {"validation_fraction", REAL, 0, 0.5, NULL},
    {"warmup", WHOLE, 0, 100000, NULL},
    {"warmup_lr", REAL, 0, 10, NULL},
    {"warm_start", SWITCH, 0, 1, NULL},
    {"workers", WHOLE, 0, 1024, NULL},
};

/* ---- reading ---- */

static char *
list_of(const char *const *words)
{
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; words[i]; i++)
        appendStringInfo(&list, "%s\"%s\"", i ? ", " : "", words[i]);
    return list.data;
}

static char *
all_names(void)
{
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; i < METASD_PARAMS; i++)
        appendStringInfo(&list, "%s%s", i ? ", " : "", parameters[i].name);
    return list.data;
}

static int
find_parameter(const char *name, int len)
{
    for (int i = 0; i < METASD_PARAMS; i++)
        if (strlen(parameters[i].name) == (size_t)len &&
            strncmp(parameters[i].name, name, len) == 0)
            return i;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("unknown parameter \"%.*s\"", len, name),
                    errhint("The parameters are: %s.", all_names())));
}

/* What a value of this parameter may be, for messages. */
static char *
what_is_allowed(const Parameter *parameter)
{
    switch (parameter->kind) {
        case WHOLE:
            return psprintf("a whole number from %.0f to %.0f", parameter->least, parameter->most);
        case REAL:
            return psprintf("a number from %g to %g", parameter->least, parameter->most);
        case SWITCH:
            return pstrdup("true or false");
        case WORD:
            break;
    }
    return psprintf("one of %s", list_of(parameter->words));
}

static void
refuse(const Parameter *parameter)
{
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for parameter \"%s\"", parameter->name),
                    errhint("It must be %s.", what_is_allowed(parameter))));
}

static double
number_of(const Parameter *parameter, const JsonbValue *json)
{
    double x;

    if (json->type != jbvNumeric)
        refuse(parameter);
    x = DatumGetFloat8(
        DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(json->val.numeric)));
    if (!(x >= parameter->least && x <= parameter->most) ||
        (parameter->kind == WHOLE && x != floor(x)))
        refuse(parameter);
    return x;
}

static double
word_of(const Parameter *parameter, const JsonbValue *json)
{
    if (json->type == jbvString)
        for (int i = 0; parameter->words[i]; i++)
            if (strlen(parameter->words[i]) == (size_t)json->val.string.len &&
                strncmp(parameter->words[i], json->val.string.val, json->val.string.len) == 0)
                return i;
    refuse(parameter);
    pg_unreachable();
}

static double
value_of(const Parameter *parameter, const JsonbValue *json)
{
    switch (parameter->kind) {
        case WHOLE:
        case REAL:
            return number_of(parameter, json);
        case SWITCH:
            if (json->type != jbvBool)
                refuse(parameter);
            return json->val.boolean;
        case WORD:
            break;
    }
    return word_of(parameter, json);
}

void
metasd_params_read(MetasdParams *params, Jsonb *json)
{
    JsonbIterator *iterator;
    JsonbValue item;
    JsonbIteratorToken token;

    memset(params, 0, sizeof(*params));
    if (!JB_ROOT_IS_OBJECT(json))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("parameters must be a JSON object"),
                        errhint("Write for instance params => '{\"rank\": 200}'.")));
    iterator = JsonbIteratorInit(&json->root);
    while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE) {
        int which;

        if (token != WJB_KEY)
            continue;
        which = find_parameter(item.val.string.val, item.val.string.len);
        (void)JsonbIteratorNext(&iterator, &item, true);
        if (item.type == jbvNull) /* as if not given */
            continue;
        params->value[which] = value_of(&parameters[which], &item);
        params->given[which] = true;
    }
}

/* ---- giving ---- */

/* Of a number that is not whole; others are given in full. */
#define DIGITS 9

/* So that a run goes on with exactly the parameters that its row says it has. */
void
metasd_params_settle(MetasdParams *params)
{
    for (int i = 0; i < METASD_PARAMS; i++)
        if (parameters[i].kind == REAL)
            params->value[i] = strtod(psprintf("%.*g", DIGITS, params->value[i]), NULL);
}

Jsonb *
metasd_params_json(const MetasdParams *params)
{
    MetasdJson *json = metasd_json_begin();

    for (int i = 0; i < METASD_PARAMS; i++) {
        const Parameter *parameter = &parameters[i];
        double x = params->value[i];

        if (parameter->kind == SWITCH)
            metasd_json_bool(json, parameter->name, x != 0);
        else if (parameter->kind == WORD)
            metasd_json_string(json, parameter->name, parameter->words[(int)x]);
        else
            metasd_json_number(json, parameter->name, x, parameter->kind == WHOLE ? 17 : DIGITS);
    }
    return metasd_json_end(json);
}

void
metasd_params_options(const MetasdParams *params, MetasdTrainOptions *options, MetasdSplit *split)
{
    const double *x = params->value;

    *split = (MetasdSplit){.seed = (uint64_t)x[METASD_P_SEED],
                           .validation_fraction = x[METASD_P_VALIDATION_FRACTION],
                           .quiz_fraction = x[METASD_P_META] ? x[METASD_P_QUIZ_FRACTION] : 0};
    *options =
        (MetasdTrainOptions){.seed = (uint64_t)x[METASD_P_SEED],
                             .family = metasd_family(families[(int)x[METASD_P_FAMILY]]),
                             .rank = (size_t)x[METASD_P_RANK],
                             .sparsity = x[METASD_P_SPARSITY],
                             .epochs = (int)x[METASD_P_EPOCHS],
                             .warmup = (int)x[METASD_P_WARMUP],
                             .warmup_lr = (float)x[METASD_P_WARMUP_LR],
                             .ramp = (int)x[METASD_P_RAMP],
                             .finish = (int)x[METASD_P_FINISH],
                             .finish_lr = (float)x[METASD_P_FINISH_LR],
                             .finish_kl = (float)x[METASD_P_FINISH_KL],
                             .finish_relation_weight = (float)x[METASD_P_FINISH_RELATION_WEIGHT],
                             .finish_restart = x[METASD_P_FINISH_RESTART] != 0,
                             .apart = x[METASD_P_CUT] != 0,
                             .salience = x[METASD_P_SALIENCE],
                             .fixed_mask = x[METASD_P_FIXED_MASK] != 0,
                             .alignment = x[METASD_P_ALIGNMENT],
                             .by_component = x[METASD_P_BY_COMPONENT] != 0,
                             .patience = (int)x[METASD_P_PATIENCE],
                             .batch = (size_t)x[METASD_P_BATCH],
                             .quiz_batch = (size_t)x[METASD_P_QUIZ_BATCH],
                             .negatives = (size_t)x[METASD_P_NEGATIVES],
                             .by_degree = x[METASD_P_NEGATIVE_SAMPLING] != 0,
                             .validation_most = 20000,
                             .class_weights = x[METASD_P_CLASS_WEIGHTS] != 0,
                             .step = {.lr = (float)x[METASD_P_LR],
                                      .student_lr = (float)x[METASD_P_STUDENT_LR],
                                      .meta_lr = (float)x[METASD_P_META_LR],
                                      .reg = (float)x[METASD_P_REG],
                                      .relation_weight = (float)x[METASD_P_RELATION_WEIGHT],
                                      .tau = (float)x[METASD_P_TEMPERATURE],
                                      .kl_forward = (float)x[METASD_P_KL_FORWARD],
                                      .kl_reverse = (float)x[METASD_P_KL_REVERSE],
                                      .regularizer = (MetasdRegularizer)x[METASD_P_REGULARIZER],
                                      .quiz = x[METASD_P_META] != 0,
                                      .mutual = x[METASD_P_MUTUAL] != 0}};
}
