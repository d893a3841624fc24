/* Products with plain AVX2: fp32, bf16 widened to fp32, INT16 by vpmaddwd, and INT8 as INT16 (its
 * panels hold words). vpmaddubsw, which multiplies bytes, needs the sign of one side moved to the
 * other and its 16-bit sums widened: as many instructions for as many products, of which more must
 * wait for the multipliers. */
#include "kernels/tables.h"
#include "kernels/tile_avx2.h"

#define LOAD(p) _mm256_load_si256((const __m256i *)(p))

TILE_FUNCTION tile_f32(const tile *t, int tokens)
{
    tile_rows_f32(t, tokens, KERNEL_PANEL * sizeof(float));
}
TILE_KERNELS(tile_f32)

/* The even one of each pair of bf16 values as fp32, by a byte shuffle, since a shift would compete
 * with the multiplications for their ports; and the odd one. */
static inline __m256 even_bf16(__m256i pairs)
{
    const __m256i upwards = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, -1, 0, 1, -1, -1, 4, 5, -1, -1, 8, 9, -1, -1, 12, 13));
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(pairs, upwards));
}

static inline __m256 odd_bf16(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xFFFF0000u)));
}

/* The portion's even inputs, then its odd ones: either loop has just enough registers. */
TILE_FUNCTION tile_bf16(const tile *t, int tokens)
{
    TILE_SUMS(__m256, _mm256_setzero_ps());
    const char *x = t->x, *panel = t->w;
    if (t->accumulate) {
        FOR_SUMS(TILE_FETCH)
    }
    for (int k = 0; k < t->n; k += 2, x += 8, panel += 64) {
        __m256 w0 = even_bf16(LOAD(panel)), w1 = even_bf16(LOAD(panel + 32));
        FOR_TOKENS(TILE_MULTIPLY_F32)
    }
    x = t->x + 4, panel = t->w;
    for (int k = 0; k < t->n; k += 2, x += 8, panel += 64) {
        __m256 w0 = odd_bf16(LOAD(panel)), w1 = odd_bf16(LOAD(panel + 32));
        FOR_TOKENS(TILE_MULTIPLY_F32)
    }
    FOR_SUMS(TILE_STORE)
}
TILE_KERNELS(tile_bf16)

static void widen_bf16(const void *x, int n, void *out)
{
    const uint16_t *from = x;
    float *to = out;
    for (int k = 0; k < n; k += LANES) {
        __m256i dwords = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(from + k)));
        _mm256_store_ps(to + k, _mm256_castsi256_ps(_mm256_slli_epi32(dwords, 16)));
    }
}

#define MULTIPLY_INT16(i)                                                                          \
    if (i < tokens) {                                                                              \
        __m256i pair = TILE_X(i);                                                                  \
        s##i##0 += (int_lanes)_mm256_madd_epi16(pair, w0);                                         \
        s##i##1 += (int_lanes)_mm256_madd_epi16(pair, w1);                                         \
    }

TILE_FUNCTION tile_int16(const tile *t, int tokens)
{
    TILE_SUMS(int_lanes, {0});
    const char *x = t->x, *panel = t->w;
    for (int k = 0; k < t->n; k += 2, x += 4, panel += 64) {
        __m256i w0 = LOAD(panel), w1 = LOAD(panel + 32);
        FOR_TOKENS(MULTIPLY_INT16)
    }
    TILE_SCALE_SUMS;
}
TILE_KERNELS(tile_int16)

static void widen_int8(const void *x, int n, void *out)
{
    const int8_t *from = x;
    int16_t *to = out;
    for (int k = 0; k < n; k += 2 * LANES)
        _mm256_store_si256((__m256i *)(to + k),
                           _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(from + k))));
}

void matmul_avx2(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                 size_t out_stride, bool accumulate, void *scratch)
{
    static const tile_product products[] = {
        [SLANT_COMPUTE_F32] = {tile_f32_kernels, 4, 4, NULL, 0},
        [SLANT_COMPUTE_BF16] = {tile_bf16_kernels, 2, 2, widen_bf16, 4},
        [SLANT_COMPUTE_INT8] = {tile_int16_kernels, 1, 2, widen_int8, 2},
        [SLANT_COMPUTE_INT16] = {tile_int16_kernels, 2, 2, NULL, 0},
    };
    _Static_assert(STRIP_TOKENS * STRIP_INPUTS * 4 <= KERNEL_MATMUL_SCRATCH, "a strip in fp32");
    run_tiles(&products[w->compute], x, token0, n_tokens, w, out, out_stride, accumulate, scratch);
}
