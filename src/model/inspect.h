/* Models and adapters in words: the members of slant inspect's document (docs/FORMATS.md). */
#ifndef SLANT_MODEL_INSPECT_H
#define SLANT_MODEL_INSPECT_H

#include "model/document.h"
#include "model/files.h"
#include "model/model.h"

/* How a model would run on this machine. */
typedef struct inspect_here {
    const char *isa, *compute;
    int n_threads;
    size_t workspace_bytes; /* of one article of workspace_tokens */
    int workspace_tokens;
} inspect_here;

/* Whether path (as hub_resolve gives it) is an adapter, a checkpoint or a training output rather
 * than a base. */
slant_status inspect_is_adapter(const char *path, bool *is_adapter, slant_error *err);

/* Members about an open model, its adapter left out. */
void inspect_model(document *d, const model *m, const inspect_here *here);

/* Members about the adapter at path, a checkpoint chosen as for opening; nothing is bound. */
slant_status inspect_adapter(document *d, const char *path, const char *checkpoint,
                             slant_error *err);

/* One tensor as an item of a list. */
void inspect_tensor(document *d, const char *name, const tensor_view *view);

/* Bytes of the weights as they are held, the embedding left out. */
size_t inspect_weight_bytes(const model *m);

#endif
