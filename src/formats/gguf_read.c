/* Reading a GGUF file from its first byte to its tensors; no length is believed before it is
 * checked against what remains. */
#include "formats/gguf_file.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NAME_BYTES 65535 /* of a key (the format's own bound) or of a tensor's name */
#define MIN_ENTRY_BYTES 13   /* key length, an empty key, type and a value of one byte */
#define MIN_TENSOR_BYTES 32  /* name length, an empty name, one dimension, type and offset */
#define MAX_ALIGNMENT (1u << 20)

/* ggml's tensor types by number. */
typedef struct ggml_type {
    const char *name;
    int type; /* dtype; -1: not run by slant */
} ggml_type;

static const ggml_type ggml_types[] = {
    [0] = {"F32", DTYPE_F32},    [1] = {"F16", DTYPE_F16},   [2] = {"Q4_0", DTYPE_Q4_0},
    [3] = {"Q4_1", DTYPE_Q4_1},  [4] = {"Q4_2", -1},         [5] = {"Q4_3", -1},
    [6] = {"Q5_0", DTYPE_Q5_0},  [7] = {"Q5_1", DTYPE_Q5_1}, [8] = {"Q8_0", DTYPE_Q8_0},
    [9] = {"Q8_1", -1},          [10] = {"Q2_K", -1},        [11] = {"Q3_K", -1},
    [12] = {"Q4_K", -1},         [13] = {"Q5_K", -1},        [14] = {"Q6_K", -1},
    [15] = {"Q8_K", -1},         [16] = {"IQ2_XXS", -1},     [17] = {"IQ2_XS", -1},
    [18] = {"IQ3_XXS", -1},      [19] = {"IQ1_S", -1},       [20] = {"IQ4_NL", -1},
    [21] = {"IQ3_S", -1},        [22] = {"IQ2_S", -1},       [23] = {"IQ4_XS", -1},
    [24] = {"I8", DTYPE_I8},     [25] = {"I16", DTYPE_I16},  [26] = {"I32", DTYPE_I32},
    [27] = {"I64", DTYPE_I64},   [28] = {"F64", DTYPE_F64},  [29] = {"IQ1_M", -1},
    [30] = {"BF16", DTYPE_BF16}, [31] = {"Q4_0_4_4", -1},    [32] = {"Q4_0_4_8", -1},
    [33] = {"Q4_0_8_8", -1},     [34] = {"TQ1_0", -1},       [35] = {"TQ2_0", -1},
    [36] = {"IQ4_NL_4_4", -1},   [37] = {"IQ4_NL_4_8", -1},  [38] = {"IQ4_NL_8_8", -1},
    [39] = {"MXFP4", -1},        [40] = {"NVFP4", -1},       [41] = {"Q1_0", -1},
};

size_t gguf_item_bytes(gguf_type type)
{
    static const uint8_t sizes[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2,  [GGUF_I16] = 2,    [GGUF_U32] = 4,
        [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_STRING] = 0, [GGUF_ARRAY] = 0,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return sizes[type];
}

/* Where reading has come to. */
typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static size_t remaining(const cursor *c)
{
    return (size_t)(c->end - c->at);
}

static slant_status truncated(slant_error *err)
{
    return status_fail(err, SLANT_ERR_FORMAT, "truncated: the file ends in the middle of it");
}

static slant_status skip(cursor *c, size_t size_bytes, slant_error *err)
{
    if (remaining(c) < size_bytes)
        return truncated(err);
    c->at += size_bytes;
    return SLANT_OK;
}

static slant_status read_u32(cursor *c, uint32_t *out, slant_error *err)
{
    if (remaining(c) < sizeof *out)
        return truncated(err);
    memcpy(out, c->at, sizeof *out);
    c->at += sizeof *out;
    return SLANT_OK;
}

static slant_status read_u64(cursor *c, uint64_t *out, slant_error *err)
{
    if (remaining(c) < sizeof *out)
        return truncated(err);
    memcpy(out, c->at, sizeof *out);
    c->at += sizeof *out;
    return SLANT_OK;
}

static slant_status read_string(cursor *c, const char **out, size_t *out_bytes, slant_error *err)
{
    uint64_t length = 0;
    slant_status status = read_u64(c, &length, err);
    if (status != SLANT_OK)
        return status;
    if (length > remaining(c))
        return status_fail(err, SLANT_ERR_FORMAT,
                           "a string of %llu bytes does not fit into the %zu that remain",
                           (unsigned long long)length, remaining(c));
    *out = (const char *)c->at;
    *out_bytes = (size_t)length;
    c->at += length;
    return SLANT_OK;
}

/* A key or a tensor's name: printable ASCII, so that it can be shown and compared as a string. */
static slant_status read_name(cursor *c, arena *memory, const char **out, slant_error *err)
{
    const char *name = NULL;
    size_t name_bytes = 0;
    slant_status status = read_string(c, &name, &name_bytes, err);
    if (status != SLANT_OK)
        return status;
    if (name_bytes == 0 || name_bytes > MAX_NAME_BYTES)
        return status_fail(err, SLANT_ERR_FORMAT, "its name has %zu bytes, and 1 to %d are allowed",
                           name_bytes, MAX_NAME_BYTES);
    for (size_t i = 0; i < name_bytes; i++)
        if (name[i] < 0x20 || name[i] > 0x7E)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "byte %zu of its name, 0x%02X, is not printable ASCII", i,
                               (unsigned char)name[i]);
    *out = arena_strndup(memory, name, name_bytes);
    return *out == NULL ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
}

static slant_status read_header(cursor *c, uint64_t *n_tensors, uint64_t *n_entries,
                                slant_error *err)
{
    uint32_t version = 0;
    if (remaining(c) < 4 || memcmp(c->at, "GGUF", 4) != 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "not a GGUF file: it does not begin with the letters GGUF");
    c->at += 4;
    slant_status status = read_u32(c, &version, err);
    if (status == SLANT_OK && version != 2 && version != 3)
        return version != 0 && (version & 0xFFFF) == 0
                   ? status_fail(err, SLANT_ERR_UNSUPPORTED,
                                 "a big-endian GGUF file; slant reads little-endian ones")
                   : status_fail(err, SLANT_ERR_UNSUPPORTED,
                                 "GGUF version %u; slant reads versions 2 and 3", version);
    if (status == SLANT_OK)
        status = read_u64(c, n_tensors, err);
    if (status == SLANT_OK)
        status = read_u64(c, n_entries, err);
    if (status != SLANT_OK)
        return status_context(err, status, "header");

    if (*n_entries > remaining(c) / MIN_ENTRY_BYTES)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%llu metadata entries cannot fit into the %zu bytes that follow",
                           (unsigned long long)*n_entries, remaining(c));
    if (*n_tensors > remaining(c) / MIN_TENSOR_BYTES)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%llu tensors cannot fit into the %zu bytes that follow",
                           (unsigned long long)*n_tensors, remaining(c));
    return SLANT_OK;
}

static slant_status read_type(cursor *c, gguf_type *out, slant_error *err)
{
    uint32_t type = 0;
    slant_status status = read_u32(c, &type, err);
    if (status == SLANT_OK && type > GGUF_F64)
        status = status_fail(err, SLANT_ERR_FORMAT, "value type %u is unknown", type);
    *out = (gguf_type)type;
    return status;
}

/* Passes over e's items. */
static slant_status skip_items(cursor *c, const gguf_entry *e, slant_error *err)
{
    size_t item_bytes = gguf_item_bytes(e->item_type), size_bytes;
    if (item_bytes > 0)
        return mem_mul(e->n_items, item_bytes, &size_bytes) ? skip(c, size_bytes, err)
                                                            : truncated(err);
    slant_status status = SLANT_OK;
    const char *string;
    size_t string_bytes;
    for (size_t i = 0; i < e->n_items && status == SLANT_OK; i++)
        status = read_string(c, &string, &string_bytes, err);
    return status;
}

static slant_status read_array_header(cursor *c, gguf_entry *e, slant_error *err)
{
    uint64_t n_items = 0;
    slant_status status = read_type(c, &e->item_type, err);
    if (status == SLANT_OK)
        status = read_u64(c, &n_items, err);
    if (status == SLANT_OK && e->item_type == GGUF_ARRAY)
        status = status_fail(err, SLANT_ERR_UNSUPPORTED, "arrays of arrays are not read");
    if (status == SLANT_OK && n_items > remaining(c))
        status = status_fail(err, SLANT_ERR_FORMAT,
                             "an array of %llu items does not fit into the %zu bytes that remain",
                             (unsigned long long)n_items, remaining(c));
    e->n_items = (size_t)n_items;
    return status;
}

static slant_status copy_string(const gguf_entry *e, arena *memory, const char **out,
                                slant_error *err)
{
    uint64_t string_bytes;
    memcpy(&string_bytes, e->data, sizeof string_bytes);
    const char *string = (const char *)e->data + sizeof string_bytes;
    if (memchr(string, '\0', (size_t)string_bytes) != NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "its string holds a NUL byte");
    *out = arena_strndup(memory, string, (size_t)string_bytes);
    return *out == NULL ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
}

static slant_status read_value(cursor *c, gguf_entry *e, arena *memory, slant_error *err)
{
    slant_status status = read_type(c, &e->type, err);
    e->item_type = e->type;
    e->n_items = 1;
    if (status == SLANT_OK && e->type == GGUF_ARRAY)
        status = read_array_header(c, e, err);
    e->data = c->at;
    if (status == SLANT_OK)
        status = skip_items(c, e, err);
    if (status == SLANT_OK && e->type == GGUF_STRING)
        status = copy_string(e, memory, &e->string, err);
    return status;
}

static slant_status read_entries(gguf *g, cursor *c, size_t n_entries, slant_error *err)
{
    g->entries = arena_alloc(&g->memory, n_entries, sizeof *g->entries);
    if (g->entries == NULL || !name_table_init(&g->keys, &g->memory, n_entries))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < n_entries; i++) {
        gguf_entry *e = &g->entries[i];
        slant_status status = read_name(c, &g->memory, &e->key, err);
        if (status != SLANT_OK)
            return status_context(err, status, "metadata entry %zu of %zu", i + 1, n_entries);
        if (name_table_add(&g->keys, e->key, i) != NAME_TABLE_NONE)
            return status_fail(err, SLANT_ERR_FORMAT, "metadata key '%s' is there twice", e->key);
        status = read_value(c, e, &g->memory, err);
        if (status != SLANT_OK)
            return status_context(err, status, "metadata '%s'", e->key);
        g->n_entries++;
    }
    return SLANT_OK;
}

static slant_status read_alignment(const gguf *g, size_t *out, slant_error *err)
{
    int64_t alignment = 32;
    if (gguf_has(g, "general.alignment") &&
        (!gguf_int(g, "general.alignment", &alignment) || alignment < 1 ||
         alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0))
        return status_fail(err, SLANT_ERR_FORMAT,
                           "metadata 'general.alignment' is not a power of two up to %u",
                           MAX_ALIGNMENT);
    *out = (size_t)alignment;
    return SLANT_OK;
}

/* A model in several files is told by a key; its first file alone would only lack tensors. */
static slant_status check_split(const gguf *g, slant_error *err)
{
    int64_t n_files;
    if (gguf_int(g, "split.count", &n_files) && n_files > 1)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "one of %lld files of a split model; join them first with "
                           "llama-gguf-split --merge",
                           (long long)n_files);
    return SLANT_OK;
}

/* Dimensions come fastest first and are turned round. */
static slant_status read_shape(cursor *c, tensor_view *view, slant_error *err)
{
    uint32_t n_dims = 0;
    slant_status status = read_u32(c, &n_dims, err);
    if (status == SLANT_OK && (n_dims < 1 || n_dims > TENSOR_MAX_DIMS))
        status = status_fail(err, SLANT_ERR_FORMAT, "%u dimensions, and 1 to %d are allowed",
                             n_dims, TENSOR_MAX_DIMS);
    for (uint32_t d = 0; d < n_dims && status == SLANT_OK; d++) {
        uint64_t n = 0;
        status = read_u64(c, &n, err);
        if (status == SLANT_OK && (n < 1 || n > INT64_MAX))
            status =
                status_fail(err, SLANT_ERR_FORMAT, "a dimension of %llu", (unsigned long long)n);
        view->shape[n_dims - 1 - d] = (int64_t)n;
    }
    view->n_dims = (int)n_dims;
    return status;
}

static slant_status read_tensor_type(cursor *c, dtype *out, slant_error *err)
{
    uint32_t id = 0;
    slant_status status = read_u32(c, &id, err);
    if (status != SLANT_OK)
        return status;
    if (id >= sizeof ggml_types / sizeof *ggml_types)
        return status_fail(err, SLANT_ERR_UNSUPPORTED, "ggml type number %u is unknown", id);
    if (ggml_types[id].type < 0)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "type %s is not one that slant runs (F32, F16, BF16, Q8_0, Q4_0, Q4_1, "
                           "Q5_0 and Q5_1 are)",
                           ggml_types[id].name);
    *out = (dtype)ggml_types[id].type;
    return SLANT_OK;
}

/* Rows are whole blocks. */
static slant_status size_tensor(tensor_view *view, slant_error *err)
{
    const dtype_info *info = dtype_get(view->type);
    int64_t row = view->shape[view->n_dims - 1];
    if (row % info->block_values != 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "rows of %lld values are not whole %s blocks of %d", (long long)row,
                           info->name, info->block_values);
    size_t size_bytes = (size_t)info->block_bytes;
    bool fits = mem_mul(size_bytes, (size_t)(row / info->block_values), &size_bytes);
    for (int d = 0; d + 1 < view->n_dims && fits; d++)
        fits = mem_mul(size_bytes, (size_t)view->shape[d], &size_bytes);
    view->size_bytes = size_bytes;
    return fits ? SLANT_OK : status_fail(err, SLANT_ERR_FORMAT, "its shape overflows");
}

/* The tensor's offset is kept until all infos are read: only then is it known where data begins. */
static slant_status read_tensor_info(cursor *c, tensor_view *view, uint64_t *offset,
                                     slant_error *err)
{
    slant_status status = read_shape(c, view, err);
    if (status == SLANT_OK)
        status = read_tensor_type(c, &view->type, err);
    if (status == SLANT_OK)
        status = read_u64(c, offset, err);
    if (status == SLANT_OK)
        status = size_tensor(view, err);
    return status;
}

static slant_status read_tensor_infos(gguf *g, cursor *c, size_t n_tensors, uint64_t *offsets,
                                      slant_error *err)
{
    g->tensors = arena_alloc(&g->memory, n_tensors, sizeof *g->tensors);
    if (g->tensors == NULL || !name_table_init(&g->names, &g->memory, n_tensors))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < n_tensors; i++) {
        tensor_view *view = &g->tensors[i];
        slant_status status = read_name(c, &g->memory, &view->name, err);
        if (status != SLANT_OK)
            return status_context(err, status, "tensor %zu of %zu", i + 1, n_tensors);
        if (name_table_add(&g->names, view->name, i) != NAME_TABLE_NONE)
            return status_fail(err, SLANT_ERR_FORMAT, "tensor '%s' is there twice", view->name);
        status = read_tensor_info(c, view, &offsets[i], err);
        if (status != SLANT_OK)
            return status_context(err, status, "tensor '%s'", view->name);
        g->n_tensors++;
    }
    return SLANT_OK;
}

/* Points a tensor at its bytes in the data section. */
static slant_status place_tensor(tensor_view *view, uint64_t offset, const cursor *data,
                                 size_t alignment, slant_error *err)
{
    if (offset % alignment != 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "tensor '%s': its offset %llu is not a multiple of %zu", view->name,
                           (unsigned long long)offset, alignment);
    if (offset > remaining(data) || view->size_bytes > remaining(data) - offset)
        return status_fail(
            err, SLANT_ERR_FORMAT,
            "tensor '%s': truncated: %zu bytes at offset %llu go beyond the %zu bytes "
            "of data that the file holds",
            view->name, view->size_bytes, (unsigned long long)offset, remaining(data));
    view->data = data->at + offset;
    return SLANT_OK;
}

static int compare_places(const void *left, const void *right)
{
    const tensor_view *a = left, *b = right;
    return a->data < b->data ? -1 : a->data > b->data;
}

static slant_status check_overlap(const gguf *g, slant_error *err)
{
    tensor_view *order = mem_alloc(g->n_tensors, sizeof *order);
    if (order == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    memcpy(order, g->tensors, g->n_tensors * sizeof *order);
    qsort(order, g->n_tensors, sizeof *order, compare_places);
    slant_status status = SLANT_OK;
    for (size_t i = 1; i < g->n_tensors && status == SLANT_OK; i++)
        if (order[i].data < order[i - 1].data + order[i - 1].size_bytes)
            status =
                status_fail(err, SLANT_ERR_FORMAT, "tensor '%s': its data overlaps that of '%s'",
                            order[i].name, order[i - 1].name);
    mem_free(order);
    return status;
}

/* Data begins at the first multiple of the alignment after the infos. */
static slant_status place_tensors(gguf *g, cursor *c, const uint64_t *offsets, slant_error *err)
{
    size_t alignment = 1;
    slant_status status = read_alignment(g, &alignment, err);
    size_t padding = -(size_t)(c->at - g->bytes) & (alignment - 1);
    if (status == SLANT_OK)
        c->at += padding < remaining(c) ? padding : remaining(c);
    for (size_t i = 0; i < g->n_tensors && status == SLANT_OK; i++)
        status = place_tensor(&g->tensors[i], offsets[i], c, alignment, err);
    return status == SLANT_OK ? check_overlap(g, err) : status;
}

static slant_status read_tensors(gguf *g, cursor *c, size_t n_tensors, slant_error *err)
{
    uint64_t *offsets = mem_alloc(n_tensors, sizeof *offsets);
    if (offsets == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    slant_status status = read_tensor_infos(g, c, n_tensors, offsets, err);
    if (status == SLANT_OK)
        status = place_tensors(g, c, offsets, err);
    mem_free(offsets);
    return status;
}

slant_status gguf_read(gguf *g, slant_error *err)
{
    cursor c = {g->bytes, g->bytes + g->size_bytes};
    uint64_t n_tensors = 0, n_entries = 0;
    slant_status status = read_header(&c, &n_tensors, &n_entries, err);
    if (status == SLANT_OK)
        status = read_entries(g, &c, (size_t)n_entries, err);
    if (status == SLANT_OK)
        status = check_split(g, err);
    if (status == SLANT_OK)
        status = read_tensors(g, &c, (size_t)n_tensors, err);
    return status;
}
