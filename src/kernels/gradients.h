/* Kernels that only training needs, beside the forward table of the same instruction set: panels of
 * a transposed weight, the derivatives of what works row by row, dropout and AdamW.
 *
 * As in kernels.h every routine works on one thread and on plain arrays, and the scalar table is
 * the reference. Panels made here are read by the matmul of the kernel_table of the same name. */
#ifndef SLANT_KERNELS_GRADIENTS_H
#define SLANT_KERNELS_GRADIENTS_H

#include "kernels/kernels.h"

/* Which elements of a module's input are dropped: element i of the row is dropped where the i-th 16
 * bits of Philox with this key, counter[0] counting groups of eight elements, are below threshold.
 */
typedef struct dropout_row {
    uint32_t key[2];
    uint32_t counter[4]; /* [0] is the row's own, starts at 0 */
    uint32_t threshold;  /* round(p · 65536) */
} dropout_row;

/* What is dropped of some rows: bit i % 16 of word i / 16 of a row is its element i. */
typedef struct dropout_bits {
    uint16_t *rows; /* [rows][stride] */
    size_t stride;  /* words */
} dropout_bits;

/* AdamW (Loshchilov & Hutter 2019) with what a step has in common for all parameters. */
typedef struct adamw_step {
    float lr, beta1, beta2, eps, weight_decay;
    float correction1, correction2; /* 1 − beta1ᵗ, √(1 − beta2ᵗ) */
    float gradient_scale; /* gradients are multiplied by this first: clipping, unscaling */
} adamw_step;

typedef struct gradient_table {
    const char *name; /* of the least kernel_table that it belongs to */

    /* Panels of wᵀ: panel i's outputs are the inputs 16·(first_panel + i) … of w, its inputs are
     * the outputs of w. out->compute is F32 or BF16, or INT8 for a w of NF4;
     * out->n_in becomes w->n_out; a range of groups in out is honoured as in
     * kernel_table.expand. scratch: gradient_scratch_bytes. Where dropped
     * is not NULL, w is of F32 or BF16, and what it marks in row o counts as zero. */
    void (*expand_transposed)(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                              int n_panels, kernel_panels *out, void *scratch);

    /* y = x with elements of another width, each rounded to nearest even. type: F32, BF16, F16. */
    void (*narrow)(const float *x, dtype type, void *y, size_t n);
    void (*widen)(const void *x, dtype type, float *y, size_t n);

    /* dx += the derivative of y = x·rsqrt(mean(x²) + eps)·weight, for rows of n. */
    void (*rmsnorm_backward)(const float *x, const float *weight, float eps, const float *dy, int n,
                             float *dx);
    /* Of act = silu(gate)·up: d_gate and d_up from d_act. All [n]. */
    void (*swiglu_backward)(const float *gate, const float *up, const float *d_act, int n,
                            float *d_gate, float *d_up);

    /* p[i] = exp(scale·s[i]) / Σ, for first ≤ i < end; 0 elsewhere in [n]. In place is fine. */
    void (*softmax)(const float *s, float scale, int first, int end, int n, float *p);
    /* ds = scale · p∘(dp − Σ p·dp), for first ≤ i < end; 0 elsewhere in [n]. ds may be dp. */
    void (*softmax_backward)(const float *p, const float *dp, float scale, int first, int end,
                             int n, float *ds);

    /* x [n_rows][x_stride] fp32 → rows of out: out row c, element r = x[r][c] for c < n_columns.
     * out->compute is F32 or BF16; elements n_rows … kernel_padded(n_rows) become 0. */
    void (*transpose)(const float *x, size_t x_stride, int n_rows, int n_columns, acts *out,
                      int out_row0);

    /* Which of the row's n elements are dropped: ⌈n / 16⌉ words. */
    void (*dropout)(const dropout_row *row, int n, uint16_t *dropped);
    /* y = x, or zero where it is dropped: rows of F32 or BF16, [n]. In place is fine. */
    void (*copy_kept)(const uint16_t *dropped, const void *x, slant_compute compute, int n,
                      void *y);
    /* y += x where it is not dropped; [n]. */
    void (*add_kept)(const uint16_t *dropped, const float *x, int n, float *y);

    /* The products of an adapter in fp32, where left [n_rows][left_stride] has n_left values a row.
     * Columns first_column … + n_columns of rows are meant, first_column a multiple of 16. Sums are
     * in order.
     *
     * sums[r][c] += Σ_t left[t][r] · rows[t][first_column + c]; what is dropped of rows is zero. */
    void (*outer)(const float *left, size_t left_stride, int n_left, const float *rows,
                  size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                  int n_columns, float *sums, size_t sums_stride);
    /* out[t][c] += Σ_r left[t][r] · rows[r][first_column + c] where that is not dropped of row t;
     * there are n_left rows. */
    void (*spread)(const float *left, size_t left_stride, int n_left, const float *rows,
                   size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                   int n_columns, float *out, size_t out_stride);

    /* Σ x² in double, in an order that depends on n alone. */
    double (*sum_of_squares)(const float *x, size_t n);
    void (*adamw)(const adamw_step *step, const float *gradient, float *value, float *m, float *v,
                  size_t n);
} gradient_table;

/* The best for the instructions that table uses. Never NULL. */
const gradient_table *gradient_table_for(const kernel_table *table);
/* All that run here, best first; returns how many, at most cap. */
int gradient_tables(const gradient_table **out, int cap);

/* For expand_transposed of panels: a few rows of them. */
size_t gradient_scratch_bytes(int n_panels);

#endif
