/* A model's shape out of a GGUF's metadata. Labels and head are not part of that format. */
#include "formats/gguf.h"
#include "model/config_rope.h"

#include <stdio.h>
#include <string.h>

typedef struct metadata {
    const gguf *g;
    const char *arch; /* the prefix of the architecture's own keys */
    const char *file;
    slant_error *err;
    slant_status status;
} metadata;

static void make_key(const metadata *m, const char *key, char out[128])
{
    snprintf(out, 128, "%s.%s", m->arch, key);
}

static int64_t optional_int(const metadata *m, const char *key, int64_t absent)
{
    char name[128];
    int64_t value;
    make_key(m, key, name);
    return gguf_int(m->g, name, &value) ? value : absent;
}

static int required_int(metadata *m, const char *key, int64_t max)
{
    int64_t value = optional_int(m, key, -1);
    if (value >= 1 && value <= max)
        return (int)value;
    if (m->status == SLANT_OK)
        m->status = status_fail(m->err, SLANT_ERR_FORMAT,
                                "%s: metadata %s.%s: expected an integer from 1 to %lld%s", m->file,
                                m->arch, key, (long long)max, value == -1 ? ", found none" : "");
    return 1;
}

static double optional_double(const metadata *m, const char *key, double absent)
{
    char name[128];
    double value;
    make_key(m, key, name);
    return gguf_double(m->g, name, &value) ? value : absent;
}

static void refuse(metadata *m, const char *what)
{
    if (m->status == SLANT_OK)
        m->status = status_fail(m->err, SLANT_ERR_UNSUPPORTED, "%s: %s", m->file, what);
}

static void read_shape(metadata *m, model_config *c)
{
    c->hidden_size = required_int(m, "embedding_length", 1 << 16);
    c->intermediate_size = required_int(m, "feed_forward_length", 1 << 20);
    c->n_layers = required_int(m, "block_count", 1024);
    c->n_heads = required_int(m, "attention.head_count", 4096);
    c->n_kv_heads = (int)optional_int(m, "attention.head_count_kv", c->n_heads);
    c->head_dim = (int)optional_int(m, "attention.key_length", c->hidden_size / c->n_heads);
    c->max_position_embeddings = required_int(m, "context_length", INT32_MAX);
    c->rms_norm_eps = (float)optional_double(m, "attention.layer_norm_rms_epsilon", 1e-6);
    if (c->n_kv_heads < 1 || c->n_kv_heads > c->n_heads)
        refuse(m, "attention.head_count_kv is out of range");
    if (optional_int(m, "attention.value_length", c->head_dim) != c->head_dim)
        refuse(m, "attention.value_length differs from the keys' length, which is not run");
    if (!(c->rms_norm_eps > 0 && c->rms_norm_eps < 1))
        refuse(m, "attention.layer_norm_rms_epsilon is out of range");
    if (optional_int(m, "expert_count", 0) > 0)
        refuse(m, "mixtures of experts are not run");
}

static void read_vocabulary(metadata *m, model_config *c)
{
    const tensor_view *embedding = gguf_find(m->g, "token_embd.weight");
    int64_t rows = embedding != NULL && embedding->n_dims == 2 ? embedding->shape[0] : 0;
    if (rows < 1 || rows > 1 << 24)
        refuse(m, "tensor token_embd.weight is missing or has no rows");
    else
        c->vocab_size = (int)rows;
}

static void read_rope(metadata *m, model_config *c)
{
    c->rope_theta = optional_double(m, "rope.freq_base", 10000.0);
    if (!(c->rope_theta >= 1.0 && c->rope_theta <= 1e15))
        refuse(m, "rope.freq_base is out of range");
    if (optional_int(m, "rope.dimension_count", c->head_dim) != c->head_dim)
        refuse(m, "rotation of a part of each head (rope.dimension_count) is not run");
    char key[128];
    make_key(m, "rope.scaling.type", key);
    const char *scaling = gguf_string(m->g, key);
    if (scaling != NULL && strcmp(scaling, "linear") == 0) {
        c->rope = ROPE_LINEAR;
        c->rope_factor = optional_double(m, "rope.scaling.factor", 1.0);
        if (!(c->rope_factor >= CONFIG_ROPE_MIN_FACTOR && c->rope_factor <= CONFIG_ROPE_MAX_FACTOR))
            refuse(m, "rope.scaling.factor is out of range");
    } else if (scaling != NULL && strcmp(scaling, "none") != 0) {
        refuse(m, "rope.scaling.type is one that slant does not run (none, linear)");
    }
}

/* llama3's scaling arrives as a tensor of what each frequency is divided by. */
static void read_rope_factors(metadata *m, model_config *c, arena *a)
{
    const tensor_view *factors = gguf_find(m->g, "rope_freqs.weight");
    if (factors == NULL || m->status != SLANT_OK)
        return;
    if (factors->type != DTYPE_F32 || factors->n_dims != 1 ||
        factors->shape[0] != c->head_dim / 2) {
        refuse(m, "tensor rope_freqs.weight is not F32 of half a head's length");
        return;
    }
    float *copy = arena_alloc(a, factors->size_bytes, 1);
    if (copy == NULL) {
        m->status = status_fail(m->err, SLANT_ERR_MEMORY, "%s: out of memory", m->file);
        return;
    }
    c->rope_factors = memcpy(copy, factors->data, factors->size_bytes);
    c->rope = ROPE_FACTORS;
    if (config_rope_bad_factor(copy, c->head_dim / 2) >= 0)
        refuse(m, "tensor rope_freqs.weight holds a factor that is out of range");
}

static void read_linears(metadata *m, model_config *c)
{
    bool attention = gguf_find(m->g, "blk.0.attn_q.bias") != NULL;
    c->qkv_bias = c->arch == ARCH_QWEN2 || attention;
    c->o_bias = c->arch != ARCH_QWEN2 && attention;
    c->mlp_bias = c->arch == ARCH_LLAMA && gguf_find(m->g, "blk.0.ffn_gate.bias") != NULL;
    c->qk_norm = c->arch == ARCH_QWEN3;
}

static int64_t token_id(const metadata *m, const char *key)
{
    int64_t id;
    return gguf_int(m->g, key, &id) && id >= 0 && id <= INT32_MAX ? id : -1;
}

slant_status model_config_from_gguf(model_config *config, const gguf *g, const char *name, arena *a,
                                    slant_error *err)
{
    *config = (model_config){0};
    metadata m = {.g = g, .file = name, .err = err};
    m.arch = gguf_string(g, "general.architecture");
    if (m.arch == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: metadata general.architecture is missing",
                           name);
    if (!model_arch_from_name(m.arch, &config->arch) || config->arch == ARCH_MISTRAL)
        return status_fail(
            err, SLANT_ERR_UNSUPPORTED,
            "%s: architecture \"%s\" is not one that slant runs (llama, qwen2, qwen3)", name,
            m.arch);
    read_shape(&m, config);
    read_vocabulary(&m, config);
    read_rope(&m, config);
    read_rope_factors(&m, config, a);
    read_linears(&m, config);
    config->pad_token_id = token_id(&m, "tokenizer.ggml.padding_token_id");
    config->eos_token_id = token_id(&m, "tokenizer.ggml.eos_token_id");
    config->bos_token_id = token_id(&m, "tokenizer.ggml.bos_token_id");
    if (m.status != SLANT_OK)
        return m.status;
    config->layer_window = arena_alloc(a, (size_t)config->n_layers, sizeof *config->layer_window);
    if (config->layer_window == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", name);
    return model_config_check(config, name, err);
}
