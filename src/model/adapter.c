#include "model/adapter.h"

#include "model/adapter_config.h"
#include "model/bind.h"
#include "model/checkpoint.h"
#include "model/hub.h"
#include "model/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 4 << 20 };

typedef struct opening {
    model *m;
    const char *dir;  /* of the adapter; in the model's memory */
    const char *file; /* its tensors */
    adapter_config config;
    safetensors *st;
    bool *taken; /* [safetensors_count(st)] */
    int n_base_scores, n_scores;
    buf *notes;
    slant_error *err;
} opening;

static slant_status out_of_memory(const opening *o)
{
    return status_fail(o->err, SLANT_ERR_MEMORY, "%s: out of memory", o->dir);
}

/* The tensor of that name, marked as taken; NULL: none. */
static const tensor_view *take(opening *o, const char *name)
{
    const tensor_view *view = safetensors_find(o->st, name);
    for (size_t i = 0; view != NULL && i < safetensors_count(o->st); i++)
        if (safetensors_at(o->st, i) == view) {
            o->taken[i] = true;
            break;
        }
    return view;
}

/* lora_A or lora_B of a module; PEFT's files name no adapter, older ones "default". */
static const tensor_view *take_lora(opening *o, const char *module, const char *part)
{
    static const char *const middles[] = {"", ".default"};
    char name[BIND_NAME_CHARS + 64];
    const tensor_view *view = NULL;
    for (size_t i = 0; view == NULL && i < sizeof middles / sizeof *middles; i++) {
        snprintf(name, sizeof name, "base_model.model.%s.%s%s.weight", module, part, middles[i]);
        view = take(o, name);
    }
    return view;
}

static slant_status bind_factor(opening *o, const char *module, const char *part, int n_out,
                                int n_in, kernel_weight *w)
{
    const tensor_view *view = take_lora(o, module, part);
    char found[128];
    if (view == NULL)
        return status_fail(o->err, SLANT_ERR_FORMAT,
                           "%s: adapter_config.json adapts %s, but tensor base_model.model.%s.%s"
                           ".weight is missing",
                           o->file, module, module, part);
    if (!plain_shape_is(view, 2, n_out, n_in))
        return status_fail(o->err, SLANT_ERR_MISMATCH,
                           "%s: tensor %s: expected shape [%d, %d], found %s", o->file, view->name,
                           n_out, n_in,
                           plain_shape_text(view->n_dims, view->shape, found, sizeof found));
    if (!plain_is_float(view->type))
        return status_fail(o->err, SLANT_ERR_FORMAT,
                           "%s: tensor %s: expected F32, F16 or BF16, found %s", o->file,
                           view->name, dtype_get(view->type)->name);
    *w = (kernel_weight){.n_out = n_out, .n_in = n_in, .type = view->type};
    w->data = plain_aligned(view, &o->m->memory);
    return w->data == NULL ? out_of_memory(o) : SLANT_OK;
}

static slant_status bind_module(opening *o, const char *module, linear *l)
{
    bool targeted;
    slant_status status = adapter_config_targets(&o->config, module, false, &targeted, o->err);
    if (status != SLANT_OK || !targeted)
        return status;
    lora *adapter = &l->adapter;
    status = adapter_config_scale(&o->config, module, &adapter->rank, &adapter->scale, o->err);
    if (status == SLANT_OK)
        status = bind_factor(o, module, "lora_A", adapter->rank, l->w.n_in, &adapter->a);
    if (status == SLANT_OK)
        status = bind_factor(o, module, "lora_B", l->w.n_out, adapter->rank, &adapter->b);
    model_adapter_info *info = &o->m->adapter;
    info->n_modules++;
    info->rank = adapter->rank > info->rank ? adapter->rank : info->rank;
    return status;
}

/* LoRA on the embedding or on the head is a computation that this engine has no place for. */
static slant_status refuse_other_targets(opening *o)
{
    static const char *const modules[] = {"model.embed_tokens", "score"};
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        bool targeted;
        bool is_head = i == 1;
        if (!is_head && o->config.all_linear)
            continue;
        slant_status status =
            adapter_config_targets(&o->config, modules[i], is_head, &targeted, o->err);
        if (status != SLANT_OK)
            return status;
        if (targeted)
            return status_fail(o->err, SLANT_ERR_UNSUPPORTED,
                               "%s/adapter_config.json: target_modules reaches %s; slant runs LoRA "
                               "on the layers' linear modules alone",
                               o->dir, modules[i]);
    }
    return SLANT_OK;
}

static slant_status bind_lora(opening *o)
{
    slant_status status = refuse_other_targets(o);
    int n_modules = o->m->config.n_layers * LINEAR_COUNT;
    for (int i = 0; status == SLANT_OK && i < n_modules; i++) {
        char module[BIND_NAME_CHARS];
        int at = i / LINEAR_COUNT, which = i % LINEAR_COUNT;
        status =
            bind_module(o, bind_module_name(at, which, module), &o->m->layers[at].linears[which]);
    }
    if (status == SLANT_OK && o->m->adapter.n_modules == 0)
        status = status_fail(o->err, SLANT_ERR_MISMATCH,
                             "%s/adapter_config.json: target_modules reaches no linear module of "
                             "this base",
                             o->dir);
    return status;
}

/* What the file holds in place of a head, for a message. */
static const char *head_like_tensor(const opening *o)
{
    for (size_t i = 0; i < safetensors_count(o->st); i++) {
        const char *name = safetensors_at(o->st, i)->name;
        if (strstr(name, "score") != NULL || strstr(name, "classifier") != NULL)
            return name;
    }
    return NULL;
}

static slant_status missing_head(const opening *o)
{
    const char *like = head_like_tensor(o);
    return status_fail(o->err, SLANT_ERR_FORMAT,
                       "%s: no score head (base_model.model.score.weight)%s%s; an adapter without "
                       "the head that it was trained with gives no answer",
                       o->file, like == NULL ? "" : ", only ", like == NULL ? "" : like);
}

static slant_status bind_score(opening *o)
{
    static const char *const names[] = {"base_model.model.score.weight",
                                        "base_model.model.score.modules_to_save.weight",
                                        "base_model.model.score.modules_to_save.default.weight"};
    const tensor_view *view = NULL;
    char found[128];
    for (size_t i = 0; view == NULL && i < sizeof names / sizeof *names; i++)
        view = take(o, names[i]);
    o->n_scores = o->n_base_scores;
    if (view == NULL)
        return o->config.is_sequence_classification || o->n_base_scores == 0 ? missing_head(o)
                                                                             : SLANT_OK;
    (void)take(o, "base_model.model.score.original_module.weight");
    int64_t rows = view->n_dims == 2 ? view->shape[0] : 0;
    bool fits = plain_shape_is(view, 2, rows, o->m->config.hidden_size) && rows >= 1 &&
                rows <= 1 << 16 && (o->n_base_scores == 0 || rows == o->n_base_scores);
    if (!fits && o->n_base_scores > 0)
        return status_fail(
            o->err, SLANT_ERR_MISMATCH,
            "%s: tensor %s: expected shape [%d, %d] as the base's own head, found %s", o->file,
            view->name, o->n_base_scores, o->m->config.hidden_size,
            plain_shape_text(view->n_dims, view->shape, found, sizeof found));
    if (!fits)
        return status_fail(o->err, SLANT_ERR_MISMATCH,
                           "%s: tensor %s: expected shape [labels, %d], found %s", o->file,
                           view->name, o->m->config.hidden_size,
                           plain_shape_text(view->n_dims, view->shape, found, sizeof found));
    o->n_scores = (int)rows;
    return plain_f32(view, o->file, &o->m->memory, &o->m->score, o->err);
}

/* PEFT puts a saved embedding over the base's; so does slant, and says so. */
static slant_status bind_embedding(opening *o)
{
    model *m = o->m;
    const tensor_view *view = take(o, "base_model.model.model.embed_tokens.weight");
    char found[128];
    if (view == NULL)
        return SLANT_OK;
    if (!plain_shape_is(view, 2, m->config.vocab_size, m->config.hidden_size) ||
        !plain_is_float(view->type))
        return status_fail(o->err, SLANT_ERR_MISMATCH,
                           "%s: tensor %s: expected F32, F16 or BF16 [%d, %d], found %s %s",
                           o->file, view->name, m->config.vocab_size, m->config.hidden_size,
                           dtype_get(view->type)->name,
                           plain_shape_text(view->n_dims, view->shape, found, sizeof found));
    uint64_t offset;
    slant_status status = plain_offset_in_file(o->file, view->name, &offset, o->err);
    if (status != SLANT_OK)
        return status;
    int fd = open(o->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_errno(o->err, errno, "%s", o->file);
    model_set_embedding(m, view, fd, offset);
    buf_printf(o->notes, "%s holds an embedding of its own, which takes the place of the base's\n",
               o->file);
    return SLANT_OK;
}

static bool is_left_out(const char *name)
{
    return strncmp(name, "base_model.model.lm_head.", 25) == 0;
}

static slant_status check_all_taken(const opening *o)
{
    for (size_t i = 0; i < safetensors_count(o->st); i++) {
        const char *name = safetensors_at(o->st, i)->name;
        if (o->taken[i] || is_left_out(name))
            continue;
        const char *where = strstr(name, "model.layers.");
        int at = where == NULL ? -1 : source_layer_of(where);
        if (at >= o->m->config.n_layers)
            return status_fail(o->err, SLANT_ERR_MISMATCH,
                               "%s: tensor %s is of layer %d, but the base has %d layers", o->file,
                               name, at, o->m->config.n_layers);
        bool is_bias = strlen(name) > 5 && strcmp(name + strlen(name) - 5, ".bias") == 0;
        return status_fail(o->err, is_bias ? SLANT_ERR_UNSUPPORTED : SLANT_ERR_FORMAT,
                           "%s: tensor %s %s", o->file, name,
                           is_bias ? "is a trained bias, which slant does not run"
                                   : "belongs to no module that adapter_config.json adapts");
    }
    return SLANT_OK;
}

static slant_status bind_tensors(opening *o)
{
    slant_status status = bind_lora(o);
    if (status == SLANT_OK)
        status = bind_score(o);
    if (status == SLANT_OK)
        status = bind_embedding(o);
    return status == SLANT_OK ? check_all_taken(o) : status;
}

static slant_status open_tensors(opening *o)
{
    char *legacy = arena_printf(&o->m->memory, "%s/adapter_model.bin", o->dir);
    o->file = arena_printf(&o->m->memory, "%s/adapter_model.safetensors", o->dir);
    if (legacy == NULL || o->file == NULL)
        return out_of_memory(o);
    if (!file_exists(o->file) && file_exists(legacy))
        return status_fail(
            o->err, SLANT_ERR_UNSUPPORTED,
            "%s: a pickle of PEFT before 0.7, which is not read; convert it once with "
            "PeftModel.from_pretrained(base, \"%s\").save_pretrained(\"%s\")",
            legacy, o->dir, o->dir);
    slant_status status = safetensors_open(o->file, &o->st, o->err);
    if (status != SLANT_OK)
        return status;
    o->m->files->adapter = o->st;
    o->taken = mem_calloc(safetensors_count(o->st), sizeof *o->taken);
    return o->taken == NULL ? out_of_memory(o) : SLANT_OK;
}

static slant_status read_config(opening *o)
{
    buf json = {0};
    char *path = arena_printf(&o->m->memory, "%s/adapter_config.json", o->dir);
    if (path == NULL)
        return out_of_memory(o);
    slant_status status = file_read(path, CONFIG_MAX_BYTES, &json, o->err);
    if (status == SLANT_OK)
        status = adapter_config_from_json(&o->config, json.data == NULL ? "" : json.data,
                                          json.size_bytes, path, &o->m->memory, o->err);
    buf_free(&json);
    return status;
}

/* The directory that name and checkpoint come to, in the model's memory. */
static slant_status find_directory(opening *o, const char *name, const char *checkpoint)
{
    char *root = NULL, *dir = NULL;
    o->dir = name;
    slant_status status = hub_resolve(name, &root, o->err);
    if (status == SLANT_OK)
        status = checkpoint_find(root, checkpoint, &dir, o->notes, o->err);
    if (status == SLANT_OK) {
        const char *copy = arena_strdup(&o->m->memory, dir);
        if (copy == NULL)
            status = out_of_memory(o);
        else
            o->dir = copy;
    }
    mem_free(root);
    mem_free(dir);
    return status;
}

static void fill_info(const opening *o, const sidecar *side)
{
    model_adapter_info *info = &o->m->adapter;
    info->path = o->dir;
    info->base_model_name = o->config.base_model_name;
    info->max_length = side->max_length;
    info->truncation = side->truncation;
    info->title_field = side->title_field;
    info->temperature = side->temperature;
    info->base_digest = side->base_digest;
    info->tokenizer_digest = side->tokenizer_digest;
}

slant_status adapter_open(model *m, const char *name, const char *checkpoint, int n_base_scores,
                          int *n_scores, sidecar *side, buf *notes, slant_error *err)
{
    opening o = {.m = m, .n_base_scores = n_base_scores, .notes = notes, .err = err};
    slant_status status = find_directory(&o, name, checkpoint);
    if (status == SLANT_OK)
        status = read_config(&o);
    if (status == SLANT_OK)
        status = open_tensors(&o);
    if (status == SLANT_OK)
        status = bind_tensors(&o);
    if (status == SLANT_OK)
        status = sidecar_read(side, o.dir, &m->memory, err);
    if (status == SLANT_OK)
        fill_info(&o, side);
    *n_scores = o.n_scores;
    adapter_config_close(&o.config);
    mem_free(o.taken);
    return status;
}
