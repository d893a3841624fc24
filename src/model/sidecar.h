/* slant.json beside an adapter, or in a model that one was merged into: what slant remembers of its
 * training (docs/FORMATS.md). Every member is optional, and the file too. */
#ifndef SLANT_MODEL_SIDECAR_H
#define SLANT_MODEL_SIDECAR_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"

typedef struct sidecar {
    bool is_there;
    const char **labels; /* [n_labels] */
    int n_labels;        /* 0: none */
    int max_length;      /* 0: none */
    slant_truncation truncation;
    const char *title_field;
    float temperature; /* 0: none */
    const char *base_digest, *tokenizer_digest;
} sidecar;

slant_status sidecar_from_json(sidecar *out, const char *json, size_t json_bytes, const char *file,
                               arena *a, slant_error *err);
/* dir/slant.json; all zero where it is not there. */
slant_status sidecar_read(sidecar *out, const char *dir, arena *a, slant_error *err);
/* The slant.json of a model that the adapter in dir was merged into: the adapter's own, but that
 * what it says of its base (digest: the base's, where the adapter's is silent; NULL: unknown) is
 * kept as a record and no longer checked, and that labels and tokenizer are the model's. */
slant_status sidecar_merged(const char *dir, const char *digest, buf *out, slant_error *err);

#endif
