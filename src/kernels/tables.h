/* The routines that dispatch.c puts into tables, by instruction set. */
#ifndef SLANT_KERNELS_TABLES_H
#define SLANT_KERNELS_TABLES_H

#include "kernels/internal.h"

#define DECLARE_ACTS(isa)                                                                          \
    void rmsnorm_##isa(const float *x, size_t x_stride, const float *weight, float eps,            \
                       int n_tokens, acts *out, int out_row0);                                     \
    void quantise_##isa(const float *x, size_t x_stride, int n_tokens, acts *out, int out_row0);   \
    void swiglu_##isa(const float *gate, const float *up, size_t stride, int n_tokens, acts *out,  \
                      int out_row0, int first, int end);                                           \
    void rope_##isa(float *x, size_t x_stride, int n_tokens, int n_heads, int head_dim,            \
                    const float *cos, const float *sin);                                           \
    void add_##isa(float *y, const float *x, size_t n);
#define DECLARE_EXPAND(name)                                                                       \
    void expand_##name(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,  \
                       void *scratch);
#define DECLARE_MATMUL(isa)                                                                        \
    void matmul_##isa(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out, \
                      size_t out_stride, bool accumulate, void *scratch);

/* The scalar reference. */
DECLARE_ACTS(scalar)
DECLARE_EXPAND(scalar)
DECLARE_MATMUL(scalar)
void attention_scalar(const attention_args *args);

/* AVX-512. int8 weights are expanded as they are (AMX), plus 128 (VNNI) or to 16 bits (neither). */
DECLARE_ACTS(avx512)
DECLARE_EXPAND(signed_avx512)
DECLARE_EXPAND(unsigned_avx512)
DECLARE_EXPAND(int16_avx512)
DECLARE_MATMUL(avx512)
DECLARE_MATMUL(avx512vnni)
DECLARE_MATMUL(avx512bf16)
DECLARE_MATMUL(amx)
void matmul_both_amx(const acts *x, int token0, int n_tokens, const kernel_panels *w,
                     const kernel_addend *addend, float *out, size_t out_stride, bool accumulate,
                     void *scratch);
void attention_avx512(const attention_args *args);
void attention_avx512vnni(const attention_args *args);
void attention_amx(const attention_args *args);
void matmul_float_avx512(const acts *x, int token0, int n_tokens, const kernel_panels *w,
                         float *out, size_t out_stride, bool accumulate);

/* AVX2. int8 weights are expanded to 16 bits, or plus 128 where the processor has AVX-VNNI. */
DECLARE_ACTS(avx2)
DECLARE_EXPAND(int16_avx2)
DECLARE_EXPAND(unsigned_avx2)
DECLARE_MATMUL(avx2)
DECLARE_MATMUL(avxvnni)
void attention_avx2(const attention_args *args);

#endif
