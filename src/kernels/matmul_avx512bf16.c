/* bf16 products with vdpbf16ps: two inputs of a token are broadcast against 16 pairs of weights. */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

#define MULTIPLY(sum, i, j) sum = _mm512_dpbf16_ps(sum, (__m512bh)pair, (__m512bh)w##j);
#define TOKEN(i)                                                                                   \
    if (i < tokens) {                                                                              \
        __m512i pair = TILE_X(i);                                                                  \
        FOR_PANELS_OF(i, MULTIPLY)                                                                 \
    }

TILE_FUNCTION tile_dpbf16(const tile *t, int tokens, int panels)
{
    TILE_SUMS(__m512, _mm512_setzero_ps());
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    TILE_START;
    FOR_SUMS(TILE_FETCH)
    int k = 0;
    do {
        FOR_PANELS(TILE_LOAD_PANEL)
        FOR_TOKENS(TOKEN)
        TILE_ADVANCE(4, 64);
    } while ((k += 2) < t->n);
    FOR_SUMS(TILE_STORE)
}
TILE_KERNELS(tile_dpbf16)

void matmul_avx512bf16(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                       size_t out_stride, bool accumulate, void *scratch)
{
    tile_scratch *memory = scratch;
    tile_walk c = {.kernels = tile_dpbf16_kernels,
                   .x_bytes = 2,
                   .w_bytes = 2 * KERNEL_PANEL,
                   .portion = 128,
                   .x = x,
                   .token0 = token0,
                   .w = w,
                   .out = out,
                   .out_stride = out_stride,
                   .accumulate = accumulate,
                   .sums = &memory->sums};
    if (w->compute == SLANT_COMPUTE_BF16)
        run_tiles(&c, n_tokens);
    else
        matmul_avx512vnni(x, token0, n_tokens, w, out, out_stride, accumulate, scratch);
}
