/* The reference for products: one token against one panel of 16 outputs at a time. */
#include "kernels/tables.h"
#include "quant/quant.h"

#include <math.h>
#include <string.h>

static void product_f32(const float *x, const float *w, int n_in, float out[KERNEL_PANEL])
{
    for (int k = 0; k < n_in; k++)
        for (int o = 0; o < KERNEL_PANEL; o++)
            out[o] += x[k] * w[k * KERNEL_PANEL + o];
}

static void product_bf16(const uint16_t *x, const uint16_t *w, int n_in, float out[KERNEL_PANEL])
{
    for (int k = 0; k < n_in; k += 2)
        for (int o = 0; o < KERNEL_PANEL; o++) {
            const uint16_t *pair = w + (k / 2 * KERNEL_PANEL + o) * 2;
            out[o] += bf16_to_f32(x[k]) * bf16_to_f32(pair[0]);
            out[o] += bf16_to_f32(x[k + 1]) * bf16_to_f32(pair[1]);
        }
}

/* Σ over one group of n inputs, exact in 32 bits: 256 · 127 · 127 < 2³¹. */
static void group_sums(const int8_t *x, const int8_t *w, int n, int32_t sums[KERNEL_PANEL])
{
    for (int o = 0; o < KERNEL_PANEL; o++)
        sums[o] = 0;
    for (int k = 0; k < n; k += 4)
        for (int o = 0; o < KERNEL_PANEL; o++)
            for (int i = 0; i < 4; i++)
                sums[o] += x[k + i] * w[k * KERNEL_PANEL + 4 * o + i];
}

/* The same of INT16: 256 · 4095 · 2047 < 2³¹. */
static void group_sums_int16(const int16_t *x, const int16_t *w, int n, int32_t sums[KERNEL_PANEL])
{
    for (int o = 0; o < KERNEL_PANEL; o++)
        sums[o] = 0;
    for (int k = 0; k < n; k += 2)
        for (int o = 0; o < KERNEL_PANEL; o++)
            for (int i = 0; i < 2; i++)
                sums[o] += x[k + i] * w[k * KERNEL_PANEL + 2 * o + i];
}

static void product_scaled(const acts *x, int token, const input_range *r, size_t panel_at,
                           const kernel_panels *w, const float *w_scales, float out[KERNEL_PANEL])
{
    size_t row_at = (size_t)token * x->stride + (size_t)r->first;
    const float *x_scales =
        x->scales + (size_t)token * (size_t)kernel_n_groups(x->n_in) + r->first_group;
    for (int g = 0; g < r->n_groups; g++) {
        size_t x_at = row_at + (size_t)(g * r->group);
        size_t w_at = panel_at + (size_t)(g * r->group * KERNEL_PANEL);
        int n = range_group_length(r, g);
        int32_t sums[KERNEL_PANEL];
        if (w->compute == SLANT_COMPUTE_INT8)
            group_sums((const int8_t *)x->data + x_at, (const int8_t *)w->data + w_at, n, sums);
        else
            group_sums_int16((const int16_t *)x->data + x_at, (const int16_t *)w->data + w_at, n,
                             sums);
        for (int o = 0; o < KERNEL_PANEL; o++)
            out[o] = fmaf((float)sums[o], w_scales[g * KERNEL_PANEL + o] * x_scales[g], out[o]);
    }
}

static void product(const acts *x, int token, const kernel_panels *w, int panel,
                    float out[KERNEL_PANEL])
{
    input_range r = panels_range(w);
    size_t row_at = (size_t)token * x->stride + (size_t)r.first;
    size_t panel_at = (size_t)panel * (size_t)r.length * KERNEL_PANEL;
    if (kernel_is_scaled(w->compute))
        product_scaled(x, token, &r, panel_at, w, w->scales + panel * r.n_groups * KERNEL_PANEL,
                       out);
    else if (w->compute == SLANT_COMPUTE_BF16)
        product_bf16((const uint16_t *)x->data + row_at, (const uint16_t *)w->data + panel_at,
                     r.length, out);
    else
        product_f32((const float *)x->data + row_at, (const float *)w->data + panel_at, r.length,
                    out);
}

void matmul_scalar(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                   size_t out_stride, bool accumulate, void *scratch)
{
    (void)scratch;
    for (int p = 0; p < w->n_panels; p++)
        for (int t = 0; t < n_tokens; t++) {
            float *row = out + (size_t)t * out_stride + (size_t)p * KERNEL_PANEL;
            if (!accumulate)
                memset(row, 0, KERNEL_PANEL * sizeof *row);
            product(x, token0 + t, w, p, row);
        }
}
