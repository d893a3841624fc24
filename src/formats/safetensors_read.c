/* safetensors sets: opening one file, the shards of an index or bytes in memory, and finding
 * tensors in them. What a header says is read and checked in safetensors_header.c. */
#include "formats/safetensors_set.h"

#include <jansson.h>
#include <string.h>

/* Adds a shard to the set without reading it. On success its map is the set's own. */
static slant_status add_shard(safetensors *st, const char *path, const uint8_t *bytes,
                              size_t size_bytes, slant_error *err)
{
    safetensors_shard *shards = mem_realloc(st->shards, st->n_shards + 1, sizeof *shards);
    if (shards == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    st->shards = shards;
    safetensors_shard *shard = &st->shards[st->n_shards];
    *shard = (safetensors_shard){
        .path = arena_strdup(&st->memory, path), .bytes = bytes, .size_bytes = size_bytes};
    if (shard->path == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    st->n_shards++;
    return SLANT_OK;
}

static slant_status open_shard(safetensors *st, const char *path, slant_error *err)
{
    slant_status status = add_shard(st, path, NULL, 0, err);
    if (status != SLANT_OK)
        return status;
    safetensors_shard *shard = &st->shards[st->n_shards - 1];
    status = file_map_open(&shard->map, path, err);
    if (status != SLANT_OK)
        return status;
    shard->bytes = shard->map.data;
    shard->size_bytes = shard->map.size_bytes;
    return safetensors_read_shard(st, st->n_shards - 1, err);
}

/* Makes every tensor findable; a name may stand in one shard only. */
static slant_status index_names(safetensors *st, slant_error *err)
{
    if (!name_table_init(&st->names, &st->memory, st->n_views))
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", st->shards[0].path);
    for (size_t i = 0; i < st->n_views; i++) {
        size_t before = name_table_add(&st->names, st->views[i].name, i);
        if (before != NAME_TABLE_NONE)
            return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor '%s' is in %s too",
                               safetensors_path_of(st, &st->views[i]), st->views[i].name,
                               safetensors_path_of(st, &st->views[before]));
    }
    return SLANT_OK;
}

/* The way out of every opening: the set goes to the caller, or nothing of it remains. */
static slant_status hand_over(safetensors *st, slant_status status, safetensors **out)
{
    if (status == SLANT_OK)
        *out = st;
    else
        safetensors_close(st);
    return status;
}

slant_status safetensors_open(const char *path, safetensors **out, slant_error *err)
{
    *out = NULL;
    safetensors *st = mem_calloc(1, sizeof *st);
    if (st == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    slant_status status = open_shard(st, path, err);
    if (status == SLANT_OK)
        status = index_names(st, err);
    return hand_over(st, status, out);
}

slant_status safetensors_open_memory(const uint8_t *data, size_t size_bytes, const char *name,
                                     safetensors **out, slant_error *err)
{
    *out = NULL;
    safetensors *st = mem_calloc(1, sizeof *st);
    if (st == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", name);
    slant_status status = add_shard(st, name, data, size_bytes, err);
    if (status == SLANT_OK)
        status = safetensors_read_shard(st, 0, err);
    if (status == SLANT_OK)
        status = index_names(st, err);
    return hand_over(st, status, out);
}

static slant_status load_index(const char *path, json_t **out, slant_error *err)
{
    buf text = {0};
    json_error_t problem;
    *out = NULL;
    slant_status status = file_read(path, SAFETENSORS_MAX_HEADER_BYTES, &text, err);
    if (status == SLANT_OK) {
        *out = json_loadb(text.data, text.size_bytes, JSON_REJECT_DUPLICATES, &problem);
        if (*out == NULL)
            status = status_fail(err, SLANT_ERR_FORMAT, "%s: %s (at byte %d)", path, problem.text,
                                 problem.position);
        else if (!json_is_object(json_object_get(*out, "weight_map")))
            status =
                status_fail(err, SLANT_ERR_FORMAT, "%s: weight_map is missing or no object", path);
    }
    buf_free(&text);
    return status;
}

/* The index stands beside its shards: a name with a folder in it could lead anywhere. */
static bool is_plain_name(const char *file)
{
    return file != NULL && *file != '\0' && strchr(file, '/') == NULL && strcmp(file, ".") != 0 &&
           strcmp(file, "..") != 0;
}

static size_t find_shard(const safetensors *st, const char *file)
{
    size_t i = 0;
    while (i < st->n_shards && strcmp(file_base_name(st->shards[i].path), file) != 0)
        i++;
    return i;
}

/* Opens a shard the first time that it is named, so that an index cannot make us keep a list of
 * files that are not there. */
static slant_status open_named_shards(safetensors *st, const char *index_path, json_t *weight_map,
                                      slant_error *err)
{
    int folder_bytes = (int)(file_base_name(index_path) - index_path);
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value)
    {
        const char *file = json_string_value(value);
        if (!is_plain_name(file))
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: weight_map gives tensor '%s' no plain file name", index_path,
                               name);
        if (find_shard(st, file) < st->n_shards)
            continue;
        const char *path = arena_printf(&st->memory, "%.*s%s", folder_bytes, index_path, file);
        if (path == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", index_path);
        slant_status status = open_shard(st, path, err);
        if (status != SLANT_OK)
            return status;
    }
    if (st->n_shards == 0)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: weight_map names no tensor", index_path);
    return SLANT_OK;
}

/* weight_map and shards must agree in both directions. */
static slant_status check_index(const safetensors *st, const char *index_path, json_t *weight_map,
                                slant_error *err)
{
    const char *name;
    json_t *value;
    for (size_t i = 0; i < st->n_views; i++) {
        const char *path = st->shards[st->shard_of[i]].path;
        json_t *file = json_object_get(weight_map, st->views[i].name);
        if (file == NULL)
            return status_fail(err, SLANT_ERR_MISMATCH, "%s: tensor '%s' is not in %s", path,
                               st->views[i].name, index_path);
        if (strcmp(json_string_value(file), file_base_name(path)) != 0)
            return status_fail(err, SLANT_ERR_MISMATCH,
                               "%s: tensor '%s' is here, and %s says that it is in %s", path,
                               st->views[i].name, index_path, json_string_value(file));
    }
    json_object_foreach(
        weight_map, name,
        value) if (safetensors_find(st, name) ==
                   NULL) return status_fail(err, SLANT_ERR_MISMATCH, "%s: tensor '%s' is not in %s",
                                            index_path, name, json_string_value(value));
    return SLANT_OK;
}

slant_status safetensors_open_index(const char *index_path, safetensors **out, slant_error *err)
{
    *out = NULL;
    json_t *index = NULL;
    safetensors *st = mem_calloc(1, sizeof *st);
    if (st == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", index_path);
    slant_status status = load_index(index_path, &index, err);
    json_t *weight_map = json_object_get(index, "weight_map");
    if (status == SLANT_OK)
        status = open_named_shards(st, index_path, weight_map, err);
    if (status == SLANT_OK)
        status = index_names(st, err);
    if (status == SLANT_OK)
        status = check_index(st, index_path, weight_map, err);
    json_decref(index);
    return hand_over(st, status, out);
}

void safetensors_close(safetensors *st)
{
    if (st == NULL)
        return;
    for (size_t i = 0; i < st->n_shards; i++)
        file_map_close(&st->shards[i].map);
    mem_free(st->shards);
    mem_free(st->views);
    mem_free(st->shard_of);
    mem_free(st->metadata);
    arena_free(&st->memory);
    mem_free(st);
}

size_t safetensors_count(const safetensors *st)
{
    return st->n_views;
}

const tensor_view *safetensors_at(const safetensors *st, size_t i)
{
    return &st->views[i];
}

const tensor_view *safetensors_find(const safetensors *st, const char *name)
{
    size_t i = name_table_find(&st->names, name);
    return i == NAME_TABLE_NONE ? NULL : &st->views[i];
}

const char *safetensors_metadata(const safetensors *st, const char *key)
{
    for (size_t i = 0; i < st->n_metadata; i++)
        if (strcmp(st->metadata[i].key, key) == 0)
            return st->metadata[i].value;
    return NULL;
}

const char *safetensors_path_of(const safetensors *st, const tensor_view *view)
{
    return st->shards[st->shard_of[view - st->views]].path;
}
