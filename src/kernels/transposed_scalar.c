/* The reference for panels of a transposed weight. Panel p of wᵀ holds 16 inputs of w, each over
 * all outputs of w, in the order that expand_scalar.c describes. */
#include "kernels/gradients_internal.h"
#include "quant/quant.h"

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
