/* Self-attention of one layer: q, k and v, rotation, causal attention, and the way back. */
#ifndef SLANT_MODEL_ATTENTION_H
#define SLANT_MODEL_ATTENTION_H

#include "model/pass.h"

/* p->workspace->hidden += o_proj(attention(norm(hidden))) for the rows that the pass still follows.
 * Where the layer is the last, pass_keep_pooled is called in between: keys and values are needed of
 * all tokens, everything else of the pooled ones alone. */
void attention_forward(pass *p, const layer *l, int window, bool is_last);

/* Turns the rows' queries (w->qkv from column 0) or keys by their positions, normalised by head
 * before where the layer has such norms. */
void attention_rotate_queries(pass *p, const layer *l);
void attention_rotate_keys(pass *p, const layer *l);

/* Its derivative: the tape's d_hidden, of what attention_forward left, becomes that of what it
 * found, for all tokens again where the layer is the last; the gradients of the layer's adapters
 * are added to. */
void attention_backward(pass *p, const layer *l, int window, bool is_last);

#endif
