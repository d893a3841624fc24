/* A .slant file, read: a safetensors file that says so in its metadata (docs/FORMATS.md). What is
 * heavy in it is used in place. */
#include "model/source.h"

#include "model/config_rope.h"
#include "model/plain.h"
#include "model/slant_file.h"

#include <string.h>

static slant_status not_slant(const source *s, slant_error *err)
{
    return status_fail(
        err, SLANT_ERR_FORMAT,
        "%s: neither a GGUF nor a .slant file; a Hugging Face model is opened by its "
        "directory",
        s->path);
}

static slant_status check_version(const source *s, slant_error *err)
{
    const char *format = safetensors_metadata(s->st, "format");
    const char *version = safetensors_metadata(s->st, SLANT_FILE_VERSION_KEY);
    if (format == NULL || strcmp(format, "slant") != 0 || version == NULL)
        return not_slant(s, err);
    if (strcmp(version, SLANT_FILE_VERSION) != 0)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: a .slant of version %s; this slant reads version %s", s->path,
                           version, SLANT_FILE_VERSION);
    return SLANT_OK;
}

static slant_status read_config(source *s, slant_error *err)
{
    const char *json = safetensors_metadata(s->st, SLANT_FILE_CONFIG_KEY);
    if (json == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: metadata %s is missing", s->path,
                           SLANT_FILE_CONFIG_KEY);
    slant_status status =
        model_config_from_json(&s->config, json, strlen(json), s->path, &s->memory, err);
    const tensor_view *factors = safetensors_find(s->st, SLANT_FILE_ROPE_FACTORS);
    if (status != SLANT_OK || factors == NULL)
        return status;
    int half = s->config.head_dim / 2;
    if (!plain_shape_is(factors, 1, half, 0) || factors->type != DTYPE_F32)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s: expected F32 [%d]", s->path,
                           factors->name, half);
    s->config.rope = ROPE_FACTORS;
    status = plain_f32(factors, s->path, &s->memory, &s->config.rope_factors, err);
    int bad = status == SLANT_OK ? config_rope_bad_factor(s->config.rope_factors, half) : -1;
    if (bad >= 0)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s: value %d is out of range",
                           s->path, factors->name, bad);
    return status;
}

static bool block_type_from_name(const char *name, dtype *out)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtype_get((dtype)i)->block_values == 32 &&
            strcmp(dtype_get((dtype)i)->name, name) == 0) {
            *out = (dtype)i;
            return true;
        }
    return false;
}

/* Rows of blocks are stored as bytes, since safetensors knows no blocks; the metadata say which. */
static slant_status relabel_blocks(source *s, source_tensor *t, slant_error *err)
{
    char key[512];
    snprintf(key, sizeof key, SLANT_FILE_TYPE_PREFIX "%s", t->name);
    const char *name = safetensors_metadata(s->st, key);
    if (name == NULL)
        return SLANT_OK;
    dtype type;
    if (!block_type_from_name(name, &type))
        return status_fail(err, SLANT_ERR_UNSUPPORTED, "%s: tensor %s: type %s is unknown", s->path,
                           t->name, name);
    const dtype_info *info = dtype_get(type);
    if (t->view.type != DTYPE_U8 || t->view.n_dims != 2 ||
        t->view.shape[1] % info->block_bytes != 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: tensor %s: expected U8 rows of whole %s blocks", s->path, t->name,
                           name);
    t->view.type = type;
    t->view.shape[1] = t->view.shape[1] / info->block_bytes * info->block_values;
    return SLANT_OK;
}

static bool is_left_out(const char *name)
{
    return strncmp(name, "__pad.", 6) == 0 || strcmp(name, SLANT_FILE_TOKENIZER) == 0 ||
           strcmp(name, SLANT_FILE_ROPE_FACTORS) == 0;
}

static slant_status list_tensors(source *s, slant_error *err)
{
    slant_status status = source_reserve(s, safetensors_count(s->st), err);
    for (size_t i = 0; status == SLANT_OK && i < safetensors_count(s->st); i++) {
        const tensor_view *view = safetensors_at(s->st, i);
        if (is_left_out(view->name))
            continue;
        if ((uintptr_t)view->data % SLANT_FILE_ALIGNMENT != 0)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: tensor %s does not begin at a multiple of %d bytes: the file "
                               "was rewritten by something other than slant import",
                               s->path, view->name, SLANT_FILE_ALIGNMENT);
        status = relabel_blocks(s, source_add(s, view->name, view), err);
    }
    return status;
}

slant_status source_slant_open(source *s, slant_error *err)
{
    s->kind = SOURCE_SLANT;
    slant_error inner;
    slant_status status =
        safetensors_open_memory(s->map.data, s->map.size_bytes, s->path, &s->st, &inner);
    if (status != SLANT_OK) {
        const char *ending = strrchr(s->path, '.');
        bool claims = ending != NULL &&
                      (strcmp(ending, ".slant") == 0 || strcmp(ending, ".safetensors") == 0);
        return claims ? status_fail(err, status, "%s", inner.message) : not_slant(s, err);
    }
    status = check_version(s, err);
    if (status == SLANT_OK)
        status = read_config(s, err);
    return status == SLANT_OK ? list_tensors(s, err) : status;
}

slant_status source_slant_tokenizer(const source *s, tokenizer **out, slant_error *err)
{
    const tensor_view *blob = safetensors_find(s->st, SLANT_FILE_TOKENIZER);
    if (blob == NULL)
        return SLANT_OK;
    if (blob->type != DTYPE_U8 || (uintptr_t)blob->data % SLANT_FILE_ALIGNMENT != 0)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s is not aligned U8", s->path,
                           blob->name);
    return tokenizer_open_blob(blob->data, blob->size_bytes, s->path, out, err);
}
