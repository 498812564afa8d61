#include "pg/evaluate/asked_model.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/access/access.h"
#include "pg/base/settings.h"

static bool
is_valid(const MetasdAskedModel *asked, const text *name)
{
    return asked->name && asked->user == GetUserId() &&
           asked->generation == metasd_image_cache_generation() &&
           VARSIZE_ANY_EXHDR(asked->name) == VARSIZE_ANY_EXHDR(name) &&
           memcmp(VARDATA_ANY(asked->name), VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) == 0;
}

MetasdAskedModel *
metasd_asked_model(FunctionCallInfo fcinfo)
{
    MetasdAskedModel *asked = fcinfo->flinfo->fn_extra;
    text *name = PG_GETARG_TEXT_PP(0);
    MemoryContext context, before;

    if (asked && is_valid(asked, name))
        return asked;
    if (asked)
        MemoryContextDelete(asked->context);
    fcinfo->flinfo->fn_extra = NULL;
    context =
        AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "metasd answers", ALLOCSET_DEFAULT_SIZES);
    before = MemoryContextSwitchTo(context);
    asked = palloc0(sizeof(*asked));
    asked->context = context;
    asked->model = metasd_access_model_to_ask(text_to_cstring(name));
    asked->image = metasd_image_cache_get(asked->model, metasd_image_cache_size);
    asked->name = cstring_to_text_with_len(VARDATA_ANY(name), (int)VARSIZE_ANY_EXHDR(name));
    asked->user = GetUserId();
    asked->generation = metasd_image_cache_generation();
    MemoryContextSwitchTo(before);
    fcinfo->flinfo->fn_extra = asked;
    return asked;
}
