/* Dynamic loss scaling by torch.amp.GradScaler's rules (Micikevicius et al. 2018). */
#ifndef SLANT_TRAIN_SCALER_H
#define SLANT_TRAIN_SCALER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct scaler {
    bool enabled;
    double scale;
    int64_t growth_tracker; /* steps without overflow since the scale last changed */
} scaler;

/* enabled: from 65536; else a scale of 1 that stays. */
scaler scaler_start(bool enabled);
/* After a step: where gradients were finite the scale doubles after 2,000 steps, else it halves. */
void scaler_update(scaler *s, bool found_inf);

#endif
