/* The reference for everything that works on activations row by row: norm, conversion, SwiGLU,
 * rotary embedding, sums. */
#include "kernels/tables.h"
#include "quant/quant.h"

#include <math.h>
#include <string.h>

/* One int8 group of a row: values [n], n a multiple of 64. */
static void store_int8(const float *values, int n, int8_t *data, float *scale, int32_t *sum)
{
    float absmax = 0;
    for (int i = 0; i < n; i++)
        absmax = fmaxf(absmax, fabsf(values[i]));
    float inverse = absmax < LEAST_ABSMAX ? 0.0f : 127.0f / absmax;
    int total = 0;
    for (int i = 0; i < n; i++) {
        float q = rintf(values[i] * inverse);
        data[i] = (int8_t)(q >= -127.0f ? (q <= 127.0f ? q : 127.0f) : -127.0f);
        total += data[i];
    }
    *scale = absmax / 127.0f;
    *sum = total;
}

/* NaN makes the scale NaN, and so what comes of it. */
static void store_int16(const float *values, int n, int16_t *data, float *scale)
{
    float absmax = 0;
    for (int i = 0; i < n && !isnan(absmax); i++)
        absmax = isnan(values[i]) ? NAN : fmaxf(absmax, fabsf(values[i]));
    float inverse = absmax < LEAST_ABSMAX ? 0.0f : INT16_X_MAX / absmax;
    for (int i = 0; i < n; i++)
        data[i] = (int16_t)fmaxf(-INT16_X_MAX, fminf(INT16_X_MAX, rintf(values[i] * inverse)));
    *scale = absmax / INT16_X_MAX;
}

/* The group of a row that starts at input `first`: values [n], n a multiple of 64; may be changed.
 */
static void store_group(float *values, int first, int n, acts *out, int row)
{
    size_t at = (size_t)row * out->stride + (size_t)first;
    int n_groups = kernel_n_groups(out->n_in), group = first / kernel_group(out->n_in);
    size_t g = (size_t)row * (size_t)n_groups + (size_t)group;
    for (int i = 0; i < n && kernel_is_scaled(out->compute); i += ROTATION_BLOCK)
        rotate_block(values + i);
    if (out->compute == SLANT_COMPUTE_INT8) {
        store_int8(values, n, (int8_t *)out->data + at, &out->scales[g], &out->sums[g]);
    } else if (out->compute == SLANT_COMPUTE_INT16) {
        store_int16(values, n, (int16_t *)out->data + at, &out->scales[g]);
    } else if (out->compute == SLANT_COMPUTE_BF16) {
        uint16_t *data = (uint16_t *)out->data + at;
        for (int i = 0; i < n; i++)
            data[i] = bf16_from_f32(values[i]);
    } else {
        memcpy((float *)out->data + at, values, (size_t)n * sizeof *values);
    }
}

/* A row is made in portions of one int8 group: fill(context, i) gives value i. */
typedef struct row_source {
    const float *x, *y; /* [n_in] */
    float scale;
} row_source;

/* Inputs from … end of a row, the source starting at the first of them. */
static void store_inputs(float (*value)(const row_source *, int), const row_source *source,
                         acts *out, int row, int from, int end)
{
    float values[KERNEL_GROUP_MAX];
    int group = kernel_group(out->n_in);
    for (int first = from; first < end; first += group) {
        int n = end - first < group ? end - first : group;
        for (int i = 0; i < n; i++)
            values[i] = first + i < out->n_in ? value(source, first - from + i) : 0.0f;
        store_group(values, first, n, out, row);
    }
}

static void store_row(float (*value)(const row_source *, int), const row_source *source, acts *out,
                      int row)
{
    store_inputs(value, source, out, row, 0, kernel_padded(out->n_in));
}

static float plain_value(const row_source *source, int i)
{
    return source->x[i];
}

static float norm_value(const row_source *source, int i)
{
    return source->x[i] * source->scale * source->y[i];
}

static float swiglu_value(const row_source *source, int i)
{
    float gate = source->x[i];
    return gate / (1.0f + expf(-gate)) * source->y[i];
}

void rmsnorm_scalar(const float *x, size_t x_stride, const float *weight, float eps, int n_tokens,
                    acts *out, int out_row0)
{
    for (int t = 0; t < n_tokens; t++) {
        row_source row = {.x = x + (size_t)t * x_stride, .y = weight};
        float squares = 0;
        for (int i = 0; i < out->n_in; i++)
            squares += row.x[i] * row.x[i];
        row.scale = 1.0f / sqrtf(squares / (float)out->n_in + eps);
        store_row(norm_value, &row, out, out_row0 + t);
    }
}

void quantise_scalar(const float *x, size_t x_stride, int n_tokens, acts *out, int out_row0)
{
    for (int t = 0; t < n_tokens; t++) {
        row_source row = {.x = x + (size_t)t * x_stride};
        store_row(plain_value, &row, out, out_row0 + t);
    }
}

void swiglu_scalar(const float *gate, const float *up, size_t stride, int n_tokens, acts *out,
                   int out_row0, int first, int end)
{
    for (int t = 0; t < n_tokens; t++) {
        row_source row = {.x = gate + (size_t)t * stride, .y = up + (size_t)t * stride};
        store_inputs(swiglu_value, &row, out, out_row0 + t, first, end);
    }
}

void rope_scalar(float *x, size_t x_stride, int n_tokens, int n_heads, int head_dim,
                 const float *cos, const float *sin)
{
    int half = head_dim / 2;
    for (int t = 0; t < n_tokens; t++) {
        const float *c = cos + (size_t)t * (size_t)half, *s = sin + (size_t)t * (size_t)half;
        for (int h = 0; h < n_heads; h++) {
            float *low = x + (size_t)t * x_stride + (size_t)h * (size_t)head_dim;
            float *high = low + half;
            for (int i = 0; i < half; i++) {
                float a = low[i], b = high[i];
                low[i] = a * c[i] - b * s[i];
                high[i] = b * c[i] + a * s[i];
            }
        }
    }
}

void add_scalar(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}
