#include "pg/base/interruptible.h"

static MetasdStatus
poll_interrupts(MetasdTeam *team)
{
    (void)team;
    CHECK_FOR_INTERRUPTS();
    return METASD_OK;
}

MetasdTeam
metasd_interruptible_team(void)
{
    MetasdTeam team = metasd_team_of_one();

    team.poll = poll_interrupts;
    return team;
}
