/* Reading adapter_config.json; what it then says of modules is in adapter_match.c. */
#include "model/adapter_config.h"

#include "model/field.h"

#include <string.h>

enum { MAX_RANK = 1 << 14, MAX_NAMES = 1 << 14, MAX_LAYER = 1 << 20 };

typedef struct reading {
    field_reader r;
    const json_t *root;
    adapter_config *c;
    arena *a;
} reading;

static void out_of_memory(reading *in)
{
    field_fail(&in->r, SLANT_ERR_MEMORY, "out of memory");
}

static const char *copy_string(reading *in, const char *text)
{
    if (text == NULL)
        return NULL;
    const char *copy = arena_strdup(in->a, text);
    if (copy == NULL)
        out_of_memory(in);
    return copy;
}

static const char *read_string(reading *in, const char *key)
{
    return copy_string(in, field_string(&in->r, in->root, key));
}

/* Settings that change the maths, and what they are. */
static void refuse_other_maths(reading *in)
{
    static const char *const keys[] = {
        "use_dora",          "use_qalora",        "use_bdlora",    "alora_invocation_tokens",
        "arrow_config",      "kasa_config",       "velora_config", "monteclora_config",
        "layer_replication", "target_parameters", "lora_bias",     "trainable_token_indices",
        "megatron_config"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (field_is_set(in->root, keys[i]))
            field_fail(&in->r, SLANT_ERR_UNSUPPORTED,
                       "%s is set, which slant does not run (plain LoRA and rsLoRA it does)",
                       keys[i]);
    if (json_is_array(field_get(in->root, "enable_lora")))
        field_fail(&in->r, SLANT_ERR_UNSUPPORTED,
                   "enable_lora is a list (merged linear layers), which slant does not run");
}

/* Initialisations that rewrite the base's weights leave an adapter that fits no stored base. */
static void refuse_rewriting_init(reading *in)
{
    static const char *const plain[] = {"gaussian", "orthogonal", "eva", "lora_ga"};
    const json_t *init = field_get(in->root, "init_lora_weights");
    if (init == NULL || json_is_boolean(init))
        return;
    const char *name = field_string(&in->r, in->root, "init_lora_weights");
    for (size_t i = 0; name != NULL && i < sizeof plain / sizeof *plain; i++)
        if (strcmp(name, plain[i]) == 0)
            return;
    if (name != NULL)
        field_fail(&in->r, SLANT_ERR_UNSUPPORTED,
                   "init_lora_weights \"%s\" rewrites the base's weights, which slant does not run",
                   name);
}

/* An array of n items; NULL where they are too many or memory is out, and that is recorded. */
static void *reserve(reading *in, const char *key, size_t n, size_t item_bytes)
{
    void *items = n > MAX_NAMES ? NULL : arena_alloc(in->a, n, item_bytes);
    if (n > MAX_NAMES)
        field_fail(&in->r, SLANT_ERR_FORMAT, "%s: more than %d entries", key, MAX_NAMES);
    else if (items == NULL)
        out_of_memory(in);
    return items;
}

/* A list of strings under key; what: what each is, for messages. */
static void read_names(reading *in, const json_t *list, const char *key, module_set *out)
{
    size_t n = json_array_size(list);
    out->names = reserve(in, key, n, sizeof *out->names);
    if (out->names == NULL)
        return;
    for (size_t i = 0; i < n && in->r.status == SLANT_OK; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL)
            field_fail(&in->r, SLANT_ERR_FORMAT, "%s: expected strings, found %s", key,
                       field_kind(json_array_get(list, i)));
        else
            out->names[out->n_names++] = copy_string(in, name);
    }
}

static name_pattern *read_pattern(reading *in, const char *before, const char *text,
                                  const char *after, const char *what)
{
    name_pattern *pattern = NULL;
    if (in->r.status != SLANT_OK)
        return NULL;
    slant_status status = name_pattern_open(before, text, after, what, &pattern, in->r.err);
    if (status != SLANT_OK)
        in->r.status = status_context(in->r.err, status, "%s", in->c->file);
    return pattern;
}

static bool reserve_rules(reading *in, const char *key, module_rules *set, size_t n)
{
    set->rules = reserve(in, key, n, sizeof *set->rules);
    return set->rules != NULL;
}

static void add_rule(module_rules *set, name_pattern *pattern, double value)
{
    if (pattern != NULL)
        set->rules[set->n_rules++] = (module_rule){pattern, value};
}

/* A list of names, or a pattern. */
static void read_modules(reading *in, const char *key, module_set *out)
{
    const json_t *value = field_get(in->root, key);
    if (json_is_array(value)) {
        read_names(in, value, key, out);
    } else if (value != NULL) {
        const char *text = field_string(&in->r, in->root, key);
        if (text != NULL && text[0] != '\0')
            out->pattern = read_pattern(in, "", text, "", key);
    }
}

static void read_targets(reading *in)
{
    const json_t *value = field_get(in->root, "target_modules");
    if (json_is_string(value) && strcasecmp(json_string_value(value), "all-linear") == 0) {
        in->c->all_linear = true;
        return;
    }
    if (value == NULL) {
        /* PEFT's own choice for llama, mistral, qwen2 and qwen3. */
        static const char *usual[] = {"q_proj", "v_proj"};
        in->c->targets = (module_set){.names = usual, .n_names = 2};
        return;
    }
    read_modules(in, "target_modules", &in->c->targets);
}

/* Modules that are saved whole are never adapted: PEFT takes each name as a pattern. */
static void read_saved(reading *in)
{
    static const char what[] = "modules_to_save";
    adapter_config *c = in->c;
    const json_t *list = field_array(&in->r, in->root, what);
    if (list == NULL)
        return;
    read_names(in, list, what, &c->saved);
    if (in->r.status != SLANT_OK || !reserve_rules(in, what, &c->kept, (size_t)c->saved.n_names))
        return;
    for (int i = 0; i < c->saved.n_names; i++)
        add_rule(&c->kept,
                 read_pattern(in, "(?:^|.*\\.)(?:", c->saved.names[i], ")(?:\\..*)?", what), 0);
}

static void read_layer_patterns(reading *in)
{
    static const char what[] = "layers_pattern";
    module_rules *rules = &in->c->layer_patterns;
    const json_t *value = field_get(in->root, what);
    const char *one;
    module_set set = {0};
    if (json_is_array(value)) {
        read_names(in, value, what, &set);
    } else if (value != NULL) {
        one = read_string(in, what);
        set = (module_set){.names = &one, .n_names = one != NULL && one[0] != '\0'};
    }
    if (!reserve_rules(in, what, rules, (size_t)set.n_names + 1))
        return;
    if (set.n_names == 0)
        add_rule(rules, read_pattern(in, ".*?\\.[^.]*\\.(?P<idx>\\d+)\\.", "", ".*", what), 0);
    for (int i = 0; i < set.n_names; i++)
        add_rule(rules,
                 read_pattern(in, "(?:^|.*?\\.)", set.names[i], "\\.(?P<idx>\\d+)\\..*", what), 0);
}

/* Combinations that PEFT refuses, since one of the two would be without effect. */
static void refuse_idle_layers(reading *in)
{
    static const char *const keys[] = {"layers_to_transform", "layers_pattern"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_string(field_get(in->root, "target_modules")) &&
            field_get(in->root, keys[i]) != NULL)
            field_fail(&in->r, SLANT_ERR_FORMAT,
                       "%s cannot stand beside target_modules that are a pattern", keys[i]);
    if (field_is_set(in->root, "layers_pattern") &&
        field_get(in->root, "layers_to_transform") == NULL)
        field_fail(&in->r, SLANT_ERR_FORMAT, "layers_pattern is set without layers_to_transform");
}

static void read_layers(reading *in)
{
    adapter_config *c = in->c;
    refuse_idle_layers(in);
    const json_t *value = field_get(in->root, "layers_to_transform");
    size_t n = json_is_array(value) ? json_array_size(value) : value != NULL;
    if (n == 0)
        return;
    c->layers = reserve(in, "layers_to_transform", n, sizeof *c->layers);
    if (c->layers == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        json_int_t layer = json_is_integer(item) ? json_integer_value(item) : -1;
        if (layer < 0 || layer > MAX_LAYER)
            field_fail(&in->r, SLANT_ERR_FORMAT, "layers_to_transform: expected layer numbers");
        else
            c->layers[c->n_layers++] = (int)layer;
    }
    read_layer_patterns(in);
}

static void read_values(reading *in, const char *key, double max, bool whole, module_rules *rules)
{
    const json_t *object = field_object(&in->r, in->root, key);
    const char *name;
    json_t *value;
    if (json_object_size(object) == 0 || !reserve_rules(in, key, rules, json_object_size(object)))
        return;
    json_object_foreach((json_t *)object, name, value)
    {
        double number = json_number_value(value);
        if (!(whole ? json_is_integer(value) : json_is_number(value)) || !(number > 0) ||
            number > max)
            field_fail(&in->r, SLANT_ERR_FORMAT,
                       "%s of \"%s\": expected a number up to %g, above 0", key, name, max);
        add_rule(rules, read_pattern(in, "(?:.*\\.)?(?:", name, ")", key), number);
    }
}

static void read_all(reading *in)
{
    adapter_config *c = in->c;
    const char *type = field_string(&in->r, in->root, "peft_type");
    if (type == NULL)
        field_fail(&in->r, SLANT_ERR_FORMAT, "peft_type is missing");
    else if (strcmp(type, "LORA") != 0)
        field_fail(&in->r, SLANT_ERR_UNSUPPORTED, "peft_type \"%s\" is not run, LORA is", type);
    refuse_other_maths(in);
    refuse_rewriting_init(in);
    c->rank = (int)field_int(&in->r, in->root, "r", 8, 1, MAX_RANK);
    c->alpha = field_number(&in->r, in->root, "lora_alpha", 8.0, -1e9, 1e9);
    c->rslora = field_bool(&in->r, in->root, "use_rslora", false);
    read_targets(in);
    read_modules(in, "exclude_modules", &c->excluded);
    read_saved(in);
    read_layers(in);
    read_values(in, "rank_pattern", MAX_RANK, true, &c->ranks);
    read_values(in, "alpha_pattern", 1e9, false, &c->alphas);
    c->task_type = read_string(in, "task_type");
    c->is_sequence_classification = c->task_type != NULL && strcmp(c->task_type, "SEQ_CLS") == 0;
    c->bias = read_string(in, "bias");
    c->peft_version = read_string(in, "peft_version");
    c->base_model_name = read_string(in, "base_model_name_or_path");
}

slant_status adapter_config_from_json(adapter_config *c, const char *json, size_t json_bytes,
                                      const char *file, arena *a, slant_error *err)
{
    *c = (adapter_config){.file = file};
    json_t *root;
    slant_status status = field_parse(json, json_bytes, file, &root, err);
    if (status != SLANT_OK)
        return status;
    reading in = {.r = {.file = file, .err = err}, .root = root, .c = c, .a = a};
    read_all(&in);
    json_decref(root);
    return in.r.status;
}

static void close_rules(const module_rules *set)
{
    for (int i = 0; i < set->n_rules; i++)
        name_pattern_close(set->rules[i].pattern);
}

void adapter_config_close(adapter_config *c)
{
    name_pattern_close(c->targets.pattern);
    name_pattern_close(c->excluded.pattern);
    close_rules(&c->kept);
    close_rules(&c->layer_patterns);
    close_rules(&c->ranks);
    close_rules(&c->alphas);
    *c = (adapter_config){0};
}
