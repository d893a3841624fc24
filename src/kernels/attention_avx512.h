/* The online softmax over a tile of scores (Milakov & Gimelshein 2018): what the AVX-512 attentions
 * share. */
#ifndef SLANT_KERNELS_ATTENTION_AVX512_H
#define SLANT_KERNELS_ATTENTION_AVX512_H

#include "kernels/avx512.h"

#define TILE_VECTORS (ATTENTION_TILE / LANES)

/* What one query has seen so far. Sums stay in lanes until the end, so that their order is fixed.
 */
typedef struct query_state {
    float max;
    __m512 sums;
} query_state;

/* Up to 16 floats of a row of head_dim from dimension d on; zeros past its end. */
static inline __m512 load_dims(const float *row, int d, int head_dim)
{
    return _mm512_maskz_loadu_ps(first_lanes(head_dim - d < 0 ? 0 : head_dim - d), row + d);
}

/* First and last key that the query at `position` sees. */
static inline int first_visible(const attention_args *a, int position)
{
    return a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
}

/* Keys first … last of the tile that starts at key tile0, as lanes of its vector v. */
static inline __mmask16 visible_lanes(int first, int last, int tile0, int v)
{
    int key0 = tile0 + v * LANES;
    __mmask16 until = first_lanes(last - key0 < 0 ? 0 : last - key0 + 1);
    __mmask16 before = first_lanes(first - key0 < 0 ? 0 : first - key0);
    return (__mmask16)(until & ~before);
}

/* Turns a row of raw products into weights p = exp(scale · score − max), 0 where the key is not
 * visible, and gives the factor that what was summed before must be multiplied by. A tile without a
 * visible key changes nothing. */
static inline float softmax_tile(query_state *s, __m512 row[TILE_VECTORS], float scale, int first,
                                 int last, int tile0)
{
    __mmask16 visible[TILE_VECTORS];
    __m512 highest = _mm512_set1_ps(s->max), factor = _mm512_set1_ps(scale);
    for (int v = 0; v < TILE_VECTORS; v++) {
        visible[v] = visible_lanes(first, last, tile0, v);
        row[v] = _mm512_mul_ps(row[v], factor);
        highest = _mm512_mask_max_ps(highest, visible[v], highest, row[v]);
    }
    float max = _mm512_reduce_max_ps(highest);
    __m512 old = _mm512_set1_ps(s->max), new_max = _mm512_set1_ps(max);
    float rescale = _mm512_cvtss_f32(exp_avx512(_mm512_sub_ps(old, new_max)));
    __m512 sums = _mm512_mul_ps(s->sums, _mm512_set1_ps(rescale));
    for (int v = 0; v < TILE_VECTORS; v++) {
        row[v] = _mm512_maskz_mov_ps(visible[v], exp_avx512(_mm512_sub_ps(row[v], new_max)));
        sums = _mm512_add_ps(sums, row[v]);
    }
    s->max = max;
    s->sums = sums;
    return rescale;
}

/* Below: what they share that compute everything transposed, so that a vector holds sixteen
 * queries: maxima, sums and factors are vectors, and no step runs across lanes. */

#define LOG2_E 0x1.715476p0f

/* 2^x for x ≤ 0: 2^floor(x) times a polynomial for what is left, which misses by 3e-6 of the value
 * where bf16 misses by 4e-3 and a weight in 16 bits by 6e-5 of the largest. */
static inline __m512 power_of_two(__m512 x)
{
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_set1_ps(0x1.b7f73ap-7f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.abf864p-5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.ee2452p-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.62d6c6p-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, x);
}

/* Which of the queries from position `first` on see the key: those from its position on, within the
 * window. */
static inline __mmask16 seeing_lanes(int first, int window, int key)
{
    int from = key - first, to = window > 0 ? from + window : LANES;
    return (__mmask16)(first_lanes(to < 0 ? 0 : to) & ~first_lanes(from < 0 ? 0 : from));
}

/* Whether n queries from position `first` on see every key of the tile. */
static inline bool all_see(int first, int n, int window, int tile0)
{
    return tile0 + ATTENTION_TILE - 1 <= first && (window == 0 || tile0 > first + n - 1 - window);
}

/* O^T [dimension][query] over the sums of weights, back to rows of n queries from `first` on. */
static inline void store_queries(const attention_args *a, const float (*acc)[LANES], __m512 sums,
                                 int head, int first, int n)
{
    __m512 inverse = _mm512_div_ps(_mm512_set1_ps(1.0f), sums);
    float *out = a->out + (size_t)first * a->out_stride + (size_t)head * (size_t)a->head_dim;
    for (int d = 0; d < a->head_dim; d += LANES) {
        __m512i rows[LANES];
        for (int i = 0; i < LANES; i++)
            rows[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_load_ps(acc[d + i]), inverse));
        transpose16(rows);
        for (int i = 0; i < n; i++)
            _mm512_mask_storeu_ps(out + (size_t)i * a->out_stride + d, first_lanes(a->head_dim - d),
                                  _mm512_castsi512_ps(rows[i]));
    }
}

#endif
