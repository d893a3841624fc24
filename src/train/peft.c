#include "train/peft.h"

#include "base/file.h"
#include "formats/safetensors.h"
#include "model/adapter_config.h"
#include "model/bind.h"
#include "quant/quant.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PEFT_VERSION "0.21.2"

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the adapter's files");
}

/* The JSON of a list setting; null where it is not set. */
static json_t *list_value(const char *text)
{
    json_t *value = text == NULL ? NULL : json_loads(text, JSON_DECODE_ANY, NULL);
    return value == NULL ? json_null() : value;
}

static json_t *object_value(const char *text)
{
    json_t *value = list_value(text);
    return json_is_null(value) ? json_object() : value;
}

static json_t *number_value(double value)
{
    return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value)
                                                       : json_real(value);
}

static bool is_all_linear(const json_t *targets)
{
    return json_is_string(targets) && strcasecmp(json_string_value(targets), "all-linear") == 0;
}

/* PEFT writes for "all-linear" the modules that it came to. */
static json_t *target_value(const char *text)
{
    json_t *targets = list_value(text);
    if (json_is_null(targets))
        return json_pack("[ss]", "q_proj", "v_proj");
    if (!is_all_linear(targets))
        return targets;
    json_decref(targets);
    targets = json_array();
    for (int which = 0; which < LINEAR_COUNT; which++)
        json_array_append_new(targets, json_string(strrchr(linear_module_names[which], '.') + 1));
    return targets;
}

/* modules_to_save: PEFT adds its own two for SEQ_CLS, whatever is there. */
static json_t *saved_value(const char *text)
{
    json_t *saved = list_value(text);
    if (!json_is_array(saved)) {
        json_decref(saved);
        saved = json_array();
    }
    json_array_append_new(saved, json_string("classifier"));
    json_array_append_new(saved, json_string("score"));
    return saved;
}

static void set_settings(json_t *config, const train_settings *s, const char *base_name)
{
    json_object_set_new(config, "base_model_name_or_path",
                        base_name == NULL ? json_null() : json_string(base_name));
    json_object_set_new(config, "r", json_integer(s->lora_r));
    json_object_set_new(config, "lora_alpha", number_value(s->lora_alpha));
    json_object_set_new(config, "lora_dropout", json_real(s->lora_dropout));
    json_object_set_new(config, "target_modules", target_value(s->target_modules));
    json_object_set_new(config, "exclude_modules", list_value(s->exclude_modules));
    json_object_set_new(config, "layers_to_transform", list_value(s->layers_to_transform));
    json_object_set_new(config, "layers_pattern", list_value(s->layers_pattern));
    json_object_set_new(config, "rank_pattern", object_value(s->rank_pattern));
    json_object_set_new(config, "alpha_pattern", object_value(s->alpha_pattern));
    json_object_set_new(config, "modules_to_save", saved_value(s->modules_to_save));
    json_object_set_new(config, "use_rslora", json_boolean(s->use_rslora));
    json_object_set_new(config, "init_lora_weights",
                        s->init_lora_weights ? json_string("gaussian") : json_true());
}

/* Everything else that LoraConfig has, as it stands where nothing is set. */
static void set_constants(json_t *config)
{
    static const char *const nulls[] = {"alora_invocation_tokens",
                                        "arrow_config",
                                        "auto_mapping",
                                        "corda_config",
                                        "eva_config",
                                        "kasa_config",
                                        "layer_replication",
                                        "lora_ga_config",
                                        "megatron_config",
                                        "monteclora_config",
                                        "revision",
                                        "target_parameters",
                                        "trainable_token_indices",
                                        "use_bdlora",
                                        "velora_config"};
    static const char *const falses[] = {"ensure_weight_tying", "fan_in_fan_out", "lora_bias",
                                         "use_dora", "use_qalora"};
    static const char *const texts[][2] = {{"bias", "none"},
                                           {"megatron_core", "megatron.core"},
                                           {"peft_type", "LORA"},
                                           {"peft_version", PEFT_VERSION},
                                           {"task_type", "SEQ_CLS"}};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        json_object_set_new(config, nulls[i], json_null());
    for (size_t i = 0; i < sizeof falses / sizeof *falses; i++)
        json_object_set_new(config, falses[i], json_false());
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_object_set_new(config, texts[i][0], json_string(texts[i][1]));
    json_object_set_new(config, "inference_mode", json_true());
    json_object_set_new(config, "loftq_config", json_object());
    json_object_set_new(config, "qalora_group_size", json_integer(16));
}

slant_status peft_config(const train_settings *s, const char *base_name, buf *out, slant_error *err)
{
    json_t *config = json_object();
    set_settings(config, s, base_name);
    set_constants(config);
    char *text = json_dumps(config, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    json_decref(config);
    if (text == NULL)
        return out_of_memory(err);
    buf_string(out, text);
    free(text); /* jansson's */
    return out->failed ? out_of_memory(err) : SLANT_OK;
}

/* LoRA runs on the layers' linear modules alone, and only the head is trained whole. */
static slant_status refuse_other_modules(const adapter_config *c, slant_error *err)
{
    static const char *const modules[] = {"model.embed_tokens", "score"};
    for (int i = 0; i < 2; i++) {
        bool targeted = false, is_head = i == 1;
        slant_status status = SLANT_OK;
        if (!c->all_linear)
            status = adapter_config_targets(c, modules[i], is_head, &targeted, err);
        if (status != SLANT_OK)
            return status;
        if (targeted)
            return status_fail(err, SLANT_ERR_UNSUPPORTED,
                               "target_modules reaches %s; slant trains LoRA on the layers' linear "
                               "modules alone",
                               modules[i]);
    }
    for (int i = 0; i < c->saved.n_names; i++)
        if (strcmp(c->saved.names[i], "score") != 0 && strcmp(c->saved.names[i], "classifier") != 0)
            return status_fail(err, SLANT_ERR_UNSUPPORTED,
                               "modules_to_save: %s is not trained whole; the score head is",
                               c->saved.names[i]);
    return SLANT_OK;
}

static slant_status find_modules(const adapter_config *c, const model *m, lora_module *modules,
                                 slant_error *err)
{
    int n_modules = m->config.n_layers * LINEAR_COUNT, n_adapted = 0;
    slant_status status = refuse_other_modules(c, err);
    for (int i = 0; status == SLANT_OK && i < n_modules; i++) {
        char name[BIND_NAME_CHARS];
        bool targeted;
        bind_module_name(i / LINEAR_COUNT, i % LINEAR_COUNT, name);
        status = adapter_config_targets(c, name, false, &targeted, err);
        if (status != SLANT_OK || !targeted)
            continue;
        status = adapter_config_scale(c, name, &modules[i].rank, &modules[i].scale, err);
        n_adapted++;
    }
    if (status == SLANT_OK && n_adapted == 0)
        status = status_fail(err, SLANT_ERR_ARGUMENT,
                             "target_modules reaches no linear module of this base");
    return status;
}

slant_status peft_modules(const char *config, size_t config_bytes, const char *name, const model *m,
                          lora_module **out, slant_error *err)
{
    arena memory = {0};
    adapter_config c = {0};
    lora_module *modules = mem_calloc((size_t)m->config.n_layers * LINEAR_COUNT, sizeof *modules);
    *out = NULL;
    slant_status status =
        modules == NULL ? out_of_memory(err)
                        : adapter_config_from_json(&c, config, config_bytes, name, &memory, err);
    if (status == SLANT_OK)
        status = find_modules(&c, m, modules, err);
    adapter_config_close(&c);
    arena_free(&memory);
    if (status != SLANT_OK) {
        mem_free(modules);
        return status;
    }
    *out = modules;
    return SLANT_OK;
}

static int compare_names(const void *a, const void *b)
{
    const parameter *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static slant_status write_tensors(safetensors_writer *w, const parameters *p,
                                  const parameter **sorted, slant_error *err)
{
    slant_status status = safetensors_writer_metadata(w, "format", "pt", err);
    for (int i = 0; status == SLANT_OK && i < p->n; i++) {
        const parameter *t = sorted[i];
        tensor_view view = {.name = t->name,
                            .type = DTYPE_F32,
                            .n_dims = 2,
                            .shape = {t->rows, t->columns},
                            .size_bytes = (size_t)t->rows * (size_t)t->columns * sizeof(float)};
        status = safetensors_writer_declare(w, &view, err);
    }
    for (int i = 0; status == SLANT_OK && i < p->n; i++)
        status = safetensors_writer_data(
            w, p->values + sorted[i]->first,
            (size_t)sorted[i]->rows * (size_t)sorted[i]->columns * sizeof(float), err);
    return status;
}

static slant_status write_model(const char *path, const parameters *p, slant_error *err)
{
    safetensors_writer *w = NULL;
    const parameter **sorted = mem_alloc((size_t)p->n, sizeof *sorted);
    if (sorted == NULL)
        return out_of_memory(err);
    for (int i = 0; i < p->n; i++)
        sorted[i] = &p->list[i];
    qsort(sorted, (size_t)p->n, sizeof *sorted, compare_names);
    slant_status status = safetensors_writer_open(path, 1, &w, err);
    if (status == SLANT_OK)
        status = write_tensors(w, p, sorted, err);
    if (status == SLANT_OK)
        status = safetensors_writer_commit(w, err);
    else
        safetensors_writer_abort(w);
    mem_free(sorted);
    return status;
}

slant_status peft_write(const char *dir, const parameters *p, const char *config,
                        size_t config_bytes, slant_error *err)
{
    char *config_path = file_join(dir, "adapter_config.json");
    char *model_path = file_join(dir, "adapter_model.safetensors");
    slant_status status = config_path == NULL || model_path == NULL ? out_of_memory(err) : SLANT_OK;
    if (status == SLANT_OK)
        status = write_model(model_path, p, err);
    if (status == SLANT_OK)
        status = file_write_whole(config_path, config, config_bytes, err);
    mem_free(config_path);
    mem_free(model_path);
    return status;
}

static slant_status read_tensor(parameters *p, const parameter *t, const safetensors *st,
                                const char *path, slant_error *err)
{
    const tensor_view *view = safetensors_find(st, t->name);
    if (view == NULL)
        return status_fail(err, SLANT_ERR_MISMATCH, "%s: tensor %s is missing", path, t->name);
    if (view->n_dims != 2 || view->shape[0] != t->rows || view->shape[1] != t->columns)
        return status_fail(err, SLANT_ERR_MISMATCH, "%s: tensor %s is not [%d, %d]", path, t->name,
                           t->rows, t->columns);
    const quant_traits *traits = quant_get(view->type);
    if (traits == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s holds no numbers", path, t->name);
    traits->decode_row(view->data, p->values + t->first, (size_t)t->rows * (size_t)t->columns);
    return SLANT_OK;
}

slant_status peft_read(parameters *p, const char *path, slant_error *err)
{
    safetensors *st;
    slant_status status = safetensors_open(path, &st, err);
    if (status != SLANT_OK)
        return status;
    if (safetensors_count(st) != (size_t)p->n)
        status = status_fail(err, SLANT_ERR_MISMATCH, "%s: holds %zu tensors, this run trains %d",
                             path, safetensors_count(st), p->n);
    for (int i = 0; status == SLANT_OK && i < p->n; i++)
        status = read_tensor(p, &p->list[i], st, path, err);
    safetensors_close(st);
    return status;
}

static void take_matrix(parameters *p, const parameter *t, const kernel_weight *from)
{
    quant_get(from->type)
        ->decode_row(from->data, p->values + t->first, (size_t)t->rows * (size_t)t->columns);
}

void peft_take(parameters *p, const model *m)
{
    const parameter *next = p->list;
    for (int i = 0; i < m->config.n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++) {
            const lora *from = &m->layers[i].linears[which].adapter;
            if (from->rank == 0)
                continue;
            take_matrix(p, next++, &from->a);
            take_matrix(p, next++, &from->b);
        }
    memcpy(p->values + next->first, m->score,
           (size_t)next->rows * (size_t)next->columns * sizeof(float));
}
