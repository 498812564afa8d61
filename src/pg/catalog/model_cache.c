#include "pg/catalog/model_cache.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define MOST_CACHED 4

typedef struct CachedModel {
    MemoryContext context; /* NULL: the place is free */
    HeapTuple row, run;    /* of the model, and of the run that serves it */
    MetasdModel *model;
} CachedModel;

static CachedModel cache[MOST_CACHED];
static unsigned next_place; /* may wrap around */

static MetasdRemembered
copy_relation(MetasdRemembered relation)
{
    if (relation.given) {
        relation.name = pstrdup(relation.name);
        relation.then = pstrdup(relation.then);
        if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation.oid)))
            relation.oid = InvalidOid; /* dropped since */
    }
    return relation;
}

static MetasdModel *
copy_model(const MetasdModel *model)
{
    MetasdModel *copy = palloc(sizeof(*copy));

    *copy = *model;
    copy->name = pstrdup(model->name);
    copy->owner_name = pstrdup(model->owner_name);
    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(model->owner)))
        copy->owner = InvalidOid;
    copy->source = copy_relation(model->source);
    copy->validation = copy_relation(model->validation);
    copy->serving_source = copy_relation(model->serving_source);
    copy->serving_validation = copy_relation(model->serving_validation);
    for (int i = 0; i < 3; i++) {
        copy->column[i] = pstrdup(model->column[i]);
        copy->serving_column[i] = pstrdup(model->serving_column[i]);
    }
    if (model->params) {
        copy->params = palloc(VARSIZE(model->params));
        memcpy(copy->params, model->params, VARSIZE(model->params));
    }
    return copy;
}

static bool
has_same_bytes(HeapTuple a, HeapTuple b)
{
    size_t start = offsetof(HeapTupleHeaderData, t_bits);

    return a->t_len == b->t_len && a->t_data->t_hoff == b->t_data->t_hoff &&
           HeapTupleHeaderGetNatts(a->t_data) == HeapTupleHeaderGetNatts(b->t_data) &&
           HeapTupleHasNulls(a) == HeapTupleHasNulls(b) &&
           memcmp((char *)a->t_data + start, (char *)b->t_data + start, a->t_len - start) == 0;
}

/* Does the active snapshot show the row unchanged? Its table stays locked. */
static bool
is_unchanged(HeapTuple row)
{
    Relation table = try_relation_open(row->t_tableOid, AccessShareLock);
    bool same = false;

    if (!table)
        return false;
    if (table->rd_rel->relkind == RELKIND_RELATION &&
        ItemPointerGetBlockNumber(&row->t_self) < RelationGetNumberOfBlocks(table)) {
        TupleTableSlot *slot = table_slot_create(table, NULL);

        if (table_tuple_fetch_row_version(table, &row->t_self, GetActiveSnapshot(), slot))
            same = has_same_bytes(ExecFetchSlotHeapTuple(slot, false, NULL), row);
        ExecDropSingleTupleTableSlot(slot);
    }
    relation_close(table, NoLock);
    return same;
}

static CachedModel *
find_place(const char *name)
{
    for (int i = 0; i < MOST_CACHED; i++)
        if (cache[i].context && strcmp(cache[i].model->name, name) == 0)
            return &cache[i];
    return NULL;
}

MetasdModel *
metasd_model_cache_find(const char *name)
{
    const CachedModel *place = find_place(name);

    return place && is_unchanged(place->row) && is_unchanged(place->run) ? copy_model(place->model)
                                                                         : NULL;
}

/* A row whose values are stored out of line is not remembered: its bytes do not have them. */
void
metasd_model_cache_put(const MetasdModel *model, HeapTuple row, HeapTuple run)
{
    CachedModel *place = find_place(model->name), new = {0};
    MemoryContext before;

    if (HeapTupleHasExternal(row) || HeapTupleHasExternal(run))
        return;
    new.context = AllocSetContextCreate(CurrentMemoryContext, "metasd model", ALLOCSET_SMALL_SIZES);
    before = MemoryContextSwitchTo(new.context);
    new.row = heap_copytuple(row);
    new.run = heap_copytuple(run);
    new.model = copy_model(model);
    MemoryContextSwitchTo(before);
    if (!place)
        place = &cache[next_place++ % MOST_CACHED];
    if (place->context)
        MemoryContextDelete(place->context);
    MemoryContextSetParent(new.context, TopMemoryContext);
    *place = new;
}
