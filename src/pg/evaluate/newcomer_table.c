#include "pg/evaluate/newcomer_table.h"

#include "miscadmin.h"

#include "pg/base/settings.h"
#include "pg/evaluate/label_number.h"
#include "pg/serve/newcomer.h"

static const MetasdNewcomerTable *in_use; /* NULL in parallel workers */

void
metasd_newcomer_table_start(MetasdNewcomerTable *table, MetasdQuestion question)
{
    *table = (MetasdNewcomerTable){.question = question};
    metasd_newcomer_start(&question);
    for (int i = 0; i < 2 && metasd_fold_in; i++)
        table->noted[i] = metasd_labelset_create(&table->budget);
}

void
metasd_newcomer_table_note(MetasdNewcomerTable *table, MetasdLabel label, bool relation)
{
    const MetasdLabelTable *labels = metasd_question_labels(&table->question, relation);
    uint32 id;

    if (!table->noted[relation] || metasd_label_find(labels, label.data, label.len, &id))
        return;
    if (table->budget.taken < (Size)work_mem * 1024)
        (void)metasd_labelset_add(table->noted[relation], label.data, label.len);
    else
        table->some_left = true;
}

static int
compare_entries(const void *a, const void *b)
{
    const MetasdTableEntry *x = a, *y = b;

    if (x->relation != y->relation)
        return x->relation ? 1 : -1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Makes the rows of entities, or relations. */
static void
fill_kind(MetasdNewcomerTable *table, bool relation)
{
    const MetasdQuestion *question = &table->question;
    const MetasdLabelSet *noted = table->noted[relation];
    uint32 n = noted ? metasd_labelset_count(noted) : 0;

    for (uint32 i = 0, ahead = 0; i < n; i++) {
        MetasdLabel label = metasd_labelset_get(noted, i);
        MetasdNewcomer newcomer;

        CHECK_FOR_INTERRUPTS();
        if (i == ahead)
            ahead = metasd_newcomer_read_set_ahead(question, noted, i, relation);
        if (metasd_newcomer_too_many(question)) {
            table->some_left = true;
            return;
        }
        newcomer = metasd_newcomer_find(question, label, relation);
        if (newcomer.facts > 0)
            table->list[table->count++] = (MetasdTableEntry){
                .number = metasd_label_number(metasd_question_labels(question, relation),
                                              label.data, label.len),
                .relation = relation,
                .id = newcomer.id};
    }
}

void
metasd_newcomer_table_fill(MetasdNewcomerTable *table)
{
    Size n = 0;

    for (int i = 0; i < 2; i++)
        n += table->noted[i] ? metasd_labelset_count(table->noted[i]) : 0;
    if (n == 0)
        return;
    table->list = palloc_extended(n * sizeof(*table->list), MCXT_ALLOC_HUGE);
    fill_kind(table, true);
    fill_kind(table, false);
    metasd_newcomer_end_ahead(&table->question);
    qsort(table->list, table->count, sizeof(*table->list), compare_entries);
    if (table->count > 0)
        ereport(NOTICE,
                (errmsg_plural("%u entity or relation is new to model \"%s\": it is answered from "
                               "its facts in the source",
                               "%u entities and relations are new to model \"%s\": they are "
                               "answered from their facts in the source",
                               table->count, table->count, table->question.model->name),
                 table->some_left ? errhint("There are more; a larger work_mem has room for them.")
                                  : 0));
}

const MetasdNewcomerTable *
metasd_newcomer_table_use(const MetasdNewcomerTable *table)
{
    const MetasdNewcomerTable *before = in_use;

    in_use = table;
    return before;
}

bool
metasd_newcomer_table_find(const MetasdModel *model, int64 number, bool relation, bool reciprocal,
                           MetasdGiven *given)
{
    MetasdTableEntry key = {.number = number, .relation = relation};
    const MetasdTableEntry *entry;

    if (!in_use || in_use->count == 0 ||
        memcmp(&in_use->question.model->uuid, &model->uuid, sizeof(model->uuid)) != 0)
        return false;
    entry = bsearch(&key, in_use->list, in_use->count, sizeof(key), compare_entries);
    if (entry)
        *given = metasd_newcomer_given(&in_use->question, relation, entry->id, reciprocal);
    return entry != NULL;
}
