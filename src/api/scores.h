/* From logits to scores, as the text-classification pipeline makes them. */
#ifndef SLANT_API_SCORES_H
#define SLANT_API_SCORES_H

#include "model/config.h"

/* What DEFAULT comes to for a model, as transformers decides. */
slant_function scores_function(slant_function asked, const model_config *config);

/* logits [n_labels] become scores in place; temperature divides the logits of a softmax. */
void scores_apply(slant_function function, float temperature, float *logits, int n_labels);

/* Index of the highest, the lowest index on a tie. */
int scores_best(const float *scores, int n_labels);

#endif
