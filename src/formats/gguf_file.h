/* The inside of an open GGUF file: shared by the file that reads it, the one that opens it and
 * finds tensors, and the one that answers for metadata. */
#ifndef SLANT_FORMATS_GGUF_FILE_H
#define SLANT_FORMATS_GGUF_FILE_H

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/name_table.h"

typedef struct gguf_entry {
    const char *key;     /* in the arena */
    gguf_type type;      /* of the value */
    gguf_type item_type; /* of an array's items; else type */
    size_t n_items;      /* 1 where the value is no array */
    const uint8_t *data; /* the items as the file has them */
    const char *string;  /* the terminated copy of a string value, in the arena */
    /* Made on first use, each [n_items], freed with the file. */
    const char **strings;
    size_t *string_bytes;
    int32_t *ints;
    float *floats;
} gguf_entry;

struct gguf {
    const char *path; /* in the arena */
    file_map map;     /* zero for bytes in memory */
    const uint8_t *bytes;
    size_t size_bytes;
    arena memory;
    gguf_entry *entries; /* [n_entries] */
    size_t n_entries;
    tensor_view *tensors; /* [n_tensors] */
    size_t n_tensors;
    name_table keys, names;
};

/* Bytes of one item in the file; 0 for strings and arrays, which have none of their own. */
size_t gguf_item_bytes(gguf_type type);

/* Reads g->bytes into entries and tensors. Messages do not name the file. */
slant_status gguf_read(gguf *g, slant_error *err);

#endif
