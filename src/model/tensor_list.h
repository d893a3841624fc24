/* The tensors of a file that is being written, in its order: where each one's bytes are, are
 * converted from, or are made when their turn comes. */
#ifndef SLANT_MODEL_TENSOR_LIST_H
#define SLANT_MODEL_TENSOR_LIST_H

#include "formats/safetensors.h"
#include "model/merge.h"

typedef struct tensor_item {
    tensor_view view;    /* as it is written; data [rows of from] */
    dtype from;          /* the type of data's rows, where the view's is BF16 and another one */
    dtype block;         /* the block type that the bytes are of; U8: none */
    bool is_mapped;      /* the bytes are the source file's own */
    const linear *makes; /* the bytes are there once this is made; NULL: they are */
} tensor_item;

typedef struct tensor_list {
    tensor_item *items; /* [n_items] */
    size_t n_items, cap;
    arena memory;        /* of names */
    const linear *makes; /* of the items that are added from here on */
    bool failed;         /* memory ran out */
} tensor_list;

/* Adds a tensor named name + suffix; NULL where memory ran out, now or before. */
tensor_item *tensor_list_add(tensor_list *list, const char *name, const char *suffix,
                             tensor_view view);
void tensor_list_add_bytes(tensor_list *list, const char *name, const char *suffix,
                           const uint8_t *bytes, size_t size_bytes);
void tensor_list_add_floats(tensor_list *list, const char *name, const char *suffix,
                            const float *values, int64_t n);
void tensor_list_free(tensor_list *list);

/* What a file says beside its tensors. */
typedef slant_status (*tensor_list_metadata)(const void *context, const tensor_list *list,
                                             safetensors_writer *w, slant_error *err);

/* The tensors as the safetensors file path, which is there whole or not at all. g makes those that
 * have to be made; NULL: none has. */
slant_status tensor_list_save(const tensor_list *list, merger *g, const char *path,
                              size_t alignment, tensor_list_metadata metadata, const void *context,
                              slant_error *err);

#endif
