/* The machine's peak: what a loop of independent multiply-add instructions reaches on every core at
 * once, nothing being loaded or stored. It is the yardstick that products are measured against. */
#ifndef SLANT_KERNELS_PEAK_H
#define SLANT_KERNELS_PEAK_H

#include "base/status.h"

#include <stdint.h>

typedef struct peak_loop {
    const char *instruction; /* "vpdpbusd zmm" */
    double operations;       /* of one round; a multiply and an add are two */
    void (*run)(int64_t n_rounds);
} peak_loop;

/* The instructions that the products of the table of that name are made of. Runs only where the
 * table runs. NULL: no such table. */
const peak_loop *peak_loop_of(const char *isa, slant_compute compute);

/* Operations per second of n_threads at once: the best of many runs of a millisecond or two, since
 * a peak is what is left when nobody disturbs. Each thread's rate is by the processor time that it
 * had. */
double peak_measure(const peak_loop *loop, int n_threads);

#endif
