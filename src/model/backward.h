/* A training pass: forward with a tape, and backward from the logits' derivative. */
#ifndef SLANT_MODEL_BACKWARD_H
#define SLANT_MODEL_BACKWARD_H

#include "model/tape.h"

/* A packed batch, as forward.h describes it. Everything is borrowed until backward returns. */
typedef struct train_batch {
    const int32_t *ids;      /* [n_tokens] */
    const int *bounds;       /* [n_sequences + 1] */
    const int *pooled;       /* [n_sequences] */
    const uint32_t *samples; /* [n_sequences]: the articles' numbers in the run, for dropout */
    int n_sequences;
} train_batch;

/* As forward, with dropout, leaving on the tape what backward needs. Allocates nothing. */
slant_status forward_record(tape *t, const train_batch *batch, float *logits, slant_error *err);

/* The same with the layers below the lowest adapted one, and no others, kept from pass to pass. */
slant_status forward_record_kept(tape *t, const train_batch *batch, const kept_hidden *below,
                                 float *logits, slant_error *err);

/* Adds to the tape's gradients those of Σ d_logits · logits, for the batch that was recorded last.
 * d_logits [n_sequences][n_labels]. Goes down to the lowest adapted module and no further. */
void backward(tape *t, const float *d_logits);

#endif
