/* The reference for expanding weights into panels. Order of a panel, which every instruction set
 * but the ones that say otherwise shares:
 *
 *     F32          [n_in][16]         input, output
 *     BF16, INT16  [n_in / 2][16][2]  pairs of inputs side by side
 *     INT8         [n_in / 4][16][4]  four inputs side by side
 *
 * Inputs are padded with zeros to kernel_padded(n_in), outputs beyond n_out are zero. */
#include "kernels/tables.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>

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

/* sums [64]: a block's values of output o, rotated, in integers. Gives the largest |sum|. */
static int nf4_rotated_block(const kernel_weight *w, int panel, int o, int first, float code_max,
                             int *sums)
{
    for (int k = 0; k < ROTATION_BLOCK; k++)
        sums[k] =
            (int)rintf(w->code_map[nf4_code(w, panel, o, first + k)] * (NF4_CODE_ONE / code_max));
    for (int stride = 1; stride < ROTATION_BLOCK; stride *= 2)
        for (int k = 0; k < ROTATION_BLOCK; k++)
            if (!(k & stride)) {
                int a = sums[k], b = sums[k + stride];
                sums[k] = a + b;
                sums[k + stride] = a - b;
            }
    int largest = 0;
    for (int k = 0; k < ROTATION_BLOCK; k++)
        largest = abs(sums[k]) > largest ? abs(sums[k]) : largest;
    return largest;
}

/* What differs between INT8 and INT16. */
typedef struct scaled_kind {
    float w_max, ratio_one, least_sum;
    int side; /* inputs side by side in a panel */
} scaled_kind;

static scaled_kind kind_of(slant_compute compute)
{
    return compute == SLANT_COMPUTE_INT8
               ? (scaled_kind){127.0f, NF4_RATIO_ONE, NF4_CODE_ONE, 4}
               : (scaled_kind){INT16_W_MAX, INT16_RATIO_ONE, INT16_LEAST_SUM, 2};
}

static void store_scaled(void *data, const scaled_kind *kind, int o, int k, int value)
{
    size_t at = panel_index(o, k, kind->side);
    if (kind->side == 4)
        ((int8_t *)data)[at] = (int8_t)value;
    else
        ((int16_t *)data)[at] = (int16_t)value;
}

/* One output's group of NF4 blocks: see NF4_CODE_ONE. */
static void nf4_group(const kernel_weight *w, int panel, int o, int first, int n, float code_max,
                      const scaled_kind *kind, void *data, float *scale)
{
    int sums[KERNEL_GROUP_MAX];
    float largest = 0;
    for (int k = 0; k < n; k += ROTATION_BLOCK) {
        int sum = nf4_rotated_block(w, panel, o, first + k, code_max, sums + k);
        float absmax = fabsf(nf4_block_absmax(w, panel, o, (first + k) / ROTATION_BLOCK));
        largest = fmaxf(largest, fmaxf((float)sum, kind->least_sum) * absmax);
    }
    float inverse = largest < LEAST_ABSMAX ? 0.0f : kind->ratio_one / largest;
    for (int k = 0; k < n; k++) {
        float absmax = nf4_block_absmax(w, panel, o, (first + k) / ROTATION_BLOCK);
        int ratio = (int)rintf(absmax * inverse);
        store_scaled(data, kind, o, k, (sums[k] * ratio + (1 << 14)) >> 15);
    }
    *scale = largest * (code_max / (kind->w_max * NF4_CODE_ONE * ROTATION_BLOCK));
}

/* values [n]: one output's group, which is rotated in place. */
static void row_group(float *values, int o, int n, const scaled_kind *kind, void *data,
                      float *scale)
{
    float absmax = 0;
    for (int k = 0; k < n; k += ROTATION_BLOCK)
        rotate_block(values + k);
    for (int k = 0; k < n; k++)
        absmax = fmaxf(absmax, fabsf(values[k]));
    float inverse = absmax < LEAST_ABSMAX ? 0.0f : kind->w_max / absmax;
    for (int k = 0; k < n; k++)
        store_scaled(data, kind, o, k, (int)rintf(values[k] * inverse));
    *scale = absmax / kind->w_max / ROTATION_BLOCK;
}

static void store_float_row(const float *row, int o, int n, slant_compute compute, void *panel)
{
    if (compute == SLANT_COMPUTE_BF16) {
        uint16_t *data = panel;
        for (int k = 0; k < n; k++)
            data[panel_index(o, k, 2)] = bf16_from_f32(row[k]);
    } else {
        float *data = panel;
        for (int k = 0; k < n; k++)
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

static void expand_output_scaled(const kernel_weight *w, int panel, int o, const input_range *r,
                                 float *row, slant_compute compute, char *data, float *scales)
{
    bool is_nf4 = w->type == DTYPE_NF4;
    float code_max = is_nf4 ? largest_code(w->code_map) : 0.0f;
    scaled_kind kind = kind_of(compute);
    for (int g = 0; g < r->n_groups; g++) {
        int first = g * r->group, n = range_group_length(r, g);
        char *group = data + (size_t)(first * KERNEL_PANEL) * kernel_element_bytes(compute);
        float *scale = scales + g * KERNEL_PANEL + o;
        if (is_nf4)
            nf4_group(w, panel, o, r->first + first, n, code_max, &kind, group, scale);
        else
            row_group(row + r->first + first, o, n, &kind, group, scale);
    }
}

static void expand_output(const kernel_weight *w, int panel, int o, kernel_panels *out, int slot,
                          float *row)
{
    input_range r = panels_range(out);
    char *data = (char *)out->data + (size_t)slot * kernel_panel_bytes(out->compute, r.length, 1);
    if (!kernel_is_scaled(out->compute) || w->type != DTYPE_NF4)
        decode_output(w, panel, o, row);
    if (kernel_is_scaled(out->compute))
        expand_output_scaled(w, panel, o, &r, row, out->compute, data,
                             out->scales + slot * r.n_groups * KERNEL_PANEL);
    else
        store_float_row(row + r.first, o, r.length, out->compute, data);
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
