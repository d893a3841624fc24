/* What training does row by row, with AVX2. */
#include "base/philox.h"
#include "kernels/avx2.h"
#include "kernels/gradients_internal.h"

#include <math.h>
#include <string.h>

static inline int left_of(size_t i, size_t n)
{
    return n - i < LANES ? (int)(n - i) : LANES;
}

static inline __m256 load_some(const float *x, size_t i, size_t n)
{
    return load_first(x + i, left_of(i, n));
}

static inline void store_some(float *x, size_t i, size_t n, __m256 v)
{
    store_first(x + i, left_of(i, n), v);
}

/* The first n of 8 words and zeros for the rest. */
static inline __m128i load_words(const uint16_t *p, int n)
{
    __m128i words = _mm_setzero_si128();
    if (n >= LANES)
        return _mm_loadu_si128((const __m128i *)p);
    memcpy(&words, p, (size_t)n * sizeof *p);
    return words;
}

static inline void store_words(uint16_t *p, int n, __m128i words)
{
    if (n >= LANES)
        _mm_storeu_si128((__m128i *)p, words);
    else
        memcpy(p, &words, (size_t)n * sizeof *p);
}

static inline __m128i bf16_words(__m256 v)
{
    return _mm256_castsi256_si128(to_bf16(v, _mm256_setzero_ps()));
}

void narrow_avx2(const float *x, dtype type, void *y, size_t n)
{
    uint16_t *halves = y;
    if (type == DTYPE_F32) {
        memcpy(y, x, n * sizeof *x);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        __m256 v = load_some(x, i, n);
        store_words(halves + i, left_of(i, n),
                    type == DTYPE_BF16
                        ? bf16_words(v)
                        : _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

static inline __m256 bf16_values(__m128i words)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

void widen_avx2(const void *x, dtype type, float *y, size_t n)
{
    const uint16_t *halves = x;
    if (type == DTYPE_F32) {
        memcpy(y, x, n * sizeof *y);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        __m128i words = load_words(halves + i, left_of(i, n));
        store_some(y, i, n, type == DTYPE_BF16 ? bf16_values(words) : _mm256_cvtph_ps(words));
    }
}

void rmsnorm_backward_avx2(const float *x, const float *weight, float eps, const float *dy, int n,
                           float *dx)
{
    size_t size = (size_t)n;
    __m256 squares = _mm256_setzero_ps(), along = _mm256_setzero_ps();
    for (size_t i = 0; i < size; i += LANES) {
        __m256 v = load_some(x, i, size);
        __m256 d = _mm256_mul_ps(load_some(weight, i, size), load_some(dy, i, size));
        squares = _mm256_fmadd_ps(v, v, squares);
        along = _mm256_fmadd_ps(d, v, along);
    }
    float s = 1.0f / sqrtf(sum_lanes(squares) / (float)n + eps);
    float back = sum_lanes(along) * s * s * s / (float)n;
    __m256 forth = _mm256_set1_ps(s), minus = _mm256_set1_ps(back);
    for (size_t i = 0; i < size; i += LANES) {
        __m256 d = _mm256_mul_ps(load_some(weight, i, size), load_some(dy, i, size));
        __m256 sum = _mm256_fmadd_ps(forth, d, load_some(dx, i, size));
        store_some(dx, i, size, _mm256_fnmadd_ps(minus, load_some(x, i, size), sum));
    }
}

void swiglu_backward_avx2(const float *gate, const float *up, const float *d_act, int n,
                          float *d_gate, float *d_up)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    size_t size = (size_t)n;
    for (size_t i = 0; i < size; i += LANES) {
        __m256 g = load_some(gate, i, size), u = load_some(up, i, size);
        __m256 d = load_some(d_act, i, size);
        __m256 e = exp_avx2(_mm256_sub_ps(_mm256_setzero_ps(), g));
        __m256 sigma = _mm256_div_ps(one, _mm256_add_ps(one, e));
        __m256 slope = _mm256_fmadd_ps(g, _mm256_sub_ps(one, sigma), one);
        store_some(d_up, i, size, _mm256_mul_ps(d, _mm256_mul_ps(g, sigma)));
        store_some(d_gate, i, size,
                   _mm256_mul_ps(_mm256_mul_ps(d, u), _mm256_mul_ps(sigma, slope)));
    }
}

/* Lanes of positions i … i + 7 within [first, end). */
static inline __m256 between(int i, int first, int end)
{
    return _mm256_castsi256_ps(_mm256_andnot_si256(first_lanes(first - i), first_lanes(end - i)));
}

/* Those lanes of x's values from i on; memory beyond n is not touched. */
static inline __m256 load_between(const float *x, int i, int first, int end, int n)
{
    return _mm256_and_ps(load_first(x + i, n - i), between(i, first, end));
}

void softmax_avx2(const float *s, float scale, int first, int end, int n, float *p)
{
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 most = lowest, sum = _mm256_setzero_ps(), by = _mm256_set1_ps(scale);
    for (int i = first / LANES * LANES; i < end; i += LANES)
        most = _mm256_max_ps(most, _mm256_blendv_ps(lowest, load_between(s, i, first, end, n),
                                                    between(i, first, end)));
    __m256 max = _mm256_set1_ps(max_lanes(most));
    for (int i = 0; i < n; i += LANES) {
        __m256 lanes = between(i, first, end);
        __m256 v = _mm256_and_ps(_mm256_sub_ps(load_first(s + i, n - i), max), lanes);
        v = _mm256_and_ps(exp_avx2(_mm256_mul_ps(v, by)), lanes);
        sum = _mm256_add_ps(sum, v);
        store_first(p + i, n - i, v);
    }
    __m256 inverse = _mm256_set1_ps(1.0f / sum_lanes(sum));
    for (int i = first / LANES * LANES; i < end; i += LANES)
        store_first(p + i, n - i, _mm256_mul_ps(load_first(p + i, n - i), inverse));
}

void softmax_backward_avx2(const float *p, const float *dp, float scale, int first, int end, int n,
                           float *ds)
{
    __m256 sum = _mm256_setzero_ps(), by = _mm256_set1_ps(scale);
    for (int i = first / LANES * LANES; i < end; i += LANES)
        sum = _mm256_fmadd_ps(load_between(p, i, first, end, n), load_between(dp, i, first, end, n),
                              sum);
    __m256 mean = _mm256_set1_ps(sum_lanes(sum));
    for (int i = 0; i < n; i += LANES) {
        __m256 d = _mm256_sub_ps(load_first(dp + i, n - i), mean);
        __m256 v = _mm256_mul_ps(_mm256_mul_ps(by, load_first(p + i, n - i)), d);
        store_first(ds + i, n - i, _mm256_and_ps(v, between(i, first, end)));
    }
}

/* Rows r … r + 7 of x, columns c … c + 7, by columns; zeros where there are none. */
static inline void turn_tile(const float *x, size_t x_stride, int n_rows, int n_columns, int r,
                             int c, __m256i tile[LANES])
{
    for (int i = 0; i < LANES; i++)
        tile[i] =
            r + i < n_rows
                ? _mm256_castps_si256(load_first(x + (size_t)(r + i) * x_stride + c, n_columns - c))
                : _mm256_setzero_si256();
    transpose8(tile);
}

void transpose_avx2(const float *x, size_t x_stride, int n_rows, int n_columns, acts *out,
                    int out_row0)
{
    int padded = kernel_padded(n_rows);
    __m256i tile[LANES];
    for (int c = 0; c < n_columns; c += LANES)
        for (int r = 0; r < padded; r += LANES) {
            turn_tile(x, x_stride, n_rows, n_columns, r, c, tile);
            for (int i = 0; i < LANES && c + i < n_columns; i++) {
                size_t at = (size_t)(out_row0 + c + i) * out->stride + (size_t)r;
                if (out->compute == SLANT_COMPUTE_BF16)
                    _mm_storeu_si128((__m128i *)((uint16_t *)out->data + at),
                                     bf16_words(_mm256_castsi256_ps(tile[i])));
                else
                    _mm256_storeu_si256((__m256i *)((float *)out->data + at), tile[i]);
            }
        }
}

/* 32-bit products of all lanes: upper and lower halves. */
static inline void multiply_wide(__m256i a, __m256i by, __m256i *upper, __m256i *lower)
{
    __m256i even = _mm256_mul_epu32(a, by), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), by);
    *upper = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    *lower = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

/* a < b of unsigned words; flipped_b: b ^ 0x8000. */
static inline __m256i words_below(__m256i a, __m256i flipped_b)
{
    return _mm256_cmpgt_epi16(flipped_b, _mm256_xor_si256(a, _mm256_set1_epi16((short)0x8000)));
}

/* Which of 64 elements, groups of eight from counter `group` on, are dropped: bit i of dropped[j]
 * is element 32 · j + i. The counters' lanes are ordered so that the four words of a group come to
 * lie side by side, and packed groups in order. */
static inline void dropped_of_64(const dropout_row *row, uint32_t group, uint32_t dropped[2])
{
    const __m256i offsets = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
    const __m256i m0 = _mm256_set1_epi32((int)PHILOX_MULTIPLIER_0);
    const __m256i m1 = _mm256_set1_epi32((int)PHILOX_MULTIPLIER_1);
    __m256i c0 = _mm256_add_epi32(_mm256_set1_epi32((int)group), offsets);
    __m256i c1 = _mm256_set1_epi32((int)row->counter[1]);
    __m256i c2 = _mm256_set1_epi32((int)row->counter[2]);
    __m256i c3 = _mm256_set1_epi32((int)row->counter[3]);
    uint32_t k0 = row->key[0], k1 = row->key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        __m256i a_up, a_low, b_up, b_low;
        multiply_wide(c0, m0, &a_up, &a_low);
        multiply_wide(c2, m1, &b_up, &b_low);
        c0 = _mm256_xor_si256(_mm256_xor_si256(b_up, c1), _mm256_set1_epi32((int)k0));
        c1 = b_low;
        c2 = _mm256_xor_si256(_mm256_xor_si256(a_up, c3), _mm256_set1_epi32((int)k1));
        c3 = a_low;
        k0 += PHILOX_WEYL_0;
        k1 += PHILOX_WEYL_1;
    }
    __m256i low01 = _mm256_unpacklo_epi32(c0, c1), high01 = _mm256_unpackhi_epi32(c0, c1);
    __m256i low23 = _mm256_unpacklo_epi32(c2, c3), high23 = _mm256_unpackhi_epi32(c2, c3);
    __m256i threshold = _mm256_set1_epi16((short)(row->threshold ^ 0x8000));
    __m256i first = words_below(_mm256_unpacklo_epi64(low01, low23), threshold);
    __m256i second = words_below(_mm256_unpackhi_epi64(low01, low23), threshold);
    dropped[0] = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(first, second));
    first = words_below(_mm256_unpacklo_epi64(high01, high23), threshold);
    second = words_below(_mm256_unpackhi_epi64(high01, high23), threshold);
    dropped[1] = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(first, second));
}

void dropout_avx2(const dropout_row *row, int n, uint16_t *dropped)
{
    uint32_t of_64[2];
    for (int i = 0; i < n; i += 64) {
        dropped_of_64(row, (uint32_t)i / 8, of_64);
        for (int j = 0; j < 4 && i + 16 * j < n; j++)
            dropped[i / 16 + j] = (uint16_t)(of_64[j / 2] >> (j % 2 * 16));
    }
}

/* The bits of elements i … i + 7 of a row, i a multiple of 8. */
static inline unsigned eight_bits(const uint16_t *dropped, int i)
{
    return (unsigned)dropped[i / 16] >> i % 16;
}

void copy_kept_avx2(const uint16_t *dropped, const void *x, slant_compute compute, int n, void *y)
{
    const __m128i bits = _mm_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128);
    for (int i = 0; i < n; i += LANES) {
        unsigned gone = eight_bits(dropped, i);
        if (compute == SLANT_COMPUTE_BF16) {
            __m128i kept = _mm_cmpeq_epi16(_mm_and_si128(_mm_set1_epi16((short)gone), bits),
                                           _mm_setzero_si128());
            __m128i words = load_words((const uint16_t *)x + i, n - i);
            store_words((uint16_t *)y + i, n - i, _mm_and_si128(words, kept));
        } else {
            __m256 v = load_first((const float *)x + i, n - i);
            store_first((float *)y + i, n - i, _mm256_and_ps(v, kept_of(gone)));
        }
    }
}

void add_kept_avx2(const uint16_t *dropped, const float *x, int n, float *y)
{
    for (int i = 0; i < n; i += LANES) {
        __m256 before = load_first(y + i, n - i);
        __m256 sum = _mm256_add_ps(before, load_first(x + i, n - i));
        store_first(y + i, n - i, _mm256_blendv_ps(before, sum, kept_of(eight_bits(dropped, i))));
    }
}

double sum_of_squares_avx2(const float *x, size_t n)
{
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (size_t i = 0; i < n; i += LANES) {
        __m256 v = load_some(x, i, n);
        __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
        __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        low = _mm256_fmadd_pd(a, a, low);
        high = _mm256_fmadd_pd(b, b, high);
    }
    __m256d four = _mm256_add_pd(low, high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

void adamw_avx2(const adamw_step *step, const float *gradient, float *value, float *m, float *v,
                size_t n)
{
    __m256 beta1 = _mm256_set1_ps(step->beta1), rest1 = _mm256_set1_ps(1.0f - step->beta1);
    __m256 beta2 = _mm256_set1_ps(step->beta2), rest2 = _mm256_set1_ps(1.0f - step->beta2);
    __m256 size = _mm256_set1_ps(step->lr / step->correction1);
    __m256 root = _mm256_set1_ps(1.0f / step->correction2), eps = _mm256_set1_ps(step->eps);
    __m256 shrink = _mm256_set1_ps(1.0f - step->lr * step->weight_decay);
    __m256 scale = _mm256_set1_ps(step->gradient_scale);
    for (size_t i = 0; i < n; i += LANES) {
        __m256 g = _mm256_mul_ps(load_some(gradient, i, n), scale);
        __m256 first = _mm256_fmadd_ps(beta1, load_some(m, i, n), _mm256_mul_ps(rest1, g));
        __m256 second =
            _mm256_fmadd_ps(beta2, load_some(v, i, n), _mm256_mul_ps(rest2, _mm256_mul_ps(g, g)));
        __m256 under = _mm256_fmadd_ps(_mm256_sqrt_ps(second), root, eps);
        __m256 moved = _mm256_div_ps(_mm256_mul_ps(size, first), under);
        store_some(m, i, n, first);
        store_some(v, i, n, second);
        store_some(value, i, n, _mm256_fmsub_ps(load_some(value, i, n), shrink, moved));
    }
}

/* --- products of an adapter's few rows ----------------------------------------------------------
 */

#define FEW 6 /* values of a row of `left`, or rows of `out`, at a time */
#define WIDE (2 * LANES)
#define OUTER_ROWS_AT_A_TIME 128

/* What is dropped of a row from a column on, and nothing where nothing is. */
static inline const uint16_t *dropped_at(const dropout_bits *dropped, int row, int column)
{
    return dropped == NULL ? NULL : dropped->rows + (size_t)row * dropped->stride + column / 16;
}

static inline __m256 kept_values(__m256 v, const uint16_t *dropped, int shift)
{
    return dropped == NULL ? v : _mm256_and_ps(v, kept_of((unsigned)*dropped >> shift));
}

/* gcc keeps arrays of registers in memory, so the sums have names. */
#define FOR_FEW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define OUTER_SUMS(i)                                                                              \
    __m256 a##i = load_first(sums + at[i] * sums_stride, n_columns);                               \
    __m256 b##i = load_first(sums + at[i] * sums_stride + LANES, n_columns - LANES);
#define OUTER_MULTIPLY(i)                                                                          \
    {                                                                                              \
        __m256 l = _mm256_broadcast_ss(left + at[i]);                                              \
        a##i = _mm256_fmadd_ps(l, x, a##i);                                                        \
        b##i = _mm256_fmadd_ps(l, y, b##i);                                                        \
    }
#define OUTER_STORE(i)                                                                             \
    if (i < n_left) {                                                                              \
        store_first(sums + at[i] * sums_stride, n_columns, a##i);                                  \
        store_first(sums + at[i] * sums_stride + LANES, n_columns - LANES, b##i);                  \
    }

/* Up to FEW values of left against up to WIDE columns. */
static void outer_tile(const float *left, size_t left_stride, int n_left, const float *rows,
                       size_t stride, const uint16_t *dropped, size_t dropped_stride, int n_rows,
                       int n_columns, float *sums, size_t sums_stride)
{
    size_t at[FEW];
    for (int i = 0; i < FEW; i++) /* what is too many is computed twice, and stored once */
        at[i] = (size_t)(i < n_left ? i : n_left - 1);
    FOR_FEW(OUTER_SUMS)
    for (int t = 0; t < n_rows; t++, left += left_stride, rows += stride) {
        __m256 x = kept_values(load_first(rows, n_columns), dropped, 0);
        __m256 y = kept_values(load_first(rows + LANES, n_columns - LANES), dropped, LANES);
        FOR_FEW(OUTER_MULTIPLY)
        if (dropped != NULL)
            dropped += dropped_stride;
    }
    FOR_FEW(OUTER_STORE)
}

/* Rows in portions that stay in cache while all of left meets them. */
void outer_avx2(const float *left, size_t left_stride, int n_left, const float *rows, size_t stride,
                const dropout_bits *dropped, int n_rows, int first_column, int n_columns,
                float *sums, size_t sums_stride)
{
    for (int t = 0; t < n_rows; t += OUTER_ROWS_AT_A_TIME)
        for (int c = 0; c < n_columns; c += WIDE)
            for (int r = 0; r < n_left; r += FEW) {
                outer_tile(left + (size_t)t * left_stride + r, left_stride,
                           n_left - r < FEW ? n_left - r : FEW,
                           rows + (size_t)t * stride + first_column + c, stride,
                           dropped_at(dropped, t, first_column + c),
                           dropped == NULL ? 0 : dropped->stride,
                           n_rows - t < OUTER_ROWS_AT_A_TIME ? n_rows - t : OUTER_ROWS_AT_A_TIME,
                           n_columns - c < WIDE ? n_columns - c : WIDE,
                           sums + (size_t)r * sums_stride + c, sums_stride);
            }
}

#define SPREAD_SUMS(i) __m256 a##i = _mm256_setzero_ps(), b##i = a##i;
#define SPREAD_MULTIPLY(i)                                                                         \
    {                                                                                              \
        __m256 l = _mm256_broadcast_ss(left + at[i] * left_stride + r);                            \
        a##i = _mm256_fmadd_ps(l, x, a##i);                                                        \
        b##i = _mm256_fmadd_ps(l, y, b##i);                                                        \
    }
#define SPREAD_STORE(i)                                                                            \
    if (i < n_rows)                                                                                \
        add_row(out + (i) * out_stride, n_columns, a##i, b##i,                                     \
                dropped == NULL ? NULL : dropped + (i) * dropped_stride);

static inline void add_row(float *row, int n_columns, __m256 a, __m256 b, const uint16_t *dropped)
{
    a = kept_values(a, dropped, 0);
    b = kept_values(b, dropped, LANES);
    store_first(row, n_columns, _mm256_add_ps(load_first(row, n_columns), a));
    n_columns -= LANES;
    store_first(row + LANES, n_columns, _mm256_add_ps(load_first(row + LANES, n_columns), b));
}

/* Up to FEW rows, up to WIDE columns. */
static void spread_tile(const float *left, size_t left_stride, int n_left, const float *rows,
                        size_t stride, const uint16_t *dropped, size_t dropped_stride, int n_rows,
                        int n_columns, float *out, size_t out_stride)
{
    size_t at[FEW];
    for (int i = 0; i < FEW; i++)
        at[i] = (size_t)(i < n_rows ? i : n_rows - 1);
    FOR_FEW(SPREAD_SUMS)
    for (int r = 0; r < n_left; r++, rows += stride) {
        __m256 x = load_first(rows, n_columns);
        __m256 y = load_first(rows + LANES, n_columns - LANES);
        FOR_FEW(SPREAD_MULTIPLY)
    }
    FOR_FEW(SPREAD_STORE)
}

void spread_avx2(const float *left, size_t left_stride, int n_left, const float *rows,
                 size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                 int n_columns, float *out, size_t out_stride)
{
    for (int c = 0; c < n_columns; c += WIDE) {
        int n = n_columns - c < WIDE ? n_columns - c : WIDE;
        for (int t = 0; t < n_rows; t += FEW)
            spread_tile(left + (size_t)t * left_stride, left_stride, n_left,
                        rows + first_column + c, stride, dropped_at(dropped, t, first_column + c),
                        dropped == NULL ? 0 : dropped->stride, n_rows - t < FEW ? n_rows - t : FEW,
                        n, out + (size_t)t * out_stride + c, out_stride);
    }
}
