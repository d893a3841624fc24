/* Kernels: one table of function pointers per instruction set, chosen once.
 *
 * Every routine here works on one thread and on plain arrays; who does which share, and in what
 * order, is src/model's business. The scalar table is the reference: plain loops that a reader can
 * check against the formula. Every other table must agree with it within the tolerance that
 * tests/unit/test_kernels.c states, at awkward sizes too.
 *
 * One product, three computes. A matrix product is out[t][o] (+)= Σ_k x[t][k] · w[o][k], with
 *   F32   x and w in fp32, fp32 sums
 *   BF16  x and w rounded to bf16, fp32 sums
 *   INT8  x and w as int8 with one fp32 scale per group of at most 256 inputs on both sides, exact
 *         int32 sums within a group, fp32 sums over groups in order
 *   INT16 the same with 13 bits of x and 12 of w, signs included
 * x is an `acts`; w comes in panels of 16 outputs, expanded from however the weight is held into
 * the order that the product reads, once per panel, and used for all tokens. An output's sum has
 * one order that depends on n_in alone, so results do not depend on how many tokens or panels a
 * call covers. */
#ifndef SLANT_KERNELS_KERNELS_H
#define SLANT_KERNELS_KERNELS_H

#include "base/dtype.h"
#include "base/status.h"

#define KERNEL_PANEL 16      /* outputs per panel */
#define KERNEL_K_ALIGN 64    /* inputs are padded with zeros to a multiple of this */
#define KERNEL_GROUP_MAX 256 /* inputs per int8 scale at most */

/* n_in rounded up to KERNEL_K_ALIGN. */
int kernel_padded(int n_in);
/* int8 groups: all of kernel_group(n_in) inputs, a multiple of 64 up to 256, but the last. */
int kernel_group(int n_in);
int kernel_n_groups(int n_in);
/* The best distance between the rows of acts, in elements: padded, and not a power of two, so that
 * rows do not share cache sets. */
size_t kernel_acts_stride(slant_compute compute, int n_in);
/* Bytes of one activation or weight; INT8 weights take twice that where products are of 16 bits. */
size_t kernel_element_bytes(slant_compute compute);
/* "auto", "int8", "int16", "bf16", "fp32". */
const char *kernel_compute_name(slant_compute compute);
/* Whether it has a scale per group: INT8 and INT16. */
bool kernel_is_scaled(slant_compute compute);

/* Activations ready for products: [n_tokens][stride], row-major, rows padded with zeros up to
 * kernel_padded(n_in). Rows start at multiples of 64 bytes. */
typedef struct acts {
    slant_compute compute;
    int n_in;
    size_t stride; /* elements between rows */
    void *data;    /* float, uint16_t (bf16), int16_t or int8_t */
    float *scales; /* INT8, INT16: [n_tokens][n_groups]: value = data · scale */
    int32_t *sums; /* INT8: [n_tokens][n_groups]: Σ data over the group */
} acts;

/* A weight matrix [n_out, n_in] as it is held. All borrowed. */
typedef struct kernel_weight {
    int n_out, n_in;
    dtype type;          /* NF4: the packed panels of quant/nf4.h. Else rows of that type. */
    const uint8_t *data; /* NF4: codes [n_panels][n_in/64][512]; else [n_out][row_bytes] */
    /* NF4 only: */
    const uint8_t *absmax_codes; /* [n_panels][n_in/64][16], or NULL: absmax is plain */
    const float *absmax;         /* [n_panels][n_in/64][16], or NULL */
    const float *nested_absmax;  /* flat order */
    const float *nested_map;     /* [256] */
    const float *code_map;       /* [16] */
    float nested_offset;
} kernel_weight;

/* One or more panels ready for a product of one compute; memory from panel_bytes. They hold the
 * groups first_group … first_group + n_groups of the inputs; n_groups 0 means all of them. A long
 * product may be taken in such portions, each accumulating upon the one before: the bits are those
 * of the whole. */
typedef struct kernel_panels {
    slant_compute compute;
    int n_in, n_panels;
    int first_group, n_groups;
    void *data;    /* in the instruction set's own order; 64-byte aligned */
    float *scales; /* INT8, INT16: [n_panels][n_groups][16] */
} kernel_panels;

/* A second product that a call of matmul_both adds: x · wᵀ over few inputs, an adapter's. */
typedef struct kernel_addend {
    const acts *x; /* of the compute of the product beside it; one int8 group at most */
    int token0;
    const kernel_panels *w; /* as many panels as the product beside it */
} kernel_addend;

typedef struct attention_args {
    const float *q; /* [n_queries][q_stride], rotated; head h at h·head_dim */
    const float *k; /* [n_keys][kv_stride], rotated */
    const float *v; /* [n_keys][kv_stride] */
    size_t q_stride, kv_stride;
    int first_query; /* position of query row 0; query i sits at first_query + i and sees keys
                        max(0, position − window + 1) … position */
    int n_queries, n_keys;
    int window; /* 0: all keys before */
    int head_dim;
    int n_heads; /* query heads that share this kv head; q head j at q + j·head_dim */
    float scale;
    float *out; /* [n_queries][out_stride], head j at j·head_dim */
    size_t out_stride;
    void *scratch; /* attention_scratch_bytes */
    slant_compute compute;
} attention_args;

typedef struct kernel_table {
    const char *name; /* "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx" */
    slant_compute auto_compute; /* what AUTO means here: INT8 where it is quicker than INT16, INT16
                                   where both take as long, F32 where neither gains anything */
    bool bf16_is_fast;

    /* RMSNorm (Zhang & Sennrich 2019) as transformers computes it: x·rsqrt(mean(x²)+eps), then ×
     * weight. x [n_tokens][x_stride]; weight [n_in]; rows out_row0 … of out are written. */
    void (*rmsnorm)(const float *x, size_t x_stride, const float *weight, float eps, int n_tokens,
                    acts *out, int out_row0);
    /* Plain conversion of rows into acts. */
    void (*quantise)(const float *x, size_t x_stride, int n_tokens, acts *out, int out_row0);
    /* SwiGLU: silu(gate)·up, rounded into acts. gate, up [n_tokens][stride] hold inputs first …
     * end of the rows, in whole groups where out is scaled and else in multiples of KERNEL_K_ALIGN,
     * as far as out->n_in goes. */
    void (*swiglu)(const float *gate, const float *up, size_t stride, int n_tokens, acts *out,
                   int out_row0, int first, int end);
    /* Half rotation in place: x [n_tokens][x_stride], n_heads heads of head_dim; cos, sin
     * [n_tokens][head_dim / 2] rows of each token's position. */
    void (*rope)(float *x, size_t x_stride, int n_tokens, int n_heads, int head_dim,
                 const float *cos, const float *sin);
    /* y += x over [n]. */
    void (*add)(float *y, const float *x, size_t n);

    /* Bytes for n_panels panels (data), 64-byte aligned size. */
    size_t (*panel_bytes)(slant_compute compute, int n_in, int n_panels);
    /* Expands panels first_panel … first_panel + n_panels of w. scratch:
     * kernel_expand_scratch_bytes. */
    void (*expand)(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                   void *scratch);
    /* out[t][o] (+)= product for token rows token0 … token0 + n_tokens of x and 16·n_panels
     * outputs. out [n_tokens][out_stride], out_stride ≥ 16·n_panels. scratch: KERNEL_MATMUL_SCRATCH
     * bytes, 64-byte aligned. A sum starts from what is there where it accumulates, else from zero.
     */
    void (*matmul)(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                   size_t out_stride, bool accumulate, void *scratch);

    /* The same with another product added to it while the sums are at hand; the addend comes first
     * in their order. NULL where it would gain nothing over two calls of matmul. */
    void (*matmul_both)(const acts *x, int token0, int n_tokens, const kernel_panels *w,
                        const kernel_addend *addend, float *out, size_t out_stride, bool accumulate,
                        void *scratch);

    /* Causal attention of one sequence and one kv head for the query heads that share it, softmax
     * in fp32, online over tiles of keys whose bounds depend on positions alone. */
    void (*attention)(const attention_args *args);
} kernel_table;

size_t kernel_expand_scratch_bytes(int n_in);
#define KERNEL_MATMUL_SCRATCH 65536
size_t attention_scratch_bytes(int n_keys, int head_dim, int n_heads);

/* What this CPU (and this build) offers, best first; forced by name. NULL: unknown name or not to
 * be had here. */
const kernel_table *kernel_table_best(void); /* SLANT_ISA, where set and had, else the best */
const kernel_table *kernel_table_named(const char *name);
/* All tables that run here, best first; returns how many, at most cap. */
int kernel_tables(const kernel_table **out, int cap);
/* SLANT_ISA names something that is not to be had here: SLANT_ERR_ARGUMENT with what is. */
slant_status kernel_check_environment(slant_error *err);

#endif
