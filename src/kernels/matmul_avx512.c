/* Products with plain AVX-512: fp32, bf16 widened to fp32, INT16 by vpmaddwd, and INT8 as INT16
 * (its panels hold words). */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

#define MULTIPLY_F32(sum, i, j) sum = _mm512_fmadd_ps(value, _mm512_castsi512_ps(w##j), sum);
#define TOKEN_F32(i)                                                                               \
    if (i < tokens) {                                                                              \
        __m512 value = _mm512_castsi512_ps(TILE_X(i));                                             \
        FOR_PANELS_OF(i, MULTIPLY_F32)                                                             \
    }

TILE_FUNCTION tile_f32(const tile *t, int tokens, int panels)
{
    TILE_SUMS(__m512, _mm512_setzero_ps());
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    TILE_START;
    FOR_SUMS(TILE_FETCH)
    int k = 0;
    do {
        FOR_PANELS(TILE_LOAD_PANEL)
        FOR_TOKENS(TOKEN_F32)
        TILE_ADVANCE(4, 64);
    } while ((k += 1) < t->n);
    FOR_SUMS(TILE_STORE)
}
TILE_KERNELS(tile_f32)

/* The even one of each pair of bf16 values as fp32, and the odd one. */
static inline __m512 even_bf16(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

static inline __m512 odd_bf16(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000u)));
}

/* All even ones of a step, then all odd ones: so w0 … w3 hold one half of the pairs at a time. */
#define EVEN(j) v##j = even_bf16(w##j);
#define ODD(j) v##j = odd_bf16(w##j);
#define MULTIPLY_BF16(sum, i, j) sum = _mm512_fmadd_ps(value, v##j, sum);
#define TOKEN_EVEN(i)                                                                              \
    if (i < tokens) {                                                                              \
        __m512 value = even_bf16(TILE_X(i));                                                       \
        FOR_PANELS_OF(i, MULTIPLY_BF16)                                                            \
    }
#define TOKEN_ODD(i)                                                                               \
    if (i < tokens) {                                                                              \
        __m512 value = odd_bf16(TILE_X(i));                                                        \
        FOR_PANELS_OF(i, MULTIPLY_BF16)                                                            \
    }

TILE_FUNCTION tile_bf16(const tile *t, int tokens, int panels)
{
    TILE_SUMS(__m512, _mm512_setzero_ps());
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    __m512 v0, v1, v2, v3;
    TILE_START;
    FOR_SUMS(TILE_FETCH)
    int k = 0;
    do {
        FOR_PANELS(TILE_LOAD_PANEL)
        FOR_PANELS(EVEN)
        FOR_TOKENS(TOKEN_EVEN)
        FOR_PANELS(ODD)
        FOR_TOKENS(TOKEN_ODD)
        TILE_ADVANCE(4, 64);
    } while ((k += 2) < t->n);
    FOR_SUMS(TILE_STORE)
}
TILE_KERNELS(tile_bf16)

/* x's bytes are widened once for all panels of the tile. */
static inline void widen_row(const char *bytes, int n, int16_t *out)
{
    for (int k = 0; k < n; k += 32)
        _mm512_store_si512(out + k,
                           _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(bytes + k))));
}

#define MULTIPLY_INT16(sum, i, j) sum += (int_lanes)_mm512_madd_epi16(pair, w##j);
#define TOKEN_INT8(i)                                                                              \
    if (i < tokens) {                                                                              \
        __m512i pair = _mm512_set1_epi32(*(const int32_t *)(pairs[i] + k));                        \
        FOR_PANELS_OF(i, MULTIPLY_INT16)                                                           \
    }
#define TOKEN_INT16(i)                                                                             \
    if (i < tokens) {                                                                              \
        __m512i pair = TILE_X(i);                                                                  \
        FOR_PANELS_OF(i, MULTIPLY_INT16)                                                           \
    }

TILE_FUNCTION tile_int8(const tile *t, int tokens, int panels)
{
    alignas(64) int16_t pairs[TILE_TOKENS][KERNEL_GROUP_MAX];
    TILE_SUMS(int_lanes, {0});
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    for (int i = 0; i < tokens; i++)
        widen_row(t->x + (size_t)i * t->x_stride_bytes, t->n, pairs[i]);
    TILE_START;
    int k = 0;
    do {
        FOR_PANELS(TILE_LOAD_PANEL)
        FOR_TOKENS(TOKEN_INT8)
        TILE_ADVANCE(0, 64);
    } while ((k += 2) < t->n);
    TILE_SCALE_SUMS;
}
TILE_KERNELS(tile_int8)

TILE_FUNCTION tile_int16(const tile *t, int tokens, int panels)
{
    TILE_SUMS(int_lanes, {0});
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    TILE_START;
    int k = 0;
    do {
        FOR_PANELS(TILE_LOAD_PANEL)
        FOR_TOKENS(TOKEN_INT16)
        TILE_ADVANCE(4, 64);
    } while ((k += 2) < t->n);
    TILE_SCALE_SUMS;
}
TILE_KERNELS(tile_int16)

void matmul_float_avx512(const acts *x, int token0, int n_tokens, const kernel_panels *w,
                         float *out, size_t out_stride, bool accumulate)
{
    bool is_f32 = w->compute == SLANT_COMPUTE_F32;
    tile_sums sums;
    tile_walk c = {.kernels = is_f32 ? tile_f32_kernels : tile_bf16_kernels,
                   .x_bytes = is_f32 ? 4 : 2,
                   .w_bytes = is_f32 ? 4 * KERNEL_PANEL : 2 * KERNEL_PANEL,
                   .portion = is_f32 ? 64 : 128,
                   .x = x,
                   .token0 = token0,
                   .w = w,
                   .out = out,
                   .out_stride = out_stride,
                   .accumulate = accumulate,
                   .sums = &sums};
    run_tiles(&c, n_tokens);
}

void matmul_avx512(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                   size_t out_stride, bool accumulate, void *scratch)
{
    tile_scratch *memory = scratch;
    bool is_int8 = w->compute == SLANT_COMPUTE_INT8;
    tile_walk c = {.kernels = is_int8 ? tile_int8_kernels : tile_int16_kernels,
                   .x_bytes = is_int8 ? 1 : 2,
                   .w_bytes = 2 * KERNEL_PANEL,
                   .x = x,
                   .token0 = token0,
                   .w = w,
                   .out = out,
                   .out_stride = out_stride,
                   .accumulate = accumulate,
                   .sums = &memory->sums,
                   .scales = memory};
    if (kernel_is_scaled(w->compute))
        run_tiles(&c, n_tokens);
    else
        matmul_float_avx512(x, token0, n_tokens, w, out, out_stride, accumulate);
}
