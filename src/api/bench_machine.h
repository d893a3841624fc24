/* What slant bench says of the machine: its processor, and its peaks, each measured once. */
#ifndef SLANT_API_BENCH_MACHINE_H
#define SLANT_API_BENCH_MACHINE_H

#include "kernels/peak.h"
#include "model/document.h"

enum { BENCH_MAX_PEAKS = 64 };

typedef struct bench_machine {
    int n_threads;
    int n_peaks;
    struct {
        const peak_loop *loop;
        int n_threads;
        double rate; /* operations per second */
    } peaks[BENCH_MAX_PEAKS];
} bench_machine;

/* Operations per second that n_threads reach with the instructions of that table's products. */
double bench_machine_peak(bench_machine *m, const char *isa, slant_compute compute, int n_threads);

/* Member "machine": instruction sets best first, their peaks measured as far as they are not yet.
 */
void bench_machine_write(bench_machine *m, document *d);

#endif
