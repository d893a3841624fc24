/* Self-attention of one layer: q, k and v, rotation, causal attention, and the way back. */
#ifndef SLANT_MODEL_ATTENTION_H
#define SLANT_MODEL_ATTENTION_H

#include "model/pass.h"

/* p->workspace->hidden += o_proj(attention(norm(hidden))) for the rows that the pass still follows.
 * Where the layer is the last, pass_keep_pooled is called in between: keys and values are needed of
 * all tokens, everything else of the pooled ones alone. */
void attention_forward(pass *p, const layer *l, int window, bool is_last);

#endif
