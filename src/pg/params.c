#include "params.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

typedef enum Kind { WHOLE, REAL, SWITCH, WORD } Kind;

typedef struct Parameter {
    const char *name;
    Kind kind;
    double least, most;       /* of a number */
    const char *const *words; /* allowed ones, ended by NULL */
} Parameter;

static const char *const families[] = {"complex", NULL};
static const char *const regularizers[] = {"dura", "n3", NULL}; /* as MetasdRegularizer */

/* In the order of MetasdParam. */
static const Parameter parameters[METASD_PARAMS] = {
    {"batch", WHOLE, 1, 1000000, NULL},
    {"class_weights", SWITCH, 0, 1, NULL},
    {"epochs", WHOLE, 1, 100000, NULL},
    {"family", WORD, 0, 0, families},
    {"kl_forward", REAL, 0, 1000, NULL},
    {"kl_reverse", REAL, 0, 1000, NULL},
    {"lr", REAL, 1e-9, 10, NULL},
    {"meta", SWITCH, 0, 1, NULL},
    {"meta_lr", REAL, 1e-12, 10, NULL},
    {"mutual", SWITCH, 0, 1, NULL},
    {"patience", WHOLE, 0, 100000, NULL},
    {"quiz_batch", WHOLE, 1, 1000000, NULL},
    {"quiz_fraction", REAL, 0, 0.5, NULL},
    {"ramp", WHOLE, 0, 100000, NULL},
    {"rank", WHOLE, 1, 10000, NULL},
    {"reg", REAL, 0, 1000, NULL},
    {"regularizer", WORD, 0, 0, regularizers},
    {"relation_weight", REAL, 0, 1000, NULL},
    {"seed", WHOLE, 0, 9007199254740992.0, NULL},
    {"sparsity", REAL, 0, 0.999, NULL},
    {"student_lr", REAL, 1e-9, 10, NULL},
    {"temperature", REAL, 0.01, 1000, NULL},
    {"validation_fraction", REAL, 0, 0.5, NULL},
    {"warmup", WHOLE, 0, 100000, NULL},
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
            return psprintf("one of %s", list_of(parameter->words));
    }
    return NULL;
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
    return 0;
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
            return word_of(parameter, json);
    }
    return 0;
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

/* ---- defaults ---- */

/* The published settings (ALGORITHM.md, section 4), where a graph's size does not matter. */
static const double published[METASD_PARAMS] = {
    [METASD_P_KL_FORWARD] = 3,
    [METASD_P_KL_REVERSE] = 1,
    [METASD_P_LR] = 0.1,
    [METASD_P_META] = 1,
    [METASD_P_META_LR] = 1e-4,
    [METASD_P_MUTUAL] = 1,
    [METASD_P_QUIZ_FRACTION] = 0.02,
    [METASD_P_REGULARIZER] = METASD_DURA,
    [METASD_P_SEED] = 1,
    [METASD_P_SPARSITY] = 0.9,
    [METASD_P_STUDENT_LR] = 0.1,
    [METASD_P_TEMPERATURE] = 3,
};

/* What depends on the size, for graphs of up to so many triples. */
typedef struct SizeClass {
    double triples;
    double rank; /* at most; see rank_of */
    double batch, quiz_batch, epochs, warmup, ramp, reg, relation_weight, validation;
    MetasdRegularizer regularizer;
} SizeClass;

static const SizeClass classes[] = {
    {20000, 1000, 500, 100, 40, 2, 20, 0.01, 0, 0.1, METASD_N3},
    {100000, 300, 1000, 500, 40, 5, 15, 0.05, 1, 0.05, METASD_DURA},
    {INFINITY, 200, 4500, 1000, 40, 10, 10, 0.05, 4, 0.02, METASD_DURA},
};

/*
 * A small graph can afford a rank at which nine of ten weights go without loss; as it grows,
 * the rank falls to the 200 of a large one, and the time of an epoch stays in bounds.
 */
static double
rank_of(const SizeClass *class, uint32 entities)
{
    double rank = floor(400000.0 / Max(entities, 1) / 10) * 10;

    return Max(200, Min(rank, class->rank));
}

void
metasd_params_default(MetasdParams *params, uint32 entities, uint32 relations, uint64 triples)
{
    const SizeClass *class = classes;
    double value[METASD_PARAMS], shortened = 1;

    while ((double)triples > class->triples)
        class ++;
    /* In few epochs, too, there must be time to prune. */
    if (params->given[METASD_P_EPOCHS])
        shortened = Min(1, params->value[METASD_P_EPOCHS] / class->epochs);
    memcpy(value, published, sizeof(value));
    value[METASD_P_RANK] = rank_of(class, entities);
    value[METASD_P_BATCH] = class->batch;
    value[METASD_P_QUIZ_BATCH] = class->quiz_batch;
    value[METASD_P_EPOCHS] = class->epochs;
    value[METASD_P_WARMUP] = floor(class->warmup * shortened);
    value[METASD_P_RAMP] = floor(class->ramp * shortened);
    value[METASD_P_REG] = class->reg;
    value[METASD_P_REGULARIZER] = class->regularizer;
    value[METASD_P_RELATION_WEIGHT] = class->relation_weight;
    value[METASD_P_VALIDATION_FRACTION] = class->validation;
    for (int i = 0; i < METASD_PARAMS; i++)
        if (!params->given[i])
            params->value[i] = value[i];
}

/* ---- giving ---- */

Jsonb *
metasd_params_json(const MetasdParams *params)
{
    StringInfoData json;

    initStringInfo(&json);
    for (int i = 0; i < METASD_PARAMS; i++) {
        const Parameter *parameter = &parameters[i];
        double x = params->value[i];

        appendStringInfo(&json, "%s\"%s\": ", i ? ", " : "{", parameter->name);
        if (parameter->kind == SWITCH)
            appendStringInfoString(&json, x != 0 ? "true" : "false");
        else if (parameter->kind == WORD)
            appendStringInfo(&json, "\"%s\"", parameter->words[(int)x]);
        else
            appendStringInfo(&json, "%.*g", parameter->kind == WHOLE ? 17 : 9, x);
    }
    appendStringInfoChar(&json, '}');
    return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
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
                             .ramp = (int)x[METASD_P_RAMP],
                             .patience = (int)x[METASD_P_PATIENCE],
                             .batch = (size_t)x[METASD_P_BATCH],
                             .quiz_batch = (size_t)x[METASD_P_QUIZ_BATCH],
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
