/* The inside of a safetensors set: shared by the file that reads one shard and the one that opens
 * shards and answers for them all. */
#ifndef SLANT_FORMATS_SAFETENSORS_SET_H
#define SLANT_FORMATS_SAFETENSORS_SET_H

#include "formats/name_table.h"
#include "formats/safetensors.h"

/* The format's own bound, so that a forged length cannot make a reader parse for minutes. */
#define SAFETENSORS_MAX_HEADER_BYTES 100000000

typedef struct safetensors_shard {
    const char *path;     /* in the arena */
    file_map map;         /* zero for bytes in memory */
    const uint8_t *bytes; /* [size_bytes] */
    size_t size_bytes;
} safetensors_shard;

typedef struct safetensors_pair {
    const char *key, *value; /* in the arena */
} safetensors_pair;

struct safetensors {
    arena memory;
    safetensors_shard *shards; /* [n_shards] */
    size_t n_shards;
    tensor_view *views; /* [n_views], shard after shard, in file order */
    size_t *shard_of;   /* [n_views] */
    size_t n_views;
    safetensors_pair *metadata; /* [n_metadata] */
    size_t n_metadata;
    name_table names; /* of views */
};

/* Reads the header of shard i and appends its tensors and metadata to the set. */
slant_status safetensors_read_shard(safetensors *st, size_t i, slant_error *err);

#endif
