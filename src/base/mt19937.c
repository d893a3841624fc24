#include "base/mt19937.h"

enum { MIDDLE = 397 };

void mt19937_seed(mt19937 *g, uint32_t seed)
{
    g->state[0] = seed;
    for (uint32_t i = 1; i < MT19937_WORDS; i++) {
        uint32_t before = g->state[i - 1];
        g->state[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    g->next = MT19937_WORDS;
}

static void renew(mt19937 *g)
{
    for (int i = 0; i < MT19937_WORDS; i++) {
        uint32_t y =
            (g->state[i] & 0x80000000u) | (g->state[(i + 1) % MT19937_WORDS] & 0x7FFFFFFFu);
        uint32_t twisted = y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
        g->state[i] = g->state[(i + MIDDLE) % MT19937_WORDS] ^ twisted;
    }
    g->next = 0;
}

uint32_t mt19937_next(mt19937 *g)
{
    if (g->next == MT19937_WORDS)
        renew(g);
    uint32_t y = g->state[g->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}
