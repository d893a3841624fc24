/* The .slant file's own names (docs/FORMATS.md), and writing one. */
#ifndef SLANT_MODEL_SLANT_FILE_H
#define SLANT_MODEL_SLANT_FILE_H

#include "model/merge.h"

#define SLANT_FILE_VERSION "1"
#define SLANT_FILE_ALIGNMENT 64

/* Metadata. */
#define SLANT_FILE_VERSION_KEY "slant.version"
#define SLANT_FILE_CONFIG_KEY "slant.config"
#define SLANT_FILE_DIGEST_KEY "slant.base_digest"
#define SLANT_FILE_SOURCE_KEY "slant.source"
#define SLANT_FILE_SIDECAR_KEY "slant.json"  /* of a merged model: what its adapter remembered */
#define SLANT_FILE_TYPE_PREFIX "slant.type." /* + tensor name: its block type */

/* Tensors beside the Hugging Face names. */
#define SLANT_FILE_TOKENIZER "slant.tokenizer"
#define SLANT_FILE_ROPE_FACTORS "slant.rope_factors"

/* Writes an open model, its adapter left out. Written whole or not at all. */
slant_status slant_file_write(const model *m, const char *path, slant_error *err);
/* Writes it with its adapter merged into the weights: g of form BF16 or NF4_PANELS; remembered: a
 * slant.json, or NULL. */
slant_status slant_file_write_merged(const model *m, merger *g, const char *remembered,
                                     const char *path, slant_error *err);

#endif
