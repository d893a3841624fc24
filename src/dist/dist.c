#include "dist/dist.h"

#include "base/mem.h"
#include "base/thread.h"
#include "dist/transport.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Portions begin at multiples of a cache line's values; sums and broadcasts go in pieces whose
 * sizes fit MPI's ints. */
enum { GRANULE = 16, PIECE_VALUES = 1 << 28, PIECE_BYTES = 1 << 30 };

struct slant_team {
    int rank, size, cores;
    const transport *transport; /* NULL: a team of one */
    bool failed;                /* an exchange did: the ranks no longer keep step */
    portions own, others;       /* what each rank sums, and where that comes from in parts */
    float *parts;               /* [size][own portion] */
    size_t cap_parts;
    int32_t *standings; /* [size], of dist_agree */
};

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for exchanges between processes");
}

static slant_status check(dist *d, int code, slant_error *err)
{
    char text[TRANSPORT_TEXT];
    if (code == 0)
        return SLANT_OK;
    d->failed = true;
    d->transport->explain(code, text);
    return status_fail(err, SLANT_ERR_IO, "rank %d cannot reach the other ranks: %s", d->rank,
                       text);
}

static slant_status allocate(dist *d, slant_error *err)
{
    size_t n = (size_t)d->size;
    d->own = (portions){mem_alloc(n, sizeof(int)), mem_alloc(n, sizeof(int))};
    d->others = (portions){mem_alloc(n, sizeof(int)), mem_alloc(n, sizeof(int))};
    d->standings = mem_alloc(n, sizeof *d->standings);
    return d->own.firsts == NULL || d->own.counts == NULL || d->others.firsts == NULL ||
                   d->others.counts == NULL || d->standings == NULL
               ? out_of_memory(err)
               : SLANT_OK;
}

/* Of another MPI's mpirun ours sees nothing: each process would be a team of one, and all would
 * write the same files. */
static slant_status start(dist *d, const launch *launched, slant_error *err)
{
    int done_before = 0;
    slant_status status = check(d, d->transport->start(&d->rank, &d->size, &done_before), err);
    if (status == SLANT_OK && done_before)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "MPI was started and ended in this process before, and starts once");
    if (status == SLANT_OK && d->size != launched->size)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%d processes were started, MPI knows of %d: their launcher is not of "
                           "the MPI that slant is built with",
                           launched->size, d->size);
    return status == SLANT_OK ? allocate(d, err) : status;
}

/* Where a rank runs. */
typedef struct seat {
    char host[HOST_NAME_MAX + 1];
    cpu_set_t cores;
} seat;

/* A core that several ranks may use counts in parts. */
static int share_of_cores(const seat *seats, int rank, int size)
{
    double sum = 0;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        int n_users = 0;
        for (int r = 0; r < size; r++)
            n_users += CPU_ISSET(core, &seats[r].cores) &&
                       memcmp(seats[r].host, seats[rank].host, sizeof seats[r].host) == 0;
        sum += CPU_ISSET(core, &seats[rank].cores) ? 1.0 / n_users : 0;
    }
    return sum < 1 ? 1 : (int)(sum + 1e-6);
}

static slant_status count_cores(dist *d, slant_error *err)
{
    seat mine = {0}, *seats = mem_alloc((size_t)d->size, sizeof *seats);
    if (seats == NULL)
        return out_of_memory(err);
    gethostname(mine.host, sizeof mine.host - 1);
    (void)sched_getaffinity(0, sizeof mine.cores, &mine.cores); /* else none: one thread */
    slant_status status = dist_gather(d, &mine, sizeof mine, seats, err);
    if (status == SLANT_OK)
        d->cores = share_of_cores(seats, d->rank, d->size);
    mem_free(seats);
    return status;
}

static slant_status join(dist *d, const launch *launched, slant_error *err)
{
    char text[TRANSPORT_TEXT];
    d->transport = launch_load(text);
    if (d->transport == NULL)
        return status_fail(err, SLANT_ERR_UNSUPPORTED, "rank %d of %d needs MPI: %s",
                           launched->rank, launched->size, text);
    slant_status status = start(d, launched, err);
    return status == SLANT_OK ? count_cores(d, err) : status;
}

slant_status dist_open(dist **out, slant_error *err)
{
    launch launched = launch_read();
    *out = NULL;
    dist *d = mem_calloc(1, sizeof *d);
    if (d == NULL)
        return out_of_memory(err);
    d->size = 1;
    d->cores = thread_available();
    slant_status status = launched.size == 1 ? SLANT_OK : join(d, &launched, err);
    if (status != SLANT_OK) {
        d->failed = true;
        dist_close(d);
        return status;
    }
    *out = d;
    return SLANT_OK;
}

void dist_close(dist *d)
{
    if (d == NULL)
        return;
    if (d->transport != NULL && d->size > 1)
        (d->failed ? d->transport->end_all : d->transport->finish)();
    mem_free(d->own.firsts);
    mem_free(d->own.counts);
    mem_free(d->others.firsts);
    mem_free(d->others.counts);
    mem_free(d->standings);
    mem_free(d->parts);
    mem_free(d);
}

static bool is_alone(const dist *d)
{
    return d == NULL || d->size == 1;
}

int dist_rank(const dist *d)
{
    return d == NULL ? 0 : d->rank;
}

int dist_size(const dist *d)
{
    return d == NULL ? 1 : d->size;
}

int dist_cores(const dist *d)
{
    return d == NULL ? thread_available() : d->cores;
}

slant_status dist_gather(dist *d, const void *mine, size_t size_bytes, void *all, slant_error *err)
{
    if (is_alone(d)) {
        memcpy(all, mine, size_bytes);
        return SLANT_OK;
    }
    if (size_bytes > (size_t)INT_MAX / (size_t)d->size)
        return status_fail(err, SLANT_ERR_UNSUPPORTED, "%zu bytes of %d ranks are too many",
                           size_bytes, d->size);
    return check(d, d->transport->gather(mine, (int)size_bytes, all), err);
}

static slant_status broadcast_from(dist *d, void *data, size_t size_bytes, int root,
                                   slant_error *err)
{
    slant_status status = SLANT_OK;
    for (size_t at = 0; status == SLANT_OK && !is_alone(d) && at < size_bytes; at += PIECE_BYTES) {
        size_t left = size_bytes - at;
        int piece = (int)(left < PIECE_BYTES ? left : PIECE_BYTES);
        status = check(d, d->transport->broadcast((char *)data + at, piece, root), err);
    }
    return status;
}

slant_status dist_broadcast(dist *d, void *data, size_t size_bytes, slant_error *err)
{
    return broadcast_from(d, data, size_bytes, 0, err);
}

/* Who sums what of n values. */
static void lay_out(dist *d, int n)
{
    for (int r = 0; r < d->size; r++) {
        int end;
        thread_share(n, GRANULE, r, d->size, &d->own.firsts[r], &end);
        d->own.counts[r] = end - d->own.firsts[r];
    }
    for (int r = 0; r < d->size; r++) {
        d->others.counts[r] = d->own.counts[d->rank];
        d->others.firsts[r] = r * d->own.counts[d->rank];
    }
}

static slant_status make_room(dist *d, slant_error *err)
{
    size_t need = (size_t)d->size * (size_t)d->own.counts[d->rank];
    if (need <= d->cap_parts)
        return SLANT_OK;
    float *parts = mem_realloc(d->parts, need, sizeof *parts);
    if (parts == NULL) {
        d->failed = true; /* the others go into the exchange, and would wait */
        return out_of_memory(err);
    }
    d->parts = parts;
    d->cap_parts = need;
    return SLANT_OK;
}

/* parts [size][n] into sum [n]. */
static void add_in_order(const float *parts, int size, int n, float *sum)
{
    if (n == 0) /* fewer values than ranks */
        return;
    memcpy(sum, parts, (size_t)n * sizeof *sum);
    for (int r = 1; r < size; r++)
        for (int i = 0; i < n; i++)
            sum[i] += parts[(size_t)r * (size_t)n + (size_t)i];
}

/* Every rank sums a portion for all. */
static slant_status sum_piece(dist *d, float *values, int n, slant_error *err)
{
    lay_out(d, n);
    slant_status status = make_room(d, err);
    if (status == SLANT_OK)
        status = check(d, d->transport->deal(values, &d->own, d->parts, &d->others), err);
    if (status != SLANT_OK)
        return status;
    add_in_order(d->parts, d->size, d->own.counts[d->rank], values + d->own.firsts[d->rank]);
    return check(d, d->transport->collect(values, &d->own), err);
}

slant_status dist_sum(dist *d, float *values, size_t n, slant_error *err)
{
    slant_status status = SLANT_OK;
    size_t piece = PIECE_VALUES / (size_t)dist_size(d);
    for (size_t at = 0; status == SLANT_OK && !is_alone(d) && at < n; at += piece)
        status = sum_piece(d, values + at, (int)(n - at < piece ? n - at : piece), err);
    return status;
}

/* -1: all is well. */
static int first_failure(const int32_t *standings, int size)
{
    int stopped = -1;
    for (int r = size; r-- > 0;)
        if (standings[r] == SLANT_ERR_CANCELLED)
            stopped = r;
    for (int r = 0; r < size; r++)
        if (standings[r] != SLANT_OK && standings[r] != SLANT_ERR_CANCELLED)
            return r;
    return stopped;
}

slant_status dist_agree(dist *d, slant_status status, slant_error *err)
{
    int32_t mine = (int32_t)status;
    if (is_alone(d) || d->failed)
        return status;
    slant_status gathered = dist_gather(d, &mine, sizeof mine, d->standings, err);
    int r = gathered == SLANT_OK ? first_failure(d->standings, d->size) : -1;
    if (r < 0)
        return gathered;
    slant_error theirs = {.message = ""};
    if (r == d->rank && err != NULL)
        theirs = *err;
    status = broadcast_from(d, theirs.message, sizeof theirs.message, r, err);
    if (status != SLANT_OK)
        return status;
    status = (slant_status)d->standings[r];
    if (r == 0 || status == SLANT_ERR_CANCELLED)
        return status_fail(err, status, "%s", theirs.message);
    return status_fail(err, status, "rank %d: %s", r, theirs.message);
}
