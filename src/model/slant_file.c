/* Writing a .slant: every tensor of an open model as it is held, in the order in which a forward
 * pass meets them, each at a multiple of 64 bytes. */
#include "model/slant_file.h"

#include "model/bind.h"
#include "model/plain.h"
#include "model/tensor_list.h"

#include <string.h>

/* Rows of a type that safetensors knows keep it; blocks go as bytes, their type into the metadata.
 */
static tensor_item *add_rows(tensor_list *list, const char *name, dtype type, int64_t n_rows,
                             int64_t n_in, const uint8_t *data)
{
    bool plain = plain_is_float(type);
    size_t row_bytes = plain_row_bytes(type, n_in);
    tensor_item *item =
        tensor_list_add(list, name, "",
                        (tensor_view){.type = plain ? type : DTYPE_U8,
                                      .n_dims = 2,
                                      .shape = {n_rows, plain ? n_in : (int64_t)row_bytes},
                                      .data = data,
                                      .size_bytes = (size_t)n_rows * row_bytes});
    if (item != NULL && !plain)
        item->block = type;
    return item;
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
    tensor_list_add(list, name, ".nf4", codes);
    tensor_list_add(list, name, ".absmax", absmax);
    if (!same_bytes(w->code_map, nf4_codes, sizeof nf4_codes))
        tensor_list_add_floats(list, name, ".quant_map", w->code_map, 16);
    if (!is_nested)
        return;
    tensor_list_add_floats(list, name, ".nested_absmax", w->nested_absmax,
                           nf4_n_nested((int64_t)w->n_out * w->n_in));
    tensor_list_add_floats(list, name, ".nested_offset", &w->nested_offset, 1);
    if (!same_bytes(w->nested_map, nf4_dynamic_map, sizeof nf4_dynamic_map))
        tensor_list_add_floats(list, name, ".nested_quant_map", w->nested_map, 256);
}

/* The weight as it is held or, with g, as it is merged. */
static void add_linear(tensor_list *list, merger *g, const char *module, const linear *l)
{
    char name[BIND_NAME_CHARS + 8];
    const kernel_weight *w = g == NULL ? &l->w : merger_plan(g, l)->w;
    snprintf(name, sizeof name, "%s.weight", module);
    list->makes = g == NULL ? NULL : l;
    if (w->type == DTYPE_NF4)
        add_panels(list, name, w);
    else
        add_rows(list, name, w->type, w->n_out, w->n_in, w->data);
    list->makes = NULL;
    if (l->bias != NULL)
        tensor_list_add_floats(list, module, ".bias", l->bias, l->w.n_out);
}

static void add_layer(tensor_list *list, merger *g, const model *m, int at)
{
    const layer *l = &m->layers[at];
    char name[BIND_NAME_CHARS];
    snprintf(name, sizeof name, "model.layers.%d", at);
    tensor_list_add_floats(list, name, ".input_layernorm.weight", l->input_norm,
                           m->config.hidden_size);
    if (l->q_norm != NULL)
        tensor_list_add_floats(list, name, ".self_attn.q_norm.weight", l->q_norm,
                               m->config.head_dim);
    if (l->k_norm != NULL)
        tensor_list_add_floats(list, name, ".self_attn.k_norm.weight", l->k_norm,
                               m->config.head_dim);
    tensor_list_add_floats(list, name, ".post_attention_layernorm.weight", l->post_norm,
                           m->config.hidden_size);
    for (int which = 0; which < LINEAR_COUNT; which++)
        add_linear(list, g, bind_module_name(at, which, name), &l->linears[which]);
}

static void add_all(tensor_list *list, merger *g, const model *m)
{
    const model_config *c = &m->config;
    if (m->tokenizer != NULL) {
        size_t blob_bytes;
        const uint8_t *blob = tokenizer_blob(m->tokenizer, &blob_bytes);
        tensor_list_add_bytes(list, SLANT_FILE_TOKENIZER, "", blob, blob_bytes);
    }
    if (c->rope == ROPE_FACTORS)
        tensor_list_add_floats(list, SLANT_FILE_ROPE_FACTORS, "", c->rope_factors, c->head_dim / 2);
    for (int i = 0; i < c->n_layers; i++)
        add_layer(list, g, m, i);
    tensor_list_add_floats(list, "model.norm.weight", "", m->final_norm, c->hidden_size);
    if (m->score != NULL)
        tensor_list_add(list, "score.weight", "",
                        (tensor_view){.type = DTYPE_F32,
                                      .n_dims = 2,
                                      .shape = {c->n_labels, c->hidden_size},
                                      .data = (const uint8_t *)m->score,
                                      .size_bytes = (size_t)c->n_labels * (size_t)c->hidden_size *
                                                    sizeof *m->score});
    tensor_item *embedding = add_rows(list, "model.embed_tokens.weight", m->embedding.type,
                                      c->vocab_size, c->hidden_size, m->embedding.data);
    if (embedding != NULL)
        embedding->is_mapped = true;
}

/* What the file says of the model beside its tensors. */
typedef struct description {
    const model *m;
    const char *digest, *remembered; /* NULL: nothing */
} description;

static slant_status write_metadata(const void *context, const tensor_list *list,
                                   safetensors_writer *w, slant_error *err)
{
    const description *d = context;
    const model *m = d->m;
    buf config = {0};
    model_config_to_json(&m->config, &config);
    slant_status status =
        config.failed ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
    const char *const pairs[][2] = {{"format", "slant"},
                                    {SLANT_FILE_VERSION_KEY, SLANT_FILE_VERSION},
                                    {SLANT_FILE_CONFIG_KEY, config.data},
                                    {SLANT_FILE_SOURCE_KEY, m->source_kind},
                                    {SLANT_FILE_DIGEST_KEY, d->digest},
                                    {SLANT_FILE_SIDECAR_KEY, d->remembered}};
    for (size_t i = 0; status == SLANT_OK && i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][1] != NULL)
            status = safetensors_writer_metadata(w, pairs[i][0], pairs[i][1], err);
    for (size_t i = 0; status == SLANT_OK && i < list->n_items; i++) {
        const tensor_item *item = &list->items[i];
        char key[BIND_NAME_CHARS + 32];
        if (item->block == DTYPE_U8)
            continue;
        snprintf(key, sizeof key, SLANT_FILE_TYPE_PREFIX "%s", item->view.name);
        status = safetensors_writer_metadata(w, key, dtype_get(item->block)->name, err);
    }
    buf_free(&config);
    return status;
}

static slant_status write_file(const model *m, merger *g, const char *digest,
                               const char *remembered, const char *path, slant_error *err)
{
    description d = {m, digest, remembered};
    tensor_list list = {0};
    add_all(&list, g, m);
    slant_status status =
        tensor_list_save(&list, g, path, SLANT_FILE_ALIGNMENT, write_metadata, &d, err);
    tensor_list_free(&list);
    return status;
}

slant_status slant_file_write(const model *m, const char *path, slant_error *err)
{
    return write_file(m, NULL, m->base_digest, NULL, path, err);
}

/* The base's digest does not go along: an adapter of the base would be counted twice. */
slant_status slant_file_write_merged(const model *m, merger *g, const char *remembered,
                                     const char *path, slant_error *err)
{
    return write_file(m, g, NULL, remembered, path, err);
}
