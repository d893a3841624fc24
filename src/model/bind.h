/* Every tensor of a source to its place in a model. */
#ifndef SLANT_MODEL_BIND_H
#define SLANT_MODEL_BIND_H

#include "model/files.h"
#include "model/model.h"

/* Fills layers, norms, embedding and (where the source has one) score of m, whose config is the
 * source's with n_layers cut to those that are kept. *n_scores: the rows of score; 0: none. */
slant_status bind_base(model *m, slant_dtype wanted, int n_threads, int *n_scores,
                       slant_error *err);

/* Outputs and inputs of a linear layer. */
void bind_linear_shape(const model_config *c, int which, int *n_out, int *n_in);

/* "model.layers.3.self_attn.q_proj" into name, which it returns. */
#define BIND_NAME_CHARS 96
const char *bind_module_name(int at, int which, char name[BIND_NAME_CHARS]);

#endif
