/* One forward pass in progress: the batch, and which rows of the residual stream it still follows.
 */
#ifndef SLANT_MODEL_PASS_H
#define SLANT_MODEL_PASS_H

#include "model/workspace.h"

#include <stdatomic.h>

/* The residual stream where it enters a layer, kept outside of passes. It depends on an article's
 * ids and on the layers below alone, whatever else is in the batch. */
typedef struct kept_hidden {
    int layer;
    bool is_there; /* the layers below are not run; else they are, and the rows are filled in */
    float *const *rows; /* [n_sequences]: each [length][hidden_size] */
} kept_hidden;

typedef struct pass {
    const model *m;
    workspace *w;
    const int32_t *ids; /* [n_tokens] */
    const int *bounds;  /* [n_sequences + 1] */
    const int *pooled;  /* [n_sequences], positions within their sequence */
    int n_sequences;
    int n_tokens;
    int n_rows; /* rows of hidden that are alive: n_tokens, then n_sequences after the last layer's
                   keys and values */
    const kept_hidden *kept; /* NULL: nothing is */
    struct tape *tape;       /* what the backward pass will need; NULL: there will be none */
    slant_error *err;
    slant_status status; /* of the first thread that failed */
    atomic_bool failed;
} pass;

/* Runs body on every thread of the workspace with its share [first, end) of the pass's rows. */
typedef void (*pass_rows_body)(pass *p, const void *context, thread_scratch *scratch, int first,
                               int end);
void pass_rows(pass *p, pass_rows_body body, const void *context);

/* hidden's row s becomes the pooled token's row of sequence s; n_rows becomes n_sequences. */
void pass_keep_pooled(pass *p);

/* What modules read: rows made of fp32 rows, and where they go as activations. */
typedef struct module_input {
    const float *x;    /* [rows][stride] */
    const float *up;   /* where not NULL, the rows are silu(x)·up; [rows][stride] */
    const float *norm; /* where not NULL, they are RMSNorm of x with this weight */
    size_t stride;
    acts *rows;
} module_input;

/* Rows row … row + n_rows of the input as rows out_row0 … of out. */
void pass_input(const pass *p, const module_input *in, int row, int n_rows, acts *out,
                int out_row0);

/* w->now.low[which] for rows row … row + n_rows of the pass, from rows in_row … of the input. */
void pass_low_rank(pass *p, thread_scratch *scratch, const linear *linears, int which,
                   const module_input *in, int in_row, int row, int n_rows);

/* RMSNorm of the rows that are alive into w->now.normed, and the low-rank products of the n_linears
 * layers that read it. */
void pass_norm(pass *p, const float *weight, const linear *linears, const int *which, int n_which);

#endif
