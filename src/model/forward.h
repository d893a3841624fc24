/* The forward pass of a packed batch of articles, from ids to logits. */
#ifndef SLANT_MODEL_FORWARD_H
#define SLANT_MODEL_FORWARD_H

#include "model/pass.h"

/* ids [n_tokens]: n_sequences sequences end to end without padding, sequence s being
 * ids[bounds[s]] … ids[bounds[s + 1]]; bounds [n_sequences + 1]. Each sequence has its own
 * positions from 0 and sees only itself. pooled [n_sequences]: which token of the sequence is
 * pooled (transformers: the rightmost that is not pad_token_id, else 0). logits
 * [n_sequences][n_labels]. Allocates nothing. */
slant_status forward(const model *m, workspace *w, const int32_t *ids, const int *bounds,
                     int n_sequences, const int *pooled, float *logits, slant_error *err);

/* The same with some of the work kept from pass to pass; below NULL: none. */
slant_status forward_kept(const model *m, workspace *w, const int32_t *ids, const int *bounds,
                          int n_sequences, const int *pooled, const kept_hidden *below,
                          float *logits, slant_error *err);

/* The rows of hidden from their ids, or as they were kept; *first: the layer that they enter. */
slant_status forward_start(pass *p, int *first);
/* Before each layer: fills in what is to be kept there. */
void forward_keep(pass *p, int at);

#endif
