/* Pieces that the AVX-512 kernels share. */
#ifndef SLANT_KERNELS_AVX512_H
#define SLANT_KERNELS_AVX512_H

#include "kernels/internal.h"

#include <immintrin.h>

#define LANES 16 /* floats in a register */

/* The first n of 16 lanes, n from 0. */
static inline __mmask16 first_lanes(int n)
{
    return n >= LANES ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1);
}

/* fp32 to bf16 in the upper half of each lane, to nearest even; NaN stays NaN. */
static inline __m512i round_bf16(__m512 v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000));
}

/* 16 bf16 values from 16 fp32 ones. */
static inline __m256i to_bf16(__m512 v)
{
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_bf16(v), 16));
}

/* Pairs (low, high) of bf16 in each lane. */
static inline __m512i pair_bf16(__m512 low, __m512 high)
{
    __m512i upper = _mm512_and_si512(round_bf16(high), _mm512_set1_epi32((int)0xFFFF0000u));
    return _mm512_or_si512(_mm512_srli_epi32(round_bf16(low), 16), upper);
}

/* eˣ: 2ⁿ · e^r with |r| ≤ ln 2 / 2, a polynomial of degree 6 for e^r. Relative error below 2⁻²²;
 * 0 below −104, infinity above 88.8, one result per input whatever the lane. */
static inline __m512 exp_avx512(__m512 x)
{
    /* Beyond these the result is 0 or infinity anyway, and r would no longer be small. NaN stays.
     */
    x = _mm512_max_ps(_mm512_set1_ps(-110.0f), _mm512_min_ps(_mm512_set1_ps(90.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p0f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e400p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 p = _mm512_set1_ps(0x1.6c16c2p-10f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.111112p-7f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555556p-5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555556p-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* One stage of a transform inside a register: lanes of `upper` are a − b, the others a + b, where
 * `partner` holds each lane's other one. */
static inline __m512 butterfly(__m512 v, __m512 partner, __mmask16 upper)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(v, partner), upper, partner, v);
}

/* rotate_block of four registers, in its order of strides: 32, 16 between registers, then 8 … 1. */
static inline void rotate_block_avx512(__m512 v[4])
{
    __m512 a = _mm512_add_ps(v[0], v[2]), b = _mm512_add_ps(v[1], v[3]);
    __m512 c = _mm512_sub_ps(v[0], v[2]), d = _mm512_sub_ps(v[1], v[3]);
    v[0] = _mm512_add_ps(a, b);
    v[1] = _mm512_sub_ps(a, b);
    v[2] = _mm512_add_ps(c, d);
    v[3] = _mm512_sub_ps(c, d);
    for (int i = 0; i < 4; i++) {
        v[i] = butterfly(v[i], _mm512_shuffle_f32x4(v[i], v[i], 0x4E), 0xFF00);
        v[i] = butterfly(v[i], _mm512_shuffle_f32x4(v[i], v[i], 0xB1), 0xF0F0);
        v[i] = butterfly(v[i], _mm512_permute_ps(v[i], 0x4E), 0xCCCC);
        v[i] = butterfly(v[i], _mm512_permute_ps(v[i], 0xB1), 0xAAAA);
    }
}

/* Transposes 16 registers of 16 dwords in place: row[i] lane j becomes row[j] lane i. */
static inline void transpose16(__m512i row[16])
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    /* b[4·q + c]: column c of each lane's four, for rows 4·q … 4·q + 3. */
    for (int c = 0; c < 4; c++) {
        __m512i low01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88);
        __m512i high01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xDD);
        __m512i low23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88);
        __m512i high23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xDD);
        row[c] = _mm512_shuffle_i32x4(low01, low23, 0x88);
        row[8 + c] = _mm512_shuffle_i32x4(low01, low23, 0xDD);
        row[4 + c] = _mm512_shuffle_i32x4(high01, high23, 0x88);
        row[12 + c] = _mm512_shuffle_i32x4(high01, high23, 0xDD);
    }
}

#endif
