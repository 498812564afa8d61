/* Damage to a serving image never harms who opens it. */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/ranking/topk.h"
#include "core/serve/image.h"
#include "core/serve/query.h"
#include "image_world.h"
#include "tools.h"

#define STREAM 80

/* The image's checksums, written from image.h's promise alone: places 24 and 120 of the header. */
static uint64_t
word_sum(const char *at, size_t bytes)
{
    uint64_t sum[4] = {1, 2, 3, 4}, all = bytes;

    for (int i = 0; i < 5; i++)
        for (size_t k = 0; k < (i < 4 ? bytes / 32 : 4); k++) {
            uint64_t *to = i < 4 ? &sum[i] : &all, word = sum[k % 4];

            if (i < 4)
                memcpy(&word, at + k * 32 + i * 8, 8);
            *to = (*to ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            *to ^= *to >> 32;
        }
    return all;
}

static void
seal(char *image, size_t bytes)
{
    uint64_t sum = word_sum(image + 128, bytes - 128);

    memcpy(image + 24, &sum, 8);
    memset(image + 120, 0, 8);
    sum = word_sum(image, 128);
    memcpy(image + 120, &sum, 8);
}

/* Asks everything of an image that was accepted: the sanitizers watch. */
static void
ask_everything(const MetasdImage *index)
{
    uint32_t n = index->plan.entities, p = 2 * index->plan.relations, id;
    uint32_t most = n > p ? n : p;
    float *scores = malloc((most + 1) * sizeof(float)), score;
    float *scratch = malloc(metasd_query_scratch_bytes(index->plan.width));
    uint32_t *ids = malloc((most + 1) * sizeof(uint32_t));
    MetasdTopk topk;
    size_t len;

    for (uint32_t e = 0; e < n; e += 7) {
        const char *label = metasd_label_get(&index->entity_labels, e, &len);

        (void)metasd_label_find(&index->entity_labels, label, len, &id);
        metasd_query_scores_tails(index, e, e % p, scores, scratch);
        metasd_topk_start(&topk, n, scores, ids);
        while (metasd_topk_next(&topk, &id, &score))
            assert_true(id < n);
        (void)metasd_query_score(index, e, e % p, n - 1, scratch);
        metasd_query_scores_relations(index, e, n - 1 - e, scores, scratch);
        metasd_query_scores_similar(index, e, scores, scratch);
        metasd_query_embedding(index, e, scratch);
    }
    for (uint32_t r = 0; r < p / 2; r++) {
        const char *label = metasd_label_get(&index->relation_labels, r, &len);

        (void)metasd_label_find(&index->relation_labels, label, len, &id);
    }
    free(scores);
    free(scratch);
    free(ids);
}

/* A small world with columns and lists. */
static ImageWorld
make_damageable(void)
{
    ImageWorld w = image_world_make(70, 3, 8, metasd_image_dense(METASD_CODES_INT8));

    assert_true(w.index.plan.columns > 0 && w.index.plan.columns < w.width);
    return w;
}

/*
 * Offset AT of an image, or where it goes on behind the text of the long labels if that is there.
 */
static size_t
beside_text(const ImageWorld *w, size_t at)
{
    const MetasdLabelTable *kinds[2] = {&w->index.entity_labels, &w->index.relation_labels};

    for (int i = 0; i < 2; i++) {
        size_t text = (size_t)(kinds[i]->bytes - (const char *)w->image) + 200;
        size_t end = text - 200 + (size_t)kinds[i]->size;

        if (at >= text && at < end)
            return (end + 3) / 4 * 4;
    }
    return at;
}

/* Places of all words from FIRST on that are not such text, and how many they are. */
static size_t *
words_to_damage(const ImageWorld *w, size_t first, size_t *count)
{
    size_t *words = malloc(w->bytes / 4 * sizeof(*words));

    *count = 0;
    for (size_t at = first; at + 4 <= w->bytes; at = beside_text(w, at + 4))
        words[(*count)++] = at;
    return words;
}

static void
damaged_images_are_refused(void **state)
{
    ImageWorld w = make_damageable();
    MetasdTeam team = metasd_team_of_one();
    char *copy = malloc(w.bytes);
    MetasdImage index;

    (void)state;
    memcpy(copy, w.image, w.bytes);
    for (size_t i = 0; i < w.bytes; i = beside_text(&w, i + (tools_quick() ? 5 : 1))) {
        copy[i] ^= (char)(1 << i % 8);
        assert_int_equal(metasd_image_open(copy, w.bytes, &team, &index), METASD_CORRUPT);
        if (i < 128)
            assert_int_equal(metasd_image_attach(copy, w.bytes, &index), METASD_CORRUPT);
        copy[i] ^= (char)(1 << i % 8);
    }
    free(copy);
    for (size_t n = 0; n < w.bytes; n += n < 512 && !tools_quick() ? 1 : 4093) {
        copy = malloc(n > 0 ? n : 1);
        memcpy(copy, w.image, n);
        assert_int_equal(metasd_image_open(copy, n, &team, &index), METASD_CORRUPT);
        free(copy);
    }
    image_world_free(&w);
}

/* Damage under a right checksum: refused, or harmless. */
static void
forged_images_do_no_harm(void **state)
{
    ImageWorld w = make_damageable();
    MetasdTeam team = metasd_team_of_one();
    char *copy = malloc(w.bytes);
    size_t count, refused = 0, tries = 0, *words = words_to_damage(&w, 0, &count);
    size_t step = tools_quick() ? 3 : 1;
    MetasdImage index;

    (void)state;
    memcpy(copy, w.image, w.bytes);
    seal(copy, w.bytes);
    assert_memory_equal(copy, w.image, w.bytes);
    for (size_t i = 0; i < count + 1000; i += step, tries++) {
        /* every word of the header and the arrays once; then several at a time, at random */
        for (size_t k = 0; k < (i < count ? 1 : 3); k++) {
            size_t at = words[i < count ? i : metasd_random_below(1, STREAM, 3 * i + k, count)];
            uint32_t word = (uint32_t)metasd_random(2, STREAM, 3 * i + k), old;

            memcpy(&old, copy + at, 4);
            word = i % 3 == 0 ? old + 1 : i % 3 == 1 ? old ^ (1u << word % 32) : word;
            memcpy(copy + at, &word, 4);
        }
        seal(copy, w.bytes);
        if (metasd_image_open(copy, w.bytes, &team, &index) == METASD_OK)
            ask_everything(&index);
        else
            refused++;
        memcpy(copy, w.image, w.bytes);
    }
    assert_true(refused > tries / 4 && refused < tries);
    free(words);
    free(copy);
    image_world_free(&w);
}

/* A scale or a code under a right checksum that would make scores infinite. */
static void
codes_above_all_weights_are_refused(void **state)
{
    static const MetasdStorage storages[] = {METASD_FLOAT32, METASD_INT8, METASD_INT6, METASD_INT4};
    MetasdTeam team = metasd_team_of_one();

    (void)state;
    for (size_t s = 0; s < sizeof(storages) / sizeof(*storages); s++) {
        ImageWorld w = image_world_make_of(&metasd_family_complex, 70, 3, 8, 1, storages[s], true);
        MetasdImage index;
        double scale = w.index.scales[3];

        assert_int_equal(w.index.plan.columns, 8);
        w.index.scales[3] = 8e8; /* a scale alone may be as large, but not with such codes */
        seal(w.image, w.bytes);
        assert_int_equal(metasd_image_open(w.image, w.bytes, &team, &index),
                         w.index.plan.codes == METASD_CODES_FLOAT ? METASD_OK : METASD_CORRUPT);
        w.index.scales[3] = scale;
        if (w.index.plan.codes == METASD_CODES_FLOAT)
            ((float *)w.index.dimension.codes)[3] = 2e9f;
        else
            w.index.scales[3] = 1e8;
        seal(w.image, w.bytes);
        assert_int_equal(metasd_image_open(w.image, w.bytes, &team, &index), METASD_CORRUPT);
        image_world_free(&w);
    }
}

/* Damage to an image that was opened before: answers may be wrong, but ids are in range. */
static void
damage_after_opening_does_no_harm(void **state)
{
    ImageWorld w = make_damageable();
    MetasdImage index;
    char *copy = malloc(w.bytes);
    size_t count, *words = words_to_damage(&w, 128, &count), step = tools_quick() ? 3 : 1;

    (void)state;
    memcpy(copy, w.image, w.bytes);
    for (size_t i = 0; i < count + 1000; i += step) {
        for (size_t k = 0; k < (i < count ? 1 : 20); k++) {
            size_t at = words[i < count ? i : metasd_random_below(3, STREAM, 20 * i + k, count)];
            uint32_t word = (uint32_t)metasd_random(4, STREAM, 20 * i + k), old;

            memcpy(&old, copy + at, 4);
            word = i % 3 == 0 ? old + 1 : i % 3 == 1 ? old ^ (1u << word % 32) : word;
            memcpy(copy + at, &word, 4);
        }
        assert_int_equal(metasd_image_attach(copy, w.bytes, &index), METASD_OK);
        ask_everything(&index);
        memcpy(copy, w.image, w.bytes);
    }
    /* no slot is empty, no label the one looked for: the search ends */
    memset(w.index.entity_labels.slots, 1, w.index.entity_labels.slot_count * sizeof(MetasdSlot));
    ask_everything(&w.index);
    for (uint64_t i = 0; i < w.index.entity_labels.slot_count; i++)
        w.index.entity_labels.slots[i].number = 1;
    ask_everything(&w.index);
    free(words);
    free(copy);
    image_world_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_images_are_refused),
        cmocka_unit_test(forged_images_do_no_harm),
        cmocka_unit_test(codes_above_all_weights_are_refused),
        cmocka_unit_test(damage_after_opening_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
