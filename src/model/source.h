/* Where a base's tensors come from: a Hugging Face directory, a bitsandbytes checkpoint, a GGUF or
 * a .slant file, all seen as one list of tensors under their Hugging Face names.
 *
 * Opening a source maps its files and reads their headers; the tensors' bytes stay where they are.
 * What every Llama checkpoint may hold and a classifier never reads (lm_head, rotary buffers,
 * GGUF's output, fillers) is left out of the list; everything else must be taken by somebody. */
#ifndef SLANT_MODEL_SOURCE_H
#define SLANT_MODEL_SOURCE_H

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/config.h"
#include "text/tokenizer.h"

typedef enum source_kind { SOURCE_HF, SOURCE_BNB, SOURCE_GGUF, SOURCE_SLANT } source_kind;

typedef struct source_tensor {
    const char *name; /* model.layers.0.mlp.up_proj.weight */
    tensor_view view; /* type and shape as Hugging Face would have them; the file's own bytes */
    int head_rows; /* GGUF's q and k: each run of so many rows is interleaved; 0: rows in order */
    bool taken;
} source_tensor;

typedef struct source {
    source_kind kind;
    const char *path;    /* as opened */
    const char *weights; /* the one file of weights, or the directory of a sharded set */
    file_map map;        /* of the one file; empty for a sharded set */
    safetensors *st;     /* NULL for a GGUF */
    gguf *g;
    model_config config;
    source_tensor *tensors; /* [n_tensors], by name */
    size_t n_tensors;
    arena memory;
} source;

/* path: a directory, a GGUF or a .slant. Ownership: source_close. */
slant_status source_open(const char *path, source **out, slant_error *err);
void source_close(source *s);

/* "hf", "bnb", "gguf", "slant". */
const char *source_kind_name(source_kind kind);

/* The tensor of that name, and marks it as taken; NULL: the source has none. */
const source_tensor *source_take(source *s, const char *name);
const source_tensor *source_find(const source *s, const char *name);
/* The file that holds t, for messages. */
const char *source_file_of(const source *s, const source_tensor *t);

/* An error where t has another shape; n_dims 1 ([n0]) or 2 ([n0, n1]). */
slant_status source_check_shape(const source *s, const source_tensor *t, int n_dims, int64_t n0,
                                int64_t n1, slant_error *err);
/* An error that names the first tensor that nobody took, those of layers from n_layers up to the
 * config's number left out. */
slant_status source_check_all_taken(const source *s, int n_layers, slant_error *err);

/* The layer that a tensor name belongs to; -1: none. */
int source_layer_of(const char *name);

/* A vector [n] or a matrix [n_rows][n] as fp32: in place where the file has it so, else decoded
 * into a. */
slant_status source_vector(source *s, const char *name, int n, arena *a, const float **out,
                           slant_error *err);
slant_status source_matrix(source *s, const char *name, int n_rows, int n, arena *a,
                           const float **out, slant_error *err);

/* A descriptor of the file that holds t's bytes, and where in it they begin. Ownership of *fd: the
 * caller's. */
slant_status source_locate(const source *s, const source_tensor *t, int *fd, uint64_t *offset,
                           slant_error *err);

/* The bytes were read for the last time: their pages need not stay resident. */
void source_forget(const void *bytes, size_t size_bytes);

/* The tokenizer that the source itself holds, or NULL: tokenizer.json of a directory, a GGUF's
 * metadata, a .slant's tables (used in place). */
slant_status source_tokenizer(const source *s, tokenizer **out, slant_error *err);

/* What the source says of its own digest; NULL: nothing. */
const char *source_digest_carried(const source *s);

/* For the files of this folder that open one kind each: they fill s->config and give the tensors to
 * source_add in any order. */
slant_status source_hf_open(source *s, slant_error *err);
slant_status source_gguf_open(source *s, slant_error *err);
slant_status source_slant_open(source *s, slant_error *err);
slant_status source_reserve(source *s, size_t n_tensors, slant_error *err);
source_tensor *source_add(source *s, const char *name, const tensor_view *view);
slant_status source_gguf_tokenizer(const source *s, tokenizer **out, slant_error *err);
slant_status source_slant_tokenizer(const source *s, tokenizer **out, slant_error *err);

#endif
