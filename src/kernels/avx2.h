/* Pieces that the AVX2 kernels share. */
#ifndef SLANT_KERNELS_AVX2_H
#define SLANT_KERNELS_AVX2_H

#include "kernels/internal.h"

#include <immintrin.h>

#define LANES 8 /* floats in a register */

/* A mask of the first n of 8 lanes; n may be negative or more than 8. */
static inline __m256i first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first n of 8 floats and zeros for the rest, whose memory is not touched. */
static inline __m256 load_first(const float *p, int n)
{
    if (n >= LANES)
        return _mm256_loadu_ps(p);
    return n > 0 ? _mm256_maskload_ps(p, first_lanes(n)) : _mm256_setzero_ps();
}

static inline void store_first(float *p, int n, __m256 v)
{
    if (n >= LANES)
        _mm256_storeu_ps(p, v);
    else if (n > 0)
        _mm256_maskstore_ps(p, first_lanes(n), v);
}

/* Lanes whose bit of eight is not set. */
static inline __m256 kept_of(unsigned dropped)
{
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i gone = _mm256_and_si256(_mm256_set1_epi32((int)dropped), bits);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(gone, _mm256_setzero_si256()));
}

static inline __m256 abs_avx2(__m256 v)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

/* Over all lanes, in one fixed order. */
static inline float sum_lanes(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float max_lanes(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline uint32_t max_lanes_unsigned(__m256i v)
{
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_max_epu32(four, _mm_unpackhi_epi64(four, four));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32(two, 1)));
}

static inline int32_t sum_lanes_int(__m256i v)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* fp32 to bf16 in the upper half of each lane, to nearest even; NaN stays NaN. The lower half is
 * what is left of the sum. */
static inline __m256i round_bf16(__m256 v)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
    return _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(nan));
}

/* 16 bf16 values from 16 fp32 ones. */
static inline __m256i to_bf16(__m256 first, __m256 second)
{
    __m256i low = _mm256_srli_epi32(round_bf16(first), 16);
    __m256i high = _mm256_srli_epi32(round_bf16(second), 16);
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xD8);
}

/* Pairs (low, high) of bf16 in each lane. */
static inline __m256i pair_bf16(__m256 low, __m256 high)
{
    return _mm256_blend_epi16(_mm256_srli_epi32(round_bf16(low), 16), round_bf16(high), 0xAA);
}

/* 2ⁿ, for whole n from −126 to 127. */
static inline __m256 power_of_two(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* eˣ: 2ⁿ · e^r with |r| ≤ ln 2 / 2, a polynomial of degree 6 for e^r. Relative error below 2⁻²²;
 * 0 below −104, infinity above 88.8, one result per input whatever the lane. */
static inline __m256 exp_avx2(__m256 x)
{
    /* Beyond these the result is 0 or infinity anyway, and r would no longer be small. NaN stays.
     */
    x = _mm256_max_ps(_mm256_set1_ps(-110.0f), _mm256_min_ps(_mm256_set1_ps(90.0f), x));
    __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p0f)));
    __m256 n = _mm256_cvtepi32_ps(whole);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e400p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_set1_ps(0x1.6c16c2p-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.111112p-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555556p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555556p-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    /* In two steps, as n leaves the range of one exponent at both ends. */
    __m256i half = _mm256_srai_epi32(whole, 1);
    p = _mm256_mul_ps(p, power_of_two(half));
    return _mm256_mul_ps(p, power_of_two(_mm256_sub_epi32(whole, half)));
}

/* One stage of a transform inside a register, where `partner` holds each lane's other one: a + b
 * where signs are 1, a − b where they are −1. */
static inline __m256 butterfly(__m256 v, __m256 partner, __m256 signs)
{
    return _mm256_fmadd_ps(v, signs, partner);
}

/* rotate_block of eight registers, in its order of strides: 32, 16, 8 between registers, then 4, 2,
 * 1 inside them. */
static inline void rotate_block_avx2(__m256 v[8])
{
    const __m256 by4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    const __m256 by2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
    const __m256 by1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
    for (int stride = 4; stride > 0; stride /= 2)
        for (int i = 0; i < 8; i++)
            if (!(i & stride)) {
                __m256 a = v[i], b = v[i + stride];
                v[i] = _mm256_add_ps(a, b);
                v[i + stride] = _mm256_sub_ps(a, b);
            }
    for (int i = 0; i < 8; i++) {
        v[i] = butterfly(v[i], _mm256_permute2f128_ps(v[i], v[i], 0x01), by4);
        v[i] = butterfly(v[i], _mm256_permute_ps(v[i], 0x4E), by2);
        v[i] = butterfly(v[i], _mm256_permute_ps(v[i], 0xB1), by1);
    }
}

/* Transposes 8 registers of 8 dwords in place: row[i] lane j becomes row[j] lane i. */
static inline void transpose8(__m256i row[8])
{
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    /* b[4·h + c]: columns c and 4 + c, in its two halves, of rows 4·h … 4·h + 3. */
    for (int c = 0; c < 4; c++) {
        row[c] = _mm256_permute2x128_si256(b[c], b[4 + c], 0x20);
        row[4 + c] = _mm256_permute2x128_si256(b[c], b[4 + c], 0x31);
    }
}

#endif
