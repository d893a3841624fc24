#include "api/compute.h"

/* AUTO keeps an article's probabilities within 0.03 of fp32: with the default model int8 moves none
 * of 1,000 real articles by more than 0.027, int16 none by more than 0.006 (docs/SPEED.md). */
slant_compute compute_choose(slant_compute asked, const kernel_table *kernels)
{
    return asked == SLANT_COMPUTE_AUTO ? kernels->auto_compute : asked;
}

const char *slant_compute_name(slant_compute compute)
{
    return kernel_compute_name(compute);
}
