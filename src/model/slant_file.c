/* Writing a .slant: every tensor of an open model as it is held, in the order in which a forward
 * pass meets them, each at a multiple of 64 bytes. */
#include "model/slant_file.h"

#include "formats/safetensors.h"
#include "model/bind.h"
#include "model/plain.h"
#include "model/source.h"
#include "quant/nf4.h"

#include <string.h>

typedef struct list_item {
    tensor_view view;
    dtype block;    /* the block type that the bytes are of; U8: none */
    bool is_mapped; /* the bytes are the source file's own */
} list_item;

/* Tensors to be written; names live in the arena. */
typedef struct tensor_list {
    list_item *items; /* [n_items] */
    size_t n_items, cap;
    arena memory;
    bool failed; /* memory ran out */
} tensor_list;

static bool grow(tensor_list *list)
{
    size_t cap = list->cap == 0 ? 256 : 2 * list->cap;
    list_item *items = mem_realloc(list->items, cap, sizeof *items);
    if (items == NULL)
        return false;
    list->items = items;
    list->cap = cap;
    return true;
}

static void add(tensor_list *list, const char *name, const char *suffix, tensor_view view)
{
    if (list->failed || (list->n_items == list->cap && !grow(list))) {
        list->failed = true;
        return;
    }
    view.name = arena_printf(&list->memory, "%s%s", name, suffix);
    list->failed = view.name == NULL;
    list->items[list->n_items++] = (list_item){.view = view, .block = DTYPE_U8};
}

static void add_bytes(tensor_list *list, const char *name, const char *suffix, const uint8_t *bytes,
                      size_t size_bytes)
{
    add(list, name, suffix,
        (tensor_view){.type = DTYPE_U8,
                      .n_dims = 1,
                      .shape = {(int64_t)size_bytes},
                      .data = bytes,
                      .size_bytes = size_bytes});
}

static void add_floats(tensor_list *list, const char *name, const char *suffix, const float *values,
                       int64_t n)
{
    add(list, name, suffix,
        (tensor_view){.type = DTYPE_F32,
                      .n_dims = 1,
                      .shape = {n},
                      .data = (const uint8_t *)values,
                      .size_bytes = (size_t)n * sizeof *values});
}

/* Rows of a type that safetensors knows keep it; blocks go as bytes, their type into the metadata.
 */
static void add_rows(tensor_list *list, const char *name, dtype type, int64_t n_rows, int64_t n_in,
                     const uint8_t *data)
{
    bool plain = plain_is_float(type);
    size_t row_bytes = plain_row_bytes(type, n_in);
    add(list, name, "",
        (tensor_view){.type = plain ? type : DTYPE_U8,
                      .n_dims = 2,
                      .shape = {n_rows, plain ? n_in : (int64_t)row_bytes},
                      .data = data,
                      .size_bytes = (size_t)n_rows * row_bytes});
    if (!list->failed && !plain)
        list->items[list->n_items - 1].block = type;
}

static bool same_bytes(const void *a, const void *b, size_t size_bytes)
{
    return memcmp(a, b, size_bytes) == 0;
}

static void add_panels(tensor_list *list, const char *name, const kernel_weight *w)
{
    int64_t n_panels = (w->n_out + NF4_PANEL - 1) / NF4_PANEL, n_blocks = w->n_in / NF4_BLOCK;
    bool is_nested = w->absmax_codes != NULL;
    tensor_view codes = {.type = DTYPE_U8,
                         .n_dims = 3,
                         .shape = {n_panels, n_blocks, NF4_PANEL * NF4_BLOCK / 2},
                         .data = w->data,
                         .size_bytes = nf4_panel_code_bytes(w->n_out, w->n_in)};
    tensor_view absmax = {.type = is_nested ? DTYPE_U8 : DTYPE_F32,
                          .n_dims = 3,
                          .shape = {n_panels, n_blocks, NF4_PANEL},
                          .data = is_nested ? w->absmax_codes : (const uint8_t *)w->absmax,
                          .size_bytes = nf4_panel_n_absmax(w->n_out, w->n_in) *
                                        (is_nested ? 1 : sizeof *w->absmax)};
    add(list, name, ".nf4", codes);
    add(list, name, ".absmax", absmax);
    if (!same_bytes(w->code_map, nf4_codes, sizeof nf4_codes))
        add_floats(list, name, ".quant_map", w->code_map, 16);
    if (!is_nested)
        return;
    add_floats(list, name, ".nested_absmax", w->nested_absmax,
               nf4_n_nested((int64_t)w->n_out * w->n_in));
    add_floats(list, name, ".nested_offset", &w->nested_offset, 1);
    if (!same_bytes(w->nested_map, nf4_dynamic_map, sizeof nf4_dynamic_map))
        add_floats(list, name, ".nested_quant_map", w->nested_map, 256);
}

static void add_linear(tensor_list *list, const char *module, const linear *l)
{
    char name[BIND_NAME_CHARS + 8];
    snprintf(name, sizeof name, "%s.weight", module);
    if (l->w.type == DTYPE_NF4)
        add_panels(list, name, &l->w);
    else
        add_rows(list, name, l->w.type, l->w.n_out, l->w.n_in, l->w.data);
    if (l->bias != NULL)
        add_floats(list, module, ".bias", l->bias, l->w.n_out);
}

static void add_layer(tensor_list *list, const model *m, int at)
{
    const layer *l = &m->layers[at];
    char name[BIND_NAME_CHARS];
    snprintf(name, sizeof name, "model.layers.%d", at);
    add_floats(list, name, ".input_layernorm.weight", l->input_norm, m->config.hidden_size);
    if (l->q_norm != NULL)
        add_floats(list, name, ".self_attn.q_norm.weight", l->q_norm, m->config.head_dim);
    if (l->k_norm != NULL)
        add_floats(list, name, ".self_attn.k_norm.weight", l->k_norm, m->config.head_dim);
    add_floats(list, name, ".post_attention_layernorm.weight", l->post_norm, m->config.hidden_size);
    for (int which = 0; which < LINEAR_COUNT; which++)
        add_linear(list, bind_module_name(at, which, name), &l->linears[which]);
}

static void add_all(tensor_list *list, const model *m)
{
    const model_config *c = &m->config;
    if (m->tokenizer != NULL) {
        size_t blob_bytes;
        const uint8_t *blob = tokenizer_blob(m->tokenizer, &blob_bytes);
        add_bytes(list, SLANT_FILE_TOKENIZER, "", blob, blob_bytes);
    }
    if (c->rope == ROPE_FACTORS)
        add_floats(list, SLANT_FILE_ROPE_FACTORS, "", c->rope_factors, c->head_dim / 2);
    for (int i = 0; i < c->n_layers; i++)
        add_layer(list, m, i);
    add_floats(list, "model.norm.weight", "", m->final_norm, c->hidden_size);
    if (m->score != NULL)
        add(list, "score.weight", "",
            (tensor_view){.type = DTYPE_F32,
                          .n_dims = 2,
                          .shape = {c->n_labels, c->hidden_size},
                          .data = (const uint8_t *)m->score,
                          .size_bytes =
                              (size_t)c->n_labels * (size_t)c->hidden_size * sizeof *m->score});
    add_rows(list, "model.embed_tokens.weight", m->embedding.type, c->vocab_size, c->hidden_size,
             m->embedding.data);
    if (!list->failed)
        list->items[list->n_items - 1].is_mapped = true;
}

static slant_status write_metadata(safetensors_writer *w, const tensor_list *list, const model *m,
                                   slant_error *err)
{
    buf config = {0};
    model_config_to_json(&m->config, &config);
    slant_status status =
        config.failed ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
    const char *const pairs[][2] = {{"format", "slant"},
                                    {SLANT_FILE_VERSION_KEY, SLANT_FILE_VERSION},
                                    {SLANT_FILE_CONFIG_KEY, config.data},
                                    {SLANT_FILE_SOURCE_KEY, m->source_kind},
                                    {SLANT_FILE_DIGEST_KEY, m->base_digest}};
    for (size_t i = 0; status == SLANT_OK && i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][1] != NULL)
            status = safetensors_writer_metadata(w, pairs[i][0], pairs[i][1], err);
    for (size_t i = 0; status == SLANT_OK && i < list->n_items; i++) {
        const list_item *item = &list->items[i];
        char key[BIND_NAME_CHARS + 32];
        if (item->block == DTYPE_U8)
            continue;
        snprintf(key, sizeof key, SLANT_FILE_TYPE_PREFIX "%s", item->view.name);
        status = safetensors_writer_metadata(w, key, dtype_get(item->block)->name, err);
    }
    buf_free(&config);
    return status;
}

/* The embedding passes from file to file without becoming resident as a whole. */
static slant_status write_data(safetensors_writer *w, const list_item *item, slant_error *err)
{
    const size_t piece_bytes = (size_t)8 << 20;
    size_t left = item->view.size_bytes;
    slant_status status = SLANT_OK;
    for (const uint8_t *at = item->view.data; status == SLANT_OK && left > 0;) {
        size_t n = left < piece_bytes ? left : piece_bytes;
        status = safetensors_writer_data(w, at, n, err);
        if (item->is_mapped)
            source_forget(at, n);
        at += n;
        left -= n;
    }
    return status;
}

static slant_status write_tensors(safetensors_writer *w, const tensor_list *list, slant_error *err)
{
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < list->n_items; i++)
        status = safetensors_writer_declare(w, &list->items[i].view, err);
    for (size_t i = 0; status == SLANT_OK && i < list->n_items; i++)
        status = write_data(w, &list->items[i], err);
    return status;
}

slant_status slant_file_write(const model *m, const char *path, slant_error *err)
{
    tensor_list list = {0};
    safetensors_writer *w = NULL;
    add_all(&list, m);
    slant_status status = list.failed
                              ? status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path)
                              : safetensors_writer_open(path, SLANT_FILE_ALIGNMENT, &w, err);
    if (status == SLANT_OK)
        status = write_metadata(w, &list, m, err);
    if (status == SLANT_OK)
        status = write_tensors(w, &list, err);
    if (status == SLANT_OK)
        status = safetensors_writer_commit(w, err);
    else
        safetensors_writer_abort(w);
    mem_free(list.items);
    arena_free(&list.memory);
    return status;
}
