/* The digest of a base: which tensors it has, byte for byte (docs/FORMATS.md). */
#ifndef SLANT_MODEL_DIGEST_H
#define SLANT_MODEL_DIGEST_H

#include "model/source.h"

/* Over the tensors of the first n_layers layers. Reads all of them. */
slant_status digest_base(const source *s, int n_layers, char out[FILE_DIGEST_CHARS],
                         slant_error *err);

#endif
