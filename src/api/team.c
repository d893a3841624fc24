/* slant_team: the ranks of a run, under their public names. */
#include "dist/dist.h"

slant_status slant_team_open(slant_team **out, slant_error *err)
{
    return dist_open(out, err);
}

void slant_team_close(slant_team *team)
{
    dist_close(team);
}

int slant_team_rank(const slant_team *team)
{
    return dist_rank(team);
}

int slant_team_size(const slant_team *team)
{
    return dist_size(team);
}

slant_status slant_team_agree(slant_team *team, slant_status status, slant_error *err)
{
    return dist_agree(team, status, err);
}
