/* The derivative of causal attention alone: one sequence, one key head and the query heads that
 * share it. What projects into it and out of it is attention.h's. */
#ifndef SLANT_MODEL_ATTENTION_CORE_BACKWARD_H
#define SLANT_MODEL_ATTENTION_CORE_BACKWARD_H

#include "kernels/gradients.h"

typedef struct attention_backward_args {
    const kernel_table *kernels;
    const gradient_table *gradients;
    slant_compute compute;  /* F32 or BF16 */
    const float *q, *k, *v; /* as attention_args: rotated, q head j at j · head_dim */
    const float *d_out;     /* [n_queries][d_out_stride], head j at j · head_dim */
    size_t stride;          /* of q, k, v, d_q, d_k and d_v */
    size_t d_out_stride;
    int first_query, n_queries; /* position of query row 0; how many */
    int n_keys;
    int window; /* 0: all keys before */
    int head_dim, n_heads;
    float scale;
    float *d_q;       /* [n_queries][stride], head j at j · head_dim; written */
    float *d_k, *d_v; /* [n_keys][stride]; written */
    void *scratch;    /* attention_core_bytes */
    void *expand; /* kernel_expand_scratch_bytes(head_dim) and gradient_scratch_bytes at least */
    void *matmul; /* KERNEL_MATMUL_SCRATCH */
} attention_backward_args;

void attention_core_backward(const attention_backward_args *a);
size_t attention_core_bytes(slant_compute compute, int n_keys, int head_dim);

#endif
