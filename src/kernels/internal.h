/* What the kernel files share with each other and with nobody else. */
#ifndef SLANT_KERNELS_INTERNAL_H
#define SLANT_KERNELS_INTERNAL_H

#include "kernels/kernels.h"

#include <stdalign.h>

/* Keys per step of the online softmax. Tile i holds positions 64·i … 64·i + 63 whatever the call
 * covers, so that a query meets its keys in the same portions always. */
#define ATTENTION_TILE 64
#define ATTENTION_MAX_HEAD_DIM 256
#define ATTENTION_BLOCK_BYTES (512 * 1024)

/* Where a running maximum starts: below every score, yet finite, so that a tile with no visible key
 * changes nothing: exp(0) = 1 rescales by one. */
#define ATTENTION_LOWEST (-1e30f)

/* An NF4 weight in int8 is (code · ratio + 2¹⁴) >> 15, where code is the NF4 value times
 * NF4_CODE_ONE and ratio the block's absmax over the group's times NF4_RATIO_ONE: integers, so that
 * every instruction set finds the same byte. 127 · 16 · 2048 = 127 · 2¹⁵. */
#define NF4_CODE_ONE (127.0f * 16)
#define NF4_RATIO_ONE 2048.0f

/* Below this an int8 group counts as zero: 127 / absmax must stay finite. */
#define INT8_LEAST_ABSMAX 1e-30f

/* The inputs that some panels hold, in whole groups; length is padded. */
typedef struct input_range {
    int first_group, n_groups; /* of the row's groups */
    int group;                 /* inputs per group but the last */
    int first, length;         /* inputs */
} input_range;

static inline input_range panels_range(const kernel_panels *p)
{
    int all = kernel_n_groups(p->n_in), group = kernel_group(p->n_in);
    input_range r = {.first_group = p->first_group,
                     .n_groups = p->n_groups > 0 ? p->n_groups : all,
                     .group = group,
                     .first = p->first_group * group};
    int end = (r.first_group + r.n_groups) * group, padded = kernel_padded(p->n_in);
    r.length = (end < padded ? end : padded) - r.first;
    return r;
}

/* Inputs of group g of the range, counted from the range's start. */
static inline int range_group_length(const input_range *r, int g)
{
    int left = r->length - g * r->group;
    return left < r->group ? left : r->group;
}

size_t kernel_panel_bytes(slant_compute compute, int n_in, int n_panels);

#endif
