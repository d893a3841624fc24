/* safetensors: reading (single or sharded) and writing. */
#ifndef SLANT_FORMATS_SAFETENSORS_H
#define SLANT_FORMATS_SAFETENSORS_H

#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/status.h"

typedef struct safetensors safetensors;

/* Opens and checks one file: header length, JSON, dtypes, shapes, offsets inside the file, in order
 * without holes or overlaps, sizes that fit shape × dtype, no name twice. */
slant_status safetensors_open(const char *path, safetensors **out, slant_error *err);
/* The shards that a model.safetensors.index.json names, as one set. Each tensor of weight_map must
 * be in the shard it names, and each tensor of a shard in weight_map. */
slant_status safetensors_open_index(const char *index_path, safetensors **out, slant_error *err);
/* The same over bytes in memory that outlive it (for tests and fuzzing). */
slant_status safetensors_open_memory(const uint8_t *data, size_t size_bytes, const char *name,
                                     safetensors **out, slant_error *err);
void safetensors_close(safetensors *st);

/* A view's data is where the file has it: not aligned to its dtype. */
size_t safetensors_count(const safetensors *st);
const tensor_view *safetensors_at(const safetensors *st, size_t i); /* in file order */
/* NULL: none. Hashed. */
const tensor_view *safetensors_find(const safetensors *st, const char *name);
/* A value of __metadata__; NULL: none. */
const char *safetensors_metadata(const safetensors *st, const char *key);
/* The file that holds a tensor, for messages. */
const char *safetensors_path_of(const safetensors *st, const tensor_view *view);

/* Writing: declare every tensor, then give their bytes in that order. Written whole or not at all;
 * every tensor's data starts at a multiple of `alignment` bytes of the file (1, or a power of two
 * up to 4096; filler tensors named "__pad.N", U8, are put between where needed, since the format
 * allows no holes). Only dtypes that safetensors knows (F64 … BOOL) can be written. A tensor's
 * bytes may come in several pieces; the same declarations and bytes give the same file. */
typedef struct safetensors_writer safetensors_writer;
slant_status safetensors_writer_open(const char *path, size_t alignment, safetensors_writer **out,
                                     slant_error *err);
slant_status safetensors_writer_metadata(safetensors_writer *w, const char *key, const char *value,
                                         slant_error *err);
/* view->data is not read here. */
slant_status safetensors_writer_declare(safetensors_writer *w, const tensor_view *view,
                                        slant_error *err);
slant_status safetensors_writer_data(safetensors_writer *w, const void *bytes, size_t size_bytes,
                                     slant_error *err);
slant_status safetensors_writer_commit(safetensors_writer *w, slant_error *err); /* frees w */
void safetensors_writer_abort(safetensors_writer *w);                            /* frees w */

#endif
