/* int8 products with vpdpbusd, which multiplies unsigned by signed bytes: the weights are the
 * unsigned side (panels hold weight + 128), four inputs of a token are broadcast as the signed
 * side, and a sum starts at −128 · Σx, so that it ends exact. */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

#define START(sum, i, j)                                                                           \
    sum = (int_lanes)_mm512_set1_epi32(-128 * t->x_sums[(size_t)(i) * t->x_groups]);
#define MULTIPLY(sum, i, j) sum = (int_lanes)_mm512_dpbusd_epi32((__m512i)sum, w##j, four);
#define TOKEN(i)                                                                                   \
    if (i < tokens) {                                                                              \
        __m512i four = TILE_X(i);                                                                  \
        FOR_PANELS_OF(i, MULTIPLY)                                                                 \
    }

TILE_FUNCTION tile_vnni(const tile *t, int tokens, int panels)
{
    TILE_SUMS(int_lanes, {0});
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    const char *x = t->x, *panel = t->w;
    FOR_SUMS(START)
    int k = 0;
    do {
        FOR_PANELS(TILE_LOAD_PANEL)
        FOR_TOKENS(TOKEN)
        x += 4;
        panel += 64;
    } while ((k += 4) < t->n);
    FOR_SUMS(TILE_SCALE)
}
TILE_KERNELS(tile_vnni)

void matmul_avx512vnni(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                       size_t out_stride, bool accumulate, void *scratch)
{
    (void)scratch;
    tile_walk c = {.kernels = tile_vnni_kernels,
                   .x_bytes = 1,
                   .w_bytes = KERNEL_PANEL,
                   .x = x,
                   .token0 = token0,
                   .w = w,
                   .out = out,
                   .out_stride = out_stride,
                   .accumulate = accumulate};
    if (w->compute == SLANT_COMPUTE_INT8)
        run_tiles(&c, n_tokens);
    else
        matmul_float_avx512(x, token0, n_tokens, w, out, out_stride, accumulate);
}
