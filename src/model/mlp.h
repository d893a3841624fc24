/* The SwiGLU block of one layer. */
#ifndef SLANT_MODEL_MLP_H
#define SLANT_MODEL_MLP_H

#include "model/pass.h"

/* Bytes of one thread's panels of gate and up, and of the columns that they give. */
size_t mlp_panel_bytes(const workspace *w, const model *m);
size_t mlp_columns_bytes(const model *m);

/* hidden += down(silu(gate(norm(hidden))) · up(norm(hidden))) for the rows that are alive. */
void mlp_forward(pass *p, const layer *l);

/* What mlp_forward leaves on the tape, without the way back to hidden. */
void mlp_recompute(pass *p, const layer *l);

/* Its derivative: the tape's d_hidden, of what mlp_forward left, becomes that of what it found; the
 * gradients of the layer's adapters are added to. */
void mlp_backward(pass *p, const layer *l);

#endif
