/* What training does row by row, with AVX-512. */
#include "base/philox.h"
#include "kernels/avx512.h"
#include "kernels/gradients_internal.h"

#include <math.h>
#include <string.h>

static inline __m512 load_some(const float *x, size_t i, size_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes((int)(n - i < LANES ? n - i : LANES)), x + i);
}

static inline void store_some(float *x, size_t i, size_t n, __m512 v)
{
    _mm512_mask_storeu_ps(x + i, first_lanes((int)(n - i < LANES ? n - i : LANES)), v);
}

void narrow_avx512(const float *x, dtype type, void *y, size_t n)
{
    uint16_t *halves = y;
    if (type == DTYPE_F32) {
        memcpy(y, x, n * sizeof *x);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes((int)(n - i < LANES ? n - i : LANES));
        __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        __m256i narrow = type == DTYPE_BF16
                             ? to_bf16(v)
                             : _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(halves + i, lanes, narrow);
    }
}

void widen_avx512(const void *x, dtype type, float *y, size_t n)
{
    const uint16_t *halves = x;
    if (type == DTYPE_F32) {
        memcpy(y, x, n * sizeof *y);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes((int)(n - i < LANES ? n - i : LANES));
        __m256i narrow = _mm256_maskz_loadu_epi16(lanes, halves + i);
        __m512 v = type == DTYPE_BF16
                       ? _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16))
                       : _mm512_cvtph_ps(narrow);
        _mm512_mask_storeu_ps(y + i, lanes, v);
    }
}

void rmsnorm_backward_avx512(const float *x, const float *weight, float eps, const float *dy, int n,
                             float *dx)
{
    size_t size = (size_t)n;
    __m512 squares = _mm512_setzero_ps(), along = _mm512_setzero_ps();
    for (size_t i = 0; i < size; i += LANES) {
        __m512 v = load_some(x, i, size);
        __m512 d = _mm512_mul_ps(load_some(weight, i, size), load_some(dy, i, size));
        squares = _mm512_fmadd_ps(v, v, squares);
        along = _mm512_fmadd_ps(d, v, along);
    }
    float s = 1.0f / sqrtf(_mm512_reduce_add_ps(squares) / (float)n + eps);
    float back = _mm512_reduce_add_ps(along) * s * s * s / (float)n;
    __m512 forth = _mm512_set1_ps(s), minus = _mm512_set1_ps(back);
    for (size_t i = 0; i < size; i += LANES) {
        __m512 d = _mm512_mul_ps(load_some(weight, i, size), load_some(dy, i, size));
        __m512 sum = _mm512_fmadd_ps(forth, d, load_some(dx, i, size));
        store_some(dx, i, size, _mm512_fnmadd_ps(minus, load_some(x, i, size), sum));
    }
}

void swiglu_backward_avx512(const float *gate, const float *up, const float *d_act, int n,
                            float *d_gate, float *d_up)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    size_t size = (size_t)n;
    for (size_t i = 0; i < size; i += LANES) {
        __m512 g = load_some(gate, i, size), u = load_some(up, i, size);
        __m512 d = load_some(d_act, i, size);
        __m512 e = exp_avx512(_mm512_sub_ps(_mm512_setzero_ps(), g));
        __m512 sigma = _mm512_div_ps(one, _mm512_add_ps(one, e));
        __m512 slope = _mm512_fmadd_ps(g, _mm512_sub_ps(one, sigma), one);
        store_some(d_up, i, size, _mm512_mul_ps(d, _mm512_mul_ps(g, sigma)));
        store_some(d_gate, i, size,
                   _mm512_mul_ps(_mm512_mul_ps(d, u), _mm512_mul_ps(sigma, slope)));
    }
}

/* Lanes of positions i … i + 15 within [first, end). */
static inline __mmask16 between(int i, int first, int end)
{
    int from = first - i, to = end - i;
    __mmask16 below = to <= 0 ? 0 : first_lanes(to);
    return from <= 0 ? below : (__mmask16)(below & ~first_lanes(from));
}

void softmax_avx512(const float *s, float scale, int first, int end, int n, float *p)
{
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 most = lowest, sum = _mm512_setzero_ps(), by = _mm512_set1_ps(scale);
    for (int i = first / LANES * LANES; i < end; i += LANES)
        most = _mm512_max_ps(most, _mm512_mask_loadu_ps(lowest, between(i, first, end), s + i));
    __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (int i = 0; i < n; i += LANES) {
        __mmask16 lanes = between(i, first, end), here = first_lanes(n - i);
        __m512 v = _mm512_sub_ps(_mm512_mask_loadu_ps(max, lanes, s + i), max);
        v = _mm512_maskz_mov_ps(lanes, exp_avx512(_mm512_mul_ps(v, by)));
        sum = _mm512_add_ps(sum, v);
        _mm512_mask_storeu_ps(p + i, here, v);
    }
    __m512 inverse = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sum));
    for (int i = first / LANES * LANES; i < end; i += LANES) {
        __mmask16 lanes = between(i, first, end);
        __m512 v = _mm512_maskz_loadu_ps(lanes, p + i);
        _mm512_mask_storeu_ps(p + i, lanes, _mm512_mul_ps(v, inverse));
    }
}

void softmax_backward_avx512(const float *p, const float *dp, float scale, int first, int end,
                             int n, float *ds)
{
    __m512 sum = _mm512_setzero_ps(), by = _mm512_set1_ps(scale);
    for (int i = first / LANES * LANES; i < end; i += LANES) {
        __mmask16 lanes = between(i, first, end);
        sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, p + i),
                              _mm512_maskz_loadu_ps(lanes, dp + i), sum);
    }
    __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
    for (int i = 0; i < n; i += LANES) {
        __mmask16 lanes = between(i, first, end), here = first_lanes(n - i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, dp + i), mean);
        __m512 v = _mm512_mul_ps(_mm512_mul_ps(by, _mm512_maskz_loadu_ps(lanes, p + i)), d);
        _mm512_mask_storeu_ps(ds + i, here, _mm512_maskz_mov_ps(lanes, v));
    }
}

/* Rows r … r + 15 of x, columns c … c + 15, by columns; zeros where there are none. */
static inline void turn_tile(const float *x, size_t x_stride, int n_rows, int n_columns, int r,
                             int c, __m512i tile[16])
{
    __mmask16 lanes = first_lanes(n_columns - c);
    for (int i = 0; i < 16; i++)
        tile[i] = r + i < n_rows
                      ? _mm512_maskz_loadu_epi32(lanes, x + (size_t)(r + i) * x_stride + (size_t)c)
                      : _mm512_setzero_si512();
    transpose16(tile);
}

void transpose_avx512(const float *x, size_t x_stride, int n_rows, int n_columns, acts *out,
                      int out_row0)
{
    int padded = kernel_padded(n_rows);
    __m512i tile[16];
    for (int c = 0; c < n_columns; c += 16)
        for (int r = 0; r < padded; r += 16) {
            turn_tile(x, x_stride, n_rows, n_columns, r, c, tile);
            for (int i = 0; i < 16 && c + i < n_columns; i++) {
                size_t at = (size_t)(out_row0 + c + i) * out->stride + (size_t)r;
                if (out->compute == SLANT_COMPUTE_BF16)
                    _mm256_storeu_si256((__m256i *)((uint16_t *)out->data + at),
                                        to_bf16(_mm512_castsi512_ps(tile[i])));
                else
                    _mm512_storeu_si512((float *)out->data + at, tile[i]);
            }
        }
}

/* 32-bit products of all lanes: upper and lower halves. */
static inline void multiply_wide(__m512i a, __m512i by, __m512i *upper, __m512i *lower)
{
    __m512i even = _mm512_mul_epu32(a, by), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), by);
    *upper = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xAAAA, odd);
    *lower = _mm512_mask_mov_epi32(even, 0xAAAA, _mm512_slli_epi64(odd, 32));
}

/* Which of 128 elements, groups of eight from counter `group` on, are dropped: bit i of dropped[j]
 * is element 32·j + i. Lane 4·l + j of the counters is group 4·j + l, so that the four words of a
 * group come to lie side by side in order. */
static inline void dropped_of_128(const dropout_row *row, uint32_t group, __mmask32 dropped[4])
{
    const __m512i offsets = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i m0 = _mm512_set1_epi32((int)PHILOX_MULTIPLIER_0);
    const __m512i m1 = _mm512_set1_epi32((int)PHILOX_MULTIPLIER_1);
    __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32((int)group), offsets);
    __m512i c1 = _mm512_set1_epi32((int)row->counter[1]);
    __m512i c2 = _mm512_set1_epi32((int)row->counter[2]);
    __m512i c3 = _mm512_set1_epi32((int)row->counter[3]);
    uint32_t k0 = row->key[0], k1 = row->key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        __m512i a_up, a_low, b_up, b_low;
        multiply_wide(c0, m0, &a_up, &a_low);
        multiply_wide(c2, m1, &b_up, &b_low);
        c0 = _mm512_ternarylogic_epi32(b_up, c1, _mm512_set1_epi32((int)k0), 0x96);
        c1 = b_low;
        c2 = _mm512_ternarylogic_epi32(a_up, c3, _mm512_set1_epi32((int)k1), 0x96);
        c3 = a_low;
        k0 += PHILOX_WEYL_0;
        k1 += PHILOX_WEYL_1;
    }
    __m512i low01 = _mm512_unpacklo_epi32(c0, c1), high01 = _mm512_unpackhi_epi32(c0, c1);
    __m512i low23 = _mm512_unpacklo_epi32(c2, c3), high23 = _mm512_unpackhi_epi32(c2, c3);
    const __m512i words[4] = {
        _mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
        _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)};
    __m512i threshold = _mm512_set1_epi16((short)row->threshold);
    for (int j = 0; j < 4; j++)
        dropped[j] = _mm512_cmplt_epu16_mask(words[j], threshold);
}

void dropout_avx512(const dropout_row *row, int n, uint16_t *dropped)
{
    __mmask32 of_128[4];
    for (int i = 0; i < n; i += 128) {
        dropped_of_128(row, (uint32_t)i / 8, of_128);
        for (int j = 0; j < 8 && i + 16 * j < n; j++)
            dropped[i / 16 + j] = (uint16_t)(of_128[j / 2] >> (j % 2 * 16));
    }
}

void copy_kept_avx512(const uint16_t *dropped, const void *x, slant_compute compute, int n, void *y)
{
    for (int i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes(n - i), kept = (__mmask16)(~dropped[i / LANES] & lanes);
        if (compute == SLANT_COMPUTE_BF16)
            _mm256_mask_storeu_epi16((uint16_t *)y + i, lanes,
                                     _mm256_maskz_loadu_epi16(kept, (const uint16_t *)x + i));
        else
            _mm512_mask_storeu_ps((float *)y + i, lanes,
                                  _mm512_maskz_loadu_ps(kept, (const float *)x + i));
    }
}

void add_kept_avx512(const uint16_t *dropped, const float *x, int n, float *y)
{
    for (int i = 0; i < n; i += LANES) {
        __mmask16 kept = (__mmask16)(~dropped[i / LANES] & first_lanes(n - i));
        __m512 sum =
            _mm512_add_ps(_mm512_maskz_loadu_ps(kept, y + i), _mm512_maskz_loadu_ps(kept, x + i));
        _mm512_mask_storeu_ps(y + i, kept, sum);
    }
}

double sum_of_squares_avx512(const float *x, size_t n)
{
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (size_t i = 0; i < n; i += LANES) {
        __m512 v = load_some(x, i, n);
        __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
        __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        low = _mm512_fmadd_pd(a, a, low);
        high = _mm512_fmadd_pd(b, b, high);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

void adamw_avx512(const adamw_step *step, const float *gradient, float *value, float *m, float *v,
                  size_t n)
{
    __m512 beta1 = _mm512_set1_ps(step->beta1), rest1 = _mm512_set1_ps(1.0f - step->beta1);
    __m512 beta2 = _mm512_set1_ps(step->beta2), rest2 = _mm512_set1_ps(1.0f - step->beta2);
    __m512 size = _mm512_set1_ps(step->lr / step->correction1);
    __m512 root = _mm512_set1_ps(1.0f / step->correction2), eps = _mm512_set1_ps(step->eps);
    __m512 shrink = _mm512_set1_ps(1.0f - step->lr * step->weight_decay);
    __m512 scale = _mm512_set1_ps(step->gradient_scale);
    for (size_t i = 0; i < n; i += LANES) {
        __m512 g = _mm512_mul_ps(load_some(gradient, i, n), scale);
        __m512 first = _mm512_fmadd_ps(beta1, load_some(m, i, n), _mm512_mul_ps(rest1, g));
        __m512 second =
            _mm512_fmadd_ps(beta2, load_some(v, i, n), _mm512_mul_ps(rest2, _mm512_mul_ps(g, g)));
        __m512 under = _mm512_fmadd_ps(_mm512_sqrt_ps(second), root, eps);
        __m512 moved = _mm512_div_ps(_mm512_mul_ps(size, first), under);
        store_some(m, i, n, first);
        store_some(v, i, n, second);
        store_some(value, i, n, _mm512_fmsub_ps(load_some(value, i, n), shrink, moved));
    }
}

/* --- products of an adapter's few rows ----------------------------------------------------------
 */

#define OUTER_LEFT 8 /* values of a row of `left` at a time */
#define OUTER_ROWS_AT_A_TIME 128

/* Where the columns of a tile end, and which of a row are kept. */
static inline __mmask16 kept_lanes(const uint16_t *dropped, __mmask16 lanes)
{
    return dropped == NULL ? lanes : (__mmask16)(lanes & ~*dropped);
}

/* What is dropped of a row from a column on. */
static inline const uint16_t *dropped_at(const dropout_bits *dropped, int row, int column)
{
    return dropped == NULL ? NULL : dropped->rows + (size_t)row * dropped->stride + column / LANES;
}

/* gcc keeps arrays of registers in memory, so the sums have names. */
#define OUTER_ROWS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define OUTER_SUMS(i)                                                                              \
    __m512 a##i = _mm512_maskz_loadu_ps(first, sums + at[i] * sums_stride);                        \
    __m512 b##i = _mm512_maskz_loadu_ps(second, sums + at[i] * sums_stride + LANES);
#define OUTER_MULTIPLY(i)                                                                          \
    {                                                                                              \
        __m512 l = _mm512_set1_ps(left[at[i]]);                                                    \
        a##i = _mm512_fmadd_ps(l, x, a##i);                                                        \
        b##i = _mm512_fmadd_ps(l, y, b##i);                                                        \
    }
#define OUTER_STORE(i)                                                                             \
    if (i < n_left) {                                                                              \
        _mm512_mask_storeu_ps(sums + at[i] * sums_stride, first, a##i);                            \
        _mm512_mask_storeu_ps(sums + at[i] * sums_stride + LANES, second, b##i);                   \
    }

/* Up to eight values of left against up to 32 columns. */
static void outer_tile(const float *left, size_t left_stride, int n_left, const float *rows,
                       size_t stride, const uint16_t *dropped, size_t dropped_stride, int n_rows,
                       int n_columns, float *sums, size_t sums_stride)
{
    const __mmask16 first = first_lanes(n_columns);
    const __mmask16 second = first_lanes(n_columns > LANES ? n_columns - LANES : 0);
    size_t at[OUTER_LEFT];
    for (int i = 0; i < OUTER_LEFT; i++) /* what is too many is computed twice, and stored once */
        at[i] = (size_t)(i < n_left ? i : n_left - 1);
    OUTER_ROWS(OUTER_SUMS)
    for (int t = 0; t < n_rows; t++, left += left_stride, rows += stride) {
        __m512 x = _mm512_maskz_loadu_ps(kept_lanes(dropped, first), rows);
        __m512 y = _mm512_setzero_ps();
        if (second)
            y = _mm512_maskz_loadu_ps(kept_lanes(dropped == NULL ? NULL : dropped + 1, second),
                                      rows + LANES);
        OUTER_ROWS(OUTER_MULTIPLY)
        if (dropped != NULL)
            dropped += dropped_stride;
    }
    OUTER_ROWS(OUTER_STORE)
}

/* Rows in portions that stay in cache while all of left meets them. */
void outer_avx512(const float *left, size_t left_stride, int n_left, const float *rows,
                  size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                  int n_columns, float *sums, size_t sums_stride)
{
    for (int t = 0; t < n_rows; t += OUTER_ROWS_AT_A_TIME)
        for (int c = 0; c < n_columns; c += 2 * LANES)
            for (int r = 0; r < n_left; r += OUTER_LEFT) {
                outer_tile(left + (size_t)t * left_stride + r, left_stride,
                           n_left - r < OUTER_LEFT ? n_left - r : OUTER_LEFT,
                           rows + (size_t)t * stride + first_column + c, stride,
                           dropped_at(dropped, t, first_column + c),
                           dropped == NULL ? 0 : dropped->stride,
                           n_rows - t < OUTER_ROWS_AT_A_TIME ? n_rows - t : OUTER_ROWS_AT_A_TIME,
                           n_columns - c < 2 * LANES ? n_columns - c : 2 * LANES,
                           sums + (size_t)r * sums_stride + c, sums_stride);
            }
}

#define SPREAD_SUMS(i) __m512 a##i = _mm512_setzero_ps(), b##i = a##i;
#define SPREAD_MULTIPLY(i)                                                                         \
    {                                                                                              \
        __m512 l = _mm512_set1_ps(left[at[i] * left_stride + (size_t)r]);                          \
        a##i = _mm512_fmadd_ps(l, x, a##i);                                                        \
        b##i = _mm512_fmadd_ps(l, y, b##i);                                                        \
    }
#define SPREAD_STORE(i)                                                                            \
    if (i < n_rows) {                                                                              \
        const uint16_t *bits = dropped == NULL ? NULL : dropped + (i) * dropped_stride;            \
        float *row = out + (i) * out_stride;                                                       \
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(first, row), a##i);                       \
        _mm512_mask_storeu_ps(row, kept_lanes(bits, first), sum);                                  \
        if (second) {                                                                              \
            sum = _mm512_add_ps(_mm512_maskz_loadu_ps(second, row + LANES), b##i);                 \
            _mm512_mask_storeu_ps(row + LANES, kept_lanes(bits == NULL ? NULL : bits + 1, second), \
                                  sum);                                                            \
        }                                                                                          \
    }

/* Up to eight rows, up to 32 columns. */
static void spread_tile(const float *left, size_t left_stride, int n_left, const float *rows,
                        size_t stride, const uint16_t *dropped, size_t dropped_stride, int n_rows,
                        int n_columns, float *out, size_t out_stride)
{
    const __mmask16 first = first_lanes(n_columns);
    const __mmask16 second = first_lanes(n_columns > LANES ? n_columns - LANES : 0);
    size_t at[OUTER_LEFT];
    for (int i = 0; i < OUTER_LEFT; i++)
        at[i] = (size_t)(i < n_rows ? i : n_rows - 1);
    OUTER_ROWS(SPREAD_SUMS)
    for (int r = 0; r < n_left; r++, rows += stride) {
        __m512 x = _mm512_maskz_loadu_ps(first, rows);
        __m512 y = second ? _mm512_maskz_loadu_ps(second, rows + LANES) : _mm512_setzero_ps();
        OUTER_ROWS(SPREAD_MULTIPLY)
    }
    OUTER_ROWS(SPREAD_STORE)
}

void spread_avx512(const float *left, size_t left_stride, int n_left, const float *rows,
                   size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                   int n_columns, float *out, size_t out_stride)
{
    for (int c = 0; c < n_columns; c += 2 * LANES) {
        int n = n_columns - c < 2 * LANES ? n_columns - c : 2 * LANES;
        for (int t = 0; t < n_rows; t += OUTER_LEFT)
            spread_tile(left + (size_t)t * left_stride, left_stride, n_left,
                        rows + first_column + c, stride, dropped_at(dropped, t, first_column + c),
                        dropped == NULL ? 0 : dropped->stride,
                        n_rows - t < OUTER_LEFT ? n_rows - t : OUTER_LEFT, n,
                        out + (size_t)t * out_stride + c, out_stride);
    }
}
