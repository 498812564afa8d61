#include "pg/catalog/security.h"

void
metasd_security_switch_to(MetasdSwitch *saved, Oid to, bool restricted)
{
    int flags = restricted ? SECURITY_RESTRICTED_OPERATION : 0;

    GetUserIdAndSecContext(&saved->user, &saved->context);
    SetUserIdAndSecContext(to, saved->context | SECURITY_LOCAL_USERID_CHANGE | flags);
    saved->nest_level = NewGUCNestLevel();
    (void)set_config_option("search_path", METASD_SECURITY_PATH, PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
}

void
metasd_security_switch_back(const MetasdSwitch *saved)
{
    AtEOXact_GUC(false, saved->nest_level);
    SetUserIdAndSecContext(saved->user, saved->context);
}
