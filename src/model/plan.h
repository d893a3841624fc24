/* One allocation for everything: buffers are laid out in two rounds of the same code, the first to
 * add up the sizes and the second to hand out the pieces. */
#ifndef SLANT_MODEL_PLAN_H
#define SLANT_MODEL_PLAN_H

#include "kernels/kernels.h"

#include <stdbool.h>

typedef struct planner {
    uint8_t *base; /* NULL in the first round */
    size_t used;
    bool overflow;
} planner;

/* The next piece, aligned to 64 bytes; NULL in the first round. */
void *plan_piece(planner *p, size_t n_items, size_t item_bytes);
void plan_acts(planner *p, acts *x, slant_compute compute, int n_tokens, int n_in);

/* The larger of two needs for one piece. */
static inline size_t plan_larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* n_out rounded up to whole panels. */
size_t plan_to_panel(size_t n_out);

#endif
