/* The small models of tools/make_train_goldens.py, made in memory from the same formula. */
#ifndef SLANT_TESTS_TRAIN_MODEL_H
#define SLANT_TESTS_TRAIN_MODEL_H

#include "base/mem.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    TRAIN_VOCAB = 96,
    TRAIN_LABELS = 3,
    TRAIN_RANK = 4,
    TRAIN_ALPHA = 8,
    TRAIN_HIDDEN = 48,
    TRAIN_WIDE = 80,
    TRAIN_HEADS = 4,
    TRAIN_KV_HEADS = 2
};

typedef struct train_case {
    const char *name;
    model_arch arch;
    int n_layers, head_dim, window;
    unsigned targets; /* bit `which`: adapted */
    int first_adapted, end_adapted;
    bool rslora;
    int q_rank, up_alpha; /* 0: TRAIN_RANK, TRAIN_ALPHA */
} train_case;

#define TRAIN_QV (1u << LINEAR_Q | 1u << LINEAR_V)
#define TRAIN_ALL ((1u << LINEAR_COUNT) - 1)

static const train_case train_cases[] = {
    {"llama", ARCH_LLAMA, 3, 12, 0, TRAIN_QV, 0, 3, false, 0, 0},
    {"llama_all", ARCH_LLAMA, 3, 12, 0, TRAIN_ALL, 0, 3, true, 0, 0},
    {"llama_o", ARCH_LLAMA, 3, 12, 0, 1u << LINEAR_O, 0, 3, false, 0, 0},
    {"llama_gate", ARCH_LLAMA, 3, 12, 0, 1u << LINEAR_GATE, 1, 3, false, 0, 0},
    {"llama_down", ARCH_LLAMA, 3, 12, 0, 1u << LINEAR_DOWN, 0, 3, false, 0, 0},
    {"mistral_upper", ARCH_MISTRAL, 4, 12, 16, TRAIN_ALL, 1, 3, false, 7, 3},
    {"qwen2", ARCH_QWEN2, 3, 12, 0, TRAIN_QV, 0, 3, false, 0, 0},
    {"qwen2_all", ARCH_QWEN2, 3, 12, 0, TRAIN_ALL, 0, 3, false, 0, 0},
    {"qwen3", ARCH_QWEN3, 2, 16, 0, TRAIN_QV, 0, 2, false, 0, 0},
    {"qwen3_all", ARCH_QWEN3, 2, 16, 0, TRAIN_ALL, 0, 2, false, 0, 0},
};

#define TRAIN_N_CASES (sizeof train_cases / sizeof *train_cases)

static inline const train_case *train_case_named(const char *name)
{
    for (size_t i = 0; i < TRAIN_N_CASES; i++)
        if (strcmp(train_cases[i].name, name) == 0)
            return &train_cases[i];
    return NULL;
}

/* Draw i of the name: 24 bits. */
static inline int64_t train_integer(const char *name, uint64_t i)
{
    uint64_t z = 0xCBF29CE484222325u;
    for (; *name; name++)
        z = (z ^ (uint8_t)*name) * 0x100000001B3u;
    z += (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (int64_t)((z ^ z >> 31) >> 40);
}

static inline bool train_name_has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

/* The tensor [rows][columns] of that name. */
static inline void train_fill(float *values, const char *name, int rows, int columns)
{
    float scale = (float)(1.5 / sqrt(columns)), offset = 0;
    size_t length = strlen(name);
    if (length >= 11 && strcmp(name + length - 11, "norm.weight") == 0) {
        offset = 1;
        scale = 0.25f;
    } else if (length >= 4 && strcmp(name + length - 4, "bias") == 0) {
        scale = 0.25f;
    } else if (train_name_has(name, "embed_tokens")) {
        scale = 1;
    } else if (train_name_has(name, "lora_B")) {
        scale = 0.125f;
    }
    for (int i = 0; i < rows * columns; i++) {
        float u = (float)(train_integer(name, (uint64_t)i) * 2 + 1 - (1 << 24)) / (float)(1 << 24);
        values[i] = offset + u * scale;
    }
}

static inline float *train_tensor(arena *a, const char *name, int rows, int columns)
{
    float *values = arena_alloc(a, (size_t)rows * (size_t)columns, sizeof *values);
    train_fill(values, name, rows, columns);
    return values;
}

static inline int train_n_out(const model_config *c, int which)
{
    switch (which) {
    case LINEAR_Q:
        return c->n_heads * c->head_dim;
    case LINEAR_K:
    case LINEAR_V:
        return c->n_kv_heads * c->head_dim;
    case LINEAR_GATE:
    case LINEAR_UP:
        return c->intermediate_size;
    default:
        return c->hidden_size;
    }
}

static inline int train_n_in(const model_config *c, int which)
{
    return which == LINEAR_O      ? c->n_heads * c->head_dim
           : which == LINEAR_DOWN ? c->intermediate_size
                                  : c->hidden_size;
}

static const char *const train_module_names[LINEAR_COUNT] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

static inline kernel_weight train_matrix(const float *values, int n_out, int n_in)
{
    return (kernel_weight){
        .n_out = n_out, .n_in = n_in, .type = DTYPE_F32, .data = (const uint8_t *)values};
}

/* The base alone: no adapter, the score left to the caller. All of it lives in m->memory. */
static inline void train_base(model *m, const train_case *t)
{
    memset(m, 0, sizeof *m);
    arena *a = &m->memory;
    model_config *c = &m->config;
    *c = (model_config){.arch = t->arch,
                        .hidden_size = TRAIN_HIDDEN,
                        .intermediate_size = TRAIN_WIDE,
                        .n_layers = t->n_layers,
                        .n_heads = TRAIN_HEADS,
                        .n_kv_heads = TRAIN_KV_HEADS,
                        .head_dim = t->head_dim,
                        .vocab_size = TRAIN_VOCAB,
                        .max_position_embeddings = 256,
                        .rms_norm_eps = 1e-5f,
                        .qkv_bias = t->arch == ARCH_QWEN2,
                        .qk_norm = t->arch == ARCH_QWEN3,
                        .rope = ROPE_DEFAULT,
                        .rope_theta = 10000,
                        .pad_token_id = 0,
                        .eos_token_id = -1,
                        .bos_token_id = -1,
                        .n_labels = TRAIN_LABELS};
    static const char *labels[] = {"LABEL_0", "LABEL_1", "LABEL_2"};
    c->labels = labels;
    c->layer_window = arena_alloc(a, (size_t)c->n_layers, sizeof(int));
    m->path = "small";
    m->embedding = (tensor_view){.name = "model.embed_tokens.weight",
                                 .type = DTYPE_F32,
                                 .n_dims = 2,
                                 .shape = {TRAIN_VOCAB, TRAIN_HIDDEN},
                                 .data = (const uint8_t *)train_tensor(
                                     a, "model.embed_tokens.weight", TRAIN_VOCAB, TRAIN_HIDDEN),
                                 .size_bytes = TRAIN_VOCAB * TRAIN_HIDDEN * sizeof(float)};
    m->embedding_fd = -1;
    m->final_norm = train_tensor(a, "model.norm.weight", 1, TRAIN_HIDDEN);
    m->layers = arena_alloc(a, (size_t)c->n_layers, sizeof(layer));
    m->dtype = SLANT_DTYPE_F32;
    m->linear_type = DTYPE_F32;
    m->notes = "";
    for (int i = 0; i < c->n_layers; i++) {
        layer *l = &m->layers[i];
        char name[128];
        c->layer_window[i] = t->window;
#define TRAIN_NAME(part) (snprintf(name, sizeof name, "model.layers.%d.%s", i, part), name)
        l->input_norm = train_tensor(a, TRAIN_NAME("input_layernorm.weight"), 1, TRAIN_HIDDEN);
        l->post_norm =
            train_tensor(a, TRAIN_NAME("post_attention_layernorm.weight"), 1, TRAIN_HIDDEN);
        if (c->qk_norm) {
            l->q_norm = train_tensor(a, TRAIN_NAME("self_attn.q_norm.weight"), 1, c->head_dim);
            l->k_norm = train_tensor(a, TRAIN_NAME("self_attn.k_norm.weight"), 1, c->head_dim);
        }
#undef TRAIN_NAME
        for (int which = 0; which < LINEAR_COUNT; which++) {
            int n_out = train_n_out(c, which), n_in = train_n_in(c, which);
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, train_module_names[which]);
            l->linears[which].w = train_matrix(train_tensor(a, name, n_out, n_in), n_out, n_in);
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", i, train_module_names[which]);
            if (c->qkv_bias && which <= LINEAR_V)
                l->linears[which].bias = train_tensor(a, name, 1, n_out);
        }
    }
}

/* Ids of an article, and its label. */
static inline void train_article(int number, int length, int32_t *ids)
{
    char name[32];
    snprintf(name, sizeof name, "article %d", number);
    for (int i = 0; i < length; i++)
        ids[i] = (int32_t)(1 + train_integer(name, (uint64_t)i) % (TRAIN_VOCAB - 1));
}

static inline int train_label(int number)
{
    char name[32];
    snprintf(name, sizeof name, "label %d", number);
    return (int)(train_integer(name, 0) % TRAIN_LABELS);
}

#endif
