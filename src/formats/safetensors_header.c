/* The header of one safetensors file: everything that is checked before a tensor's bytes are used.
 */
#include "formats/safetensors_set.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8 /* of the little-endian header length that opens the file */

/* What of a file follows its header: [size_bytes], the room that all tensors must fill. */
typedef struct data_section {
    const uint8_t *bytes;
    size_t size_bytes;
} data_section;

static slant_status find_header(const safetensors_shard *shard, const char **header,
                                size_t *header_bytes, slant_error *err)
{
    if (shard->size_bytes < LENGTH_BYTES)
        return status_fail(
            err, SLANT_ERR_FORMAT,
            "%zu bytes are too few for a safetensors file, whose header length alone "
            "takes %d",
            shard->size_bytes, LENGTH_BYTES);
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | shard->bytes[i];
    if (length > SAFETENSORS_MAX_HEADER_BYTES)
        return status_fail(
            err, SLANT_ERR_FORMAT,
            "not a safetensors file, or damaged: its header would be %llu bytes long, "
            "and %d are allowed",
            (unsigned long long)length, SAFETENSORS_MAX_HEADER_BYTES);
    if (length > shard->size_bytes - LENGTH_BYTES)
        return status_fail(
            err, SLANT_ERR_FORMAT,
            "truncated: the header should be %llu bytes long, and %zu follow its length",
            (unsigned long long)length, shard->size_bytes - LENGTH_BYTES);
    *header = (const char *)shard->bytes + LENGTH_BYTES;
    *header_bytes = (size_t)length;
    if (length == 0 || **header != '{')
        return status_fail(err, SLANT_ERR_FORMAT, "the header does not begin with '{'");
    return SLANT_OK;
}

static slant_status parse_json(const char *header, size_t header_bytes, json_t **out,
                               slant_error *err)
{
    json_error_t problem;
    *out = json_loadb(header, header_bytes, JSON_REJECT_DUPLICATES, &problem);
    if (*out != NULL)
        return SLANT_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory while parsing the header");
    return status_fail(err, SLANT_ERR_FORMAT, "header: %s (at byte %d)", problem.text,
                       problem.position);
}

/* Metadata is a flat object of strings. */
static slant_status read_metadata(safetensors *st, json_t *object, slant_error *err)
{
    if (!json_is_object(object))
        return status_fail(err, SLANT_ERR_FORMAT, "__metadata__ is not an object");
    size_t n_all = st->n_metadata + json_object_size(object);
    safetensors_pair *pairs = mem_realloc(st->metadata, n_all, sizeof *pairs);
    if (pairs == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the metadata");
    st->metadata = pairs;

    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return status_fail(err, SLANT_ERR_FORMAT,
                               "__metadata__: the value of '%s' is no string", key);
        safetensors_pair pair = {arena_strdup(&st->memory, key),
                                 arena_strdup(&st->memory, json_string_value(value))};
        if (pair.key == NULL || pair.value == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the metadata");
        st->metadata[st->n_metadata++] = pair;
    }
    return SLANT_OK;
}

static slant_status read_dtype(const json_t *value, dtype *out, slant_error *err)
{
    const char *name = json_string_value(value);
    if (name == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "dtype is missing or no string");
    for (int type = DTYPE_F64; type <= DTYPE_BOOL; type++) {
        if (strcmp(dtype_get((dtype)type)->name, name) == 0) {
            *out = (dtype)type;
            return SLANT_OK;
        }
    }
    return status_fail(err, SLANT_ERR_UNSUPPORTED, "dtype '%s' is not one that slant reads", name);
}

/* A non-negative integer of the header. */
static bool read_size(const json_t *value, size_t *out)
{
    json_int_t n = json_integer_value(value);
    *out = (size_t)n;
    return json_is_integer(value) && n >= 0;
}

/* The shape into view, and the bytes that it takes with view->type into *size_bytes. */
static slant_status read_shape(const json_t *value, tensor_view *view, size_t *size_bytes,
                               slant_error *err)
{
    if (!json_is_array(value))
        return status_fail(err, SLANT_ERR_FORMAT, "shape is missing or no array");
    size_t n_dims = json_array_size(value);
    if (n_dims > TENSOR_MAX_DIMS)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "its shape has %zu dimensions, and slant reads at most %d", n_dims,
                           TENSOR_MAX_DIMS);
    *size_bytes = (size_t)dtype_get(view->type)->block_bytes;
    for (size_t d = 0; d < n_dims; d++) {
        size_t n;
        if (!read_size(json_array_get(value, d), &n))
            return status_fail(err, SLANT_ERR_FORMAT,
                               "dimension %zu of its shape is not a non-negative integer", d);
        if (!mem_mul(*size_bytes, n, size_bytes))
            return status_fail(err, SLANT_ERR_FORMAT, "its shape overflows");
        view->shape[d] = (int64_t)n;
    }
    view->n_dims = (int)n_dims;
    return SLANT_OK;
}

static slant_status read_offsets(const json_t *value, const data_section *data, tensor_view *view,
                                 slant_error *err)
{
    size_t begin, end;
    if (!json_is_array(value) || json_array_size(value) != 2 ||
        !read_size(json_array_get(value, 0), &begin) || !read_size(json_array_get(value, 1), &end))
        return status_fail(err, SLANT_ERR_FORMAT,
                           "data_offsets are not a pair of non-negative integers");
    if (begin > end)
        return status_fail(err, SLANT_ERR_FORMAT, "data_offsets run backwards, from %zu to %zu",
                           begin, end);
    if (end > data->size_bytes)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "its data ends at %zu, beyond the %zu bytes of data that the file holds",
                           end, data->size_bytes);
    view->data = data->bytes + begin;
    view->size_bytes = end - begin;
    return SLANT_OK;
}

static slant_status read_tensor(const json_t *info, const data_section *data, tensor_view *view,
                                slant_error *err)
{
    if (!json_is_object(info))
        return status_fail(err, SLANT_ERR_FORMAT, "its entry in the header is not an object");
    size_t shape_bytes = 0;
    slant_status status = read_dtype(json_object_get(info, "dtype"), &view->type, err);
    if (status == SLANT_OK)
        status = read_shape(json_object_get(info, "shape"), view, &shape_bytes, err);
    if (status == SLANT_OK)
        status = read_offsets(json_object_get(info, "data_offsets"), data, view, err);
    if (status == SLANT_OK && view->size_bytes != shape_bytes)
        status = status_fail(err, SLANT_ERR_FORMAT,
                             "its shape and dtype take %zu bytes, its data_offsets span %zu",
                             shape_bytes, view->size_bytes);
    return status;
}

static bool reserve_views(safetensors *st, size_t n_more)
{
    size_t n_all = st->n_views + n_more;
    tensor_view *views = mem_realloc(st->views, n_all, sizeof *views);
    if (views == NULL)
        return false;
    st->views = views;
    size_t *shard_of = mem_realloc(st->shard_of, n_all, sizeof *shard_of);
    if (shard_of == NULL)
        return false;
    st->shard_of = shard_of;
    return true;
}

/* All tensors of the header, in its own order, appended to the set. */
static slant_status read_tensors(safetensors *st, size_t shard, json_t *header,
                                 const data_section *data, slant_error *err)
{
    if (!reserve_views(st, json_object_size(header)))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of tensors");
    const char *name;
    json_t *info;
    json_object_foreach(header, name, info)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        tensor_view view = {.name = arena_strdup(&st->memory, name)};
        if (view.name == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the names of tensors");
        slant_status status = read_tensor(info, data, &view, err);
        if (status != SLANT_OK)
            return status_context(err, status, "tensor '%s'", name);
        st->shard_of[st->n_views] = shard;
        st->views[st->n_views++] = view;
    }
    return SLANT_OK;
}

/* By begin, then end (tensors without elements share an offset with their neighbour), then name. */
static int compare_places(const void *left, const void *right)
{
    const tensor_view *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    if (a->size_bytes != b->size_bytes)
        return a->size_bytes < b->size_bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Puts views [first, n_views) in file order and checks that they fill the data without a gap. */
static slant_status order_tensors(safetensors *st, size_t first, const data_section *data,
                                  slant_error *err)
{
    size_t n = st->n_views - first, expected = 0;
    if (n > 0)
        qsort(st->views + first, n, sizeof *st->views, compare_places);
    for (size_t i = first; i < st->n_views; i++) {
        const tensor_view *view = &st->views[i];
        size_t begin = (size_t)(view->data - data->bytes);
        if (begin < expected)
            return status_fail(err, SLANT_ERR_FORMAT, "tensor '%s': its data overlaps that of '%s'",
                               view->name, st->views[i - 1].name);
        if (begin > expected)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "tensor '%s': %zu bytes before its data belong to no tensor",
                               view->name, begin - expected);
        expected = begin + view->size_bytes;
    }
    if (expected != data->size_bytes)
        return status_fail(err, SLANT_ERR_FORMAT, "the last %zu bytes belong to no tensor",
                           data->size_bytes - expected);
    return SLANT_OK;
}

slant_status safetensors_read_shard(safetensors *st, size_t i, slant_error *err)
{
    const safetensors_shard *shard = &st->shards[i];
    const char *header = NULL;
    size_t header_bytes = 0, first = st->n_views;
    json_t *json = NULL;

    slant_status status = find_header(shard, &header, &header_bytes, err);
    if (status == SLANT_OK)
        status = parse_json(header, header_bytes, &json, err);
    if (status != SLANT_OK)
        return status_context(err, status, "%s", shard->path);

    size_t data_start = LENGTH_BYTES + header_bytes;
    data_section data = {shard->bytes + data_start, shard->size_bytes - data_start};
    json_t *metadata = json_object_get(json, "__metadata__");
    if (metadata != NULL)
        status = read_metadata(st, metadata, err);
    if (status == SLANT_OK)
        status = read_tensors(st, i, json, &data, err);
    if (status == SLANT_OK)
        status = order_tensors(st, first, &data, err);
    json_decref(json);
    return status == SLANT_OK ? status : status_context(err, status, "%s", shard->path);
}
