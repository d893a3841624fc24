/* Small models and adapters on disk, made in the test: a folder that goes away with it, configs
 * with members changed, and sets of tensors with one renamed, resized or dropped. */
#ifndef SLANT_TESTS_TINY_MODEL_H
#define SLANT_TESTS_TINY_MODEL_H

#include "unit.h"

#include "base/file.h"
#include "base/mem.h"
#include "formats/safetensors.h"
#include "quant/quant.h"

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TINY_HIDDEN = 64,
    TINY_WIDE = 128,
    TINY_VOCAB = 10,
    TINY_LAYERS = 2,
    TINY_MAX_TENSORS = 256
};

static const char tiny_config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":10,\"hidden_size\":64,\"intermediate_size\":128,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"rms_norm_eps\":1e-5,\"hidden_act\":\"silu\",\"max_position_embeddings\":64}";

static const char tiny_adapter_config[] =
    "{\"peft_type\":\"LORA\",\"task_type\":\"SEQ_CLS\",\"r\":4,\"lora_alpha\":8,"
    "\"target_modules\":[\"q_proj\",\"v_proj\"],\"modules_to_save\":[\"classifier\",\"score\"],"
    "\"bias\":\"none\",\"base_model_name_or_path\":\"example/tiny\"}";

/* --- JSON ------------------------------------------------------------------------------------- */

/* base with the members of changes put over it ("null" members too) and those named in drop left
 * out. Ownership: free. */
static inline char *tiny_json(const char *base, const char *changes, const char *drop)
{
    json_t *object = json_loads(base, 0, NULL);
    json_t *over = json_loads(changes == NULL ? "{}" : changes, 0, NULL);
    assert_non_null(object);
    assert_non_null(over);
    json_object_update(object, over);
    if (drop != NULL)
        json_object_del(object, drop);
    char *text = json_dumps(object, 0);
    json_decref(object);
    json_decref(over);
    return text;
}

/* --- folders ---------------------------------------------------------------------------------- */

static inline int tiny_remove_one(const char *path, const struct stat *info, int type,
                                  struct FTW *where)
{
    (void)info, (void)type, (void)where;
    return remove(path);
}

/* A fresh folder for each test, as cmocka's setup and teardown; *state is its path. */
static inline int tiny_setup(void **state)
{
    char *path = strdup("/tmp/slant-test-XXXXXX");
    *state = mkdtemp(path);
    return *state == NULL ? -1 : 0;
}

static inline int tiny_teardown(void **state)
{
    nftw(*state, tiny_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return 0;
}

/* dir/name in static memory, good for the next four calls. */
static inline const char *tiny_path(const char *dir, const char *name)
{
    static char paths[4][1024];
    static int next;
    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s", dir, name);
    return paths[next];
}

static inline void tiny_make_folder(const char *dir, const char *name)
{
    mkdir(tiny_path(dir, name), 0777);
}

static inline void tiny_write_text(const char *dir, const char *name, const char *text)
{
    slant_error err;
    if (file_write_whole(tiny_path(dir, name), text, strlen(text), &err) != SLANT_OK)
        fail_msg("%s", err.message);
}

static inline void tiny_write_json(const char *dir, const char *name, const char *base,
                                   const char *changes, const char *drop)
{
    char *text = tiny_json(base, changes, drop);
    tiny_write_text(dir, name, text);
    free(text);
}

/* --- tensors ---------------------------------------------------------------------------------- */

typedef struct tiny_tensor {
    char name[128];
    dtype type;
    int64_t n0, n1;    /* n1 0: one dimension */
    const void *bytes; /* NULL: made from the name */
} tiny_tensor;

typedef struct tiny_set {
    tiny_tensor tensors[TINY_MAX_TENSORS];
    size_t n;
} tiny_set;

static inline void tiny_add(tiny_set *set, const char *name, dtype type, int64_t n0, int64_t n1)
{
    assert_in_range(set->n, 0, TINY_MAX_TENSORS - 1);
    tiny_tensor *t = &set->tensors[set->n++];
    *t = (tiny_tensor){.type = type, .n0 = n0, .n1 = n1};
    snprintf(t->name, sizeof t->name, "%s", name);
}

static inline tiny_tensor *tiny_find(tiny_set *set, const char *name)
{
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->tensors[i].name, name) == 0)
            return &set->tensors[i];
    fail_msg("the tiny set has no %s", name);
    return NULL;
}

static inline void tiny_drop(tiny_set *set, const char *name)
{
    tiny_tensor *gone = tiny_find(set, name);
    *gone = set->tensors[--set->n];
}

/* The body of tiny_config, each name behind prefix ("model." as a rule). */
static inline tiny_set tiny_body(const char *prefix, dtype type)
{
    static const struct {
        const char *module;
        int64_t n0, n1;
    } parts[] = {{"input_layernorm", TINY_HIDDEN, 0},
                 {"post_attention_layernorm", TINY_HIDDEN, 0},
                 {"self_attn.q_proj", TINY_HIDDEN, TINY_HIDDEN},
                 {"self_attn.k_proj", TINY_HIDDEN / 2, TINY_HIDDEN},
                 {"self_attn.v_proj", TINY_HIDDEN / 2, TINY_HIDDEN},
                 {"self_attn.o_proj", TINY_HIDDEN, TINY_HIDDEN},
                 {"mlp.gate_proj", TINY_WIDE, TINY_HIDDEN},
                 {"mlp.up_proj", TINY_WIDE, TINY_HIDDEN},
                 {"mlp.down_proj", TINY_HIDDEN, TINY_WIDE}};
    tiny_set set = {0};
    char name[128];
    snprintf(name, sizeof name, "%sembed_tokens.weight", prefix);
    tiny_add(&set, name, type, TINY_VOCAB, TINY_HIDDEN);
    snprintf(name, sizeof name, "%snorm.weight", prefix);
    tiny_add(&set, name, type, TINY_HIDDEN, 0);
    for (int i = 0; i < TINY_LAYERS; i++)
        for (size_t j = 0; j < sizeof parts / sizeof *parts; j++) {
            snprintf(name, sizeof name, "%slayers.%d.%s.weight", prefix, i, parts[j].module);
            tiny_add(&set, name, type, parts[j].n0, parts[j].n1);
        }
    return set;
}

/* What tiny_adapter_config names, and a head of three labels. */
static inline tiny_set tiny_lora(void)
{
    tiny_set set = {0};
    char name[128];
    for (int i = 0; i < TINY_LAYERS; i++)
        for (int v = 0; v < 2; v++) {
            const char *module = v ? "v_proj" : "q_proj";
            const char *form = "base_model.model.model.layers.%d.self_attn.%s.lora_%c.weight";
            snprintf(name, sizeof name, form, i, module, 'A');
            tiny_add(&set, name, DTYPE_F32, 4, TINY_HIDDEN);
            snprintf(name, sizeof name, form, i, module, 'B');
            tiny_add(&set, name, DTYPE_F32, v ? TINY_HIDDEN / 2 : TINY_HIDDEN, 4);
        }
    tiny_add(&set, "base_model.model.score.weight", DTYPE_F32, 3, TINY_HIDDEN);
    return set;
}

/* Value i of the tensor of that name: fixed, and different for every name, but for the "model."
 * that some bases lack. */
static inline float tiny_value(const char *name, size_t i)
{
    uint32_t h = 2166136261u;
    if (strncmp(name, "model.", 6) == 0)
        name += 6;
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    h = (h + (uint32_t)i) * 2654435761u;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    return ((float)(h >> 8) / (float)(1 << 24) - 0.5f) * 0.25f;
}

static inline size_t tiny_count(const tiny_tensor *t)
{
    return (size_t)t->n0 * (size_t)(t->n1 == 0 ? 1 : t->n1);
}

static inline tensor_view tiny_view(const tiny_tensor *t)
{
    return (tensor_view){.name = t->name,
                         .type = t->type,
                         .n_dims = t->n1 == 0 ? 1 : 2,
                         .shape = {t->n0, t->n1},
                         .size_bytes = tiny_count(t) * (size_t)dtype_get(t->type)->block_bytes};
}

static inline slant_status tiny_write_values(safetensors_writer *w, const tiny_tensor *t,
                                             slant_error *err)
{
    tensor_view view = tiny_view(t);
    size_t n = tiny_count(t);
    if (t->bytes != NULL)
        return safetensors_writer_data(w, t->bytes, view.size_bytes, err);
    uint8_t *bytes = calloc(1, view.size_bytes + 1);
    float *values = calloc(n + 1, sizeof *values);
    const quant_traits *traits = quant_get(t->type);
    for (size_t i = 0; i < n; i++)
        values[i] = tiny_value(t->name, i);
    if (traits != NULL && traits->encode_row != NULL)
        traits->encode_row(values, bytes, n);
    slant_status status = safetensors_writer_data(w, bytes, view.size_bytes, err);
    free(values);
    free(bytes);
    return status;
}

static inline void tiny_write_tensors(const char *dir, const char *file, const tiny_set *set)
{
    slant_error err;
    safetensors_writer *w;
    slant_status status = safetensors_writer_open(tiny_path(dir, file), 1, &w, &err);
    for (size_t i = 0; status == SLANT_OK && i < set->n; i++) {
        tensor_view view = tiny_view(&set->tensors[i]);
        status = safetensors_writer_declare(w, &view, &err);
    }
    for (size_t i = 0; status == SLANT_OK && i < set->n; i++)
        status = tiny_write_values(w, &set->tensors[i], &err);
    if (status == SLANT_OK)
        status = safetensors_writer_commit(w, &err);
    if (status != SLANT_OK)
        fail_msg("%s", err.message);
}

/* tiny_config and a BF16 body in dir. */
static inline void tiny_write_base(const char *dir)
{
    tiny_set set = tiny_body("model.", DTYPE_BF16);
    tiny_write_text(dir, "config.json", tiny_config);
    tiny_write_tensors(dir, "model.safetensors", &set);
}

static inline void tiny_write_adapter(const char *dir, const char *name)
{
    tiny_set set = tiny_lora();
    char folder[1024];
    snprintf(folder, sizeof folder, "%s/%s", dir, name);
    mkdir(folder, 0777);
    tiny_write_text(folder, "adapter_config.json", tiny_adapter_config);
    tiny_write_tensors(folder, "adapter_model.safetensors", &set);
}

/* --- checks ----------------------------------------------------------------------------------- */

static inline void tiny_expect(slant_status status, const slant_error *err, slant_status expected,
                               const char *part)
{
    if (status != expected || (expected != SLANT_OK && strstr(err->message, part) == NULL))
        fail_msg("status %d, message \"%s\"; expected %d, \"%s\"", status,
                 status == SLANT_OK ? "" : err->message, expected, part);
}

#endif
