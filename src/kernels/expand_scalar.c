/* The reference for expanding weights into panels. Order of a panel, which every instruction set
 * but the ones that say otherwise shares: F32   [n_in][16]         input, output BF16  [n_in /
 * 2][16][2]  pairs of inputs side by side INT8  [n_in / 4][16][4]  four inputs side by side Inputs
 * are padded with zeros to kernel_padded(n_in), outputs beyond n_out are zero. */
#include "kernels/internal.h"
#include "quant/quant.h"

#include <math.h>

/* Where input k of output o lies in a panel whose inputs come `side` at a time. */
static size_t panel_index(int o, int k, int side)
{
    return (size_t)(k / side) * (size_t)(KERNEL_PANEL * side) + (size_t)(o * side + k % side);
}

static float nf4_block_absmax(const kernel_weight *w, int panel, int o, int block)
{
    int n_blocks = w->n_in / KERNEL_K_ALIGN;
    size_t at = ((size_t)panel * (size_t)n_blocks + (size_t)block) * KERNEL_PANEL + (size_t)o;
    size_t row = (size_t)panel * KERNEL_PANEL + (size_t)o;
    if (row >= (size_t)w->n_out)
        return 0.0f;
    if (w->absmax)
        return w->absmax[at];
    size_t flat = row * (size_t)n_blocks + (size_t)block;
    float nested = w->nested_map[w->absmax_codes[at]] * w->nested_absmax[flat / 256];
    return nested + w->nested_offset;
}

static int nf4_code(const kernel_weight *w, int panel, int o, int k)
{
    size_t block = (size_t)panel * (size_t)(w->n_in / 64) + (size_t)(k / 64);
    uint8_t pair = w->data[block * 512 + (size_t)(k % 64 / 8 * 64 + 4 * o + k % 4)];
    return k % 8 < 4 ? pair & 15 : pair >> 4;
}

static float largest_code(const float *code_map)
{
    float largest = 0;
    for (int c = 0; c < 16; c++)
        largest = fmaxf(largest, fabsf(code_map[c]));
    return largest;
}

/* One output's group of NF4 blocks in int8: see NF4_CODE_ONE. */
static void nf4_group_int8(const kernel_weight *w, int panel, int o, int first, int n,
                           float code_max, int8_t *data, float *scale)
{
    float absmax = 0;
    for (int k = first; k < first + n; k += 64)
        absmax = fmaxf(absmax, fabsf(nf4_block_absmax(w, panel, o, k / 64)));
    float inverse = absmax < INT8_LEAST_ABSMAX ? 0.0f : NF4_RATIO_ONE / absmax;
    for (int k = first; k < first + n; k++) {
        int ratio = (int)rintf(nf4_block_absmax(w, panel, o, k / 64) * inverse);
        int code = (int)rintf(w->code_map[nf4_code(w, panel, o, k)] * (NF4_CODE_ONE / code_max));
        data[panel_index(o, k, 4)] = (int8_t)((code * ratio + (1 << 14)) >> 15);
    }
    *scale = absmax * (code_max / 127.0f);
}

static void row_group_int8(const float *row, int o, int first, int n, int8_t *data, float *scale)
{
    float absmax = 0;
    for (int k = first; k < first + n; k++)
        absmax = fmaxf(absmax, fabsf(row[k]));
    float inverse = absmax < INT8_LEAST_ABSMAX ? 0.0f : 127.0f / absmax;
    for (int k = first; k < first + n; k++)
        data[panel_index(o, k, 4)] = (int8_t)rintf(row[k] * inverse);
    *scale = absmax / 127.0f;
}

static void store_float_row(const float *row, int o, const kernel_panels *out, size_t panel_at)
{
    int padded = kernel_padded(out->n_in);
    if (out->compute == SLANT_COMPUTE_BF16) {
        uint16_t *data = (uint16_t *)out->data + panel_at;
        for (int k = 0; k < padded; k++)
            data[panel_index(o, k, 2)] = bf16_from_f32(row[k]);
    } else {
        float *data = (float *)out->data + panel_at;
        for (int k = 0; k < padded; k++)
            data[panel_index(o, k, 1)] = row[k];
    }
}

/* Output o of the panel in fp32: row [kernel_padded(n_in)], zeros where the matrix has nothing. */
static void decode_output(const kernel_weight *w, int panel, int o, float *row)
{
    size_t output = (size_t)panel * KERNEL_PANEL + (size_t)o;
    int n = output < (size_t)w->n_out ? w->n_in : 0;
    if (n > 0 && w->type == DTYPE_NF4) {
        for (int k = 0; k < n; k++)
            row[k] = w->code_map[nf4_code(w, panel, o, k)] * nf4_block_absmax(w, panel, o, k / 64);
    } else if (n > 0) {
        const dtype_info *info = dtype_get(w->type);
        size_t row_bytes = (size_t)(n / info->block_values) * (size_t)info->block_bytes;
        quant_get(w->type)->decode_row(w->data + output * row_bytes, row, (size_t)n);
    }
    for (int k = n; k < kernel_padded(w->n_in); k++)
        row[k] = 0.0f;
}

static void expand_output(const kernel_weight *w, int panel, int o, kernel_panels *out, int slot,
                          float *row)
{
    int padded = kernel_padded(w->n_in), group = kernel_group(w->n_in);
    int n_groups = kernel_n_groups(w->n_in);
    bool is_nf4 = w->type == DTYPE_NF4;
    size_t panel_at = (size_t)slot * (size_t)padded * KERNEL_PANEL;
    if (out->compute != SLANT_COMPUTE_INT8 || !is_nf4)
        decode_output(w, panel, o, row);
    if (out->compute != SLANT_COMPUTE_INT8) {
        store_float_row(row, o, out, panel_at);
        return;
    }
    int8_t *data = (int8_t *)out->data + panel_at;
    float *scales = out->scales + (size_t)slot * (size_t)n_groups * KERNEL_PANEL + o;
    float code_max = is_nf4 ? largest_code(w->code_map) : 0.0f;
    for (int g = 0; g < n_groups; g++) {
        int first = g * group, n = padded - first < group ? padded - first : group;
        if (is_nf4)
            nf4_group_int8(w, panel, o, first, n, code_max, data, scales + g * KERNEL_PANEL);
        else
            row_group_int8(row, o, first, n, data, scales + g * KERNEL_PANEL);
    }
}

void expand_scalar(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                   void *scratch)
{
    out->n_in = w->n_in;
    out->n_panels = n_panels;
    for (int p = 0; p < n_panels; p++)
        for (int o = 0; o < KERNEL_PANEL; o++)
            expand_output(w, first_panel + p, o, out, p, scratch);
}
