/* manifest.json: the SHA-256 of every other file of a checkpoint, so that one that was damaged
 * since is known for what it is. */
#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"
#include "train/saving_files.h"

#include <stdlib.h>
#include <string.h>

enum { MANIFEST_MAX_BYTES = 1 << 20 };

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while hashing a checkpoint");
}

static slant_status digest_file(const char *dir, const char *name, char digest[FILE_DIGEST_CHARS],
                                slant_error *err)
{
    file_map map = {0};
    char *path = file_join(dir, name);
    file_digest *d = file_digest_open();
    slant_status status =
        path == NULL || d == NULL ? out_of_memory(err) : file_map_open(&map, path, err);
    if (status == SLANT_OK)
        file_digest_update(d, map.data, map.size_bytes);
    file_digest_close(d, status == SLANT_OK ? digest : NULL);
    file_map_close(&map);
    mem_free(path);
    return status;
}

typedef struct manifest_writing {
    const char *dir;
    json_t *files;
} manifest_writing;

static slant_status add_file(void *context, const char *name, slant_error *err)
{
    manifest_writing *m = context;
    char digest[FILE_DIGEST_CHARS];
    slant_status status = digest_file(m->dir, name, digest, err);
    if (status == SLANT_OK && json_object_set_new(m->files, name, json_string(digest)) != 0)
        status = out_of_memory(err);
    return status;
}

slant_status saving_write_manifest(const char *dir, slant_error *err)
{
    manifest_writing m = {dir, json_object()};
    slant_status status = folder_each(dir, add_file, &m, err);
    json_t *root = json_pack("{s:o}", "files", m.files);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    char *path = file_join(dir, "manifest.json");
    if (status == SLANT_OK && (text == NULL || path == NULL))
        status = out_of_memory(err);
    if (status == SLANT_OK)
        status = file_write_whole(path, text, strlen(text), err);
    mem_free(path);
    free(text); /* jansson's */
    json_decref(root);
    return status;
}

static slant_status check_file(const char *dir, const char *name, const json_t *value,
                               slant_error *err)
{
    char digest[FILE_DIGEST_CHARS];
    const char *want = json_string_value(value);
    slant_status status = digest_file(dir, name, digest, err);
    if (status == SLANT_OK && (want == NULL || strcmp(want, digest) != 0))
        status = status_fail(err, SLANT_ERR_FORMAT, "%s is not as it was written", name);
    return status;
}

slant_status saving_check_manifest(const char *dir, slant_error *err)
{
    buf text = {0};
    char *path = file_join(dir, "manifest.json");
    slant_status status =
        path == NULL ? out_of_memory(err) : file_read(path, MANIFEST_MAX_BYTES, &text, err);
    json_t *root = text.data == NULL ? NULL : json_loadb(text.data, text.size_bytes, 0, NULL);
    json_t *files = json_object_get(root, "files"), *value;
    const char *name;
    if (status == SLANT_OK && json_object_size(files) == 0)
        status = status_fail(err, SLANT_ERR_FORMAT, "%s names no files", path);
    json_object_foreach(files, name, value)
    {
        if (status == SLANT_OK)
            status = check_file(dir, name, value, err);
    }
    json_decref(root);
    buf_free(&text);
    mem_free(path);
    return status;
}
