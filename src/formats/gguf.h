/* GGUF: reading metadata and tensors (version 2 and 3, little-endian). */
#ifndef SLANT_FORMATS_GGUF_H
#define SLANT_FORMATS_GGUF_H

#include "base/dtype.h"
#include "base/status.h"

typedef struct gguf gguf;

typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
} gguf_type;

/* Opens and checks: magic, version, counts against the file's size, every string and array bounded,
 * tensor offsets aligned, inside the file and without overlap, sizes that fit shape × type. Types
 * that slant does not run (K-quants and others) are refused by their name with the tensor's. */
slant_status gguf_open(const char *path, gguf **out, slant_error *err);
slant_status gguf_open_memory(const uint8_t *data, size_t size_bytes, const char *name, gguf **out,
                              slant_error *err);
void gguf_close(gguf *g);

/* Tensors: names as in the file, shape in Hugging Face order (outermost first). */
size_t gguf_count(const gguf *g);
const tensor_view *gguf_at(const gguf *g, size_t i);
const tensor_view *gguf_find(const gguf *g, const char *name);

/* Metadata. The typed getters give false where the key is absent or of another kind; those of
 * arrays also where memory is out. */
bool gguf_has(const gguf *g, const char *key);
bool gguf_int(const gguf *g, const char *key, int64_t *out);   /* any integer type or bool */
bool gguf_double(const gguf *g, const char *key, double *out); /* any number */
const char *gguf_string(const gguf *g, const char *key);       /* NULL: absent; terminated */
/* Arrays: the element count, or 0; then all elements, owned by g and made on first use. Integers of
 * any type that fit, bools too; floats of either size. */
size_t gguf_array_count(const gguf *g, const char *key);
bool gguf_array_strings(const gguf *g, const char *key, const char *const **strings,
                        const size_t **string_bytes, size_t *n); /* not terminated */
bool gguf_array_ints(const gguf *g, const char *key, const int32_t **values, size_t *n);
bool gguf_array_floats(const gguf *g, const char *key, const float **values, size_t *n);
/* All keys, in the file's order. */
size_t gguf_metadata_count(const gguf *g);
const char *gguf_metadata_key(const gguf *g, size_t i);
gguf_type gguf_metadata_type(const gguf *g, size_t i);

#endif
