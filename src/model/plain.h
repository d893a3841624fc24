/* Tensors of plain numbers: their shapes in words and as checks, and their values as fp32; shared
 * by what reads bases and what reads adapters. */
#ifndef SLANT_MODEL_PLAIN_H
#define SLANT_MODEL_PLAIN_H

#include "base/dtype.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/tokenizer.h"

bool plain_shape_is(const tensor_view *view, int n_dims, int64_t n0, int64_t n1);
/* "[3, 64]" into text, which it returns. */
const char *plain_shape_text(int n_dims, const int64_t *shape, char *text, size_t cap);

/* Whether rows of this type can be multiplied with, or looked up. */
bool plain_is_row_type(dtype type);
bool plain_is_float(dtype type); /* F32, F16, BF16 */

/* Bytes of a row of n values; 0 where n is no multiple of the type's block. */
size_t plain_row_bytes(dtype type, int64_t n);
/* Whether data may be read as an array of that type's elements where it lies. */
bool plain_is_aligned(const void *data, dtype type);

/* The values as fp32: in place where they are so and aligned, else decoded into a. */
slant_status plain_f32(const tensor_view *view, const char *file, arena *a, const float **out,
                       slant_error *err);
/* The bytes in place where aligned for their type, else a copy in a; NULL: out of memory. */
const uint8_t *plain_aligned(const tensor_view *view, arena *a);

/* Where in a safetensors file a tensor's bytes begin. */
slant_status plain_offset_in_file(const char *file, const char *tensor, uint64_t *offset,
                                  slant_error *err);

/* tokenizer.json of a directory; *out is NULL where it has none. */
slant_status plain_tokenizer_of_dir(const char *dir, tokenizer **out, slant_error *err);

#endif
