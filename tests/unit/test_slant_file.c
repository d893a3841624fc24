/* The .slant file: what goes in comes out, to the bytes that bitsandbytes made; what was not
 * written by slant, or was cut or bent, is refused by name. */
#include "tiny_model.h"

#include "model/model.h"
#include "model/slant_file.h"
#include "quant/nf4.h"

#include <slant_model.h>

#define MODELS SLANT_SOURCE_DIR "/tests/golden/models/"

static slant_status open_base(const char *path, slant_dtype held, model **m, slant_error *err)
{
    model_open_options options = {
        .base_only = true, .dtype = held, .n_threads = 1, .want_digest = true};
    return model_open(path, &options, m, err);
}

static void import_or_fail(const char *from, const char *to, slant_dtype held)
{
    slant_error err;
    slant_import_options options = {.dtype = held, .n_threads = 1};
    if (slant_import(from, to, &options, &err) != SLANT_OK)
        fail_msg("%s", err.message);
}

static void expect_same_rows(const kernel_weight *a, const kernel_weight *b)
{
    const dtype_info *info = dtype_get(a->type);
    size_t row_bytes = (size_t)(a->n_in / info->block_values) * (size_t)info->block_bytes;
    assert_memory_equal(a->data, b->data, row_bytes * (size_t)a->n_out);
}

static void expect_same_weight(const kernel_weight *a, const kernel_weight *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->n_out, b->n_out);
    assert_int_equal(a->n_in, b->n_in);
    if (a->type != DTYPE_NF4) {
        expect_same_rows(a, b);
        return;
    }
    size_t n_absmax = nf4_panel_n_absmax(a->n_out, a->n_in);
    assert_memory_equal(a->data, b->data, nf4_panel_code_bytes(a->n_out, a->n_in));
    assert_memory_equal(a->code_map, b->code_map, 16 * sizeof(float));
    assert_int_equal(a->absmax == NULL, b->absmax == NULL);
    if (a->absmax != NULL) {
        assert_memory_equal(a->absmax, b->absmax, n_absmax * sizeof(float));
        return;
    }
    assert_memory_equal(a->absmax_codes, b->absmax_codes, n_absmax);
    assert_memory_equal(a->nested_absmax, b->nested_absmax,
                        (size_t)nf4_n_nested((int64_t)a->n_out * a->n_in) * sizeof(float));
    assert_memory_equal(a->nested_map, b->nested_map, 256 * sizeof(float));
    assert_true(a->nested_offset == b->nested_offset);
}

static void expect_same_vector(const float *a, const float *b, int n)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

static void expect_same_layer(const model *a, const model *b, int i)
{
    const layer *x = &a->layers[i], *y = &b->layers[i];
    expect_same_vector(x->input_norm, y->input_norm, a->config.hidden_size);
    expect_same_vector(x->post_norm, y->post_norm, a->config.hidden_size);
    expect_same_vector(x->q_norm, y->q_norm, a->config.head_dim);
    expect_same_vector(x->k_norm, y->k_norm, a->config.head_dim);
    assert_int_equal(a->config.layer_window[i], b->config.layer_window[i]);
    for (int which = 0; which < LINEAR_COUNT; which++) {
        expect_same_weight(&x->linears[which].w, &y->linears[which].w);
        expect_same_vector(x->linears[which].bias, y->linears[which].bias,
                           x->linears[which].w.n_out);
    }
}

static void expect_same_model(const model *a, const model *b)
{
    const model_config *c = &a->config;
    float inv_freq[2][512];
    assert_int_equal(c->arch, b->config.arch);
    assert_int_equal(c->n_layers, b->config.n_layers);
    assert_int_equal(c->n_labels, b->config.n_labels);
    for (int i = 0; i < c->n_labels; i++)
        assert_string_equal(c->labels[i], b->config.labels[i]);
    assert_int_equal(c->pad_token_id, b->config.pad_token_id);
    assert_int_equal(c->problem, b->config.problem);
    assert_true(c->rms_norm_eps == b->config.rms_norm_eps);
    assert_string_equal(a->base_digest, b->base_digest);
    model_config_inv_freq(c, inv_freq[0]);
    model_config_inv_freq(&b->config, inv_freq[1]);
    expect_same_vector(inv_freq[0], inv_freq[1], c->head_dim / 2);
    for (int i = 0; i < c->n_layers; i++)
        expect_same_layer(a, b, i);
    expect_same_vector(a->final_norm, b->final_norm, c->hidden_size);
    expect_same_vector(a->score, b->score, c->hidden_size * c->n_labels);
    assert_int_equal(a->embedding.type, b->embedding.type);
    assert_memory_equal(a->embedding.data, b->embedding.data, a->embedding.size_bytes);
    for (int32_t id = 0; id < c->vocab_size; id++) {
        float rows[2][512], scratch[512];
        slant_error err;
        assert_int_equal(model_embed(a, id, rows[0], scratch, &err), SLANT_OK);
        assert_int_equal(model_embed(b, id, rows[1], scratch, &err), SLANT_OK);
        expect_same_vector(rows[0], rows[1], c->hidden_size);
    }
    assert_int_equal(a->tokenizer == NULL, b->tokenizer == NULL);
    if (a->tokenizer != NULL)
        assert_string_equal(tokenizer_digest(a->tokenizer), tokenizer_digest(b->tokenizer));
}

/* Every source, as stored and in NF4: the .slant opens as the very same model. */
static void what_is_imported_opens_the_same(void **state)
{
    const char *dir = *state;
    static const char *const sources[] = {
        "llama",           "llama-f32",       "llama-bias",      "llama-f16",      "bnb-double",
        "bnb-plain",       "bnb-odd",         "gguf/f32.gguf",   "gguf/f16.gguf",  "gguf/bf16.gguf",
        "gguf/q8_0.gguf",  "gguf/q4_0.gguf",  "gguf/q4_1.gguf",  "gguf/q5_0.gguf", "gguf/q5_1.gguf",
        "gguf/mixed.gguf", "gguf/qwen2.gguf", "gguf/qwen3.gguf", "qwen3"};
    static const slant_dtype held[] = {SLANT_DTYPE_AUTO, SLANT_DTYPE_NF4, SLANT_DTYPE_BF16};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        for (size_t j = 0; j < sizeof held / sizeof *held; j++) {
            model *first, *second;
            slant_error err;
            char from[1024];
            const char *to = tiny_path(dir, "x.slant");
            snprintf(from, sizeof from, MODELS "%s", sources[i]);
            import_or_fail(from, to, held[j]);
            tiny_expect(open_base(from, held[j], &first, &err), &err, SLANT_OK, "");
            tiny_expect(open_base(to, SLANT_DTYPE_AUTO, &second, &err), &err, SLANT_OK, "");
            assert_string_equal(second->source_kind, "slant");
            expect_same_model(first, second);
            model_close(first);
            model_close(second);
        }
}

/* The file's windows and biases that no golden GGUF has. */
static void windows_and_labels_survive(void **state)
{
    const char *dir = *state;
    static const char *const changes[] = {
        "{\"model_type\":\"mistral\",\"sliding_window\":16,\"num_labels\":3}",
        "{\"model_type\":\"mistral\",\"sliding_window\":16,"
        "\"layer_types\":[\"sliding_attention\",\"full_attention\"]}",
        "{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":32}}"};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        model *first, *second;
        slant_error err;
        tiny_write_base(dir);
        tiny_write_json(dir, "config.json", tiny_config, changes[i], NULL);
        import_or_fail(dir, tiny_path(dir, "x.slant"), SLANT_DTYPE_NF4);
        tiny_expect(open_base(dir, SLANT_DTYPE_NF4, &first, &err), &err, SLANT_OK, "");
        tiny_expect(open_base(tiny_path(dir, "x.slant"), 0, &second, &err), &err, SLANT_OK, "");
        expect_same_model(first, second);
        model_close(first);
        model_close(second);
    }
}

/* NF4 out of the panels of a .slant is what the checkpoint held, byte for byte. */
static void bitsandbytes_bytes_come_back(void **state)
{
    const char *dir = *state;
    static const char name[] = "model.layers.1.mlp.down_proj.weight";
    static const char *const sources[] = {MODELS "bnb-double", MODELS "bnb-plain"};
    for (size_t i = 0; i < 2; i++) {
        safetensors *st;
        model *m;
        slant_error err;
        char absmax_name[128];
        import_or_fail(sources[i], tiny_path(dir, "x.slant"), SLANT_DTYPE_AUTO);
        tiny_expect(open_base(tiny_path(dir, "x.slant"), 0, &m, &err), &err, SLANT_OK, "");
        tiny_expect(safetensors_open(tiny_path(sources[i], "model.safetensors"), &st, &err), &err,
                    SLANT_OK, "");
        const kernel_weight *w = &m->layers[1].linears[LINEAR_DOWN].w;
        const tensor_view *codes = safetensors_find(st, name);
        snprintf(absmax_name, sizeof absmax_name, "%s.absmax", name);
        const tensor_view *absmax = safetensors_find(st, absmax_name);
        uint8_t *found = calloc(1, codes->size_bytes),
                *found_absmax = calloc(1, absmax->size_bytes);
        bool is_nested = absmax->type == DTYPE_U8;
        assert_int_equal(is_nested, i == 0);
        nf4_unpack_panels(w->data, w->absmax_codes, w->absmax, w->n_out, w->n_in, found,
                          is_nested ? found_absmax : NULL,
                          is_nested ? NULL : (float *)(void *)found_absmax);
        assert_memory_equal(found, codes->data, codes->size_bytes);
        assert_memory_equal(found_absmax, absmax->data, absmax->size_bytes);
        free(found), free(found_absmax);
        safetensors_close(st);
        model_close(m);
    }
}

/* A .slant in NF4 can be held in other ways, and imported again, without changing a value. */
static void a_slant_is_a_source_like_any_other(void **state)
{
    const char *dir = *state;
    model *first, *second;
    slant_error err;
    import_or_fail(MODELS "bnb-double", tiny_path(dir, "x.slant"), SLANT_DTYPE_AUTO);
    tiny_expect(open_base(MODELS "bnb-double", SLANT_DTYPE_F32, &first, &err), &err, SLANT_OK, "");
    tiny_expect(open_base(tiny_path(dir, "x.slant"), SLANT_DTYPE_F32, &second, &err), &err,
                SLANT_OK, "");
    assert_int_equal(second->dtype, SLANT_DTYPE_F32);
    expect_same_model(first, second);
    model_close(first);
    model_close(second);

    buf once = {0}, twice = {0};
    import_or_fail(tiny_path(dir, "x.slant"), tiny_path(dir, "y.slant"), SLANT_DTYPE_NF4);
    tiny_expect(file_read(tiny_path(dir, "x.slant"), 1 << 26, &once, &err), &err, SLANT_OK, "");
    tiny_expect(file_read(tiny_path(dir, "y.slant"), 1 << 26, &twice, &err), &err, SLANT_OK, "");
    /* All but the name of what it was made from. */
    assert_int_equal(once.size_bytes / 64, twice.size_bytes / 64);
    buf_free(&once);
    buf_free(&twice);
}

static void layers_and_labels_are_the_importers_choice(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    char cut_digest[FILE_DIGEST_CHARS];
    const char *to = tiny_path(dir, "x.slant");
    slant_import_options options = {
        .n_layers = 1, .labels = "Left,Center,Right", .n_threads = 1, .dtype = SLANT_DTYPE_NF4};
    tiny_write_base(dir);
    tiny_expect(slant_import(dir, to, &options, &err), &err, SLANT_OK, "");
    model_open_options whole = {.base_only = true, .n_layers = 1, .want_digest = true};
    tiny_expect(model_open(dir, &whole, &m, &err), &err, SLANT_OK, "");
    snprintf(cut_digest, sizeof cut_digest, "%s", m->base_digest);
    model_close(m);
    tiny_expect(open_base(to, 0, &m, &err), &err, SLANT_OK, "");
    assert_int_equal(m->config.n_layers, 1);
    assert_int_equal(m->config.n_labels, 3);
    assert_string_equal(m->config.labels[1], "Center");
    assert_string_equal(m->base_digest, cut_digest);
    assert_null(m->score);
    model_close(m);
}

/* --- bent files ------------------------------------------------------------------------------- */

static void write_bytes(const char *dir, const char *name, const buf *bytes)
{
    slant_error err;
    assert_int_equal(file_write_whole(tiny_path(dir, name), bytes->data, bytes->size_bytes, &err),
                     SLANT_OK);
}

/* Puts `to` in place of every `from` of the same length in the header. */
static void replace(buf *file, const char *from, const char *to)
{
    size_t length = strlen(from);
    bool found = false;
    assert_int_equal(strlen(to), length);
    for (size_t i = 0; i + length <= file->size_bytes; i++)
        if (memcmp(file->data + i, from, length) == 0) {
            memcpy(file->data + i, to, length);
            found = true;
        }
    if (!found)
        fail_msg("the file holds no %s", from);
}

static void bent_files_are_refused(void **state)
{
    const char *dir = *state;
    static const struct {
        const char *from, *to;
        slant_status status;
        const char *message;
    } cases[] = {
        {"\"slant.version\":\"1\"", "\"slant.version\":\"2\"", SLANT_ERR_UNSUPPORTED,
         "a .slant of version 2; this slant reads version 1"},
        {"\"slant.version\":", "\"slant.vorsion\":", SLANT_ERR_FORMAT,
         "neither a GGUF nor a .slant"},
        {"\"format\":\"slant\"", "\"format\":\"other\"", SLANT_ERR_FORMAT, "neither a GGUF nor"},
        {"\"slant.config\"", "\"slant.canfig\"", SLANT_ERR_FORMAT,
         "metadata slant.config is missing"},
        {"\\\"hidden_size\\\":64,", "\\\"hidden_size\\\":65,", SLANT_ERR_FORMAT, "shape"},
        {"\\\"vocab_size\\\":320", "\\\"vocab_size\\\":321", SLANT_ERR_FORMAT,
         "embed_tokens.weight: expected shape [321, 64], found [320, 64]"},
        {"1.mlp.up_proj.weight.nf4", "1.mlp.up_proj.weight.nf5", SLANT_ERR_FORMAT,
         "tensor model.layers.1.mlp.up_proj.weight is missing"},
        {"1.mlp.up_proj.weight.nested_offset", "1.mlp.up_proj.weight.nested_offzet",
         SLANT_ERR_FORMAT, "up_proj.weight.nested_offset is missing"},
        {"1.mlp.up_proj.weight.absmax", "1.mlp.up_proj.weight.obsmax", SLANT_ERR_FORMAT,
         "up_proj.weight.absmax is missing"},
        {"model.norm.weight", "model.narm.weight", SLANT_ERR_FORMAT,
         "model.norm.weight is missing"},
        {"\"slant.type.model.embed_tokens.weight\":\"Q8_0\"",
         "\"slant.type.model.embed_tokens.weight\":\"Q9_9\"", SLANT_ERR_UNSUPPORTED,
         "type Q9_9 is unknown"},
        {"\"slant.type.model.embed_tokens.weight\":\"Q8_0\"",
         "\"slant.type.model.embed_tokens.weight\":\"Q4_0\"", SLANT_ERR_FORMAT,
         "expected U8 rows of whole Q4_0 blocks"},
        {"\"slant.type.model.embed_tokens.weight\"", "\"slant.type.model.embed_takens.weight\"",
         SLANT_ERR_FORMAT, "expected shape [320, 64], found [320, 68]"},
    };
    buf file = {0};
    slant_error err;
    import_or_fail(MODELS "gguf/q8_0.gguf", tiny_path(dir, "x.slant"), SLANT_DTYPE_NF4);
    tiny_expect(file_read(tiny_path(dir, "x.slant"), 1 << 26, &file, &err), &err, SLANT_OK, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model *m;
        buf bent = {0};
        buf_append(&bent, file.data, file.size_bytes);
        replace(&bent, cases[i].from, cases[i].to);
        write_bytes(dir, "y.slant", &bent);
        tiny_expect(open_base(tiny_path(dir, "y.slant"), 0, &m, &err), &err, cases[i].status,
                    cases[i].message);
        buf_free(&bent);
    }
    buf_free(&file);
}

static void cut_files_are_refused(void **state)
{
    const char *dir = *state;
    buf file = {0};
    slant_error err;
    model *m;
    import_or_fail(MODELS "bnb-double", tiny_path(dir, "x.slant"), SLANT_DTYPE_AUTO);
    tiny_expect(file_read(tiny_path(dir, "x.slant"), 1 << 26, &file, &err), &err, SLANT_OK, "");
    for (size_t size = 0; size < file.size_bytes; size += 1 + file.size_bytes / 97) {
        buf cut = {0};
        buf_append(&cut, file.data, size);
        assert_int_equal(file_write_whole(tiny_path(dir, "y.slant"), file.data, size, &err),
                         SLANT_OK);
        assert_int_not_equal(open_base(tiny_path(dir, "y.slant"), 0, &m, &err), SLANT_OK);
        assert_non_null(strstr(err.message, "y.slant"));
        buf_free(&cut);
    }
    buf_free(&file);
}

/* Rewritten by another library, the tensors lose their alignment, and with it the right to be used
 * in place. */
static void rewritten_files_are_refused(void **state)
{
    const char *dir = *state;
    safetensors *st;
    safetensors_writer *w;
    slant_error err;
    model *m;
    import_or_fail(MODELS "bnb-double", tiny_path(dir, "x.slant"), SLANT_DTYPE_AUTO);
    assert_int_equal(safetensors_open(tiny_path(dir, "x.slant"), &st, &err), SLANT_OK);
    assert_int_equal(safetensors_writer_open(tiny_path(dir, "y.slant"), 1, &w, &err), SLANT_OK);
    static const char *const keys[] = {"format", SLANT_FILE_VERSION_KEY, SLANT_FILE_CONFIG_KEY};
    for (size_t i = 0; i < 3; i++)
        safetensors_writer_metadata(w, keys[i], safetensors_metadata(st, keys[i]), &err);
    for (int writing = 0; writing < 2; writing++)
        for (size_t i = 0; i < safetensors_count(st); i++) {
            const tensor_view *view = safetensors_at(st, i);
            if (strncmp(view->name, "__pad.", 6) == 0)
                continue;
            assert_int_equal(writing
                                 ? safetensors_writer_data(w, view->data, view->size_bytes, &err)
                                 : safetensors_writer_declare(w, view, &err),
                             SLANT_OK);
        }
    assert_int_equal(safetensors_writer_commit(w, &err), SLANT_OK);
    safetensors_close(st);
    tiny_expect(open_base(tiny_path(dir, "y.slant"), 0, &m, &err), &err, SLANT_ERR_FORMAT,
                "does not begin at a multiple of 64 bytes");
}

/* --- whole or not at all ---------------------------------------------------------------------- */

static void a_failed_import_leaves_what_was_there(void **state)
{
    const char *dir = *state;
    slant_error err;
    buf before = {0}, after = {0};
    const char *to = tiny_path(dir, "x.slant");
    slant_import_options options = {.dtype = SLANT_DTYPE_NF4, .n_threads = 1};
    tiny_write_base(dir);
    import_or_fail(dir, to, SLANT_DTYPE_NF4);
    tiny_expect(file_read(to, 1 << 26, &before, &err), &err, SLANT_OK, "");

    uint64_t first = mem_alloc_count();
    tiny_expect(slant_import(dir, to, &options, &err), &err, SLANT_OK, "");
    uint64_t n_allocations = mem_alloc_count() - first;
    for (uint64_t n = 1; n <= n_allocations; n++) {
        mem_fail_at(n, false);
        slant_status status = slant_import(dir, to, &options, &err);
        mem_fail_at(0, false);
        tiny_expect(status, &err, SLANT_ERR_MEMORY, "");
    }
    tiny_expect(file_read(to, 1 << 26, &after, &err), &err, SLANT_OK, "");
    assert_int_equal(before.size_bytes, after.size_bytes);
    assert_memory_equal(before.data, after.data, before.size_bytes);
    buf_free(&before);
    buf_free(&after);
    tiny_expect(slant_import(dir, tiny_path(dir, "no/such/folder.slant"), &options, &err), &err,
                SLANT_ERR_NOT_FOUND, "folder.slant");
    tiny_expect(slant_import(tiny_path(dir, "nothing"), to, &options, &err), &err,
                SLANT_ERR_NOT_FOUND, "nothing");
}

/* --- inspect ---------------------------------------------------------------------------------- */

static json_t *inspect(const char *path, const slant_inspect_options *options)
{
    slant_error err;
    char *json = NULL;
    if (slant_inspect(path, options, &json, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_object(object));
    slant_free(json);
    return object;
}

static const char *text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void models_are_described(void **state)
{
    const char *dir = *state;
    import_or_fail(MODELS "bnb-double", tiny_path(dir, "x.slant"), SLANT_DTYPE_AUTO);
    slant_inspect_options options = {.n_threads = 1, .compute = SLANT_COMPUTE_F32};
    json_t *d = inspect(tiny_path(dir, "x.slant"), &options);
    assert_string_equal(text_at(d, "kind"), "model");
    assert_string_equal(text_at(d, "source"), "slant");
    assert_string_equal(text_at(d, "architecture"), "llama");
    assert_memory_equal(text_at(d, "digest"), "sha256:", 7);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(d, "shape"), "layers")), 2);
    assert_int_equal(json_array_size(json_object_get(d, "labels")), 3);
    const json_t *here = json_object_get(d, "here");
    assert_string_equal(text_at(here, "weights"), "NF4");
    assert_string_equal(text_at(here, "compute"), "fp32");
    assert_true(json_integer_value(json_object_get(here, "weight_bytes")) > 0);
    assert_true(json_array_size(json_object_get(d, "tensors")) > 20);
    /* 320·128 embedding, 3·128 head, 128 norm; q 4·32, kv 2·32, wide 192 in each of 2 layers. */
    assert_true(json_integer_value(json_object_get(d, "parameters")) > 320 * 128);
    json_decref(d);
}

static void adapters_and_checkpoints_are_described(void **state)
{
    (void)state;
    json_t *d = inspect(MODELS "adapters/output", NULL);
    assert_string_equal(text_at(d, "kind"), "adapter");
    assert_int_equal(json_array_size(json_object_get(d, "checkpoints")), 3);
    assert_int_equal(json_integer_value(json_object_get(d, "r")), 4);
    assert_true(json_array_size(json_object_get(d, "tensors")) > 0);
    json_decref(d);
    slant_inspect_options options = {.checkpoint = "8"};
    d = inspect(MODELS "adapters/output", &options);
    assert_string_equal(text_at(d, "kind"), "checkpoint");
    const json_t *trainer = json_object_get(d, "trainer_state");
    assert_int_equal(json_integer_value(json_object_get(trainer, "global_step")), 8);
    assert_null(json_object_get(trainer, "log_history"));
    json_decref(d);
    options = (slant_inspect_options){.adapter = MODELS "adapters/output", .checkpoint = "best"};
    d = inspect(MODELS "llama", &options);
    assert_string_equal(text_at(json_object_get(d, "adapter"), "kind"), "checkpoint");
    assert_int_equal(json_array_size(json_object_get(d, "labels")), 3);
    json_decref(d);
}

static void what_cannot_be_inspected_says_why(void **state)
{
    const char *dir = *state;
    slant_error err;
    char *json;
    tiny_expect(slant_inspect("/no/such", NULL, &json, &err), &err, SLANT_ERR_NOT_FOUND,
                "/no/such");
    assert_null(json);
    tiny_expect(slant_inspect(dir, NULL, &json, &err), &err, SLANT_ERR_NOT_FOUND,
                "neither model.safetensors");
}

static void inspecting_may_run_out_of_memory_anywhere(void **state)
{
    (void)state;
    slant_inspect_options options = {.adapter = MODELS "adapters/output", .n_threads = 1};
    slant_error err;
    char *json;
    for (int alone = 0; alone < 2; alone++) {
        const char *path = alone ? MODELS "adapters/output" : MODELS "llama";
        const slant_inspect_options *o = alone ? NULL : &options;
        uint64_t before = mem_alloc_count();
        tiny_expect(slant_inspect(path, o, &json, &err), &err, SLANT_OK, "");
        uint64_t n_allocations = mem_alloc_count() - before;
        slant_free(json);
        for (uint64_t n = 1; n <= n_allocations; n++) {
            mem_fail_at(n, false);
            slant_status status = slant_inspect(path, o, &json, &err);
            mem_fail_at(0, false);
            tiny_expect(status, &err, SLANT_ERR_MEMORY, "");
            assert_null(json);
        }
    }
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, tiny_setup, tiny_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(what_is_imported_opens_the_same),
        ON_DISK(windows_and_labels_survive),
        ON_DISK(bitsandbytes_bytes_come_back),
        ON_DISK(a_slant_is_a_source_like_any_other),
        ON_DISK(layers_and_labels_are_the_importers_choice),
        ON_DISK(bent_files_are_refused),
        ON_DISK(cut_files_are_refused),
        ON_DISK(rewritten_files_are_refused),
        ON_DISK(a_failed_import_leaves_what_was_there),
        ON_DISK(models_are_described),
        cmocka_unit_test(adapters_and_checkpoints_are_described),
        ON_DISK(what_cannot_be_inspected_says_why),
        cmocka_unit_test(inspecting_may_run_out_of_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
