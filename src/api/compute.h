/* What --compute comes to on this CPU. */
#ifndef SLANT_API_COMPUTE_H
#define SLANT_API_COMPUTE_H

#include "kernels/kernels.h"

/* AUTO: the fastest of kernels that keeps the stated accuracy. */
slant_compute compute_choose(slant_compute asked, const kernel_table *kernels);

#endif
