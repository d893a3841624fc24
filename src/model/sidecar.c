#include "model/sidecar.h"

#include "base/file.h"
#include "model/field.h"

#include <stdlib.h>
#include <string.h>

enum { SIDECAR_MAX_BYTES = 16 << 20, MAX_LABELS = 1 << 16 };

static const char *read_string(field_reader *r, const json_t *root, const char *key, arena *a)
{
    const char *text = field_string(r, root, key);
    if (text == NULL)
        return NULL;
    const char *copy = arena_strdup(a, text);
    if (copy == NULL)
        field_fail(r, SLANT_ERR_MEMORY, "out of memory");
    return copy;
}

static void read_labels(field_reader *r, const json_t *root, sidecar *out, arena *a)
{
    const json_t *list = field_array(r, root, "labels");
    size_t n = json_array_size(list);
    if (n > MAX_LABELS) {
        field_fail(r, SLANT_ERR_FORMAT, "labels: more than %d", MAX_LABELS);
        return;
    }
    out->labels = arena_alloc(a, n, sizeof *out->labels);
    for (size_t i = 0; i < n && r->status == SLANT_OK; i++) {
        const char *label = json_string_value(json_array_get(list, i));
        if (label == NULL)
            field_fail(r, SLANT_ERR_FORMAT, "labels: expected strings, found %s",
                       field_kind(json_array_get(list, i)));
        else if (out->labels == NULL || (out->labels[i] = arena_strdup(a, label)) == NULL)
            field_fail(r, SLANT_ERR_MEMORY, "out of memory");
    }
    out->n_labels = (int)n;
}

static slant_truncation read_truncation(field_reader *r, const json_t *root)
{
    static const char *const names[] = {[SLANT_TRUNCATION_HEAD] = "head",
                                        [SLANT_TRUNCATION_TAIL] = "tail",
                                        [SLANT_TRUNCATION_HEAD_TAIL] = "head-tail",
                                        [SLANT_TRUNCATION_WINDOW] = "window",
                                        [SLANT_TRUNCATION_NONE] = "none"};
    const char *name = field_string(r, root, "truncation");
    if (name == NULL)
        return SLANT_TRUNCATION_DEFAULT;
    for (size_t i = SLANT_TRUNCATION_HEAD; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (slant_truncation)i;
    field_fail(r, SLANT_ERR_FORMAT,
               "truncation: expected head, tail, head-tail, window or none, found \"%s\"", name);
    return SLANT_TRUNCATION_DEFAULT;
}

static const char *read_digest(field_reader *r, const json_t *root, const char *key, arena *a)
{
    const char *text = read_string(r, root, key, a);
    if (text != NULL &&
        (strlen(text) != FILE_DIGEST_CHARS - 1 || strncmp(text, "sha256:", 7) != 0 ||
         strspn(text + 7, "0123456789abcdef") != 64))
        field_fail(r, SLANT_ERR_FORMAT, "%s: expected \"sha256:\" and 64 hexadecimal digits", key);
    return text;
}

slant_status sidecar_from_json(sidecar *out, const char *json, size_t json_bytes, const char *file,
                               arena *a, slant_error *err)
{
    *out = (sidecar){.is_there = true};
    json_t *root;
    slant_status status = field_parse(json, json_bytes, file, &root, err);
    if (status != SLANT_OK)
        return status;
    field_reader r = {.file = file, .err = err};
    read_labels(&r, root, out, a);
    out->max_length = (int)field_int(&r, root, "max_length", 0, 1, INT32_MAX);
    out->truncation = read_truncation(&r, root);
    out->title_field = read_string(&r, root, "title_field", a);
    out->temperature = (float)field_number(&r, root, "temperature", 0.0, 1e-3, 1e3);
    out->base_digest = read_digest(&r, root, "base_digest", a);
    out->tokenizer_digest = read_digest(&r, root, "tokenizer_digest", a);
    json_decref(root);
    return r.status;
}

slant_status sidecar_read(sidecar *out, const char *dir, arena *a, slant_error *err)
{
    *out = (sidecar){0};
    buf json = {0};
    char *path = file_join(dir, "slant.json");
    slant_status status = SLANT_OK;
    if (path == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
    else if (file_exists(path)) {
        status = file_read(path, SIDECAR_MAX_BYTES, &json, err);
        if (status == SLANT_OK)
            status = sidecar_from_json(out, json.data == NULL ? "" : json.data, json.size_bytes,
                                       path, a, err);
    }
    buf_free(&json);
    mem_free(path);
    return status;
}

/* The object in dir/slant.json, an empty one where there is no file. */
static slant_status read_object(const char *dir, json_t **out, slant_error *err)
{
    char *path = file_join(dir, "slant.json");
    slant_status status = SLANT_OK;
    *out = NULL;
    if (path != NULL && file_exists(path))
        status = field_parse_file(path, SIDECAR_MAX_BYTES, out, err);
    else
        *out = json_object();
    if (status == SLANT_OK && (path == NULL || *out == NULL))
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
    mem_free(path);
    return status;
}

slant_status sidecar_merged(const char *dir, const char *digest, buf *out, slant_error *err)
{
    json_t *root;
    slant_status status = read_object(dir, &root, err);
    if (status != SLANT_OK)
        return status;
    const char *own = json_string_value(json_object_get(root, "base_digest"));
    if (own != NULL || digest != NULL)
        json_object_set_new(root, "merged",
                            json_pack("{s:s}", "base_digest", own != NULL ? own : digest));
    json_object_del(root, "base_digest");
    json_object_del(root, "tokenizer_digest");
    json_object_del(root, "labels");
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(root);
    if (text != NULL)
        buf_string(out, text);
    bool failed = text == NULL || out->failed;
    free(text); /* jansson's */
    return failed ? status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir) : SLANT_OK;
}
