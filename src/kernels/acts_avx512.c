/* Activations row by row, 16 floats at a time: norm, conversion, SwiGLU, rotary embedding, sums.
 * A row is stored one int8 group at a time, whose values stay in registers meanwhile. */
#include "kernels/avx512.h"
#include "kernels/tables.h"

#include <math.h>
#include <string.h>

#define GROUP_REGISTERS (KERNEL_GROUP_MAX / LANES)

static void store_int8(const __m512 *v, int n_registers, int8_t *data, float *scale, int32_t *sum)
{
    __m512 largest = _mm512_setzero_ps();
    for (int i = 0; i < n_registers; i++)
        largest = _mm512_max_ps(largest, _mm512_abs_ps(v[i]));
    float absmax = _mm512_reduce_max_ps(largest);
    __m512 inverse = _mm512_set1_ps(absmax < LEAST_ABSMAX ? 0.0f : 127.0f / absmax);
    __m512i total = _mm512_setzero_si512();
    for (int i = 0; i < n_registers; i++) {
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
        total = _mm512_add_epi32(total, q);
        _mm_storeu_si128((__m128i *)(data + i * LANES), _mm512_cvtsepi32_epi8(q));
    }
    *scale = absmax / 127.0f;
    *sum = _mm512_reduce_add_epi32(total);
}

/* As bits NaN is larger than every number: then the scale is NaN, and so is what comes of it. */
static void store_int16(const __m512 *v, int n_registers, int16_t *data, float *scale)
{
    __m512i largest = _mm512_setzero_si512();
    for (int i = 0; i < n_registers; i++)
        largest = _mm512_max_epu32(largest, _mm512_castps_si512(_mm512_abs_ps(v[i])));
    uint32_t bits = _mm512_reduce_max_epu32(largest);
    float absmax;
    memcpy(&absmax, &bits, sizeof absmax);
    __m512 inverse = _mm512_set1_ps(absmax < LEAST_ABSMAX ? 0.0f : INT16_X_MAX / absmax);
    for (int i = 0; i < n_registers; i++) {
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
        _mm256_storeu_si256((__m256i *)(data + i * LANES), _mm512_cvtsepi32_epi16(q));
    }
    *scale = absmax / INT16_X_MAX;
}

/* The group of a row that starts at input `first`: v [n_registers], zeros beyond n_in. It may be
 * changed. */
static inline void store_group(__m512 *v, int first, int n_registers, acts *out, int row)
{
    size_t at = (size_t)row * out->stride + (size_t)first;
    if (kernel_is_scaled(out->compute)) {
        size_t g = (size_t)row * (size_t)kernel_n_groups(out->n_in) +
                   (size_t)(first / kernel_group(out->n_in));
        for (int i = 0; i < n_registers; i += ROTATION_BLOCK / LANES)
            rotate_block_avx512(v + i);
        if (out->compute == SLANT_COMPUTE_INT8)
            store_int8(v, n_registers, (int8_t *)out->data + at, &out->scales[g], &out->sums[g]);
        else
            store_int16(v, n_registers, (int16_t *)out->data + at, &out->scales[g]);
    } else if (out->compute == SLANT_COMPUTE_BF16) {
        __m256i *data = (__m256i *)((uint16_t *)out->data + at);
        for (int i = 0; i < n_registers; i++)
            _mm256_storeu_si256(data + i, to_bf16(v[i]));
    } else {
        float *data = (float *)out->data + at;
        for (int i = 0; i < n_registers; i++)
            _mm512_storeu_ps(data + i * LANES, v[i]);
    }
}

static inline __m512 load_row(const float *row, int at, int n_in)
{
    return _mm512_maskz_loadu_ps(first_lanes(n_in - at > 0 ? n_in - at : 0), row + at);
}

/* What makes value `at` … `at + 15` of a row out of its sources x and y. */
typedef __m512 (*row_values)(const float *x, const float *y, __m512 scale, int at, int n_in);

/* Inputs from … end of a row, x and y starting at the first of them. */
static inline __attribute__((always_inline)) void store_inputs(row_values values, const float *x,
                                                               const float *y, __m512 scale,
                                                               acts *out, int row, int from,
                                                               int end)
{
    __m512 v[GROUP_REGISTERS];
    int group = kernel_group(out->n_in);
    for (int first = from; first < end; first += group) {
        int n = (end - first < group ? end - first : group) / LANES;
        for (int i = 0; i < n; i++)
            v[i] = values(x, y, scale, first - from + i * LANES, out->n_in - from);
        store_group(v, first, n, out, row);
    }
}

static inline __attribute__((always_inline)) void
store_row(row_values values, const float *x, const float *y, __m512 scale, acts *out, int row)
{
    store_inputs(values, x, y, scale, out, row, 0, kernel_padded(out->n_in));
}

static inline __m512 plain_values(const float *x, const float *y, __m512 scale, int at, int n_in)
{
    (void)y, (void)scale;
    return load_row(x, at, n_in);
}

static inline __m512 norm_values(const float *x, const float *y, __m512 scale, int at, int n_in)
{
    return _mm512_mul_ps(_mm512_mul_ps(load_row(x, at, n_in), scale), load_row(y, at, n_in));
}

/* g · u / (1 + e⁻ᵍ), the reciprocal by one Newton step from 14 bits. Where e⁻ᵍ overflows the
 * quotient is the zero that it tends to. */
static inline __m512 swiglu_values(const float *x, const float *y, __m512 scale, int at, int n_in)
{
    (void)scale;
    __m512 g = load_row(x, at, n_in), one = _mm512_set1_ps(1.0f);
    __m512 negative = _mm512_min_ps(_mm512_sub_ps(_mm512_setzero_ps(), g), _mm512_set1_ps(87.0f));
    __m512 d = _mm512_add_ps(one, exp_avx512(negative));
    __m512 r = _mm512_rcp14_ps(d);
    r = _mm512_fmadd_ps(r, _mm512_fnmadd_ps(d, r, one), r);
    return _mm512_mul_ps(_mm512_mul_ps(g, r), load_row(y, at, n_in));
}

/* Four partial sums, so that additions overlap; their order depends on n_in alone. */
static float mean_square(const float *x, int n_in)
{
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                      _mm512_setzero_ps()};
    for (int i = 0; i < n_in; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            __m512 v = load_row(x, i + j * LANES, n_in);
            sums[j] = _mm512_fmadd_ps(v, v, sums[j]);
        }
    __m512 sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    return _mm512_reduce_add_ps(sum) / (float)n_in;
}

void rmsnorm_avx512(const float *x, size_t x_stride, const float *weight, float eps, int n_tokens,
                    acts *out, int out_row0)
{
    for (int t = 0; t < n_tokens; t++) {
        const float *row = x + (size_t)t * x_stride;
        float scale = 1.0f / sqrtf(mean_square(row, out->n_in) + eps);
        store_row(norm_values, row, weight, _mm512_set1_ps(scale), out, out_row0 + t);
    }
}

void quantise_avx512(const float *x, size_t x_stride, int n_tokens, acts *out, int out_row0)
{
    for (int t = 0; t < n_tokens; t++)
        store_row(plain_values, x + (size_t)t * x_stride, NULL, _mm512_setzero_ps(), out,
                  out_row0 + t);
}

void swiglu_avx512(const float *gate, const float *up, size_t stride, int n_tokens, acts *out,
                   int out_row0, int first, int end)
{
    for (int t = 0; t < n_tokens; t++)
        store_inputs(swiglu_values, gate + (size_t)t * stride, up + (size_t)t * stride,
                     _mm512_setzero_ps(), out, out_row0 + t, first, end);
}

static void rotate_head(float *low, int half, const float *cos, const float *sin)
{
    float *high = low + half;
    for (int i = 0; i < half; i += LANES) {
        __mmask16 lanes = first_lanes(half - i);
        __m512 a = _mm512_maskz_loadu_ps(lanes, low + i),
               b = _mm512_maskz_loadu_ps(lanes, high + i);
        __m512 c = _mm512_maskz_loadu_ps(lanes, cos + i), s = _mm512_maskz_loadu_ps(lanes, sin + i);
        __m512 bs = _mm512_mul_ps(b, s), as = _mm512_mul_ps(a, s);
        _mm512_mask_storeu_ps(low + i, lanes, _mm512_sub_ps(_mm512_mul_ps(a, c), bs));
        _mm512_mask_storeu_ps(high + i, lanes, _mm512_add_ps(_mm512_mul_ps(b, c), as));
    }
}

void rope_avx512(float *x, size_t x_stride, int n_tokens, int n_heads, int head_dim,
                 const float *cos, const float *sin)
{
    int half = head_dim / 2;
    for (int t = 0; t < n_tokens; t++)
        for (int h = 0; h < n_heads; h++)
            rotate_head(x + (size_t)t * x_stride + (size_t)h * (size_t)head_dim, half,
                        cos + (size_t)t * (size_t)half, sin + (size_t)t * (size_t)half);
}

void add_avx512(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes(n - i < LANES ? (int)(n - i) : LANES);
        __m512 sum =
            _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y + i), _mm512_maskz_loadu_ps(lanes, x + i));
        _mm512_mask_storeu_ps(y + i, lanes, sum);
    }
}
