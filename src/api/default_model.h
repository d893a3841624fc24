/* Where the embedded default model lies. */
#ifndef SLANT_API_DEFAULT_MODEL_H
#define SLANT_API_DEFAULT_MODEL_H

#include "base/mem.h"
#include "base/status.h"

/* *model and *adapter (NULL: none), in memory of a. Looked for in this order: SLANT_MODEL (a model
 * as slant_engine_open takes it, or a folder like the default's), models/news-bias of a source tree
 * above the program, share/slant/models/news-bias of its installation. */
slant_status default_model_find(const char **model, const char **adapter, arena *a,
                                slant_error *err);

#endif
