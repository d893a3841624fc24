/* What the ranks of a run do together. An epoch's batches are dealt as accelerate deals them, rank
 * r of N getting batches r, r + N, …; a step is the next N × gradient_accumulation_steps of them,
 * and its gradients are divided by how many those are. All ranks hold the same values, moments and
 * state to the bit, since each computes them from the same sums; rank 0 alone writes. What can fail
 * in one rank alone is agreed on before the next exchange, so that no rank waits for one that has
 * left. */
#ifndef SLANT_TRAIN_TOGETHER_H
#define SLANT_TRAIN_TOGETHER_H

#include "train/trainer.h"

bool together_is_first(const trainer *t);
slant_status together_agree(const trainer *t, slant_status status, slant_error *err);

/* How many of an epoch's n articles are dealt out: all, or with even_batches as many as give every
 * rank the same number of whole batches, the first ones dealt again or the last ones left out. */
int64_t together_dealt(const trainer *t);
/* Room for what is exchanged; n_micro: batches of a step in all. */
slant_status together_room(trainer *t, int64_t n_micro, slant_error *err);
/* Refuses ranks that do not train the same thing; then all stand where rank 0 stands. */
slant_status together_start(trainer *t, slant_error *err);

/* After this rank's part of a step of n_micro batches, whose losses are in t->losses: the gradients
 * of all. losses [n_micro] and *n_tokens become those of all. */
slant_status together_step(trainer *t, int n_micro, int64_t *n_tokens, slant_error *err);
/* Adds each rank's number to *sum, in the order of ranks. */
slant_status together_add(trainer *t, double mine, double *sum, slant_error *err);
/* counts [n] become those of all; all [n_ranks][n] is for the exchange. */
slant_status together_count(trainer *t, int64_t *counts, size_t n, int64_t *all, slant_error *err);

#endif
