/* The Mersenne Twister (Matsumoto & Nishimura 1998), as PyTorch's CPU generator draws 32 bits. */
#ifndef SLANT_BASE_MT19937_H
#define SLANT_BASE_MT19937_H

#include <stdint.h>

#define MT19937_WORDS 624

typedef struct mt19937 {
    uint32_t state[MT19937_WORDS];
    int next;
} mt19937;

void mt19937_seed(mt19937 *g, uint32_t seed);
uint32_t mt19937_next(mt19937 *g);

#endif
