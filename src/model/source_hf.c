/* A Hugging Face directory: config.json beside one model.safetensors, or the shards that
 * model.safetensors.index.json names. bitsandbytes' checkpoints are of the same build. */
#include "model/folder.h"
#include "model/source.h"

#include <string.h>

enum { CONFIG_MAX_BYTES = 4 << 20 };

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What a classifier does not read: the language model's head, and the rotary buffers that old
 * versions of transformers saved. */
static bool is_left_out(const char *name)
{
    return starts_with(name, "lm_head.") || strstr(name, ".rotary_emb.") != NULL ||
           starts_with(name, "rotary_emb.");
}

/* A base saved as LlamaModel lacks the "model." in front. NULL: out of memory. */
static const char *full_name(source *s, const char *name)
{
    bool bare = starts_with(name, "embed_tokens.") || starts_with(name, "layers.") ||
                starts_with(name, "norm.");
    return bare ? arena_printf(&s->memory, "model.%s", name) : name;
}

static slant_status list_tensors(source *s, slant_error *err)
{
    slant_status status = source_reserve(s, safetensors_count(s->st), err);
    for (size_t i = 0; status == SLANT_OK && i < safetensors_count(s->st); i++) {
        const tensor_view *view = safetensors_at(s->st, i);
        if (is_left_out(view->name))
            continue;
        const char *name = full_name(s, view->name);
        if (name == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", s->path);
        source_add(s, name, view);
    }
    return status;
}

static slant_status read_config(source *s, const char *path, slant_error *err)
{
    buf json = {0};
    slant_status status = file_read(path, CONFIG_MAX_BYTES, &json, err);
    if (status == SLANT_OK)
        status = model_config_from_json(&s->config, json.data == NULL ? "" : json.data,
                                        json.size_bytes, path, &s->memory, err);
    buf_free(&json);
    s->kind = s->config.quantised_nf4 ? SOURCE_BNB : SOURCE_HF;
    return status;
}

/* A directory without weights is usually something else: say what it looks like. */
static slant_status no_weights(const source *s, slant_error *err)
{
    static const struct {
        const char *file, *words;
    } others[] = {
        {"pytorch_model.bin",
         "only pytorch_model.bin, which is not read: load it with transformers "
         "and save_pretrained(..., safe_serialization=True)"},
        {"pytorch_model.bin.index.json",
         "only pytorch_model-*.bin, which is not read: load it with "
         "transformers and save_pretrained()"},
        {"adapter_model.safetensors", "an adapter: give it as --adapter and its base as --model"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (folder_holds(s->path, others[i].file))
            return status_fail(err, SLANT_ERR_NOT_FOUND, "%s: holds %s", s->path, others[i].words);
    return status_fail(err, SLANT_ERR_NOT_FOUND,
                       "%s: holds neither model.safetensors nor model.safetensors.index.json",
                       s->path);
}

static slant_status open_single(source *s, const char *path, slant_error *err)
{
    slant_status status = file_map_open(&s->map, path, err);
    s->weights = arena_strdup(&s->memory, path);
    if (status == SLANT_OK && s->weights == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    if (status != SLANT_OK)
        return status;
    return safetensors_open_memory(s->map.data, s->map.size_bytes, s->weights, &s->st, err);
}

slant_status source_hf_open(source *s, slant_error *err)
{
    char *config = file_join(s->path, "config.json");
    char *single = file_join(s->path, "model.safetensors");
    char *index = file_join(s->path, "model.safetensors.index.json");
    slant_status status;
    s->weights = s->path;
    if (config == NULL || single == NULL || index == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", s->path);
    else if (!file_exists(single) && !file_exists(index))
        status = no_weights(s, err);
    else
        status = read_config(s, config, err);
    if (status == SLANT_OK)
        status = file_exists(single) ? open_single(s, single, err)
                                     : safetensors_open_index(index, &s->st, err);
    if (status == SLANT_OK)
        status = list_tensors(s, err);
    mem_free(config);
    mem_free(single);
    mem_free(index);
    return status;
}
