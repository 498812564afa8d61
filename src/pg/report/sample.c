/*
 * sample.c - the questions whose hashes are the smallest: a sample without repeats, whose memory
 * does not depend on the size of the source.
 */
#include "pg/report/sample.h"

#include "core/base/hash.h"
#include "core/serve/label_table.h"
#include "pg/source/source.h"

typedef struct Drawn {
    uint64 hash;
    uint32 head, relation;
} Drawn;

typedef struct Drawing {
    const MetasdImage *image;
    int most, count; /* room for twice as many */
    uint64 limit;    /* larger hashes are not among the smallest */
    Drawn *drawn;
} Drawing;

static int
compare_drawn(const void *a, const void *b)
{
    const Drawn *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    return (x->relation > y->relation) - (x->relation < y->relation);
}

/* Leaves the smallest, each once. */
static void
leave_smallest(Drawing *drawing)
{
    int count = 0;

    qsort(drawing->drawn, (size_t)drawing->count, sizeof(*drawing->drawn), compare_drawn);
    for (int i = 0; i < drawing->count && count < drawing->most; i++)
        if (count == 0 || compare_drawn(&drawing->drawn[count - 1], &drawing->drawn[i]) != 0)
            drawing->drawn[count++] = drawing->drawn[i];
    drawing->count = count;
    if (count == drawing->most)
        drawing->limit = drawing->drawn[count - 1].hash;
}

static void
draw_row(void *context, const MetasdTripleLabels *row)
{
    Drawing *drawing = context;
    Drawn one;
    uint32 id[2];

    if (!metasd_label_find(&drawing->image->entity_labels, row->data[0], row->len[0], &one.head) ||
        !metasd_label_find(&drawing->image->relation_labels, row->data[1], row->len[1],
                           &one.relation))
        return;
    id[0] = one.head;
    id[1] = one.relation;
    one.hash = metasd_hash(0, id, sizeof(id));
    if (one.hash > drawing->limit)
        return;
    drawing->drawn[drawing->count++] = one;
    if (drawing->count == 2 * drawing->most)
        leave_smallest(drawing);
}

MetasdSample
metasd_sample_read(const MetasdReport *report, int most)
{
    const MetasdModel *model = report->model;
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);
    Drawing drawing = {.image = report->image,
                       .most = most,
                       .limit = PG_UINT64_MAX,
                       .drawn = palloc((size_t)most * 2 * sizeof(Drawn))};
    MetasdSample sample = {.most = most};

    (void)metasd_source_read(source, model->owner, draw_row, &drawing);
    leave_smallest(&drawing);
    sample.count = drawing.count;
    sample.head = palloc((size_t)(sample.count + 1) * sizeof(uint32));
    sample.relation = palloc((size_t)(sample.count + 1) * sizeof(uint32));
    for (int i = 0; i < sample.count; i++) {
        sample.head[i] = drawing.drawn[i].head;
        sample.relation[i] = drawing.drawn[i].relation;
    }
    return sample;
}
