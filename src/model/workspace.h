/* The memory of a forward pass, planned once from the shape, and the team that works in it. */
#ifndef SLANT_MODEL_WORKSPACE_H
#define SLANT_MODEL_WORKSPACE_H

#include "model/model.h"

/* Rows of the MLP's wide middle that are in memory at a time. */
#define WORKSPACE_MLP_ROWS 512

/* What one thread needs for itself. */
typedef struct thread_scratch {
    void *panels;        /* expanded panels: linear_panel_bytes, mlp_panel_bytes */
    float *panel_scales; /* their int8 scales */
    void *low_panels;    /* those of B beside them: linear_low_panel_bytes */
    float *low_scales;
    float *gate_up;      /* mlp_columns_bytes */
    void *expand;        /* kernel_expand_scratch_bytes of the widest input */
    void *matmul;        /* KERNEL_MATMUL_SCRATCH */
    void *attention;     /* attention_scratch_bytes of the longest sequence */
    float *row;          /* one row of the widest low-rank product, and of the embedding */
    void *embedding_row; /* model_embed_scratch_bytes */
} thread_scratch;

/* What a layer's products are computed in, and their activations. */
typedef struct layer_precision {
    slant_compute compute;      /* of the products with the base's weights */
    slant_compute lora_compute; /* of the product with B */
    acts normed;                /* [max_tokens][hidden_size] */
    acts attended_in;           /* [max_tokens][n_heads · head_dim] */
    acts wide;                  /* [WORKSPACE_MLP_ROWS][intermediate_size] */
    acts low[LINEAR_COUNT];     /* [max_tokens][rank]: scale · A x of each adapted module */
} layer_precision;

typedef struct workspace {
    const kernel_table *kernels;
    slant_compute compute; /* that was asked for; INT8: but for q, k, v and the first layers */
    int n_fine;            /* which those are */
    layer_precision fine, coarse;
    layer_precision now; /* of the products at work */
    int layer;           /* that is at work: workspace_enter_layer */
    int n_threads;
    int max_tokens, max_sequence;

    float *hidden; /* [max_tokens][hidden_stride], the residual stream */
    size_t hidden_stride;
    float *qkv; /* [max_tokens][qkv_stride]: all q heads, then k, then v */
    size_t qkv_stride;
    size_t k_column, v_column; /* where k and v begin in a row of qkv */
    float *attended;           /* [max_tokens][attended_stride] */
    size_t attended_stride;
    bool records;   /* whether a tape may be laid beside it, */
    float *gate_up; /* which needs all of [WORKSPACE_MLP_ROWS][2 · wide_stride]: gate, then up */
    size_t wide_stride;
    acts final;              /* F32 [max_tokens][hidden_size]: what the head reads */
    float *cosines, *sines;  /* [max_sequence][head_dim / 2] */
    thread_scratch *threads; /* [n_threads] */

    void *pages; /* all of the above */
    size_t pages_bytes;
} workspace;

/* For passes of at most max_tokens packed tokens, articles of at most max_sequence tokens. */
slant_status workspace_open(const model *m, const kernel_table *kernels, slant_compute compute,
                            int n_threads, int max_tokens, int max_sequence, workspace **out,
                            slant_error *err);
/* The same for training: a tape can be laid beside it, and low-rank products are in the compute
 * that is asked for. */
slant_status workspace_open_lora(const model *m, const kernel_table *kernels, slant_compute compute,
                                 slant_compute lora_compute, int n_threads, int max_tokens,
                                 int max_sequence, workspace **out, slant_error *err);
void workspace_close(workspace *w);

/* The quickest that is at least as good as bf16. */
slant_compute workspace_fine_compute(const kernel_table *kernels);

/* From here on products are those of layer i; within it the finest there are, or its own again. */
void workspace_enter_layer(workspace *w, int i);
void workspace_use_fine(workspace *w);
void workspace_use_own(workspace *w);

#endif
