/* The reference for panels of a transposed weight. Panel p of wᵀ holds 16 inputs of w, each over
 * all outputs of w, in the order that expand_scalar.c describes. */
#include "kernels/gradients_internal.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float nf4_absmax_of(const kernel_weight *w, int o, int block)
{
    size_t n_blocks = (size_t)(w->n_in / 64);
    size_t panel = (size_t)(o / KERNEL_PANEL), lane = (size_t)(o % KERNEL_PANEL);
    size_t at = (panel * n_blocks + (size_t)block) * KERNEL_PANEL + lane;
    if (w->absmax != NULL)
        return w->absmax[at];
    size_t flat = (size_t)o * n_blocks + (size_t)block;
    return w->nested_map[w->absmax_codes[at]] * w->nested_absmax[flat / 256] + w->nested_offset;
}

static void nf4_decode_block(const kernel_weight *w, int o, int block, int n, float *out)
{
    size_t n_blocks = (size_t)(w->n_in / 64);
    const uint8_t *codes = w->data + ((size_t)(o / KERNEL_PANEL) * n_blocks + (size_t)block) * 512 +
                           (size_t)(o % KERNEL_PANEL) * 4;
    float absmax = nf4_absmax_of(w, o, block);
    for (int k = 0; k < n; k++) {
        uint8_t pair = codes[k / 8 * 64 + k % 4];
        out[k] = w->code_map[k % 8 < 4 ? pair & 15 : pair >> 4] * absmax;
    }
}

void weight_decode_span(const kernel_weight *w, int o, int first, int n, float *out)
{
    if (w->type == DTYPE_NF4) {
        for (int k = 0; k < n; k += 64)
            nf4_decode_block(w, o, (first + k) / 64, n - k < 64 ? n - k : 64, out + k);
        return;
    }
    const dtype_info *info = dtype_get(w->type);
    size_t block_values = (size_t)info->block_values, block_bytes = (size_t)info->block_bytes;
    size_t row_bytes = (size_t)w->n_in / block_values * block_bytes;
    const uint8_t *from =
        w->data + (size_t)o * row_bytes + (size_t)first / block_values * block_bytes;
    quant_get(w->type)->decode_row(from, out, (size_t)n);
}

static void store_value(const kernel_panels *out, int length, int panel, int lane, int o,
                        float value)
{
    size_t panel_at = (size_t)panel * (size_t)length * KERNEL_PANEL;
    if (out->compute == SLANT_COMPUTE_BF16) {
        size_t at = panel_at + (size_t)(o / 2 * KERNEL_PANEL * 2 + lane * 2 + o % 2);
        ((uint16_t *)out->data)[at] = bf16_from_f32(value);
    } else {
        ((float *)out->data)[panel_at + (size_t)(o * KERNEL_PANEL + lane)] = value;
    }
}

/* --- INT8, see gradients_internal.h -------------------------------------------------------------
 */

static int nf4_code_of(const kernel_weight *w, int o, int k)
{
    const uint8_t *codes =
        w->data + ((size_t)(o / KERNEL_PANEL) * (size_t)(w->n_in / 64) + (size_t)(k / 64)) * 512;
    uint8_t pair = codes[k % 64 / 8 * 64 + o % KERNEL_PANEL * 4 + k % 4];
    return k % 8 < 4 ? pair & 15 : pair >> 4;
}

/* The largest |absmax| of outputs first … first + 63 for input k. */
static float largest_absmax(const kernel_weight *w, int first, int k)
{
    float largest = 0;
    for (int o = first; o < first + ROTATION_BLOCK && o < w->n_out; o++)
        largest = fmaxf(largest, fabsf(nf4_absmax_of(w, o, k / 64)));
    return largest;
}

/* values [64]: outputs first … of input k against largest. */
static void integers_of(const kernel_weight *w, int first, int k, float largest, float code_max,
                        int *values)
{
    float inverse = largest < LEAST_ABSMAX ? 0.0f : NF4_CODE_ONE / (largest * code_max);
    for (int o = first; o < first + ROTATION_BLOCK; o++)
        values[o - first] = o < w->n_out ? (int)rintf(w->code_map[nf4_code_of(w, o, k)] *
                                                      (nf4_absmax_of(w, o, k / 64) * inverse))
                                         : 0;
}

static int rotate_integers(int *values)
{
    int largest = 0;
    for (int stride = 1; stride < ROTATION_BLOCK; stride *= 2)
        for (int i = 0; i < ROTATION_BLOCK; i++)
            if (!(i & stride)) {
                int a = values[i], b = values[i + stride];
                values[i] = a + b;
                values[i + stride] = a - b;
            }
    for (int i = 0; i < ROTATION_BLOCK; i++)
        largest = abs(values[i]) > largest ? abs(values[i]) : largest;
    return largest;
}

/* One group of outputs of input k, to the bytes at panel[…][lane]. */
static float int8_group(const kernel_weight *w, int first, int n, int k, float code_max, int lane,
                        int8_t *panel)
{
    int values[KERNEL_GROUP_MAX];
    float absmax[KERNEL_GROUP_MAX / ROTATION_BLOCK], largest = 0;
    for (int i = 0; i < n; i += ROTATION_BLOCK) {
        float *own = &absmax[i / ROTATION_BLOCK];
        *own = largest_absmax(w, first + i, k);
        integers_of(w, first + i, k, *own, code_max, values + i);
        float sum = fmaxf((float)rotate_integers(values + i), NF4_CODE_ONE);
        largest = fmaxf(largest, sum * *own);
    }
    float inverse = largest < LEAST_ABSMAX ? 0.0f : NF4_RATIO_ONE / largest;
    for (int i = 0; i < n; i++) {
        int ratio = (int)rintf(absmax[i / ROTATION_BLOCK] * inverse);
        panel[i / 4 * 4 * KERNEL_PANEL + lane * 4 + i % 4] =
            (int8_t)((values[i] * ratio + (1 << 14)) >> 15);
    }
    return largest * (code_max / (127.0f * NF4_CODE_ONE * ROTATION_BLOCK));
}

static void expand_int8(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                        const input_range *r)
{
    float code_max = 0;
    for (int c = 0; c < 16; c++)
        code_max = fmaxf(code_max, fabsf(w->code_map[c]));
    for (int i = 0; i < n_panels * KERNEL_PANEL * r->n_groups; i++) {
        int group = i % r->n_groups, column = i / r->n_groups;
        int panel = column / KERNEL_PANEL, lane = column % KERNEL_PANEL;
        int k = first_panel * KERNEL_PANEL + column, n = range_group_length(r, group);
        int first = r->first + group * r->group;
        size_t at = ((size_t)panel * (size_t)r->length + (size_t)(group * r->group)) * KERNEL_PANEL;
        float *scale = &out->scales[(panel * r->n_groups + group) * KERNEL_PANEL + lane];
        if (k >= w->n_in)
            *scale = 0;
        else
            *scale = int8_group(w, first, n, k, code_max, lane, (int8_t *)out->data + at);
    }
}

static void zero_dropped(const dropout_bits *dropped, int o, int first, int end, float *span)
{
    const uint16_t *row = dropped->rows + (size_t)o * dropped->stride;
    for (int k = first; k < end; k++)
        if (row[k / 16] >> k % 16 & 1)
            span[k - first] = 0;
}

void expand_transposed_scalar(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                              int n_panels, kernel_panels *out, void *scratch)
{
    out->n_in = w->n_out;
    out->n_panels = n_panels;
    input_range r = panels_range(out);
    int first = first_panel * KERNEL_PANEL, aligned = first / 64 * 64;
    int end = first + n_panels * KERNEL_PANEL < w->n_in ? first + n_panels * KERNEL_PANEL : w->n_in;
    int read_end = (end + 63) / 64 * 64 < w->n_in ? (end + 63) / 64 * 64 : w->n_in;
    float *span = scratch;
    memset(out->data, 0, kernel_panel_bytes(out->compute, r.length, n_panels));
    if (out->compute == SLANT_COMPUTE_INT8) {
        expand_int8(w, first_panel, n_panels, out, &r);
        return;
    }
    for (int o = 0; o < r.length && r.first + o < w->n_out; o++) {
        weight_decode_span(w, r.first + o, aligned, read_end - aligned, span);
        if (dropped != NULL)
            zero_dropped(dropped, r.first + o, aligned, read_end, span);
        for (int k = first; k < end; k++)
            store_value(out, r.length, (k - first) / KERNEL_PANEL, k % KERNEL_PANEL, o,
                        span[k - aligned]);
    }
}

size_t gradient_scratch_bytes(int n_panels)
{
    return ((size_t)n_panels * KERNEL_PANEL + 128) * 2 * sizeof(float);
}
