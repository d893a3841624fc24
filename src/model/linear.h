/* Linear layers: the product with the base's weights and, beside it, with a low-rank adapter. */
#ifndef SLANT_MODEL_LINEAR_H
#define SLANT_MODEL_LINEAR_H

#include "model/workspace.h"

#define LINEAR_MAX_BLOCK_PANELS 32

/* Rows of a low-rank product that are in memory at a time. */
#define LINEAR_LOW_ROWS 64

/* Bytes of one thread's block of expanded panels for inputs up to n_in and adapters up to rank. */
size_t linear_panel_bytes(const workspace *w, int n_in, int rank);

/* Bytes of such a block's panels of B. */
size_t linear_low_panel_bytes(const workspace *w, int rank);

/* low[row0 … row0 + n_tokens) = scale · A x for those rows, on the calling thread; does nothing
 * where the layer has no adapter. x's row 0 is token x_row0. */
void linear_low_rank(const workspace *w, thread_scratch *scratch, const lora *adapter,
                     const acts *x, int x_row0, int n_tokens, acts *low, int low_row0);

typedef struct linear_job {
    const linear *layer;
    const acts *x;   /* rows x_row0 … */
    const acts *low; /* rows low_row0 …, from linear_low_rank */
    int x_row0, low_row0, n_tokens;
    float *out; /* [n_tokens][out_stride] */
    size_t out_stride;
    bool accumulate; /* out += instead of out = */
} linear_job;

/* Some panels of a linear layer expanded, those of its adapter's B among them. w.data, w.scales,
 * b.data and b.scales are the caller's memory; w.first_group and n_groups may name a portion of the
 * inputs, the first of which brings bias and adapter. */
typedef struct linear_block {
    const linear *layer;
    int first_panel, n_panels;
    kernel_panels w, b;
} linear_block;

void linear_expand(const workspace *w, thread_scratch *scratch, linear_block *block);
/* The block's outputs for the job's rows into out [n_tokens][job->out_stride], its first panel's at
 * the start. */
void linear_multiply(const workspace *w, thread_scratch *scratch, const linear_block *block,
                     const linear_job *job, float *out);

/* Runs the jobs, each out (+)= W x + bias + B low, on all threads of the workspace: the outputs of
 * all jobs, in panels of 16, are shared out evenly. */
void linear_forward(workspace *w, const linear_job *jobs, int n_jobs);

#endif
