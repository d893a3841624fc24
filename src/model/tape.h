/* What training needs beside a workspace: what the forward pass leaves for the backward pass, where
 * gradients go, and the memory in which the backward pass works. Planned once from the shape.
 *
 * Kept of a layer: its input, the residual stream between attention and MLP, q, k and v before norm
 * and rotation, gate and up. Norms, rotation, attention probabilities and SiLU are cheap and are
 * computed again. A layer may instead keep its input alone, in fp32: its forward pass is then run
 * again before its backward pass, into memory that all such layers share, and the gradients are the
 * same to the bit. */
#ifndef SLANT_MODEL_TAPE_H
#define SLANT_MODEL_TAPE_H

#include "kernels/gradients.h"
#include "model/linear.h"
#include "model/pass.h"

/* Tokens over which gradients of A and B are summed in one product; such sums are added in order,
 * so that they depend on the batch alone. */
#define TAPE_GRADIENT_ROWS 512
/* Panels whose adapter gradients are made at a time. */
#define TAPE_GRADIENT_PANELS 4
/* The highest rank that can be trained. */
#define TAPE_MAX_RANK 512
/* Modules that read the same input at most: q, k and v. */
#define TAPE_GROUP 3

/* The order in which the backward pass comes to a layer's modules. */
typedef enum tape_stage { TAPE_QKV, TAPE_O, TAPE_GATE_UP, TAPE_DOWN } tape_stage;

/* Rows of fp32 values held in the tape's type. */
typedef struct kept {
    dtype type;
    size_t stride; /* elements */
    void *data;    /* [rows][stride]; NULL: not kept */
} kept;

typedef struct tape_layer {
    bool recomputed;
    float *input;           /* [max_tokens][hidden_stride] of a recomputed layer */
    kept hidden;            /* [rows][hidden_size]: the layer's input */
    kept middle;            /* [alive rows][hidden_size]: after attention */
    kept qkv;               /* [rows][qkv_stride] */
    kept attended;          /* [alive rows][n_heads · head_dim], where o_proj is adapted */
    kept gate, up;          /* [alive rows][intermediate_size] */
    acts low[LINEAR_COUNT]; /* [rows][rank]: scale · A x of each adapted module */
    dropout_bits dropped[LINEAR_COUNT]; /* [rows]: of its input */
} tape_layer;

/* Where the gradients of an adapter are summed; NULL where there is none. */
typedef struct lora_gradient {
    float *a; /* [rank][n_in] */
    float *b; /* [n_out][rank] */
} lora_gradient;

/* The derivative of modules' outputs as the products of the backward pass read it. */
typedef struct tape_dy {
    acts plain; /* in the tape's compute */
    acts int8;  /* for products through weights of NF4, where the tape says so */
} tape_dy;

typedef struct tape_dropout {
    float p;
    uint64_t seed;
} tape_dropout;

/* What one thread needs for itself in the backward pass. */
typedef struct tape_scratch {
    void *panels; /* a block of transposed panels: panels_bytes */
    size_t panels_bytes;
    float *panel_scales;
    void *column_panels; /* [TAPE_GRADIENT_PANELS] over TAPE_GRADIENT_ROWS inputs */
    float *products;     /* [TAPE_GRADIENT_ROWS][64 or the highest rank] */
    float *rows;         /* [TAPE_SCRATCH_ROWS][row_width] */
    size_t row_width;
    void *expand;        /* of expand and expand_transposed */
    acts plain, dropped; /* [LINEAR_LOW_ROWS][widest]: input of A in the forward pass */
    void *attention;     /* attention_core_bytes */
} tape_scratch;

#define TAPE_SCRATCH_ROWS 4

typedef struct tape {
    const model *m;
    workspace *w;
    const gradient_table *kernels;
    slant_compute compute; /* of the backward pass: F32 or BF16 */
    bool through_int8;     /* but products through weights of NF4, which are then in INT8 */
    dtype kept_type;       /* of residuals, gate and up */
    dtype kept_half_type;  /* of q, k, v and what attention gave: F16 where half */
    bool half; /* adapters, head and attention round to half precision, as under autocast */
    tape_dropout dropout;
    int max_sequences;
    int first_layer;        /* the lowest with an adapter; n_layers where none has one */
    tape_stage first_stage; /* the lowest of first_layer's stages with an adapter */
    int n_recomputed;       /* layers, from first_layer up */

    tape_layer *layers;       /* [n_layers]; those below first_layer are empty */
    lora_gradient *gradients; /* [n_layers][LINEAR_COUNT], set by the owner of the parameters */
    float *score_gradient;    /* [n_labels][hidden_size], likewise */

    /* The backward pass at work. */
    float *d_hidden;   /* [max_tokens][hidden_stride]: of the residual stream */
    float *d_normed;   /* [max_tokens][hidden_stride]: of what modules read */
    float *d_attended; /* [max_tokens][d_attended_stride]; d_normed's memory */
    size_t d_attended_stride;
    float *d_qkv;                   /* [max_tokens][qkv_stride] */
    float *d_wide;                  /* [WORKSPACE_MLP_ROWS][wide_stride]; w->gate_up */
    tape_dy dy_hidden;              /* [max_tokens][hidden_size]: of o_proj's, down_proj's y */
    tape_dy dy_qkv[3];              /* [max_tokens][…]: of q_proj's, k_proj's, v_proj's y */
    tape_dy dy_wide[2];             /* [WORKSPACE_MLP_ROWS][intermediate_size]: gate's, up's */
    acts input;                     /* [max_tokens][hidden_size or n_heads · head_dim] */
    acts wide_input;                /* [WORKSPACE_MLP_ROWS][intermediate_size] */
    float *low_rows[TAPE_GROUP];    /* [max_tokens][rank to panels]: dY·B */
    acts d_low[TAPE_GROUP];         /* [max_tokens][rank]: scale · dY·B */
    acts d_low_columns[TAPE_GROUP]; /* BF16: the same, [chunks · rank][TAPE_GRADIENT_ROWS] */
    acts low_columns[TAPE_GROUP];   /* low likewise */
    float *minus_sines;             /* [max_sequence][head_dim / 2]: rotation backwards */
    tape_scratch *threads;          /* [n_threads] */

    /* The batch. */
    pass pass;
    int layer;               /* that the pass is in */
    bool recording;          /* whether that layer's slot is being written */
    int *row_sequence;       /* [max_tokens] */
    const uint32_t *samples; /* [n_sequences]: the articles' numbers in the run, for dropout */

    void *pages;
    size_t pages_bytes;
} tape;

typedef enum tape_checkpointing {
    TAPE_KEEP_ALL,
    TAPE_KEEP_FITTING, /* as many layers as memory_limit allows */
    TAPE_KEEP_INPUTS
} tape_checkpointing;

typedef struct tape_options {
    tape_checkpointing checkpointing;
    size_t memory_limit; /* bytes of the tape; TAPE_KEEP_FITTING only */
    tape_dropout dropout;
    bool half;
    int max_sequences; /* of a batch */
} tape_options;

/* For passes in w, which was opened for m with its adapters in place. */
slant_status tape_open(const model *m, workspace *w, const tape_options *options, tape **out,
                       slant_error *err);
void tape_close(tape *t);

/* Whether the backward pass, in the tape's layer, comes as far as the stage, and whether it needs
 * the derivative with respect to what the stage's modules read. */
bool tape_reaches(const tape *t, tape_stage stage);
bool tape_passes(const tape *t, tape_stage stage);

/* The steps of the forward pass that leave something; they do nothing where there is no tape or the
 * tape does not record. Those with a range of rows are called by threads for their own share. */
void tape_keep_hidden(pass *p);
void tape_keep_middle(pass *p);
void tape_keep_qkv(pass *p, size_t first_column, size_t end_column);
void tape_keep_attended(pass *p, int first, int end);
void tape_keep_wide(pass *p, const float *gate, const float *up, size_t stride, int row,
                    int n_rows);

/* w->low of the modules which[0 … n_which), which read the same input, and what the tape keeps of
 * it, dropout included, for rows row … row + n_rows of the pass, from rows in_row … of the input.
 */
void tape_low_rank(pass *p, thread_scratch *scratch, const linear *linears, const int *which,
                   int n_which, const module_input *in, int in_row, int row, int n_rows);

/* dy [n_rows][stride] in fp32, ready for products: rows row0 … of out. */
void tape_take_dy(const tape *t, const float *dy, size_t stride, int n_rows, tape_dy *out,
                  int row0);

/* The adapter's scale and what dropout multiplies the elements by that it keeps. */
float tape_adapter_scale(const tape *t, const lora *adapter);

/* The token of a row of the pass. */
int tape_token(const pass *p, int row);
/* Row `row` of a kept matrix: n elements as fp32 into out. */
void tape_load(const tape *t, const kept *k, int row, size_t n, float *out);

/* Where the tape is half: x [n] rounded to half precision, beyond its range infinite. */
void tape_round(const tape *t, float *x, size_t n);
/* The same for columns of the rows that are alive. */
void tape_round_rows(pass *p, float *rows, size_t stride, size_t first_column, size_t end_column);

tape_scratch *tape_scratch_of(const pass *p, const thread_scratch *scratch);

#endif
