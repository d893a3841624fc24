/* Products with plain AVX-512: fp32, bf16 widened to fp32, and int8 as 16-bit pairs (vpmaddwd; its
 * panels hold int16). */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

TILE_FUNCTION tile_f32(const tile *t, int tokens, int panels)
{
    __m512 sum[TILE_TOKENS][TILE_PANELS], w[TILE_PANELS];
    tile_load(t, tokens, panels, sum);
    const char *x = t->x, *panel = t->w;
    for (int k = 0; k < t->n; k++, x += sizeof(float), panel += 64) {
        FOR_PANELS w[j] = _mm512_load_ps(panel + (size_t)j * t->w_stride_bytes);
        FOR_TOKENS
        {
            __m512 value = _mm512_set1_ps(*(const float *)(x + (size_t)i * t->x_stride_bytes));
            FOR_PANELS sum[i][j] = _mm512_fmadd_ps(value, w[j], sum[i][j]);
        }
    }
    tile_store(t, tokens, panels, sum);
}
TILE_KERNELS(tile_f32)

static inline __m512 low_bf16(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

static inline __m512 high_bf16(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000u)));
}

/* Panels two by two: a pair's halves take two registers. */
TILE_FUNCTION tile_bf16(const tile *t, int tokens, int panels)
{
    __m512 sum[TILE_TOKENS][TILE_PANELS];
    tile_load(t, tokens, panels, sum);
    const char *x = t->x, *panel = t->w;
    for (int k = 0; k < t->n; k += 2, x += 4, panel += 64)
        FOR_PANELS
        {
            __m512i w = _mm512_load_si512(panel + (size_t)j * t->w_stride_bytes);
            __m512 low = low_bf16(w), high = high_bf16(w);
            FOR_TOKENS
            {
                __m512i pair =
                    _mm512_set1_epi32(*(const int32_t *)(x + (size_t)i * t->x_stride_bytes));
                sum[i][j] = _mm512_fmadd_ps(low_bf16(pair), low, sum[i][j]);
                sum[i][j] = _mm512_fmadd_ps(high_bf16(pair), high, sum[i][j]);
            }
        }
    tile_store(t, tokens, panels, sum);
}
TILE_KERNELS(tile_bf16)

/* x's bytes are widened once for all panels of the tile. */
TILE_FUNCTION tile_int8(const tile *t, int tokens, int panels)
{
    alignas(64) int16_t x[TILE_TOKENS][KERNEL_GROUP_MAX];
    __m512i sum[TILE_TOKENS][TILE_PANELS], w[TILE_PANELS];
    FOR_TOKENS for (int k = 0; k < t->n; k += 32)
    {
        const char *bytes = t->x + (size_t)i * t->x_stride_bytes + k;
        _mm512_store_si512(x[i] + k,
                           _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)bytes)));
    }
    FOR_TOKENS FOR_PANELS sum[i][j] = _mm512_setzero_si512();
    const char *panel = t->w;
    for (int k = 0; k < t->n; k += 2, panel += 64) {
        FOR_PANELS w[j] = _mm512_load_si512(panel + (size_t)j * t->w_stride_bytes);
        FOR_TOKENS
        {
            __m512i pair = _mm512_set1_epi32(*(const int32_t *)(x[i] + k));
            FOR_PANELS sum[i][j] = _mm512_add_epi32(sum[i][j], _mm512_madd_epi16(pair, w[j]));
        }
    }
    tile_scale(t, tokens, panels, sum);
}
TILE_KERNELS(tile_int8)

void matmul_float_avx512(const acts *x, int token0, int n_tokens, const kernel_panels *w,
                         float *out, size_t out_stride, bool accumulate)
{
    bool is_f32 = w->compute == SLANT_COMPUTE_F32;
    run_tiles(is_f32 ? tile_f32_kernels : tile_bf16_kernels, is_f32 ? 4 : 2,
              is_f32 ? 4 * KERNEL_PANEL : 2 * KERNEL_PANEL, x, token0, n_tokens, w, out, out_stride,
              accumulate);
}

void matmul_avx512(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                   size_t out_stride, bool accumulate, void *scratch)
{
    (void)scratch;
    if (w->compute == SLANT_COMPUTE_INT8)
        run_tiles(tile_int8_kernels, 1, 2 * KERNEL_PANEL, x, token0, n_tokens, w, out, out_stride,
                  accumulate);
    else
        matmul_float_avx512(x, token0, n_tokens, w, out, out_stride, accumulate);
}
