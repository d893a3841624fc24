/* int8 products with vpdpbusd, which multiplies unsigned by signed bytes: the weights are the
 * unsigned side (panels hold weight + 128), four inputs of a token are broadcast as the signed
 * side, and a sum starts at −128 · Σx, so that it ends exact. */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

TILE_FUNCTION tile_vnni(const tile *t, int tokens, int panels)
{
    __m512i sum[TILE_TOKENS][TILE_PANELS], w[TILE_PANELS];
    FOR_TOKENS
    {
        __m512i start = _mm512_set1_epi32(-128 * t->x_sums[i * t->x_groups]);
        FOR_PANELS sum[i][j] = start;
    }
    const char *x = t->x, *panel = t->w;
    for (int k = 0; k < t->n; k += 4, x += 4, panel += 64) {
        FOR_PANELS w[j] = _mm512_load_si512(panel + (size_t)j * t->w_stride_bytes);
        FOR_TOKENS
        {
            __m512i four = _mm512_set1_epi32(*(const int32_t *)(x + (size_t)i * t->x_stride_bytes));
            FOR_PANELS sum[i][j] = _mm512_dpbusd_epi32(sum[i][j], w[j], four);
        }
    }
    tile_scale(t, tokens, panels, sum);
}
TILE_KERNELS(tile_vnni)

void matmul_avx512vnni(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                       size_t out_stride, bool accumulate, void *scratch)
{
    (void)scratch;
    if (w->compute == SLANT_COMPUTE_INT8)
        run_tiles(tile_vnni_kernels, 1, KERNEL_PANEL, x, token0, n_tokens, w, out, out_stride,
                  accumulate);
    else
        matmul_float_avx512(x, token0, n_tokens, w, out, out_stride, accumulate);
}
