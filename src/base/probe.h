/* For tests of what survives a crash: places in the code where a process can be made to die. */
#ifndef SLANT_BASE_PROBE_H
#define SLANT_BASE_PROBE_H

#include <stdint.h>

/* One such place: does nothing, unless probe_kill_at has counted down to it. */
void probe(void);

/* The n-th probe from now (1 = the next) kills the process by SIGKILL; 0: none does. */
void probe_kill_at(uint64_t nth);
/* How many have been passed. */
uint64_t probe_count(void);

#endif
