/* A GGUF file: its tensors under Hugging Face's names, its metadata as a config and a tokenizer. */
#include "model/source.h"

#include <stdlib.h>
#include <string.h>

typedef struct name_pair {
    const char *gguf, *hf;
} name_pair;

static const name_pair whole_names[] = {{"token_embd.weight", "model.embed_tokens.weight"},
                                        {"output_norm.weight", "model.norm.weight"}};

static const name_pair block_names[] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

/* "blk.3.attn_q.bias" → "model.layers.3.self_attn.q_proj.bias"; the file's own name where there is
 * no other, so that it is reported as unknown. NULL: out of memory. */
static const char *block_name(source *s, const char *name)
{
    const char *digits = name + strlen("blk.");
    size_t n_digits = strspn(digits, "0123456789");
    const char *module = digits + n_digits + 1;
    const char *dot = n_digits == 0 || digits[n_digits] != '.' ? NULL : strrchr(module, '.');
    if (dot == NULL)
        return name;
    size_t length = (size_t)(dot - module);
    for (size_t i = 0; i < sizeof block_names / sizeof *block_names; i++)
        if (strlen(block_names[i].gguf) == length &&
            memcmp(block_names[i].gguf, module, length) == 0)
            return arena_printf(&s->memory, "model.layers.%.*s.%s%s", (int)n_digits, digits,
                                block_names[i].hf, dot);
    return name;
}

static const char *hf_name(source *s, const char *name)
{
    for (size_t i = 0; i < sizeof whole_names / sizeof *whole_names; i++)
        if (strcmp(whole_names[i].gguf, name) == 0)
            return whole_names[i].hf;
    return strncmp(name, "blk.", 4) == 0 ? block_name(s, name) : name;
}

/* llama.cpp's converter interleaves the two halves of each head of q and k for the llama
 * architecture (Mistral included), and not for Qwen. */
static bool is_interleaved(const source *s, const char *name)
{
    return s->config.arch == ARCH_LLAMA && (strstr(name, ".self_attn.q_proj.") != NULL ||
                                            strstr(name, ".self_attn.k_proj.") != NULL);
}

/* The language model's head, and what the config has read already. */
static bool is_left_out(const char *name)
{
    return strcmp(name, "output.weight") == 0 || strcmp(name, "rope_freqs.weight") == 0;
}

static slant_status list_tensors(source *s, slant_error *err)
{
    slant_status status = source_reserve(s, gguf_count(s->g), err);
    for (size_t i = 0; status == SLANT_OK && i < gguf_count(s->g); i++) {
        const tensor_view *view = gguf_at(s->g, i);
        if (is_left_out(view->name))
            continue;
        const char *name = hf_name(s, view->name);
        if (name == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", s->path);
        source_tensor *t = source_add(s, name, view);
        if (is_interleaved(s, name))
            t->head_rows = s->config.head_dim;
    }
    return status;
}

slant_status source_gguf_open(source *s, slant_error *err)
{
    s->kind = SOURCE_GGUF;
    slant_status status = gguf_open_memory(s->map.data, s->map.size_bytes, s->path, &s->g, err);
    if (status == SLANT_OK)
        status = model_config_from_gguf(&s->config, s->g, s->path, &s->memory, err);
    return status == SLANT_OK ? list_tensors(s, err) : status;
}

static int64_t metadata_int(const gguf *g, const char *key)
{
    int64_t value;
    return gguf_int(g, key, &value) ? value : -1;
}

/* A list that is there and was not given is of another kind, or did not fit into memory. */
static slant_status check_list(const source *s, const char *key, bool is_read, size_t n,
                               size_t expected, slant_error *err)
{
    if (!is_read && gguf_has(s->g, key))
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: metadata %s could not be read: it is of another kind, or memory "
                           "ran out",
                           s->path, key);
    if (is_read && n != expected)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: metadata %s: expected %zu entries, found %zu", s->path, key,
                           expected, n);
    return SLANT_OK;
}

static slant_status read_tokenizer_lists(const source *s, tokenizer_gguf *t, slant_error *err)
{
    static const char tokens[] = "tokenizer.ggml.tokens", types[] = "tokenizer.ggml.token_type",
                      scores[] = "tokenizer.ggml.scores", merges[] = "tokenizer.ggml.merges";
    size_t n_types = 0, n_scores = 0;
    bool is_read = gguf_array_strings(s->g, tokens, &t->tokens, &t->token_bytes, &t->n_tokens);
    slant_status status = check_list(s, tokens, is_read, t->n_tokens, t->n_tokens, err);
    if (status == SLANT_OK && !is_read)
        status = status_fail(err, SLANT_ERR_FORMAT, "%s: metadata %s is missing", s->path, tokens);
    if (status == SLANT_OK) {
        is_read = gguf_array_ints(s->g, types, &t->types, &n_types);
        status = check_list(s, types, is_read, n_types, t->n_tokens, err);
    }
    if (status == SLANT_OK) {
        is_read = gguf_array_floats(s->g, scores, &t->scores, &n_scores);
        status = check_list(s, scores, is_read, n_scores, t->n_tokens, err);
    }
    if (status == SLANT_OK) {
        is_read = gguf_array_strings(s->g, merges, &t->merges, &t->merge_bytes, &t->n_merges);
        status = check_list(s, merges, is_read, t->n_merges, t->n_merges, err);
    }
    return status;
}

slant_status source_gguf_tokenizer(const source *s, tokenizer **out, slant_error *err)
{
    const gguf *g = s->g;
    tokenizer_gguf t = {.model = gguf_string(g, "tokenizer.ggml.model"),
                        .pre = gguf_string(g, "tokenizer.ggml.pre"),
                        .bos_id = metadata_int(g, "tokenizer.ggml.bos_token_id"),
                        .eos_id = metadata_int(g, "tokenizer.ggml.eos_token_id"),
                        .unknown_id = metadata_int(g, "tokenizer.ggml.unknown_token_id"),
                        .pad_id = metadata_int(g, "tokenizer.ggml.padding_token_id"),
                        .add_bos = (int)metadata_int(g, "tokenizer.ggml.add_bos_token")};
    if (t.model == NULL)
        return SLANT_OK;
    slant_status status = read_tokenizer_lists(s, &t, err);
    if (status != SLANT_OK)
        return status;
    return tokenizer_open_gguf(&t, s->path, out, err);
}
