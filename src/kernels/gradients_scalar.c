/* The reference for what training does row by row: derivatives, dropout, AdamW. */
#include "base/philox.h"
#include "kernels/gradients_internal.h"
#include "quant/quant.h"

#include <math.h>
#include <string.h>

void narrow_scalar(const float *x, dtype type, void *y, size_t n)
{
    uint16_t *halves = y;
    if (type == DTYPE_F32)
        memcpy(y, x, n * sizeof *x);
    else if (type == DTYPE_BF16)
        for (size_t i = 0; i < n; i++)
            halves[i] = bf16_from_f32(x[i]);
    else
        for (size_t i = 0; i < n; i++)
            halves[i] = f16_from_f32(x[i]);
}

void widen_scalar(const void *x, dtype type, float *y, size_t n)
{
    const uint16_t *halves = x;
    if (type == DTYPE_F32)
        memcpy(y, x, n * sizeof *y);
    else if (type == DTYPE_BF16)
        for (size_t i = 0; i < n; i++)
            y[i] = bf16_to_f32(halves[i]);
    else
        for (size_t i = 0; i < n; i++)
            y[i] = f16_to_f32(halves[i]);
}

/* With s = rsqrt(mean(x²) + eps): dx = s·w∘dy − x · s³/n · Σ w∘dy∘x. */
void rmsnorm_backward_scalar(const float *x, const float *weight, float eps, const float *dy, int n,
                             float *dx)
{
    float squares = 0, along = 0;
    for (int i = 0; i < n; i++) {
        squares += x[i] * x[i];
        along += weight[i] * dy[i] * x[i];
    }
    float s = 1.0f / sqrtf(squares / (float)n + eps);
    float back = along * s * s * s / (float)n;
    for (int i = 0; i < n; i++)
        dx[i] += s * weight[i] * dy[i] - x[i] * back;
}

/* silu(g) = g·σ(g), silu'(g) = σ(g)·(1 + g·(1 − σ(g))). */
void swiglu_backward_scalar(const float *gate, const float *up, const float *d_act, int n,
                            float *d_gate, float *d_up)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i], u = up[i], d = d_act[i];
        float sigma = 1.0f / (1.0f + expf(-g));
        float silu = g * sigma;
        d_up[i] = d * silu;
        d_gate[i] = d * u * sigma * (1.0f + g * (1.0f - sigma));
    }
}

static void zero_outside(float *x, int first, int end, int n)
{
    memset(x, 0, (size_t)first * sizeof *x);
    memset(x + end, 0, (size_t)(n - end) * sizeof *x);
}

void softmax_scalar(const float *s, float scale, int first, int end, int n, float *p)
{
    float max = s[first], sum = 0;
    for (int i = first; i < end; i++)
        max = fmaxf(max, s[i]);
    for (int i = first; i < end; i++) {
        p[i] = expf((s[i] - max) * scale);
        sum += p[i];
    }
    for (int i = first; i < end; i++)
        p[i] /= sum;
    zero_outside(p, first, end, n);
}

void softmax_backward_scalar(const float *p, const float *dp, float scale, int first, int end,
                             int n, float *ds)
{
    float sum = 0;
    for (int i = first; i < end; i++)
        sum += p[i] * dp[i];
    for (int i = first; i < end; i++)
        ds[i] = scale * p[i] * (dp[i] - sum);
    zero_outside(ds, first, end, n);
}

void transpose_scalar(const float *x, size_t x_stride, int n_rows, int n_columns, acts *out,
                      int out_row0)
{
    int padded = kernel_padded(n_rows);
    for (int c = 0; c < n_columns; c++) {
        size_t row = (size_t)(out_row0 + c) * out->stride;
        for (int r = 0; r < padded; r++) {
            float value = r < n_rows ? x[(size_t)r * x_stride + (size_t)c] : 0.0f;
            if (out->compute == SLANT_COMPUTE_BF16)
                ((uint16_t *)out->data)[row + (size_t)r] = bf16_from_f32(value);
            else
                ((float *)out->data)[row + (size_t)r] = value;
        }
    }
}

void dropout_scalar(const dropout_row *row, int n, uint16_t *dropped)
{
    for (int i = 0; i < n; i += 16)
        dropped[i / 16] = 0;
    for (int i = 0; i < n; i += 8) {
        uint32_t counter[4] = {(uint32_t)i / 8, row->counter[1], row->counter[2], row->counter[3]};
        uint32_t bits[4];
        unsigned gone = 0;
        philox(row->key, counter, bits);
        for (unsigned j = 0; j < 8; j++)
            gone |= (unsigned)((bits[j / 2] >> (j % 2 * 16) & 0xFFFFu) < row->threshold) << j;
        dropped[i / 16] |= (uint16_t)(gone << i % 16);
    }
}

static bool is_dropped(const uint16_t *dropped, int i)
{
    return dropped[i / 16] >> i % 16 & 1;
}

void copy_kept_scalar(const uint16_t *dropped, const void *x, slant_compute compute, int n, void *y)
{
    for (int i = 0; i < n; i++)
        if (compute == SLANT_COMPUTE_BF16)
            ((uint16_t *)y)[i] = is_dropped(dropped, i) ? 0 : ((const uint16_t *)x)[i];
        else
            ((float *)y)[i] = is_dropped(dropped, i) ? 0.0f : ((const float *)x)[i];
}

void add_kept_scalar(const uint16_t *dropped, const float *x, int n, float *y)
{
    for (int i = 0; i < n; i++)
        if (!is_dropped(dropped, i))
            y[i] += x[i];
}

static bool drops(const dropout_bits *dropped, int row, int column)
{
    return dropped != NULL && is_dropped(dropped->rows + (size_t)row * dropped->stride, column);
}

void outer_scalar(const float *left, size_t left_stride, int n_left, const float *rows,
                  size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                  int n_columns, float *sums, size_t sums_stride)
{
    for (int t = 0; t < n_rows; t++)
        for (int c = 0; c < n_columns; c++) {
            float x = rows[(size_t)t * stride + (size_t)(first_column + c)];
            if (drops(dropped, t, first_column + c))
                continue;
            for (int r = 0; r < n_left; r++)
                sums[(size_t)r * sums_stride + (size_t)c] +=
                    left[(size_t)t * left_stride + (size_t)r] * x;
        }
}

void spread_scalar(const float *left, size_t left_stride, int n_left, const float *rows,
                   size_t stride, const dropout_bits *dropped, int n_rows, int first_column,
                   int n_columns, float *out, size_t out_stride)
{
    for (int t = 0; t < n_rows; t++)
        for (int c = 0; c < n_columns; c++) {
            float sum = 0;
            for (int r = 0; r < n_left; r++)
                sum += left[(size_t)t * left_stride + (size_t)r] *
                       rows[(size_t)r * stride + (size_t)(first_column + c)];
            if (!drops(dropped, t, first_column + c))
                out[(size_t)t * out_stride + (size_t)c] += sum;
        }
}

double sum_of_squares_scalar(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

void adamw_scalar(const adamw_step *step, const float *gradient, float *value, float *m, float *v,
                  size_t n)
{
    float step_size = step->lr / step->correction1, shrink = 1.0f - step->lr * step->weight_decay;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * step->gradient_scale;
        m[i] = step->beta1 * m[i] + (1.0f - step->beta1) * g;
        v[i] = step->beta2 * v[i] + (1.0f - step->beta2) * g * g;
        value[i] =
            value[i] * shrink - step_size * m[i] / (sqrtf(v[i]) / step->correction2 + step->eps);
    }
}
