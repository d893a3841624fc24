/* README.md of an adapter: what it is, how it was made, how well it does and what it is not. */
#ifndef SLANT_TRAIN_CARD_H
#define SLANT_TRAIN_CARD_H

#include "train/trainer.h"

void card_write(const trainer *t, buf *out);

#endif
