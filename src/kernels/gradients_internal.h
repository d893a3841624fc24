/* What the gradient kernel files share with each other and with nobody else. */
#ifndef SLANT_KERNELS_GRADIENTS_INTERNAL_H
#define SLANT_KERNELS_GRADIENTS_INTERNAL_H

#include "kernels/gradients.h"
#include "kernels/internal.h"

#define DECLARE_GRADIENTS(isa)                                                                     \
    void expand_transposed_##isa(const kernel_weight *w, const dropout_bits *dropped,              \
                                 int first_panel, int n_panels, kernel_panels *out,                \
                                 void *scratch);                                                   \
    void narrow_##isa(const float *x, dtype type, void *y, size_t n);                              \
    void widen_##isa(const void *x, dtype type, float *y, size_t n);                               \
    void rmsnorm_backward_##isa(const float *x, const float *weight, float eps, const float *dy,   \
                                int n, float *dx);                                                 \
    void swiglu_backward_##isa(const float *gate, const float *up, const float *d_act, int n,      \
                               float *d_gate, float *d_up);                                        \
    void softmax_##isa(const float *s, float scale, int first, int end, int n, float *p);          \
    void softmax_backward_##isa(const float *p, const float *dp, float scale, int first, int end,  \
                                int n, float *ds);                                                 \
    void transpose_##isa(const float *x, size_t x_stride, int n_rows, int n_columns, acts *out,    \
                         int out_row0);                                                            \
    void dropout_##isa(const dropout_row *row, int n, uint16_t *dropped);                          \
    void copy_kept_##isa(const uint16_t *dropped, const void *x, slant_compute compute, int n,     \
                         void *y);                                                                 \
    void add_kept_##isa(const uint16_t *dropped, const float *x, int n, float *y);                 \
    void outer_##isa(const float *left, size_t left_stride, int n_left, const float *rows,         \
                     size_t stride, const dropout_bits *dropped, int n_rows, int first_column,     \
                     int n_columns, float *sums, size_t sums_stride);                              \
    void spread_##isa(const float *left, size_t left_stride, int n_left, const float *rows,        \
                      size_t stride, const dropout_bits *dropped, int n_rows, int first_column,    \
                      int n_columns, float *out, size_t out_stride);                               \
    double sum_of_squares_##isa(const float *x, size_t n);                                         \
    void adamw_##isa(const adamw_step *step, const float *gradient, float *value, float *m,        \
                     float *v, size_t n);

DECLARE_GRADIENTS(scalar) /* the reference */
DECLARE_GRADIENTS(avx2)
DECLARE_GRADIENTS(avx512)

/* INT8 panels of a transposed NF4 weight. absmax belongs to one output for a block of inputs; so 64
 * outputs' values are first made integers against the largest |absmax| among them, value =
 * round(code · absmax · NF4_CODE_ONE / (largest · code_max)), rotated over these outputs, and then
 * treated as NF4_CODE_ONE in internal.h tells, `largest` standing for the block's absmax. */
void expand_transposed_avx512vnni(const kernel_weight *w, const dropout_bits *dropped,
                                  int first_panel, int n_panels, kernel_panels *out, void *scratch);
void expand_transposed_amx(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                           int n_panels, kernel_panels *out, void *scratch);
void expand_transposed_avxvnni(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                               int n_panels, kernel_panels *out, void *scratch);

/* Values first … first + n of output o's row, decoded as they are held; n ends at n_in at most and
 * first is a multiple of 64. */
void weight_decode_span(const kernel_weight *w, int o, int first, int n, float *out);

#endif
