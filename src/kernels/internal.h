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

/* Both sides of an int8 product are rotated: each block of 64 inputs goes through an unnormalised
 * Hadamard transform H (x' = H x, w' = H w, so that x·w = x'·w' / 64; the weights' scales carry the
 * 1/64). One large value among 64, which would leave the other 63 few of the 127 steps, becomes 64
 * values of a like size (QuaRot, Ashkboos et al. 2024). On the default model this takes the largest
 * error of an article's probabilities from 0.13 to 0.02. */
#define ROTATION_BLOCK 64

/* The transform in the one order of strides that gives every instruction set the same bits. */
static inline void rotate_block(float x[ROTATION_BLOCK])
{
    for (int stride = ROTATION_BLOCK / 2; stride > 0; stride /= 2)
        for (int i = 0; i < ROTATION_BLOCK; i++)
            if (!(i & stride)) {
                float a = x[i], b = x[i + stride];
                x[i] = a + b;
                x[i + stride] = a - b;
            }
}

/* NF4 weights are rotated as integers, so that every instruction set finds the same byte: values
 * are multiples of 1 / NF4_CODE_ONE of the largest, small enough that 64 of them fit 16 bits (of
 * all such numbers it is the one that comes nearest to NF4's values, within 0.04 % of the largest
 * in the root mean square). A rotated weight in int8 is (sum · ratio + 2¹⁴) >> 15, where ratio is
 * the block's absmax times NF4_RATIO_ONE over the largest |sum| · absmax of the group. A block's
 * largest |sum| counts as NF4_CODE_ONE at least, which it is wherever absmax is that of its
 * weights; so ratio fits 16 bits.
 */
#define NF4_CODE_ONE 503.0f
#define NF4_RATIO_ONE (127.0f * 32768)

/* Below this a group counts as zero: 127 / absmax must stay finite. */
#define LEAST_ABSMAX 1e-30f

/* The largest INT16 values: 256 products of the two stay below 2³¹. NF4 weights are made as for
 * INT8, with INT16_RATIO_ONE; there a block's largest |sum| counts as INT16_LEAST_SUM at least. */
#define INT16_X_MAX 4095.0f
#define INT16_W_MAX 2047.0f
#define INT16_RATIO_ONE (INT16_W_MAX * 32768)
#define INT16_LEAST_SUM 2048.0f

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
/* The same where INT8 weights are held as words. */
size_t kernel_panel_bytes_words(slant_compute compute, int n_in, int n_panels);

#endif
