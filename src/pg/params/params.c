#include "pg/params/params.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/codec/row_codec.h"
#include "pg/base/json.h"

typedef enum Kind { WHOLE, REAL, SWITCH, WORD } Kind;

/* Parameters that people set first, and those that only an expert sets. */
typedef enum Tier { BASIC, ADVANCED } Tier;

typedef struct Parameter {
    const char *name;
    Tier tier;
    Kind kind;
    double least, most;       /* of a number */
    const char *const *words; /* allowed ones, ended by NULL */
} Parameter;

static const char *const families[] = {"complex", "distmult", NULL};
static const char *const regularizers[] = {"dura", "n3",
                                           NULL}; /* in the order of MetasdRegularizer */

static const char *const presets[] = {"fast", "balanced", "best",
                                      NULL}; /* in the order of MetasdPreset */
static const char *const prunings[] = {"magnitude", "salience", "aligned",
                                       NULL}; /* in the order of MetasdPruning */
static const char *const storages[] = {"float32", "int8", "int6", "int4",
                                       NULL}; /* in the order of MetasdStorage */

static const Parameter parameters[METASD_PARAMS] = {
    [METASD_P_EPOCHS] = {"epochs", BASIC, WHOLE, .least = 1, .most = 100000},
    [METASD_P_MAX_BYTES] = {"max_bytes", BASIC, WHOLE, .least = 0, .most = 1e15},
    [METASD_P_PRESET] = {"preset", BASIC, WORD, .words = presets},
    [METASD_P_RANK] = {"rank", BASIC, WHOLE, .least = 1, .most = METASD_MOST_RANK},
    [METASD_P_REG] = {"reg", BASIC, REAL, .least = 0, .most = 1000},
    [METASD_P_SEED] = {"seed", BASIC, WHOLE, .least = 0, .most = 9007199254740992.0},
    [METASD_P_SPARSITY] = {"sparsity", BASIC, REAL, .least = 0, .most = 0.999},
    [METASD_P_STORAGE] = {"storage", BASIC, WORD, .words = storages},
    [METASD_P_VALIDATION_FRACTION] = {"validation_fraction", BASIC, REAL, .least = 0, .most = 0.5},
    [METASD_P_WORKERS] = {"workers", BASIC, WHOLE, .least = 0, .most = 1024},

    [METASD_P_BATCH] = {"batch", ADVANCED, WHOLE, .least = 1, .most = 1000000},
    [METASD_P_CHECKPOINT_EVERY] = {"checkpoint_every", ADVANCED, REAL, .least = -1,
                                   .most = 1000000},
    [METASD_P_CLASS_WEIGHTS] = {"class_weights", ADVANCED, SWITCH},
    [METASD_P_FAMILY] = {"family", ADVANCED, WORD, .words = families},
    [METASD_P_FINETUNE] = {"finetune", ADVANCED, WHOLE, .least = 0, .most = 100000},
    [METASD_P_KEEP_VERSIONS] = {"keep_versions", ADVANCED, WHOLE, .least = 1, .most = 1000000},
    [METASD_P_LR] = {"lr", ADVANCED, REAL, .least = 1e-9, .most = 10},
    [METASD_P_MUTUAL] = {"mutual", ADVANCED, SWITCH},
    [METASD_P_NEGATIVES] = {"negatives", ADVANCED, WHOLE, .least = 0, .most = 100000000},
    [METASD_P_PATIENCE] = {"patience", ADVANCED, WHOLE, .least = 0, .most = 100000},
    [METASD_P_PROMOTE_TOLERANCE] = {"promote_tolerance", ADVANCED, REAL, .least = 0, .most = 1},
    [METASD_P_PRUNING] = {"pruning", ADVANCED, WORD, .words = prunings},
    [METASD_P_QUIZ] = {"quiz", ADVANCED, SWITCH},
    [METASD_P_RAMP] = {"ramp", ADVANCED, WHOLE, .least = 0, .most = 100000},
    [METASD_P_REGULARIZER] = {"regularizer", ADVANCED, WORD, .words = regularizers},
    [METASD_P_RELATION_WEIGHT] = {"relation_weight", ADVANCED, REAL, .least = 0, .most = 1000},
    [METASD_P_WARM_START] = {"warm_start", ADVANCED, SWITCH},
    [METASD_P_WARMUP] = {"warmup", ADVANCED, WHOLE, .least = 0, .most = 100000},
};

/* ---- reading ---- */

static char *
list_words(const char *const *words)
{
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; words[i]; i++)
        appendStringInfo(&list, "%s\"%s\"", i ? ", " : "", words[i]);
    return list.data;
}

/* The names of a tier, in alphabetical order. */
static char *
list_names(Tier tier)
{
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; i < METASD_PARAMS; i++)
        if (parameters[i].tier == tier)
            appendStringInfo(&list, "%s%s", list.len ? ", " : "", parameters[i].name);
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
                    errhint("Common parameters are %s. Advanced parameters are %s.",
                            list_names(BASIC), list_names(ADVANCED))));
}

/* Describes the allowed values, for messages. */
static char *
describe_allowed(const Parameter *parameter)
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
    return psprintf("one of %s", list_words(parameter->words));
}

static void
refuse_value(const Parameter *parameter)
{
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for parameter \"%s\"", parameter->name),
                    errhint("It must be %s.", describe_allowed(parameter))));
}

static double
read_number(const Parameter *parameter, const JsonbValue *json)
{
    double x;

    if (json->type != jbvNumeric)
        refuse_value(parameter);
    x = DatumGetFloat8(
        DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(json->val.numeric)));
    if (!(x >= parameter->least && x <= parameter->most) ||
        (parameter->kind == WHOLE && x != floor(x)))
        refuse_value(parameter);
    return x;
}

static double
read_word(const Parameter *parameter, const JsonbValue *json)
{
    if (json->type == jbvString)
        for (int i = 0; parameter->words[i]; i++)
            if (strlen(parameter->words[i]) == (size_t)json->val.string.len &&
                strncmp(parameter->words[i], json->val.string.val, json->val.string.len) == 0)
                return i;
    refuse_value(parameter);
    pg_unreachable();
}

static double
read_value(const Parameter *parameter, const JsonbValue *json)
{
    switch (parameter->kind) {
        case WHOLE:
        case REAL:
            return read_number(parameter, json);
        case SWITCH:
            if (json->type != jbvBool)
                refuse_value(parameter);
            return json->val.boolean;
        case WORD:
            break;
    }
    return read_word(parameter, json);
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
        params->value[which] = read_value(&parameters[which], &item);
        params->given[which] = true;
    }
}

/* ---- giving ---- */

/* Digits of a number that is not whole; others are written in full. */
#define DIGITS 9

/* So that a run goes on with exactly the parameters in its row. */
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
            metasd_json_string(json, parameter->name, metasd_params_word(params, (MetasdParam)i));
        else
            metasd_json_number(json, parameter->name, x, parameter->kind == WHOLE ? 17 : DIGITS);
    }
    return metasd_json_end(json);
}

const char *
metasd_params_word(const MetasdParams *params, MetasdParam parameter)
{
    return parameters[parameter].words[(int)params->value[parameter]];
}

const MetasdFamily *
metasd_params_family(const MetasdParams *params)
{
    return metasd_family(metasd_params_word(params, METASD_P_FAMILY));
}
