/* bf16 products with vdpbf16ps: two inputs of a token are broadcast against 16 pairs of weights. */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

TILE_FUNCTION tile_dpbf16(const tile *t, int tokens, int panels)
{
    __m512 sum[TILE_TOKENS][TILE_PANELS];
    __m512i w[TILE_PANELS];
    tile_load(t, tokens, panels, sum);
    const char *x = t->x, *panel = t->w;
    for (int k = 0; k < t->n; k += 2, x += 4, panel += 64) {
        FOR_PANELS w[j] = _mm512_load_si512(panel + (size_t)j * t->w_stride_bytes);
        FOR_TOKENS
        {
            __m512i pair = _mm512_set1_epi32(*(const int32_t *)(x + (size_t)i * t->x_stride_bytes));
            FOR_PANELS sum[i][j] = _mm512_dpbf16_ps(sum[i][j], (__m512bh)pair, (__m512bh)w[j]);
        }
    }
    tile_store(t, tokens, panels, sum);
}
TILE_KERNELS(tile_dpbf16)

void matmul_avx512bf16(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                       size_t out_stride, bool accumulate, void *scratch)
{
    if (w->compute == SLANT_COMPUTE_BF16)
        run_tiles(tile_dpbf16_kernels, 2, 2 * KERNEL_PANEL, x, token0, n_tokens, w, out, out_stride,
                  accumulate);
    else
        matmul_avx512vnni(x, token0, n_tokens, w, out, out_stride, accumulate, scratch);
}
