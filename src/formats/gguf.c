/* GGUF files: opening, closing and finding tensors. gguf_read.c reads them, gguf_metadata.c answers
 * for what they say beside tensors. */
#include "formats/gguf_file.h"

static slant_status fail_memory(slant_error *err, const char *path)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
}

/* Takes the map; reads the bytes. */
static slant_status open_bytes(const char *path, file_map map, const uint8_t *bytes,
                               size_t size_bytes, gguf **out, slant_error *err)
{
    gguf *g = mem_calloc(1, sizeof *g);
    if (g == NULL) {
        file_map_close(&map);
        return fail_memory(err, path);
    }
    g->map = map;
    g->bytes = size_bytes > 0 ? bytes : (const uint8_t *)""; /* an empty file has no map */
    g->size_bytes = size_bytes;
    g->path = arena_strdup(&g->memory, path);
    slant_status status = g->path == NULL ? fail_memory(err, path) : gguf_read(g, err);
    if (status != SLANT_OK) {
        gguf_close(g);
        return status_context(err, status, "%s", path);
    }
    *out = g;
    return SLANT_OK;
}

slant_status gguf_open(const char *path, gguf **out, slant_error *err)
{
    file_map map;
    *out = NULL;
    slant_status status = file_map_open(&map, path, err);
    return status == SLANT_OK ? open_bytes(path, map, map.data, map.size_bytes, out, err) : status;
}

slant_status gguf_open_memory(const uint8_t *data, size_t size_bytes, const char *name, gguf **out,
                              slant_error *err)
{
    *out = NULL;
    return open_bytes(name, (file_map){0}, data, size_bytes, out, err);
}

void gguf_close(gguf *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->n_entries; i++) {
        mem_free(g->entries[i].strings);
        mem_free(g->entries[i].string_bytes);
        mem_free(g->entries[i].ints);
        mem_free(g->entries[i].floats);
    }
    file_map_close(&g->map);
    arena_free(&g->memory);
    mem_free(g);
}

size_t gguf_count(const gguf *g)
{
    return g->n_tensors;
}

const tensor_view *gguf_at(const gguf *g, size_t i)
{
    return &g->tensors[i];
}

const tensor_view *gguf_find(const gguf *g, const char *name)
{
    size_t i = name_table_find(&g->names, name);
    return i == NAME_TABLE_NONE ? NULL : &g->tensors[i];
}
