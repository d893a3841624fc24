/* The memory of a forward pass, planned once from the shape. */
#ifndef SLANT_MODEL_WORKSPACE_H
#define SLANT_MODEL_WORKSPACE_H

#include "model/model.h"

typedef struct workspace workspace;

/* For passes of at most max_tokens packed tokens, articles of at most max_sequence tokens. */
slant_status workspace_open(const model *m, const kernel_table *kernels, slant_compute compute,
                            int n_threads, int max_tokens, int max_sequence, workspace **out,
                            slant_error *err);
void workspace_close(workspace *w);
size_t workspace_bytes(const workspace *w);

#endif
