/* The transport by MPI, the only file that knows it. It is a module of its own (slant_mpi.so) and
 * uses nothing of slant. MPI moves bytes and never adds: its reductions may order their sums as
 * they like. */
#include "dist/transport.h"

#include <mpi.h>

#include <sched.h>
#include <stdio.h>
#include <time.h>

/* MPI waits by spinning, which would take a core from a rank that still computes. Asking again
 * after a sixteenth of the time waited so far costs little where the wait is short, and next to
 * nothing where it is long. */
enum { SPIN_NS = 100000, NAP_MIN_NS = 10000, NAP_MAX_NS = 1000000 };

static MPI_Comm comm = MPI_COMM_NULL;
static int is_ours; /* MPI was started here */

static long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000000000L + now.tv_nsec;
}

static void nap(long waited_ns)
{
    long ns = waited_ns / 16;
    ns = ns < NAP_MIN_NS ? NAP_MIN_NS : ns > NAP_MAX_NS ? NAP_MAX_NS : ns;
    if (waited_ns < SPIN_NS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* started: what beginning the request gave. */
static int wait_for(int started, MPI_Request *request)
{
    int done = 0, code = started;
    for (long start = now_ns(); code == MPI_SUCCESS;) {
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (done)
            break;
        nap(now_ns() - start);
    }
    return code;
}

static int start(int *rank, int *size, int *done_before)
{
    int is_running, provided, code = MPI_Finalized(done_before);
    if (code == MPI_SUCCESS && !*done_before)
        code = MPI_Initialized(&is_running);
    if (code != MPI_SUCCESS || *done_before)
        return code;
    is_ours = !is_running;
    if (is_ours)
        code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(comm, rank);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_size(comm, size);
    return code;
}

static int gather(const void *mine, int size_bytes, void *all)
{
    MPI_Request request;
    return wait_for(
        MPI_Iallgather(mine, size_bytes, MPI_BYTE, all, size_bytes, MPI_BYTE, comm, &request),
        &request);
}

static int broadcast(void *data, int size_bytes, int root)
{
    MPI_Request request;
    return wait_for(MPI_Ibcast(data, size_bytes, MPI_BYTE, root, comm, &request), &request);
}

static int deal(const float *values, const portions *out, float *parts, const portions *in)
{
    MPI_Request request;
    return wait_for(MPI_Ialltoallv(values, out->counts, out->firsts, MPI_FLOAT, parts, in->counts,
                                   in->firsts, MPI_FLOAT, comm, &request),
                    &request);
}

static int collect(float *values, const portions *of)
{
    MPI_Request request;
    return wait_for(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, of->counts,
                                    of->firsts, MPI_FLOAT, comm, &request),
                    &request);
}

static void explain(int code, char text[TRANSPORT_TEXT])
{
    char words[MPI_MAX_ERROR_STRING];
    int n = 0;
    if (MPI_Error_string(code, words, &n) != MPI_SUCCESS)
        n = 0;
    snprintf(text, TRANSPORT_TEXT, "%.*s", n, words);
}

static void finish(void)
{
    MPI_Comm_free(&comm);
    if (is_ours)
        MPI_Finalize();
}

static void end_all(void)
{
    MPI_Abort(MPI_COMM_WORLD, 1);
}

__attribute__((visibility("default"))) const transport slant_mpi_transport = {
    .start = start,
    .gather = gather,
    .broadcast = broadcast,
    .deal = deal,
    .collect = collect,
    .explain = explain,
    .finish = finish,
    .end_all = end_all,
};
