/* int8 products with vpdpbusd on 256 bits, which multiplies unsigned by signed bytes: the weights
 * are the unsigned side (panels hold weight + 128), four inputs of a token are broadcast as the
 * signed side, and a sum starts at −128 · Σx, so that it ends exact. */
#include "kernels/tables.h"
#include "kernels/tile_avx2.h"

#define START(i)                                                                                   \
    if (i < tokens) {                                                                              \
        __m256i sum = _mm256_set1_epi32(t->x_sums[(size_t)(i) * t->x_groups]);                     \
        s##i##0 = (int_lanes)_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7));  \
        s##i##1 = s##i##0;                                                                         \
    }
#define MULTIPLY(i)                                                                                \
    if (i < tokens) {                                                                              \
        __m256i four = TILE_X(i);                                                                  \
        s##i##0 = (int_lanes)_mm256_dpbusd_avx_epi32((__m256i)s##i##0, w0, four);                  \
        s##i##1 = (int_lanes)_mm256_dpbusd_avx_epi32((__m256i)s##i##1, w1, four);                  \
    }

TILE_FUNCTION tile_vnni(const tile *t, int tokens)
{
    TILE_SUMS(int_lanes, {0});
    const char *x = t->x, *panel = t->w;
    FOR_TOKENS(START)
    for (int k = 0; k < t->n; k += 4, x += 4, panel += 64) {
        __m256i w0 = _mm256_load_si256((const __m256i *)panel);
        __m256i w1 = _mm256_load_si256((const __m256i *)(panel + 32));
        FOR_TOKENS(MULTIPLY)
    }
    TILE_SCALE_SUMS;
}
TILE_KERNELS(tile_vnni)

void matmul_avxvnni(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                    size_t out_stride, bool accumulate, void *scratch)
{
    static const tile_product product = {tile_vnni_kernels, 1, 1, NULL, 0};
    if (w->compute == SLANT_COMPUTE_INT8)
        run_tiles(&product, x, token0, n_tokens, w, out, out_stride, accumulate, scratch);
    else
        matmul_avx2(x, token0, n_tokens, w, out, out_stride, accumulate, scratch);
}
