/* The SwiGLU block of one layer. */
#ifndef SLANT_MODEL_MLP_H
#define SLANT_MODEL_MLP_H

#include "model/pass.h"

/* hidden += down(silu(gate(norm(hidden))) · up(norm(hidden))) for the rows that are alive. */
void mlp_forward(pass *p, const layer *l);

#endif
