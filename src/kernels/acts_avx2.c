/* Activations row by row, 8 floats at a time: norm, conversion, SwiGLU, rotary embedding, sums. A
 * row is stored one int8 group at a time, whose values stay in the first-level cache meanwhile. */
#include "kernels/avx2.h"
#include "kernels/tables.h"

#include <math.h>
#include <string.h>

#define GROUP_REGISTERS (KERNEL_GROUP_MAX / LANES)

/* 32 floats times `inverse`, rounded to int8. */
static inline __m256i round_int8(const __m256 v[4], __m256 inverse)
{
    __m256i q0 = _mm256_cvtps_epi32(_mm256_mul_ps(v[0], inverse));
    __m256i q1 = _mm256_cvtps_epi32(_mm256_mul_ps(v[1], inverse));
    __m256i q2 = _mm256_cvtps_epi32(_mm256_mul_ps(v[2], inverse));
    __m256i q3 = _mm256_cvtps_epi32(_mm256_mul_ps(v[3], inverse));
    __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(q0, q1), _mm256_packs_epi32(q2, q3));
    return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static void store_int8(const __m256 *v, int n_registers, int8_t *data, float *scale, int32_t *sum)
{
    __m256 largest = _mm256_setzero_ps();
    for (int i = 0; i < n_registers; i++)
        largest = _mm256_max_ps(largest, abs_avx2(v[i]));
    float absmax = max_lanes(largest);
    __m256 inverse = _mm256_set1_ps(absmax < LEAST_ABSMAX ? 0.0f : 127.0f / absmax);
    const __m256i ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
    __m256i total = _mm256_setzero_si256();
    for (int i = 0; i < n_registers; i += 4) {
        __m256i q = round_int8(v + i, inverse);
        _mm256_storeu_si256((__m256i *)(data + i * LANES), q);
        __m256i pairs = _mm256_maddubs_epi16(ones8, q);
        total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, ones16));
    }
    *scale = absmax / 127.0f;
    *sum = sum_lanes_int(total);
}

/* As bits NaN is larger than every number: then the scale is NaN, and so is what comes of it. */
static void store_int16(const __m256 *v, int n_registers, int16_t *data, float *scale)
{
    __m256i largest = _mm256_setzero_si256();
    for (int i = 0; i < n_registers; i++)
        largest = _mm256_max_epu32(largest, _mm256_castps_si256(abs_avx2(v[i])));
    uint32_t bits = max_lanes_unsigned(largest);
    float absmax;
    memcpy(&absmax, &bits, sizeof absmax);
    __m256 inverse = _mm256_set1_ps(absmax < LEAST_ABSMAX ? 0.0f : INT16_X_MAX / absmax);
    for (int i = 0; i < n_registers; i += 2) {
        __m256i q0 = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
        __m256i q1 = _mm256_cvtps_epi32(_mm256_mul_ps(v[i + 1], inverse));
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(q0, q1), 0xD8);
        _mm256_storeu_si256((__m256i *)(data + i * LANES), words);
    }
    *scale = absmax / INT16_X_MAX;
}

/* The group of a row that starts at input `first`: v [n_registers], zeros beyond n_in. It may be
 * changed. */
static inline void store_group(__m256 *v, int first, int n_registers, acts *out, int row)
{
    size_t at = (size_t)row * out->stride + (size_t)first;
    if (kernel_is_scaled(out->compute)) {
        size_t g = (size_t)row * (size_t)kernel_n_groups(out->n_in) +
                   (size_t)(first / kernel_group(out->n_in));
        for (int i = 0; i < n_registers; i += ROTATION_BLOCK / LANES)
            rotate_block_avx2(v + i);
        if (out->compute == SLANT_COMPUTE_INT8)
            store_int8(v, n_registers, (int8_t *)out->data + at, &out->scales[g], &out->sums[g]);
        else
            store_int16(v, n_registers, (int16_t *)out->data + at, &out->scales[g]);
    } else if (out->compute == SLANT_COMPUTE_BF16) {
        __m256i *data = (__m256i *)((uint16_t *)out->data + at);
        for (int i = 0; i < n_registers; i += 2)
            _mm256_storeu_si256(data + i / 2, to_bf16(v[i], v[i + 1]));
    } else {
        float *data = (float *)out->data + at;
        for (int i = 0; i < n_registers; i++)
            _mm256_storeu_ps(data + i * LANES, v[i]);
    }
}

/* What makes value `at` … `at + 7` of a row out of its sources x and y. */
typedef __m256 (*row_values)(const float *x, const float *y, __m256 scale, int at, int n_in);

/* Inputs from … end of a row, x and y starting at the first of them. */
static inline __attribute__((always_inline)) void store_inputs(row_values values, const float *x,
                                                               const float *y, __m256 scale,
                                                               acts *out, int row, int from,
                                                               int end)
{
    __m256 v[GROUP_REGISTERS];
    int group = kernel_group(out->n_in);
    for (int first = from; first < end; first += group) {
        int n = (end - first < group ? end - first : group) / LANES;
        for (int i = 0; i < n; i++)
            v[i] = values(x, y, scale, first - from + i * LANES, out->n_in - from);
        store_group(v, first, n, out, row);
    }
}

static inline __attribute__((always_inline)) void
store_row(row_values values, const float *x, const float *y, __m256 scale, acts *out, int row)
{
    store_inputs(values, x, y, scale, out, row, 0, kernel_padded(out->n_in));
}

static inline __m256 plain_values(const float *x, const float *y, __m256 scale, int at, int n_in)
{
    (void)y, (void)scale;
    return load_first(x + at, n_in - at);
}

static inline __m256 norm_values(const float *x, const float *y, __m256 scale, int at, int n_in)
{
    __m256 scaled = _mm256_mul_ps(load_first(x + at, n_in - at), scale);
    return _mm256_mul_ps(scaled, load_first(y + at, n_in - at));
}

/* g · u / (1 + e⁻ᵍ). Where e⁻ᵍ overflows the quotient is the zero that it tends to. */
static inline __m256 swiglu_values(const float *x, const float *y, __m256 scale, int at, int n_in)
{
    (void)scale;
    __m256 g = load_first(x + at, n_in - at), one = _mm256_set1_ps(1.0f);
    __m256 d = _mm256_add_ps(one, exp_avx2(_mm256_sub_ps(_mm256_setzero_ps(), g)));
    return _mm256_mul_ps(_mm256_div_ps(g, d), load_first(y + at, n_in - at));
}

/* Four partial sums, so that additions overlap; their order depends on n_in alone. */
static float mean_square(const float *x, int n_in)
{
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                      _mm256_setzero_ps()};
    for (int i = 0; i < n_in; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            int at = i + j * LANES;
            __m256 v = load_first(x + at, n_in - at);
            sums[j] = _mm256_fmadd_ps(v, v, sums[j]);
        }
    __m256 sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    return sum_lanes(sum) / (float)n_in;
}

void rmsnorm_avx2(const float *x, size_t x_stride, const float *weight, float eps, int n_tokens,
                  acts *out, int out_row0)
{
    for (int t = 0; t < n_tokens; t++) {
        const float *row = x + (size_t)t * x_stride;
        float scale = 1.0f / sqrtf(mean_square(row, out->n_in) + eps);
        store_row(norm_values, row, weight, _mm256_set1_ps(scale), out, out_row0 + t);
    }
}

void quantise_avx2(const float *x, size_t x_stride, int n_tokens, acts *out, int out_row0)
{
    for (int t = 0; t < n_tokens; t++)
        store_row(plain_values, x + (size_t)t * x_stride, NULL, _mm256_setzero_ps(), out,
                  out_row0 + t);
}

void swiglu_avx2(const float *gate, const float *up, size_t stride, int n_tokens, acts *out,
                 int out_row0, int first, int end)
{
    for (int t = 0; t < n_tokens; t++)
        store_inputs(swiglu_values, gate + (size_t)t * stride, up + (size_t)t * stride,
                     _mm256_setzero_ps(), out, out_row0 + t, first, end);
}

static void rotate_head(float *low, int half, const float *cos, const float *sin)
{
    float *high = low + half;
    for (int i = 0; i < half; i += LANES) {
        int n = half - i;
        __m256 a = load_first(low + i, n), b = load_first(high + i, n);
        __m256 c = load_first(cos + i, n), s = load_first(sin + i, n);
        __m256 bs = _mm256_mul_ps(b, s), as = _mm256_mul_ps(a, s);
        store_first(low + i, n, _mm256_sub_ps(_mm256_mul_ps(a, c), bs));
        store_first(high + i, n, _mm256_add_ps(_mm256_mul_ps(b, c), as));
    }
}

void rope_avx2(float *x, size_t x_stride, int n_tokens, int n_heads, int head_dim, const float *cos,
               const float *sin)
{
    int half = head_dim / 2;
    for (int t = 0; t < n_tokens; t++)
        for (int h = 0; h < n_heads; h++)
            rotate_head(x + (size_t)t * x_stride + (size_t)h * (size_t)head_dim, half,
                        cos + (size_t)t * (size_t)half, sin + (size_t)t * (size_t)half);
}

void add_avx2(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        int left = n - i < LANES ? (int)(n - i) : LANES;
        store_first(y + i, left, _mm256_add_ps(load_first(y + i, left), load_first(x + i, left)));
    }
}
