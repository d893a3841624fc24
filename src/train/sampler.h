/* The order in which an epoch meets its articles: the Trainer's own for the same seed. */
#ifndef SLANT_TRAIN_SAMPLER_H
#define SLANT_TRAIN_SAMPLER_H

#include "base/status.h"

typedef enum sampling_strategy {
    SAMPLING_RANDOM,
    SAMPLING_SEQUENTIAL,
    SAMPLING_GROUP_BY_LENGTH
} sampling_strategy;

typedef struct sampler {
    sampling_strategy strategy;
    uint64_t seed; /* data_seed, else seed */
    int n_samples;
    const int *lengths;  /* [n_samples] in ids; GROUP_BY_LENGTH only */
    int grouped_samples; /* batch size × accumulation; GROUP_BY_LENGTH only */
} sampler;

/* order [n_samples] of epoch e, counted from 0. SLANT_ERR_MEMORY only. */
slant_status sampler_order(const sampler *s, int epoch, int *order, slant_error *err);

#endif
