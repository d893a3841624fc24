#include "base/probe.h"

#include <signal.h>
#include <stdatomic.h>

static _Atomic uint64_t passed, kill_at;

void probe(void)
{
    uint64_t now = atomic_fetch_add(&passed, 1) + 1;
    if (now == atomic_load(&kill_at))
        raise(SIGKILL);
}

void probe_kill_at(uint64_t nth)
{
    atomic_store(&kill_at, nth == 0 ? 0 : atomic_load(&passed) + nth);
}

uint64_t probe_count(void)
{
    return atomic_load(&passed);
}
