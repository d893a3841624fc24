/* What an adapter's directory holds, in words: config, tensors, slant.json, the Trainer's state. */
#include "model/adapter_config.h"
#include "model/checkpoint.h"
#include "model/field.h"
#include "model/folder.h"
#include "model/inspect.h"
#include "model/plain.h"

#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 256 << 20 };

slant_status inspect_is_adapter(const char *path, bool *is_adapter, slant_error *err)
{
    *is_adapter = false;
    if (!file_is_dir(path) || folder_holds(path, "config.json"))
        return SLANT_OK;
    checkpoint_list list;
    slant_status status = checkpoint_list_open(path, &list, err);
    *is_adapter = list.n_steps > 0 || folder_holds(path, "adapter_config.json");
    checkpoint_list_close(&list);
    return status;
}

static void write_targets(document *d, const adapter_config *c)
{
    if (c->all_linear) {
        document_string(d, "target_modules", "all-linear");
        return;
    }
    if (c->targets.pattern != NULL) {
        document_string(d, "target_modules", name_pattern_text(c->targets.pattern));
        return;
    }
    document_open(d, "target_modules", '[');
    for (int i = 0; i < c->targets.n_names; i++)
        document_string(d, NULL, c->targets.names[i]);
    document_close(d, ']');
}

static void write_config(document *d, const adapter_config *c)
{
    document_string(d, "base_model_name_or_path", c->base_model_name);
    document_string(d, "task_type", c->task_type);
    document_string(d, "peft_version", c->peft_version);
    document_int(d, "r", c->rank);
    document_number(d, "lora_alpha", c->alpha);
    document_bool(d, "use_rslora", c->rslora);
    write_targets(d, c);
}

static slant_status read_config(document *d, const char *dir, arena *a, slant_error *err)
{
    buf json = {0};
    adapter_config config = {0};
    char *path = arena_printf(a, "%s/adapter_config.json", dir);
    if (path == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
    slant_status status = file_read(path, FILE_MAX_BYTES, &json, err);
    if (status == SLANT_OK) {
        status = adapter_config_from_json(&config, json.data == NULL ? "" : json.data,
                                          json.size_bytes, path, a, err);
        if (status == SLANT_OK)
            write_config(d, &config);
        adapter_config_close(&config);
    }
    buf_free(&json);
    return status;
}

static slant_status write_tensors(document *d, const char *dir, arena *a, slant_error *err)
{
    safetensors *st;
    int64_t n_values = 0, stored_bytes = 0;
    char *path = arena_printf(a, "%s/adapter_model.safetensors", dir);
    if (path == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
    slant_status status = safetensors_open(path, &st, err);
    if (status != SLANT_OK)
        return status;
    for (size_t i = 0; i < safetensors_count(st); i++) {
        const tensor_view *view = safetensors_at(st, i);
        stored_bytes += (int64_t)view->size_bytes;
        n_values += (int64_t)view->size_bytes / dtype_get(view->type)->block_bytes;
    }
    document_int(d, "parameters", n_values);
    document_int(d, "stored_bytes", stored_bytes);
    document_open(d, "tensors", '[');
    for (size_t i = 0; i < safetensors_count(st); i++)
        inspect_tensor(d, safetensors_at(st, i)->name, safetensors_at(st, i));
    document_close(d, ']');
    safetensors_close(st);
    return SLANT_OK;
}

/* A JSON file of the directory, whole or without its long lists; nothing where it is not there. */
static slant_status write_file(document *d, const char *dir, const char *file, const char *key,
                               bool scalars_only, slant_error *err)
{
    json_t *root = NULL;
    slant_status status = SLANT_OK;
    char *path = file_join(dir, file);
    if (path == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
    if (file_exists(path))
        status = field_parse_file(path, FILE_MAX_BYTES, &root, err);
    if (status == SLANT_OK && root != NULL) {
        const char *name;
        json_t *value;
        void *next;
        json_object_foreach_safe(root, next, name, value)
        {
            if (scalars_only && (json_is_object(value) || json_is_array(value)))
                json_object_del(root, name);
        }
        char *text = json_dumps(root, JSON_COMPACT);
        if (text == NULL)
            status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
        else
            document_json(d, key, text);
        free(text);
    }
    json_decref(root);
    mem_free(path);
    return status;
}

static slant_status write_directory(document *d, const char *dir, slant_error *err)
{
    arena a = {0};
    bool is_checkpoint = folder_holds(dir, "trainer_state.json");
    document_string(d, "kind", is_checkpoint ? "checkpoint" : "adapter");
    document_string(d, "path", dir);
    slant_status status = read_config(d, dir, &a, err);
    if (status == SLANT_OK)
        status = write_file(d, dir, "slant.json", "slant_json", false, err);
    if (status == SLANT_OK)
        status = write_file(d, dir, "trainer_state.json", "trainer_state", true, err);
    if (status == SLANT_OK)
        status = write_tensors(d, dir, &a, err);
    arena_free(&a);
    return status;
}

slant_status inspect_adapter(document *d, const char *path, const char *checkpoint,
                             slant_error *err)
{
    buf notes = {0};
    char *dir = NULL;
    checkpoint_list list = {0};
    slant_status status = checkpoint_list_open(path, &list, err);
    if (status == SLANT_OK)
        status = checkpoint_find(path, checkpoint, &dir, &notes, err);
    if (status == SLANT_OK)
        status = write_directory(d, dir, err);
    if (status == SLANT_OK && list.n_steps > 0) {
        document_open(d, "checkpoints", '[');
        for (size_t i = 0; i < list.n_steps; i++)
            document_int(d, NULL, list.steps[i]);
        document_close(d, ']');
    }
    checkpoint_list_close(&list);
    buf_free(&notes);
    mem_free(dir);
    return status;
}
