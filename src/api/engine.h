/* The engine behind slant.h: a model, the kernels that run it, and the facts about both. */
#ifndef SLANT_API_ENGINE_H
#define SLANT_API_ENGINE_H

#include "model/model.h"

/* What is packed into one pass. More tokens would not make the products faster; fewer would expand
 * the weights more often. */
enum { PASS_TOKENS = 2048, PASS_SEQUENCES = 512 };

struct slant_engine {
    model *m;
    const kernel_table *kernels;
    slant_compute compute;
    slant_engine_info info;
};

#endif
