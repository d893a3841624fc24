#include "api/compute.h"

/* AUTO keeps every article's probabilities within 0.03 of fp32: with the default model bf16 moves
 * none of 500 real articles by more than 0.013, int8 (its first layers in bf16 or INT16) none of
 * 200 by more than 0.023. */
slant_compute compute_choose(slant_compute asked, const kernel_table *kernels)
{
    if (asked != SLANT_COMPUTE_AUTO)
        return asked;
    if (kernels->int8_is_fast)
        return SLANT_COMPUTE_INT8;
    return kernels->bf16_is_fast ? SLANT_COMPUTE_BF16 : SLANT_COMPUTE_F32;
}

const char *slant_compute_name(slant_compute compute)
{
    return kernel_compute_name(compute);
}
