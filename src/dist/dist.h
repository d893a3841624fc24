/* Several processes that work as one: ranks 0 … size - 1, on this machine or on several, started by
 * mpirun. Every function but those that only ask is collective: all ranks call it, in the same
 * order, and it returns when all have. Sums are taken in the order of ranks, so that they are the
 * same to the bit from run to run; MPI only moves bytes. A process that stands alone is a team of
 * one, for which nothing is loaded and nothing is copied, and so is NULL. Files: launch.c finds out
 * how the process was started and loads MPI, mpi.c is what is loaded. */
#ifndef SLANT_DIST_DIST_H
#define SLANT_DIST_DIST_H

#include "base/status.h"

#include <slant_train.h>

#include <stddef.h>

typedef struct slant_team dist;

/* Joins the ranks that this process was started with. Once in a process, unless it started MPI
 * itself; from one thread. Ownership: dist_close. */
slant_status dist_open(dist **out, slant_error *err);
/* Collective too; where an exchange has failed before, it ends the other ranks instead. */
void dist_close(dist *d);

int dist_rank(const dist *d);
int dist_size(const dist *d);
/* How many cores are this rank's, where ranks of one machine share them evenly. */
int dist_cores(const dist *d);

/* values [n] become Σ over ranks, rank 0's first. */
slant_status dist_sum(dist *d, float *values, size_t n, slant_error *err);
/* Each rank's `mine` [size_bytes] into everybody's all [size][size_bytes]. */
slant_status dist_gather(dist *d, const void *mine, size_t size_bytes, void *all, slant_error *err);
/* Rank 0's data [size_bytes] to all. */
slant_status dist_broadcast(dist *d, void *data, size_t size_bytes, slant_error *err);
/* How all stand: SLANT_OK where everybody is, else for everybody the status and the message of the
 * first rank that failed; one that was only stopped counts after those. */
slant_status dist_agree(dist *d, slant_status status, slant_error *err);

#endif
