#include "pg/serve/question.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pg/access/access.h"
#include "pg/base/settings.h"
#include "pg/catalog/reference.h"
#include "pg/serve/call_site.h"
#include "pg/serve/near_label.h"
#include "pg/serve/newcomer.h"
#include "pg/source/shard.h"
#include "pg/source/source.h"
#include "pg/source/trust.h"

/* The bytes of a label that a message shows. */
#define MOST_SHOWN 200

/* A hint lists the relations of a model that has at most so many. */
#define MOST_LISTED 20

MetasdQuestion
metasd_question_open(FunctionCallInfo fcinfo, int model_argument)
{
    MetasdQuestion question = {.fcinfo = fcinfo};
    char *name =
        PG_ARGISNULL(model_argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(model_argument));

    question.model = metasd_access_model_to_ask(name);
    question.image = metasd_image_cache_get(question.model, metasd_image_cache_size);
    metasd_newcomer_start(&question);
    return question;
}

uint32
metasd_question_searched(const MetasdQuestion *question)
{
    const MetasdImagePlan *plan = &question->image->plan;
    uint32 entities = (uint32)metasd_search_entities;

    return plan->clusters > 0 && entities < plan->entities ? entities : 0;
}

bool
metasd_question_may_notice(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    bool may = !site->noticed;

    site->noticed = true;
    return may;
}

static char *
list_labels(const MetasdLabelTable *labels)
{
    StringInfoData list;

    initStringInfo(&list);
    for (uint32 id = 0; id < labels->count; id++) {
        size_t len;
        const char *label = metasd_label_get(labels, id, &len);

        appendStringInfo(&list, "%s\"%.*s\"", id > 0 ? ", " : "",
                         pg_mbcliplen(label, (int)len, MOST_SHOWN), label);
    }
    return list.data;
}

char *
metasd_question_hint(const MetasdQuestion *question, MetasdLabel label, bool relation)
{
    const MetasdLabelTable *labels = metasd_question_labels(question, relation);
    MetasdLabel near;
    uint32 id;

    if (label.len == 0)
        return pstrdup(_("Empty identifiers are left out of every training."));
    if (metasd_label_find(metasd_question_labels(question, !relation), label.data, label.len, &id))
        return pstrdup(relation
                           ? _("It is an entity of the model. Check the order of the arguments.")
                           : _("It is a relation of the model. Check the order of the arguments."));
    if (metasd_near_label_find(labels, label, &near)) {
        int len = pg_mbcliplen(near.data, (int)near.len, MOST_SHOWN);

        /* Not if a message would show the same bytes of both. */
        if (len != pg_mbcliplen(label.data, (int)label.len, MOST_SHOWN) ||
            memcmp(near.data, label.data, len) != 0)
            return psprintf(_("Perhaps you meant \"%.*s\"."), len, near.data);
    }
    if (relation && labels->count <= MOST_LISTED)
        return psprintf(_("The model has the relations %s."), list_labels(labels));
    return pstrdup(_("A training learns the entities and relations that its source has then."));
}

/* A hint about a label whose facts are of no use. */
static const char *
hint_at_others(const MetasdNewcomer *newcomer)
{
    return newcomer->some_left
               ? _("The source has many facts of it. Those that were read are all with entities or "
                   "relations that the model does not know.")
               : _("The source has facts of it, but all with entities or relations that the model "
                   "does not know.");
}

/* Gives a NOTICE about a label that the model does not know. */
static void
notice_unknown(const MetasdQuestion *question, MetasdLabel label, bool relation,
               const MetasdNewcomer *newcomer)
{
    const char *model = question->model->name;
    int len = pg_mbcliplen(label.data, (int)label.len, MOST_SHOWN);

    ereport(
        NOTICE,
        (relation ? errmsg("relation \"%.*s\" is not known to model \"%s\"", len, label.data, model)
                  : errmsg("entity \"%.*s\" is not known to model \"%s\"", len, label.data, model),
         errhint("%s", newcomer->others > 0 ? hint_at_others(newcomer)
                                            : metasd_question_hint(question, label, relation))));
}

/* Gives a NOTICE that the answers come from the facts of a newcomer. */
static void
notice_newcomer(const MetasdQuestion *question, MetasdLabel label, bool relation,
                const MetasdNewcomer *newcomer)
{
    const char *model = question->model->name;
    int len = pg_mbcliplen(label.data, (int)label.len, MOST_SHOWN);
    unsigned long facts = newcomer->facts;

    ereport(NOTICE,
            (relation
                 ? errmsg_plural("relation \"%.*s\" is new to model \"%s\": it is answered from "
                                 "%lu fact of the source",
                                 "relation \"%.*s\" is new to model \"%s\": it is answered from "
                                 "%lu facts of the source",
                                 facts, len, label.data, model, facts)
                 : errmsg_plural("entity \"%.*s\" is new to model \"%s\": it is answered from %lu "
                                 "fact of the source",
                                 "entity \"%.*s\" is new to model \"%s\": it is answered from %lu "
                                 "facts of the source",
                                 facts, len, label.data, model, facts),
             newcomer->some_left ? errdetail("The source has more facts of it.")
             : newcomer->others > 0
                 ? errdetail_plural("%u more fact has entities or relations that are new, too.",
                                    "%u more facts have entities or relations that are new, too.",
                                    newcomer->others, newcomer->others)
                 : 0,
             errhint("The next training learns it.")));
}

bool
metasd_question_find(const MetasdQuestion *question, MetasdLabel label, bool relation, uint32 *id)
{
    MetasdNewcomer newcomer;

    if (metasd_label_find(metasd_question_labels(question, relation), label.data, label.len, id))
        return true;
    newcomer = metasd_newcomer_find(question, label, relation);
    if (metasd_question_may_notice(question)) {
        if (newcomer.facts > 0)
            notice_newcomer(question, label, relation, &newcomer);
        else
            notice_unknown(question, label, relation, &newcomer);
    }
    *id = newcomer.id;
    return newcomer.facts > 0;
}

MetasdLabel
metasd_question_label(const MetasdQuestion *question, bool relation, uint32 id)
{
    size_t len;
    const char *data;

    if (metasd_question_is_new(question, relation, id))
        return metasd_newcomer_label(question, relation, id);
    data = metasd_label_get(metasd_question_labels(question, relation), id, &len);
    return (MetasdLabel){.data = data, .len = (uint32)len};
}

MetasdGiven
metasd_question_entity(const MetasdQuestion *question, uint32 id)
{
    return metasd_question_is_new(question, false, id)
               ? metasd_newcomer_given(question, false, id, false)
               : metasd_given(id);
}

MetasdGiven
metasd_question_relation(const MetasdQuestion *question, uint32 id, bool reciprocal)
{
    return metasd_question_is_new(question, true, id)
               ? metasd_newcomer_given(question, true, id, reciprocal)
               : metasd_given(id + (reciprocal ? question->image->plan.relations : 0));
}

MetasdSigmoid
metasd_question_sigmoid(const MetasdQuestion *question, uint32 id, bool reciprocal)
{
    uint32 relations = question->image->plan.relations;

    return metasd_question_is_new(question, true, id)
               ? metasd_query_mean_sigmoid(question->image)
               : metasd_query_sigmoid(question->image, id + (reciprocal ? relations : 0));
}

/* A way out for a source that cannot be read, for ereport. */
static int
hint_at_source(const MetasdModel *model)
{
    if (!OidIsValid(model->owner))
        return errhint("A superuser can give the model to another role with kg_owner.");
    if (metasd_source_is_denied(&model->serving_source, model->serving_column, model->owner))
        return errhint("Grant the owner SELECT on the columns and USAGE on the schema, or give "
                       "the model to a role that has these privileges with kg_owner.");
    return errhint("Train the model again from a source that there is now: kg_train(%s, source).",
                   quote_literal_cstr(model->name));
}

/*
 * Gives a NOTICE, one per statement, if another relation now has the name that the source had: the
 * next training would read that relation, but known facts are still those of the old one.
 */
static void
notice_renamed_source(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    const MetasdModel *model = question->model;
    const MetasdRemembered *source = &model->serving_source;
    Oid schema = get_rel_namespace(source->oid), named, owner;
    char *now;

    if (site->source_checked || !source->then)
        return;
    site->source_checked = true;
    now = quote_qualified_identifier(get_namespace_name(schema), get_rel_name(source->oid));
    if (strcmp(now, source->then) == 0)
        return;
    named = metasd_reference_relation_named(source->then);
    owner = metasd_reference_relation_owner(named);
    if (!OidIsValid(owner) || named == source->oid ||
        (owner != metasd_reference_relation_owner(source->oid) &&
         !metasd_inspection_trusts(model->owner, owner)))
        return;
    ereport(NOTICE,
            (errmsg("known facts of model \"%s\" come from relation %s, which it was trained from",
                    model->name, now),
             errdetail("The name %s now belongs to another relation.", source->then),
             errhint("SELECT kg_train(%s) trains from that relation.",
                     quote_literal_cstr(model->name))));
}

/* The answers of one query must not depend on the server that a part of it runs on. */
static void
refuse_part(const MetasdModel *model, const char *objection)
{
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("known facts of model \"%s\" cannot be looked up on this server", model->name),
             errdetail("%s This question is a part of a query of another server.", objection),
             errhint("Ask with known => 'include', ask for a table of that server, or train from a "
                     "distributed table, which all servers know.")));
}

bool
metasd_question_has_source(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    const MetasdModel *model = question->model;
    uint64 generation = metasd_trust_generation();
    char *objection;

    if (site->source_generation == generation && site->source_run == model->serving)
        return true;
    objection =
        metasd_source_objection(&model->serving_source, model->serving_column, model->owner);
    if (!objection) {
        notice_renamed_source(question);
        site->source_generation = generation;
        site->source_run = model->serving;
        return true;
    }
    if (metasd_shard_runs_part())
        refuse_part(model, objection);
    if (metasd_question_may_notice(question))
        ereport(NOTICE, (errmsg("known facts of model \"%s\" cannot be looked up", model->name),
                         errdetail("%s", objection), hint_at_source(model)));
    return false;
}
