#include "model/hf_folder.h"

#include "base/file.h"
#include "model/bind.h"
#include "model/folder.h"
#include "model/plain.h"
#include "model/tensor_list.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_MAX_BYTES = 256 << 20 };

static slant_status out_of_memory(const char *dir, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
}

static slant_status write_bytes(const char *dir, const char *name, const char *bytes,
                                size_t size_bytes, slant_error *err)
{
    char *path = file_join(dir, name);
    slant_status status =
        path == NULL ? out_of_memory(dir, err) : file_write_whole(path, bytes, size_bytes, err);
    mem_free(path);
    return status;
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* Rows of any type, written as BF16; n_dims 1: a vector [n_in]. */
static tensor_item *add_narrow(tensor_list *list, const char *name, const char *suffix, dtype from,
                               int n_dims, int64_t n_rows, int64_t n_in, const void *data)
{
    tensor_item *item =
        tensor_list_add(list, name, suffix,
                        (tensor_view){.type = DTYPE_BF16,
                                      .n_dims = n_dims,
                                      .shape = {n_dims == 1 ? n_in : n_rows, n_in},
                                      .data = data,
                                      .size_bytes = (size_t)n_rows * (size_t)n_in * 2});
    if (item != NULL)
        item->from = from;
    return item;
}

static void add_vector(tensor_list *list, const char *name, const char *suffix, const float *values,
                       int64_t n)
{
    if (values != NULL)
        add_narrow(list, name, suffix, DTYPE_F32, 1, 1, n, values);
}

/* The tensors that bitsandbytes makes of one weight. */
static void add_flat(tensor_list *list, const char *name, const merged_weight *merged)
{
    const nf4_flat *flat = &merged->flat;
    int64_t n_bytes = (flat->n_values + 1) / 2, n_blocks = nf4_n_blocks(flat->n_values);
    tensor_list_add(list, name, "",
                    (tensor_view){.type = DTYPE_U8,
                                  .n_dims = 2,
                                  .shape = {n_bytes, 1},
                                  .data = flat->codes,
                                  .size_bytes = (size_t)n_bytes});
    if (flat->absmax_codes != NULL) {
        tensor_list_add_bytes(list, name, ".absmax", flat->absmax_codes, (size_t)n_blocks);
        tensor_list_add_floats(list, name, ".nested_absmax", flat->nested_absmax,
                               nf4_n_nested(flat->n_values));
        tensor_list_add_floats(list, name, ".nested_quant_map", flat->nested_map, 256);
    } else {
        tensor_list_add_floats(list, name, ".absmax", flat->absmax, n_blocks);
    }
    tensor_list_add_floats(list, name, ".quant_map", flat->code_map, 16);
    tensor_list_add_bytes(list, name, ".quant_state.bitsandbytes__nf4",
                          (const uint8_t *)merged->flat_state, MERGE_STATE_BYTES);
}

static void add_linear(tensor_list *list, merger *g, const char *module, const linear *l)
{
    char name[BIND_NAME_CHARS + 8];
    const merged_weight *merged = merger_plan(g, l);
    snprintf(name, sizeof name, "%s.weight", module);
    list->makes = l;
    if (merger_form(g) == MERGE_NF4_FLAT)
        add_flat(list, name, merged);
    else
        add_narrow(list, name, "", DTYPE_BF16, 2, l->w.n_out, l->w.n_in, merged->w->data);
    list->makes = NULL;
    add_vector(list, module, ".bias", l->bias, l->w.n_out);
}

static void add_layer(tensor_list *list, merger *g, const model *m, int at)
{
    const layer *l = &m->layers[at];
    const model_config *c = &m->config;
    char name[BIND_NAME_CHARS];
    snprintf(name, sizeof name, "model.layers.%d", at);
    add_vector(list, name, ".input_layernorm.weight", l->input_norm, c->hidden_size);
    add_vector(list, name, ".self_attn.q_norm.weight", l->q_norm, c->head_dim);
    add_vector(list, name, ".self_attn.k_norm.weight", l->k_norm, c->head_dim);
    add_vector(list, name, ".post_attention_layernorm.weight", l->post_norm, c->hidden_size);
    for (int which = 0; which < LINEAR_COUNT; which++)
        add_linear(list, g, bind_module_name(at, which, name), &l->linears[which]);
}

static void add_all(tensor_list *list, merger *g, const model *m)
{
    const model_config *c = &m->config;
    tensor_item *embedding = add_narrow(list, "model.embed_tokens.weight", "", m->embedding.type, 2,
                                        c->vocab_size, c->hidden_size, m->embedding.data);
    if (embedding != NULL)
        embedding->is_mapped = true;
    for (int i = 0; i < c->n_layers; i++)
        add_layer(list, g, m, i);
    add_vector(list, "model.norm", ".weight", m->final_norm, c->hidden_size);
    add_narrow(list, "score", ".weight", DTYPE_F32, 2, c->n_labels, c->hidden_size, m->score);
}

static slant_status name_format(const void *context, const tensor_list *list, safetensors_writer *w,
                                slant_error *err)
{
    (void)context, (void)list;
    return safetensors_writer_metadata(w, "format", "pt", err);
}

static slant_status write_tensors(const model *m, merger *g, const char *dir, slant_error *err)
{
    tensor_list list = {0};
    char *path = file_join(dir, "model.safetensors");
    add_all(&list, g, m);
    slant_status status = path == NULL
                              ? out_of_memory(dir, err)
                              : tensor_list_save(&list, g, path, 1, name_format, NULL, err);
    tensor_list_free(&list);
    mem_free(path);
    return status;
}

/* --- config.json ------------------------------------------------------------------------------ */

static const char *architecture(model_arch arch)
{
    static const char *const names[] = {[ARCH_LLAMA] = "LlamaForSequenceClassification",
                                        [ARCH_MISTRAL] = "MistralForSequenceClassification",
                                        [ARCH_QWEN2] = "Qwen2ForSequenceClassification",
                                        [ARCH_QWEN3] = "Qwen3ForSequenceClassification"};
    return names[arch];
}

static json_t *label_numbers(const model_config *c)
{
    json_t *numbers = json_object();
    for (int i = 0; i < c->n_labels; i++)
        json_object_set_new(numbers, c->labels[i], json_integer(i));
    return numbers;
}

/* What BitsAndBytesConfig.to_dict gives for NF4 with double quantisation and bf16 products. */
static json_t *quantization_config(void)
{
    return json_pack("{s:s,s:b,s:b,s:b,s:b,s:s,s:b,s:s,s:s,s:f,s:n,s:b,s:b}", "quant_method",
                     "bitsandbytes", "load_in_4bit", 1, "_load_in_4bit", 1, "load_in_8bit", 0,
                     "_load_in_8bit", 0, "bnb_4bit_quant_type", "nf4", "bnb_4bit_use_double_quant",
                     1, "bnb_4bit_compute_dtype", "bfloat16", "bnb_4bit_quant_storage", "uint8",
                     "llm_int8_threshold", 6.0, "llm_int8_skip_modules",
                     "llm_int8_enable_fp32_cpu_offload", 0, "llm_int8_has_fp16_weight", 0);
}

/* What slant reads of a config, and what transformers wants beside it. */
static json_t *config_of(const model *m, bool is_nf4)
{
    buf text = {0};
    model_config_to_json(&m->config, &text);
    json_t *config = text.failed ? NULL : json_loadb(text.data, text.size_bytes, 0, NULL);
    buf_free(&text);
    if (config == NULL)
        return NULL;
    json_object_set_new(config, "architectures", json_pack("[s]", architecture(m->config.arch)));
    json_object_set_new(config, "dtype", json_string("bfloat16"));
    json_object_set_new(config, "hidden_act", json_string("silu"));
    json_object_set_new(config, "label2id", label_numbers(&m->config));
    json_object_set_new(config, "tie_word_embeddings", json_true());
    json_object_set_new(config, "use_cache", json_false());
    if (m->config.problem == PROBLEM_UNSET && m->config.n_labels > 1)
        json_object_set_new(config, "problem_type", json_string("single_label_classification"));
    if (is_nf4)
        json_object_set_new(config, "quantization_config", quantization_config());
    return config;
}

static slant_status write_json(const char *dir, const char *name, json_t *value, slant_error *err)
{
    char *text = value == NULL
                     ? NULL
                     : json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    slant_status status =
        text == NULL ? out_of_memory(dir, err) : write_bytes(dir, name, text, strlen(text), err);
    free(text); /* jansson's */
    json_decref(value);
    return status;
}

/* --- tokenizer -------------------------------------------------------------------------------- */

static slant_status copy_file(const char *from, const char *to, const char *name, slant_error *err)
{
    buf bytes = {0};
    char *path = file_join(from, name);
    slant_status status =
        path == NULL ? out_of_memory(to, err) : file_read(path, COPY_MAX_BYTES, &bytes, err);
    if (status == SLANT_OK)
        status = write_bytes(to, name, bytes.data == NULL ? "" : bytes.data, bytes.size_bytes, err);
    buf_free(&bytes);
    mem_free(path);
    return status;
}

/* The folder that m's tokenizer was read from; NULL: it came out of another kind of file. */
static const char *tokenizer_folder(const model *m)
{
    const source *base = m->files->base;
    bool is_folder = base->kind == SOURCE_HF || base->kind == SOURCE_BNB;
    if (is_folder && folder_holds(base->path, "tokenizer.json"))
        return base->path;
    bool has_own = base->kind == SOURCE_GGUF || base->kind == SOURCE_SLANT;
    if (!has_own && m->adapter.path != NULL && folder_holds(m->adapter.path, "tokenizer.json"))
        return m->adapter.path;
    return NULL;
}

static void set_token(json_t *config, const char *key, const model *m, int64_t id)
{
    size_t n_bytes;
    const char *piece =
        id < 0 || id > INT32_MAX ? NULL : tokenizer_piece(m->tokenizer, (int32_t)id, &n_bytes);
    if (piece != NULL)
        json_object_set_new(config, key, json_stringn(piece, n_bytes));
}

/* Without a class named here transformers would choose the architecture's own, which may split
 * words in another way than tokenizer.json says. */
static slant_status write_tokenizer_config(const model *m, const char *dir, slant_error *err)
{
    json_t *config = json_pack("{s:s,s:b,s:I}", "tokenizer_class", "PreTrainedTokenizerFast",
                               "clean_up_tokenization_spaces", 0, "model_max_length",
                               (json_int_t)m->config.max_position_embeddings);
    if (config == NULL)
        return out_of_memory(dir, err);
    set_token(config, "bos_token", m, m->config.bos_token_id);
    set_token(config, "eos_token", m, m->config.eos_token_id);
    set_token(config, "pad_token", m, m->config.pad_token_id);
    return write_json(dir, "tokenizer_config.json", config, err);
}

static slant_status write_tables(const model *m, const char *dir, slant_error *err)
{
    buf json = {0};
    slant_status status = tokenizer_to_json(m->tokenizer, m->path, &json, err);
    if (status == SLANT_OK)
        status = write_bytes(dir, "tokenizer.json", json.data, json.size_bytes, err);
    buf_free(&json);
    return status;
}

static slant_status write_tokenizer(const model *m, const char *dir, slant_error *err)
{
    static const char *const more[] = {"tokenizer_config.json", "special_tokens_map.json"};
    if (m->tokenizer == NULL)
        return SLANT_OK;
    const char *from = tokenizer_folder(m);
    slant_status status =
        from == NULL ? write_tables(m, dir, err) : copy_file(from, dir, "tokenizer.json", err);
    for (size_t i = 0; status == SLANT_OK && from != NULL && i < sizeof more / sizeof *more; i++)
        if (folder_holds(from, more[i]))
            status = copy_file(from, dir, more[i], err);
    if (status == SLANT_OK && (from == NULL || !folder_holds(from, more[0])))
        status = write_tokenizer_config(m, dir, err);
    return status;
}

/* --- the folder ------------------------------------------------------------------------------- */

slant_status hf_folder_write(const model *m, merger *g, const char *remembered, const char *dir,
                             slant_error *err)
{
    if (m->config.rope == ROPE_FACTORS)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: its rotary frequencies are scaled by a tensor, which config.json "
                           "cannot say; a .slant file can hold it",
                           m->path);
    slant_status status = write_tensors(m, g, dir, err);
    if (status == SLANT_OK)
        status =
            write_json(dir, "config.json", config_of(m, merger_form(g) == MERGE_NF4_FLAT), err);
    if (status == SLANT_OK)
        status = write_tokenizer(m, dir, err);
    if (status == SLANT_OK && remembered != NULL)
        status = write_bytes(dir, "slant.json", remembered, strlen(remembered), err);
    return status;
}
