/* Learning rate over the run, as transformers' schedulers give it, and how many steps a run has. */
#ifndef SLANT_TRAIN_SCHEDULE_H
#define SLANT_TRAIN_SCHEDULE_H

#include "base/status.h"

typedef enum schedule_kind {
    SCHEDULE_LINEAR,
    SCHEDULE_COSINE,
    SCHEDULE_CONSTANT, /* no warm-up */
    SCHEDULE_CONSTANT_WITH_WARMUP
} schedule_kind;

typedef struct schedule {
    schedule_kind kind;
    int64_t n_warmup, n_total;
} schedule;

/* What the learning rate is multiplied by for update k, counted from 0. */
double schedule_factor(const schedule *s, int64_t k);

/* warmup_steps as TrainingArguments has it: from 1 up a number of steps, below a share of all. */
int64_t schedule_warmup(double warmup_steps, int64_t n_total);

/* How the Trainer divides a run. */
typedef struct run_length {
    int64_t n_samples;
    int64_t batches_per_epoch; /* micro-batches */
    int64_t steps_per_epoch;
    int64_t n_steps;  /* of the whole run */
    int64_t n_epochs; /* begun */
} run_length;

/* max_steps > 0 overrides epochs. Of the last batch of an epoch what there is is taken, unless
 * drop_last. */
run_length schedule_length(int64_t n_samples, int64_t batch_size, int64_t accumulation,
                           double epochs, int64_t max_steps, bool drop_last);

#endif
