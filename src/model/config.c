/* config.json of a Llama-family model: names to numbers, each within bounds, and what transformers
 * fills in where a name is missing. */
#include "model/config.h"

#include "model/config_rope.h"

#include <math.h>
#include <string.h>

/* Bounds: far beyond any published model, near enough that products stay within int. */
enum {
    MAX_HIDDEN = 1 << 16,
    MAX_INTERMEDIATE = 1 << 20,
    MAX_LAYERS = 1024,
    MAX_HEADS = 4096,
    MAX_HEAD_DIM = 1024,
    MAX_VOCAB = 1 << 24,
    MAX_LABELS = 1 << 16
};

static const char *const arch_names[] = {[ARCH_LLAMA] = "llama",
                                         [ARCH_MISTRAL] = "mistral",
                                         [ARCH_QWEN2] = "qwen2",
                                         [ARCH_QWEN3] = "qwen3"};

const char *model_arch_name(model_arch arch)
{
    return arch_names[arch];
}

bool model_arch_from_name(const char *name, model_arch *out)
{
    for (size_t i = 0; i < sizeof arch_names / sizeof *arch_names; i++)
        if (strcmp(name, arch_names[i]) == 0) {
            *out = (model_arch)i;
            return true;
        }
    return false;
}

static void read_arch(field_reader *r, const json_t *root, model_config *config)
{
    const char *name = field_string(r, root, "model_type");
    if (name == NULL)
        field_fail(r, SLANT_ERR_FORMAT, "model_type is missing");
    else if (!model_arch_from_name(name, &config->arch))
        field_fail(r, SLANT_ERR_UNSUPPORTED,
                   "model_type \"%s\" is not one that slant runs (llama, mistral, qwen2, qwen3)",
                   name);
    const char *activation = field_string(r, root, "hidden_act");
    if (activation != NULL && strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        field_fail(r, SLANT_ERR_UNSUPPORTED, "hidden_act \"%s\" is not run (silu alone is)",
                   activation);
}

static int required_int(field_reader *r, const json_t *root, const char *key, int max)
{
    if (field_get(root, key) == NULL)
        field_fail(r, SLANT_ERR_FORMAT, "%s is missing", key);
    return (int)field_int(r, root, key, 1, 1, max);
}

static int default_head_dim(field_reader *r, const model_config *config)
{
    if (config->arch == ARCH_QWEN3)
        return 128;
    if (r->status == SLANT_OK && config->hidden_size % config->n_heads != 0)
        field_fail(r, SLANT_ERR_FORMAT,
                   "hidden_size (%d) is no multiple of num_attention_heads (%d), and there is no "
                   "head_dim",
                   config->hidden_size, config->n_heads);
    return config->hidden_size / config->n_heads;
}

static int default_kv_heads(const model_config *config)
{
    return config->arch == ARCH_MISTRAL ? 8 : config->n_heads;
}

static void read_shape(field_reader *r, const json_t *root, model_config *config)
{
    config->vocab_size = required_int(r, root, "vocab_size", MAX_VOCAB);
    config->hidden_size = required_int(r, root, "hidden_size", MAX_HIDDEN);
    config->intermediate_size = required_int(r, root, "intermediate_size", MAX_INTERMEDIATE);
    config->n_layers = required_int(r, root, "num_hidden_layers", MAX_LAYERS);
    config->n_heads = required_int(r, root, "num_attention_heads", MAX_HEADS);
    /* Mistral's class has 8 where the key is absent, and all heads where it is null. */
    int absent = json_object_get(root, "num_key_value_heads") == NULL ? default_kv_heads(config)
                                                                      : config->n_heads;
    config->n_kv_heads = (int)field_int(r, root, "num_key_value_heads", absent, 1, MAX_HEADS);
    config->head_dim = (int)field_int(r, root, "head_dim", 0, 2, MAX_HEAD_DIM);
    if (config->head_dim == 0)
        config->head_dim = default_head_dim(r, config);
    int64_t max_position = config->arch == ARCH_LLAMA     ? 2048
                           : config->arch == ARCH_MISTRAL ? 131072
                                                          : 32768;
    config->max_position_embeddings =
        field_int(r, root, "max_position_embeddings", max_position, 1, INT32_MAX);
    config->rms_norm_eps = (float)field_number(r, root, "rms_norm_eps", 1e-6, 0.0, 1.0);
}

static void read_biases(field_reader *r, const json_t *root, model_config *config)
{
    bool attention = field_bool(r, root, "attention_bias", false);
    bool mlp = field_bool(r, root, "mlp_bias", false);
    switch (config->arch) {
    case ARCH_LLAMA:
        config->qkv_bias = config->o_bias = attention;
        config->mlp_bias = mlp;
        break;
    case ARCH_MISTRAL: /* its class has none, whatever the keys say */
        break;
    case ARCH_QWEN2:
        config->qkv_bias = true;
        break;
    case ARCH_QWEN3:
        config->qkv_bias = config->o_bias = attention;
        config->qk_norm = true;
        break;
    }
}

/* The window that sliding layers have; 0: there is none. */
static int read_window(field_reader *r, const json_t *root, const model_config *config)
{
    if (config->arch == ARCH_LLAMA)
        return 0;
    if (config->arch != ARCH_MISTRAL && !field_bool(r, root, "use_sliding_window", false))
        return 0;
    int absent = json_object_get(root, "sliding_window") == NULL ? 4096 : 0;
    return (int)field_int(r, root, "sliding_window", absent, 1, INT32_MAX);
}

static int window_of_layer_type(field_reader *r, const json_t *type, int layer, int window)
{
    const char *name = json_string_value(type);
    if (name != NULL && strcmp(name, "full_attention") == 0)
        return 0;
    if (name == NULL || strcmp(name, "sliding_attention") != 0)
        field_fail(r, SLANT_ERR_UNSUPPORTED, "layer_types of layer %d: %s is not run", layer,
                   name == NULL ? field_kind(type) : name);
    else if (window == 0)
        field_fail(r, SLANT_ERR_FORMAT, "layer_types of layer %d slides, but there is no window",
                   layer);
    return window;
}

static void read_windows(field_reader *r, const json_t *root, model_config *config, arena *a)
{
    config->layer_window = arena_alloc(a, (size_t)config->n_layers, sizeof *config->layer_window);
    if (config->layer_window == NULL) {
        field_fail(r, SLANT_ERR_MEMORY, "out of memory");
        return;
    }
    int window = read_window(r, root, config);
    const json_t *types = config->arch == ARCH_LLAMA ? NULL : field_array(r, root, "layer_types");
    if (types != NULL && json_array_size(types) != (size_t)config->n_layers)
        field_fail(r, SLANT_ERR_FORMAT, "layer_types: expected %d entries, found %zu",
                   config->n_layers, json_array_size(types));
    /* Qwen slides from layer max_window_layers on, Mistral everywhere. */
    int64_t first = config->arch == ARCH_MISTRAL
                        ? 0
                        : field_int(r, root, "max_window_layers", 28, 0, INT32_MAX);
    for (int i = 0; i < config->n_layers && r->status == SLANT_OK; i++)
        config->layer_window[i] =
            types != NULL ? window_of_layer_type(r, json_array_get(types, (size_t)i), i, window)
            : i >= first  ? window
                          : 0;
}

/* A token id, or the first of a list of them; -1 where absent or negative. */
static int64_t read_token_id(field_reader *r, const json_t *root, const char *key)
{
    const json_t *value = field_get(root, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (value == NULL)
        return -1;
    int64_t id = json_is_integer(value) ? json_integer_value(value) : INT64_MAX;
    if (id > INT32_MAX)
        field_fail(r, SLANT_ERR_FORMAT, "%s: expected a token id", key);
    return id < 0 ? -1 : id;
}

/* "17" → 17; -1 where text is anything else. */
static int64_t label_index(const char *text)
{
    int64_t index = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 6 || strspn(text, "0123456789") != length)
        return -1;
    for (size_t i = 0; i < length; i++)
        index = index * 10 + (text[i] - '0');
    return index;
}

static void read_label(field_reader *r, const char *key, const json_t *value, model_config *config,
                       arena *a)
{
    int64_t index = label_index(key);
    if (index < 0 || index >= config->n_labels || config->labels[index] != NULL)
        field_fail(r, SLANT_ERR_FORMAT, "id2label: expected keys 0 to %d, each once, found \"%s\"",
                   config->n_labels - 1, key);
    else if (!json_is_string(value))
        field_fail(r, SLANT_ERR_FORMAT, "id2label of %s: expected a string, found %s", key,
                   field_kind(value));
    else if ((config->labels[index] = arena_strdup(a, json_string_value(value))) == NULL)
        field_fail(r, SLANT_ERR_MEMORY, "out of memory");
}

static void read_label_names(field_reader *r, const json_t *names, model_config *config, arena *a)
{
    if (json_object_size(names) > MAX_LABELS) {
        field_fail(r, SLANT_ERR_FORMAT, "id2label: more than %d labels", MAX_LABELS);
        return;
    }
    config->n_labels = (int)json_object_size(names);
    config->labels = arena_alloc(a, (size_t)config->n_labels, sizeof *config->labels);
    if (config->labels == NULL) {
        field_fail(r, SLANT_ERR_MEMORY, "out of memory");
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)names, key, value) read_label(r, key, value, config, a);
}

static problem_type read_problem(field_reader *r, const json_t *root)
{
    const char *name = field_string(r, root, "problem_type");
    if (name == NULL)
        return PROBLEM_UNSET;
    if (strcmp(name, "regression") == 0)
        return PROBLEM_REGRESSION;
    if (strcmp(name, "single_label_classification") == 0)
        return PROBLEM_SINGLE_LABEL;
    if (strcmp(name, "multi_label_classification") == 0)
        return PROBLEM_MULTI_LABEL;
    field_fail(r, SLANT_ERR_UNSUPPORTED, "problem_type \"%s\" is unknown", name);
    return PROBLEM_UNSET;
}

static void read_labels(field_reader *r, const json_t *root, model_config *config, arena *a)
{
    const json_t *names = field_object(r, root, "id2label");
    if (names != NULL && json_object_size(names) > 0) {
        read_label_names(r, names, config, a);
    } else {
        int n_labels = (int)field_int(r, root, "num_labels", 0, 0, MAX_LABELS);
        if (n_labels > 0 && model_config_default_labels(config, n_labels, a, r->err) != SLANT_OK)
            r->status = SLANT_ERR_MEMORY;
    }
    config->problem = read_problem(r, root);
    if (config->problem == PROBLEM_SINGLE_LABEL && config->n_labels == 1)
        field_fail(r, SLANT_ERR_FORMAT,
                   "problem_type single_label_classification needs more than one label");
}

static void read_quantisation(field_reader *r, const json_t *root, model_config *config)
{
    const json_t *q = field_object(r, root, "quantization_config");
    if (q == NULL)
        return;
    const char *method = field_string(r, q, "quant_method");
    if (method != NULL && strcmp(method, "bitsandbytes") != 0) {
        field_fail(r, SLANT_ERR_UNSUPPORTED,
                   "quantization_config: quant_method \"%s\" is not read (bitsandbytes NF4 is)",
                   method);
        return;
    }
    if (field_bool(r, q, "load_in_8bit", field_bool(r, q, "_load_in_8bit", false)))
        field_fail(r, SLANT_ERR_UNSUPPORTED,
                   "quantization_config: bitsandbytes int8 (load_in_8bit) is not read, NF4 is");
    if (!field_bool(r, q, "load_in_4bit", field_bool(r, q, "_load_in_4bit", false)))
        field_fail(r, SLANT_ERR_UNSUPPORTED,
                   "quantization_config: neither load_in_4bit nor another known method is set");
    const char *type = field_string(r, q, "bnb_4bit_quant_type");
    if (type == NULL || strcmp(type, "nf4") != 0)
        field_fail(r, SLANT_ERR_UNSUPPORTED,
                   "quantization_config: bnb_4bit_quant_type \"%s\" is not read, nf4 is",
                   type == NULL ? "fp4" : type);
    config->quantised_nf4 = true;
}

static void read_dtype(field_reader *r, const json_t *root, model_config *config, arena *a)
{
    const char *name = field_string(r, root, "dtype");
    if (name == NULL)
        name = field_string(r, root, "torch_dtype");
    if (name != NULL && (config->torch_dtype = arena_strdup(a, name)) == NULL)
        field_fail(r, SLANT_ERR_MEMORY, "out of memory");
}

slant_status model_config_from_json(model_config *config, const char *json, size_t json_bytes,
                                    const char *name, arena *a, slant_error *err)
{
    *config = (model_config){0};
    json_t *root;
    slant_status status = field_parse(json, json_bytes, name, &root, err);
    if (status != SLANT_OK)
        return status;
    field_reader r = {.file = name, .err = err};
    read_arch(&r, root, config);
    read_shape(&r, root, config);
    read_biases(&r, root, config);
    config_rope_read(&r, root, config);
    read_windows(&r, root, config, a);
    config->pad_token_id = read_token_id(&r, root, "pad_token_id");
    config->eos_token_id = read_token_id(&r, root, "eos_token_id");
    config->bos_token_id = read_token_id(&r, root, "bos_token_id");
    read_labels(&r, root, config, a);
    read_quantisation(&r, root, config);
    read_dtype(&r, root, config, a);
    json_decref(root);
    return r.status == SLANT_OK ? model_config_check(config, name, err) : r.status;
}

slant_status model_config_check(const model_config *c, const char *name, slant_error *err)
{
    if (c->n_heads % c->n_kv_heads != 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: %d attention heads are no multiple of %d key-value heads", name,
                           c->n_heads, c->n_kv_heads);
    if (c->head_dim < 2 || c->head_dim % 2 != 0 || c->head_dim > MAX_HEAD_DIM)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: head_dim is %d; rotation needs an even one from 2 to %d", name,
                           c->head_dim, MAX_HEAD_DIM);
    if (c->n_heads * c->head_dim > MAX_INTERMEDIATE)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: %d heads of %d are wider than the %d that slant allows", name,
                           c->n_heads, c->head_dim, MAX_INTERMEDIATE);
    return SLANT_OK;
}

slant_status model_config_default_labels(model_config *config, int n_labels, arena *a,
                                         slant_error *err)
{
    config->n_labels = n_labels;
    config->labels = arena_alloc(a, (size_t)n_labels, sizeof *config->labels);
    for (int i = 0; config->labels != NULL && i < n_labels; i++)
        if ((config->labels[i] = arena_printf(a, "LABEL_%d", i)) == NULL)
            config->labels = NULL;
    if (config->labels == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for %d labels", n_labels);
    return SLANT_OK;
}
