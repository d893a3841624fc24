/* A PEFT adapter put over a model: LoRA beside the linear layers, its score head, and what else it
 * replaces. */
#ifndef SLANT_MODEL_ADAPTER_H
#define SLANT_MODEL_ADAPTER_H

#include "base/buf.h"
#include "model/files.h"
#include "model/model.h"
#include "model/sidecar.h"

/* Opens name (a path or a hub name) with the choice of a checkpoint and binds it to m, whose base
 * is complete but for its labels. n_base_scores: rows of the base's own head; 0: it has none. On
 * success m->score has *n_scores rows, the adapter's where it brings them. sidecar: its slant.json.
 */
slant_status adapter_open(model *m, const char *name, const char *checkpoint, int n_base_scores,
                          int *n_scores, sidecar *side, buf *notes, slant_error *err);

#endif
