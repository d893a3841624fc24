#include "train/scaler.h"

enum { GROWTH_INTERVAL = 2000 };

scaler scaler_start(bool enabled)
{
    return (scaler){enabled, enabled ? 65536.0 : 1.0, 0};
}

void scaler_update(scaler *s, bool found_inf)
{
    if (!s->enabled)
        return;
    if (found_inf) {
        s->scale *= 0.5;
        s->growth_tracker = 0;
    } else if (++s->growth_tracker == GROWTH_INTERVAL) {
        s->scale *= 2.0;
        s->growth_tracker = 0;
    }
}
