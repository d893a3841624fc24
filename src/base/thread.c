#include "base/thread.h"

#include <omp.h>
#include <sched.h>

int thread_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return omp_get_num_procs();
}

void thread_run(int n_threads, void (*body)(void *context, int thread, int n_threads),
                void *context)
{
    if (n_threads <= 1) {
        body(context, 0, 1);
        return;
    }
    /* OpenMP may give fewer threads than asked for; the partition must not change with that. */
#pragma omp parallel num_threads(n_threads)
    {
        int given = omp_get_num_threads();
        for (int share = omp_get_thread_num(); share < n_threads; share += given)
            body(context, share, n_threads);
    }
}

void thread_share(int n_items, int granule, int thread, int n_threads, int *first, int *end)
{
    int n_granules = (n_items + granule - 1) / granule;
    int each = n_granules / n_threads, more = n_granules % n_threads;
    int start = thread * each + (thread < more ? thread : more);
    int stop = start + each + (thread < more ? 1 : 0);
    *first = start * granule < n_items ? start * granule : n_items;
    *end = stop * granule < n_items ? stop * granule : n_items;
}
