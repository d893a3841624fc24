/* The classification head. */
#ifndef SLANT_MODEL_HEAD_H
#define SLANT_MODEL_HEAD_H

#include "model/pass.h"

/* Which token of a sequence is pooled, as transformers chooses: the rightmost whose id is not
 * pad_token_id; 0 where all are; the last where pad_token_id is negative (none). */
int head_pooled(const int32_t *ids, int n_ids, int64_t pad_token_id);

/* logits [n_sequences][n_labels] = score · norm(hidden) of the pooled rows. */
void head_forward(pass *p, float *logits);

/* Its derivative, right after head_forward: the score's gradient is added to, the tape's d_hidden
 * becomes that of the pooled rows. d_logits [n_sequences][n_labels]. */
void head_backward(pass *p, const float *d_logits);

#endif
