#include "pg/worker/doubts.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/base/json.h"

/*
 * Among fewer triples many have nothing in common with the others, and where relations with a
 * single triple are many, another one is no sign of a header.
 */
#define LEAST_TRIPLES 10
#define MOST_SINGLE 8

#define SHOWN_BYTES 200

/* ---- labels with blanks around them ---- */

typedef struct Blanks {
    int64 labels; /* with blanks around them */
    int64 twins;  /* of these, labels that are also there without */
    MetasdLabel example;
} Blanks;

static bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static MetasdLabel
trim_label(MetasdLabel label)
{
    while (label.len > 0 && is_blank(label.data[label.len - 1]))
        label.len--;
    while (label.len > 0 && is_blank(*label.data)) {
        label.data++;
        label.len--;
    }
    return label;
}

/* The example is the first one with a twin or, if none has one, the first one. */
static void
count_blanks(const MetasdLabelSet *set, Blanks *blanks)
{
    for (uint32 i = 0; i < metasd_labelset_count(set); i++) {
        MetasdLabel label = metasd_labelset_get(set, i), bare = trim_label(label);
        uint32 number;
        bool twin;

        CHECK_FOR_INTERRUPTS();
        if (bare.len == label.len)
            continue;
        twin = metasd_labelset_find(set, bare.data, bare.len, &number);
        if (blanks->labels == 0 || (twin && blanks->twins == 0))
            blanks->example = label;
        blanks->labels++;
        blanks->twins += twin;
    }
}

/* ---- a header line ---- */

/* Does any other triple have an entity of triple `lone`? */
static bool
is_alone(const MetasdInput *input, size_t lone)
{
    const MetasdTriple *own = &input->triples[lone];

    if (own->head == own->tail)
        return false;
    for (size_t i = 0; i < input->count; i++) {
        const MetasdTriple *triple = &input->triples[i];

        CHECK_FOR_INTERRUPTS();
        if (i != lone && (triple->head == own->head || triple->tail == own->head ||
                          triple->head == own->tail || triple->tail == own->tail))
            return false;
    }
    return true;
}

/*
 * The only triple of its relation whose entities no other triple has, or NULL if there is none, or
 * more than one.
 */
static const MetasdTriple *
find_header(const MetasdInput *input)
{
    uint32 relations = metasd_labelset_count(input->relations);
    uint32 *count = palloc_extended(relations * sizeof(*count), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    const MetasdTriple *found = NULL;
    int single = 0, alone = 0;

    for (size_t i = 0; i < input->count; i++)
        count[input->triples[i].relation]++;
    for (uint32 r = 0; r < relations; r++)
        single += count[r] == 1;
    for (size_t i = 0; i < input->count && single <= MOST_SINGLE; i++)
        if (count[input->triples[i].relation] == 1 && is_alone(input, i)) {
            found = &input->triples[i];
            alone++;
        }
    pfree(count);
    return alone == 1 ? found : NULL;
}

/* ---- the metrics ---- */

static void
append_label(MetasdJson *json, const char *key, MetasdLabel label)
{
    int len = pg_mbcliplen(label.data, (int)label.len, SHOWN_BYTES);

    metasd_json_string(json, key, pnstrdup(label.data, len));
}

Jsonb *
metasd_doubts_find(const MetasdInput *input)
{
    Blanks blanks = {0};
    const MetasdTriple *header = input->count < LEAST_TRIPLES ? NULL : find_header(input);
    MetasdJson *json;

    count_blanks(input->entities, &blanks);
    count_blanks(input->relations, &blanks);
    if (blanks.labels == 0 && !header)
        return NULL;
    json = metasd_json_begin();
    if (blanks.labels > 0) {
        metasd_json_whole(json, "blanks", blanks.labels);
        metasd_json_whole(json, "twins", blanks.twins);
        append_label(json, "example", blanks.example);
    }
    if (header) {
        metasd_json_open(json, "header");
        append_label(json, "head", metasd_labelset_get(input->entities, header->head));
        append_label(json, "relation", metasd_labelset_get(input->relations, header->relation));
        append_label(json, "tail", metasd_labelset_get(input->entities, header->tail));
        metasd_json_close(json);
    }
    return metasd_json_end(json);
}
