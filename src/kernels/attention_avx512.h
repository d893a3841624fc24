/* The online softmax over a tile of scores (Milakov & Gimelshein 2018), one query a row: what the
 * AVX-512 attentions share. */
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

#endif
