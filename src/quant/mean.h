/* The fp32 mean as PyTorch takes it on a CPU. */
#ifndef SLANT_QUANT_MEAN_H
#define SLANT_QUANT_MEAN_H

#include <stdint.h>

/* values [n_values], n_values > 0. */
float mean_as_torch(const float *values, int64_t n_values);

#endif
