/* Threads: one team for the process, fixed partitions. */
#ifndef SLANT_BASE_THREAD_H
#define SLANT_BASE_THREAD_H

/* How many CPUs this process may run on (affinity counted). */
int thread_available(void);

/* Calls body(context, thread, n_threads) once for each thread in [0, n_threads), as far as the
 * system allows at the same time, the caller taking part, and returns when all have returned. The
 * work's partition is body's own, so that it is fixed. */
void thread_run(int n_threads, void (*body)(void *context, int thread, int n_threads),
                void *context);

/* The share of thread t of n items: [*first, *end), in order, sizes differing by one granule at
 * most. */
void thread_share(int n_items, int granule, int thread, int n_threads, int *first, int *end);

#endif
