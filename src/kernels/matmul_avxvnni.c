/* Integer products on 256 bits. INT8 with vpdpbusd, which multiplies unsigned by signed bytes: the
 * weights are the unsigned side (panels hold weight + 128), four inputs of a token are broadcast as
 * the signed side, and a sum starts at −128 · Σx, so that it ends exact. INT16 with vpdpwssd, which
 * takes pairs of signed words. */
#include "kernels/tables.h"
#include "kernels/tile_avx2.h"

#define START(i)                                                                                   \
    if (i < tokens) {                                                                              \
        __m256i sum = _mm256_set1_epi32(t->x_sums[(size_t)(i) * t->x_groups]);                     \
        s##i##0 = (int_lanes)_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7));  \
        s##i##1 = s##i##0;                                                                         \
    }
#define MULTIPLY_INT8(i)                                                                           \
    if (i < tokens) {                                                                              \
        __m256i four = TILE_X(i);                                                                  \
        s##i##0 = (int_lanes)_mm256_dpbusd_avx_epi32((__m256i)s##i##0, w0, four);                  \
        s##i##1 = (int_lanes)_mm256_dpbusd_avx_epi32((__m256i)s##i##1, w1, four);                  \
    }

TILE_FUNCTION tile_int8(const tile *t, int tokens)
{
    TILE_SUMS(int_lanes, {0});
    const char *x = t->x, *panel = t->w;
    FOR_TOKENS(START)
    for (int k = 0; k < t->n; k += 4, x += 4, panel += 64) {
        __m256i w0 = _mm256_load_si256((const __m256i *)panel);
        __m256i w1 = _mm256_load_si256((const __m256i *)(panel + 32));
        FOR_TOKENS(MULTIPLY_INT8)
    }
    TILE_SCALE_SUMS;
}
TILE_KERNELS(tile_int8)

#define MULTIPLY_INT16(i)                                                                          \
    if (i < tokens) {                                                                              \
        __m256i pair = TILE_X(i);                                                                  \
        s##i##0 = (int_lanes)_mm256_dpwssd_avx_epi32((__m256i)s##i##0, pair, w0);                  \
        s##i##1 = (int_lanes)_mm256_dpwssd_avx_epi32((__m256i)s##i##1, pair, w1);                  \
    }

TILE_FUNCTION tile_int16(const tile *t, int tokens)
{
    TILE_SUMS(int_lanes, {0});
    const char *x = t->x, *panel = t->w;
    for (int k = 0; k < t->n; k += 2, x += 4, panel += 64) {
        __m256i w0 = _mm256_load_si256((const __m256i *)panel);
        __m256i w1 = _mm256_load_si256((const __m256i *)(panel + 32));
        FOR_TOKENS(MULTIPLY_INT16)
    }
    TILE_SCALE_SUMS;
}
TILE_KERNELS(tile_int16)

void matmul_avxvnni(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                    size_t out_stride, bool accumulate, void *scratch)
{
    static const tile_product int8 = {tile_int8_kernels, 1, 1, NULL, 0};
    static const tile_product int16 = {tile_int16_kernels, 2, 2, NULL, 0};
    if (kernel_is_scaled(w->compute))
        run_tiles(w->compute == SLANT_COMPUTE_INT8 ? &int8 : &int16, x, token0, n_tokens, w, out,
                  out_stride, accumulate, scratch);
    else
        matmul_avx2(x, token0, n_tokens, w, out, out_stride, accumulate, scratch);
}
