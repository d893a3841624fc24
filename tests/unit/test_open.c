/* Opening bases: every source, every way in which weights are held, and every file that is wrong in
 * some way refused with the tensor's name. */
#include "tiny_model.h"

#include "base/thread.h"
#include "model/model.h"
#include "quant/nf4.h"

#define MODELS SLANT_SOURCE_DIR "/tests/golden/models/"

static slant_status open_base(const char *path, slant_dtype held, model **m, slant_error *err)
{
    model_open_options options = {.base_only = true, .dtype = held, .n_threads = 2};
    return model_open(path, &options, m, err);
}

/* --- what a directory must hold --------------------------------------------------------------- */

typedef struct tensor_case {
    const char *changes; /* of config.json */
    const char *drop, *add;
    int64_t n0, n1;
    dtype type;
    slant_status status;
    const char *message;
} tensor_case;

#define L0 "model.layers.0."

static void tensors_are_all_accounted_for(void **state)
{
    const char *dir = *state;
    static const tensor_case cases[] = {
        {NULL, NULL, NULL, 0, 0, 0, SLANT_OK, ""},
        {NULL, L0 "mlp.up_proj.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "model.safetensors: tensor " L0 "mlp.up_proj.weight is missing"},
        {NULL, L0 "input_layernorm.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "tensor " L0 "input_layernorm.weight is missing"},
        {NULL, "model.norm.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "model.norm.weight is missing"},
        {NULL, "model.embed_tokens.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "model.embed_tokens.weight is missing"},
        {NULL, L0 "mlp.up_proj.weight", L0 "mlp.up_proj.weight", 64, 128, DTYPE_BF16,
         SLANT_ERR_FORMAT,
         "tensor " L0 "mlp.up_proj.weight: expected shape [128, 64], found [64, 128]"},
        {NULL, L0 "mlp.up_proj.weight", L0 "mlp.up_proj.weight", 8192, 0, DTYPE_BF16,
         SLANT_ERR_FORMAT, "expected shape [128, 64], found [8192]"},
        {NULL, "model.norm.weight", "model.norm.weight", 65, 0, DTYPE_BF16, SLANT_ERR_FORMAT,
         "tensor model.norm.weight: expected shape [64], found [65]"},
        {NULL, "model.embed_tokens.weight", "model.embed_tokens.weight", 11, 64, DTYPE_BF16,
         SLANT_ERR_FORMAT, "expected shape [10, 64], found [11, 64]"},
        {NULL, L0 "mlp.up_proj.weight", L0 "mlp.up_proj.weight", 128, 64, DTYPE_I8,
         SLANT_ERR_UNSUPPORTED, "I8 is no type that linear weights are held in"},
        {NULL, L0 "mlp.up_proj.weight", L0 "mlp.up_proj.weight", 128, 64, DTYPE_F64,
         SLANT_ERR_UNSUPPORTED, "F64 is no type"},
        {NULL, "model.norm.weight", "model.norm.weight", 64, 0, DTYPE_I64, SLANT_ERR_FORMAT,
         "tensor model.norm.weight: expected F32, F16 or BF16, found I64"},
        {NULL, "model.embed_tokens.weight", "model.embed_tokens.weight", 10, 64, DTYPE_U8,
         SLANT_ERR_UNSUPPORTED, "U8 is no type that an embedding"},
        {NULL, NULL, "model.extra.weight", 3, 0, DTYPE_F32, SLANT_ERR_FORMAT,
         "tensor model.extra.weight is unknown in a llama of 2 layers"},
        {NULL, NULL, "model.layers.2.mlp.up_proj.weight", 128, 64, DTYPE_F32, SLANT_ERR_FORMAT,
         "model.layers.2.mlp.up_proj.weight is unknown"},
        {NULL, NULL, L0 "self_attn.q_proj.bias", 64, 0, DTYPE_F32, SLANT_ERR_FORMAT,
         "q_proj.bias is unknown"},
        {NULL, NULL, "norm.weight", 64, 0, DTYPE_F32, SLANT_ERR_FORMAT,
         "tensor model.norm.weight is there twice"},
        {"{\"attention_bias\":true}", NULL, NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "q_proj.bias is missing"},
        {"{\"mlp_bias\":true}", NULL, NULL, 0, 0, 0, SLANT_ERR_FORMAT, "gate_proj.bias is missing"},
        {"{\"model_type\":\"qwen3\",\"head_dim\":32}", NULL, NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "self_attn.q_norm.weight is missing"},
        {"{\"num_hidden_layers\":3}", NULL, NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "model.layers.2.input_layernorm.weight is missing"},
        {NULL, NULL, "lm_head.weight", 10, 64, DTYPE_BF16, SLANT_OK, ""},
        {NULL, NULL, "lm_head.weight.absmax", 10, 0, DTYPE_F32, SLANT_OK, ""},
        {NULL, NULL, L0 "self_attn.rotary_emb.inv_freq", 16, 0, DTYPE_F32, SLANT_OK, ""},
        {NULL, NULL, "model.rotary_emb.inv_freq", 16, 0, DTYPE_F32, SLANT_OK, ""},
        {NULL, NULL, "score.weight", 2, 64, DTYPE_F32, SLANT_OK, ""},
        {NULL, NULL, "score.bias", 2, 0, DTYPE_F32, SLANT_ERR_FORMAT, "score.bias is unknown"},
        {"{\"num_labels\":3}", NULL, "score.weight", 2, 64, DTYPE_F32, SLANT_ERR_FORMAT,
         "tensor score.weight: expected shape [3, 64], found [2, 64]"},
        {NULL, NULL, "score.weight", 3, 32, DTYPE_F32, SLANT_ERR_FORMAT,
         "tensor score.weight: expected shape [3, 64], found [3, 32]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tensor_case *c = &cases[i];
        tiny_set set = tiny_body("model.", DTYPE_BF16);
        model *m;
        slant_error err = {0};
        if (c->drop != NULL)
            tiny_drop(&set, c->drop);
        if (c->add != NULL)
            tiny_add(&set, c->add, c->type, c->n0, c->n1);
        tiny_write_json(dir, "config.json", tiny_config, c->changes, NULL);
        tiny_write_tensors(dir, "model.safetensors", &set);
        tiny_expect(open_base(dir, SLANT_DTYPE_AUTO, &m, &err), &err, c->status, c->message);
        if (c->status != SLANT_OK)
            assert_null(m);
        model_close(m);
    }
}

static void a_base_without_a_head_answers_nothing(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    tiny_write_base(dir);
    tiny_expect(model_open(dir, NULL, &m, &err), &err, SLANT_ERR_MISMATCH,
                "a base without a score head answers nothing");
    model_open_options options = {.checkpoint = "last", .base_only = true};
    tiny_expect(model_open(dir, &options, &m, &err), &err, SLANT_ERR_ARGUMENT,
                "no adapter is given");
}

static void a_base_saved_bare_is_the_same_base(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    char digests[2][FILE_DIGEST_CHARS];
    for (int bare = 0; bare < 2; bare++) {
        tiny_set set = tiny_body(bare ? "" : "model.", DTYPE_F32);
        tiny_write_text(dir, "config.json", tiny_config);
        tiny_write_tensors(dir, "model.safetensors", &set);
        model_open_options options = {.base_only = true, .want_digest = true};
        tiny_expect(model_open(dir, &options, &m, &err), &err, SLANT_OK, "");
        assert_true(m->final_norm[3] == tiny_value("model.norm.weight", 3));
        snprintf(digests[bare], sizeof digests[bare], "%s", m->base_digest);
        model_close(m);
    }
    assert_string_equal(digests[0], digests[1]);
}

static void folders_that_are_something_else_say_so(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    tiny_expect(open_base("/no/such/model", 0, &m, &err), &err, SLANT_ERR_NOT_FOUND,
                "/no/such/model: no such file or directory");
    tiny_write_text(dir, "config.json", tiny_config);
    tiny_expect(open_base(dir, 0, &m, &err), &err, SLANT_ERR_NOT_FOUND,
                "neither model.safetensors nor model.safetensors.index.json");
    tiny_write_text(dir, "pytorch_model.bin", "PK");
    tiny_expect(open_base(dir, 0, &m, &err), &err, SLANT_ERR_NOT_FOUND,
                "only pytorch_model.bin, which is not read");
    unlink(tiny_path(dir, "pytorch_model.bin"));
    tiny_write_text(dir, "adapter_model.safetensors", "x");
    tiny_expect(open_base(dir, 0, &m, &err), &err, SLANT_ERR_NOT_FOUND, "give it as --adapter");
    tiny_write_base(dir);
    unlink(tiny_path(dir, "config.json"));
    tiny_expect(open_base(dir, 0, &m, &err), &err, SLANT_ERR_NOT_FOUND, "config.json");
    tiny_expect(open_base(tiny_path(dir, "model.safetensors"), 0, &m, &err), &err, SLANT_ERR_FORMAT,
                "neither a GGUF nor a .slant file");
    tiny_write_text(dir, "x.gguf", "GGUF");
    tiny_expect(open_base(tiny_path(dir, "x.gguf"), 0, &m, &err), &err, SLANT_ERR_FORMAT, "x.gguf");
    tiny_write_text(dir, "empty", "");
    tiny_expect(open_base(tiny_path(dir, "empty"), 0, &m, &err), &err, SLANT_ERR_FORMAT,
                "neither a GGUF nor a .slant file");
}

static void layers_can_be_cut(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    tiny_write_base(dir);
    model_open_options options = {.base_only = true, .n_layers = 1};
    tiny_expect(model_open(dir, &options, &m, &err), &err, SLANT_OK, "");
    assert_int_equal(m->config.n_layers, 1);
    model_close(m);
    options.n_layers = 3;
    tiny_expect(model_open(dir, &options, &m, &err), &err, SLANT_ERR_ARGUMENT,
                "3 layers asked for, but it has 2");
    options.n_layers = -1;
    tiny_expect(model_open(dir, &options, &m, &err), &err, SLANT_ERR_ARGUMENT, "layers asked for");
}

/* --- how weights are held --------------------------------------------------------------------- */

static const char *const linear_tensors[LINEAR_COUNT] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

/* The values of layer 1's weight as the tiny set stores them in that type, decoded. */
static float *stored_values(int which, dtype type, size_t n)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.1.%s.weight", linear_tensors[which]);
    float *values = calloc(n, sizeof *values);
    uint16_t *halves = calloc(n, sizeof *halves);
    for (size_t i = 0; i < n; i++)
        values[i] = tiny_value(name, i);
    if (type != DTYPE_F32) {
        quant_get(type)->encode_row(values, halves, n);
        quant_get(type)->decode_row(halves, values, n);
    }
    free(halves);
    return values;
}

static void expect_nf4(const kernel_weight *w, const float *values)
{
    int64_t n = (int64_t)w->n_out * w->n_in, n_blocks = nf4_n_blocks(n), n_nested = nf4_n_nested(n);
    uint8_t *codes = calloc(1, (size_t)n / 2), *absmax = calloc(1, (size_t)n_blocks);
    uint8_t *found = calloc(1, (size_t)n / 2), *found_absmax = calloc(1, (size_t)n_blocks);
    float *nested = calloc((size_t)n_nested, sizeof *nested);
    float *scratch = calloc((size_t)n_blocks, sizeof *scratch), offset;
    nf4_encode(values, n, codes, absmax, nested, &offset, scratch);
    nf4_unpack_panels(w->data, w->absmax_codes, NULL, w->n_out, w->n_in, found, found_absmax, NULL);
    assert_memory_equal(codes, found, (size_t)n / 2);
    assert_memory_equal(absmax, found_absmax, (size_t)n_blocks);
    assert_memory_equal(nested, w->nested_absmax, (size_t)n_nested * sizeof *nested);
    assert_true(offset == w->nested_offset);
    free(codes), free(absmax), free(found), free(found_absmax), free(nested), free(scratch);
}

static void expect_rows(const kernel_weight *w, dtype type, const float *values)
{
    size_t n = (size_t)w->n_out * (size_t)w->n_in;
    float *found = calloc(n, sizeof *found), *expected = calloc(n, sizeof *expected);
    uint8_t *encoded = calloc(n, sizeof(float));
    assert_int_equal(w->type, type);
    quant_get(type)->decode_row(w->data, found, n);
    quant_get(type)->encode_row(values, encoded, n);
    quant_get(type)->decode_row(encoded, expected, n);
    assert_memory_equal(found, expected, n * sizeof *found);
    free(found), free(expected), free(encoded);
}

static void weights_are_held_as_asked(void **state)
{
    const char *dir = *state;
    static const dtype stored[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const slant_dtype held[] = {SLANT_DTYPE_AUTO, SLANT_DTYPE_NF4, SLANT_DTYPE_BF16,
                                       SLANT_DTYPE_F32};
    tiny_write_text(dir, "config.json", tiny_config);
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        tiny_set set = tiny_body("model.", stored[i]);
        tiny_write_tensors(dir, "model.safetensors", &set);
        for (size_t j = 0; j < sizeof held / sizeof *held; j++) {
            model *m;
            slant_error err;
            tiny_expect(open_base(dir, held[j], &m, &err), &err, SLANT_OK, "");
            for (int which = 0; which < LINEAR_COUNT; which++) {
                const kernel_weight *w = &m->layers[1].linears[which].w;
                float *values = stored_values(which, stored[i], (size_t)w->n_out * (size_t)w->n_in);
                if (held[j] == SLANT_DTYPE_NF4)
                    expect_nf4(w, values);
                else
                    expect_rows(w,
                                held[j] == SLANT_DTYPE_AUTO   ? stored[i]
                                : held[j] == SLANT_DTYPE_BF16 ? DTYPE_BF16
                                                              : DTYPE_F32,
                                values);
                free(values);
            }
            assert_string_equal(m->notes, "");
            model_close(m);
        }
    }
}

/* Blocks of 64 run over the ends of rows of 96: no panels, but the exact values. */
static void awkward_rows_are_expanded_and_said(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    tiny_set set = tiny_body("model.", DTYPE_BF16);
    for (int i = 0; i < 2; i++) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.%d.mlp.gate_proj.weight", i);
        tiny_find(&set, name)->n0 = 96;
        snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", i);
        tiny_find(&set, name)->n0 = 96;
        snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", i);
        tiny_find(&set, name)->n1 = 96;
    }
    tiny_write_json(dir, "config.json", tiny_config, "{\"intermediate_size\":96}", NULL);
    tiny_write_tensors(dir, "model.safetensors", &set);
    tiny_expect(open_base(dir, SLANT_DTYPE_NF4, &m, &err), &err, SLANT_OK, "");
    const kernel_weight *w = &m->layers[1].linears[LINEAR_DOWN].w;
    int64_t n = 64 * 96;
    float *values = stored_values(LINEAR_DOWN, DTYPE_BF16, (size_t)n);
    uint8_t codes[64 * 96 / 2], absmax[96];
    float nested[1], scratch[96], offset, *expected = calloc((size_t)n, sizeof *expected);
    nf4_encode(values, n, codes, absmax, nested, &offset, scratch);
    nf4_flat flat = {n, codes, NULL, absmax, nested, nf4_dynamic_map, nf4_codes, offset};
    nf4_decode(&flat, 0, n, expected);
    assert_int_equal(w->type, DTYPE_F32);
    assert_memory_equal(w->data, expected, (size_t)n * sizeof *expected);
    assert_int_equal(m->layers[1].linears[LINEAR_UP].w.type, DTYPE_NF4);
    assert_int_equal(m->dtype, SLANT_DTYPE_NF4);
    assert_non_null(strstr(m->notes, "2 linear weights have rows that are no multiple of 64"));
    free(values), free(expected);
    model_close(m);
}

/* Nothing on load depends on which thread did it. */
static void threads_change_nothing(void **state)
{
    const char *dir = *state;
    model *one, *many;
    slant_error err;
    tiny_write_base(dir);
    model_open_options options = {.base_only = true, .dtype = SLANT_DTYPE_NF4, .n_threads = 1};
    tiny_expect(model_open(dir, &options, &one, &err), &err, SLANT_OK, "");
    options.n_threads = 5;
    tiny_expect(model_open(dir, &options, &many, &err), &err, SLANT_OK, "");
    for (int i = 0; i < 2 * LINEAR_COUNT; i++) {
        const kernel_weight *a = &one->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT].w;
        const kernel_weight *b = &many->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT].w;
        assert_memory_equal(a->data, b->data, nf4_panel_code_bytes(a->n_out, a->n_in));
        assert_memory_equal(a->absmax_codes, b->absmax_codes,
                            nf4_panel_n_absmax(a->n_out, a->n_in));
    }
    model_close(one);
    model_close(many);
}

/* A misaligned tensor is legal in the format; it is copied rather than read where it lies. */
static void misaligned_tensors_are_copied(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    tiny_set set = {0}, body = tiny_body("model.", DTYPE_F32);
    tiny_add(&set, "lm_head.weight", DTYPE_U8, 3, 0);
    for (size_t i = 0; i < body.n; i++)
        set.tensors[set.n++] = body.tensors[i];
    tiny_write_text(dir, "config.json", tiny_config);
    tiny_write_tensors(dir, "model.safetensors", &set);
    float *values = stored_values(LINEAR_Q, DTYPE_F32, 64 * 64);
    tiny_expect(open_base(dir, SLANT_DTYPE_AUTO, &m, &err), &err, SLANT_OK, "");
    const kernel_weight *w = &m->layers[1].linears[LINEAR_Q].w;
    assert_int_equal((uintptr_t)w->data % 4, 0);
    assert_int_equal((uintptr_t)m->final_norm % 4, 0);
    assert_memory_equal(w->data, values, 64 * 64 * sizeof *values);
    model_close(m);
    tiny_expect(open_base(dir, SLANT_DTYPE_NF4, &m, &err), &err, SLANT_OK, "");
    expect_nf4(&m->layers[1].linears[LINEAR_Q].w, values);
    model_close(m);
    tiny_expect(open_base(dir, SLANT_DTYPE_BF16, &m, &err), &err, SLANT_OK, "");
    expect_rows(&m->layers[1].linears[LINEAR_Q].w, DTYPE_BF16, values);
    model_close(m);
    free(values);
}

static void the_embedding_is_read_by_row(void **state)
{
    const char *dir = *state;
    static const char *const paths[] = {NULL, MODELS "llama-f16", MODELS "gguf/q8_0.gguf"};
    tiny_write_base(dir);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        model *m;
        slant_error err;
        float by_file[256], by_view[256], scratch[256];
        tiny_expect(open_base(i == 0 ? dir : paths[i], 0, &m, &err), &err, SLANT_OK, "");
        assert_in_range(model_embed_scratch_bytes(m), 1, sizeof scratch);
        assert_true(m->embedding_fd >= 0);
        int fd = m->embedding_fd;
        for (int32_t id = 0; id < m->config.vocab_size; id++) {
            tiny_expect(model_embed(m, id, by_file, scratch, &err), &err, SLANT_OK, "");
            m->embedding_fd = -1;
            tiny_expect(model_embed(m, id, by_view, scratch, &err), &err, SLANT_OK, "");
            m->embedding_fd = fd;
            assert_memory_equal(by_file, by_view, (size_t)m->config.hidden_size * sizeof(float));
        }
        tiny_expect(model_embed(m, m->config.vocab_size, by_file, scratch, &err), &err,
                    SLANT_ERR_MISMATCH, "is not in the model's vocabulary");
        tiny_expect(model_embed(m, -1, by_file, scratch, &err), &err, SLANT_ERR_MISMATCH,
                    "token id -1 is not");
        model_close(m);
    }
}

static void a_file_cut_short_under_our_hands(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    float row[64], scratch[64];
    tiny_write_base(dir);
    tiny_expect(open_base(dir, SLANT_DTYPE_NF4, &m, &err), &err, SLANT_OK, "");
    assert_int_equal(truncate(tiny_path(dir, "model.safetensors"), 100), 0);
    tiny_expect(model_embed(m, 9, row, scratch, &err), &err, SLANT_ERR_IO,
                "the file has been cut short since it was opened");
    model_close(m);
}

/* --- bitsandbytes and GGUF -------------------------------------------------------------------- */

static void sources_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *path, *kind;
        slant_dtype dtype;
        dtype type;
    } cases[] = {
        {MODELS "llama", "hf", SLANT_DTYPE_BF16, DTYPE_BF16},
        {MODELS "llama-f32", "hf", SLANT_DTYPE_F32, DTYPE_F32},
        {MODELS "llama-f16", "hf", SLANT_DTYPE_AUTO, DTYPE_F16},
        {MODELS "bnb-double", "bnb", SLANT_DTYPE_NF4, DTYPE_NF4},
        {MODELS "bnb-plain", "bnb", SLANT_DTYPE_NF4, DTYPE_NF4},
        {MODELS "bnb-odd", "bnb", SLANT_DTYPE_F32, DTYPE_F32},
        {MODELS "gguf/f32.gguf", "gguf", SLANT_DTYPE_F32, DTYPE_F32},
        {MODELS "gguf/q4_1.gguf", "gguf", SLANT_DTYPE_AUTO, DTYPE_Q4_1},
        {MODELS "gguf/qwen2.gguf", "gguf", SLANT_DTYPE_AUTO, DTYPE_Q8_0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model *m;
        slant_error err;
        tiny_expect(open_base(cases[i].path, 0, &m, &err), &err, SLANT_OK, "");
        assert_string_equal(m->source_kind, cases[i].kind);
        assert_int_equal(m->dtype, cases[i].dtype);
        assert_int_equal(m->linear_type, cases[i].type);
        model_close(m);
    }
}

static void add_raw(tiny_set *set, const char *name, dtype type, int64_t n0, int64_t n1,
                    const void *bytes)
{
    tiny_add(set, name, type, n0, n1);
    set->tensors[set->n - 1].bytes = bytes;
}

/* transformers spares the head from quantising only as long as nobody names other modules to spare.
 */
static void a_quantised_head_is_expanded(void **state)
{
    const char *dir = *state;
    static const char form[] =
        "{\"quant_type\":\"nf4\",\"blocksize\":%d,\"dtype\":\"bfloat16\","
        "\"shape\":[%d,64]}";
    static const struct {
        int block, rows;
        slant_status status;
        const char *message;
    } cases[] = {
        {64, 3, SLANT_OK, ""},
        {128, 3, SLANT_ERR_UNSUPPORTED, "blocksize: expected 64, found 128"},
        {64, 4, SLANT_ERR_FORMAT, "shape: expected [3, 64], found [4, 64]"},
    };
    float values[192], absmax[3], expected[192];
    uint8_t codes[96];
    for (size_t i = 0; i < 192; i++)
        values[i] = tiny_value("score", i);
    nf4_encode_plain(values, 192, codes, absmax);
    nf4_flat flat = {192, codes, absmax, NULL, NULL, NULL, nf4_codes, 0};
    nf4_decode(&flat, 0, 192, expected);
    tiny_write_json(dir, "config.json", tiny_config,
                    "{\"num_labels\":3,\"quantization_config\":{\"load_in_4bit\":true,"
                    "\"bnb_4bit_quant_type\":\"nf4\"}}",
                    NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_set set = tiny_body("model.", DTYPE_BF16);
        model *m;
        slant_error err;
        char json[128];
        snprintf(json, sizeof json, form, cases[i].block, cases[i].rows);
        add_raw(&set, "score.weight", DTYPE_U8, 96, 1, codes);
        add_raw(&set, "score.weight.absmax", DTYPE_F32, 3, 0, absmax);
        add_raw(&set, "score.weight.quant_map", DTYPE_F32, 16, 0, nf4_codes);
        add_raw(&set, "score.weight.quant_state.bitsandbytes__nf4", DTYPE_U8, (int64_t)strlen(json),
                0, json);
        tiny_write_tensors(dir, "model.safetensors", &set);
        tiny_expect(open_base(dir, 0, &m, &err), &err, cases[i].status, cases[i].message);
        if (m != NULL)
            assert_memory_equal(m->score, expected, sizeof expected);
        model_close(m);
    }
}

static void link_golden(const char *dir, const char *name, const char *golden)
{
    char from[1024];
    snprintf(from, sizeof from, MODELS "%s", golden);
    assert_int_equal(symlink(from, tiny_path(dir, name)), 0);
}

/* One file or many, with a head or without: the same weights are the same base. */
static void shards_make_no_other_base(void **state)
{
    const char *dir = *state;
    model_open_options options = {.base_only = true, .want_digest = true};
    model *whole, *sharded;
    slant_error err;
    link_golden(dir, "config.json", "llama/config-new-style.json");
    link_golden(dir, "model-00001-of-00002.safetensors", "llama/model.safetensors");
    link_golden(dir, "model-00002-of-00002.safetensors", "heads/3/score.safetensors");
    link_golden(dir, "model.safetensors.index.json", "heads/3/model.safetensors.index.json");
    tiny_expect(model_open(MODELS "llama", &options, &whole, &err), &err, SLANT_OK, "");
    tiny_expect(model_open(dir, &options, &sharded, &err), &err, SLANT_OK, "");
    assert_string_equal(whole->base_digest, sharded->base_digest);
    assert_null(whole->score);
    assert_non_null(sharded->score);
    model_close(whole);
    model_close(sharded);
}

/* The definition in docs/FORMATS.md, on a base small enough to follow by hand. */
static void the_digest_is_what_the_page_says(void **state)
{
    const char *dir = *state;
    model_open_options options = {.base_only = true, .want_digest = true};
    model *m;
    slant_error err;
    static const char *const in_order[] = {"model.embed_tokens.weight",
                                           "model.layers.0.input_layernorm.weight",
                                           "model.layers.0.mlp.down_proj.weight",
                                           "model.layers.0.mlp.gate_proj.weight",
                                           "model.layers.0.mlp.up_proj.weight",
                                           "model.layers.0.post_attention_layernorm.weight",
                                           "model.layers.0.self_attn.k_proj.weight",
                                           "model.layers.0.self_attn.o_proj.weight",
                                           "model.layers.0.self_attn.q_proj.weight",
                                           "model.layers.0.self_attn.v_proj.weight",
                                           "model.norm.weight"};
    char expected[FILE_DIGEST_CHARS], header[256];
    tiny_set set = tiny_body("model.", DTYPE_F32);
    file_digest *digest = file_digest_open();
    for (size_t i = 0; i < sizeof in_order / sizeof *in_order; i++) {
        const tiny_tensor *t = tiny_find(&set, in_order[i]);
        if (t->n1 == 0)
            snprintf(header, sizeof header, "%s F32 [%d]\n", t->name, (int)t->n0);
        else
            snprintf(header, sizeof header, "%s F32 [%d, %d]\n", t->name, (int)t->n0, (int)t->n1);
        file_digest_update(digest, header, strlen(header));
        for (size_t j = 0; j < tiny_count(t); j++) {
            float value = tiny_value(t->name, j);
            file_digest_update(digest, &value, sizeof value);
        }
    }
    file_digest_close(digest, expected);
    tiny_write_text(dir, "config.json", tiny_config);
    tiny_write_tensors(dir, "model.safetensors", &set);
    options.n_layers = 1;
    tiny_expect(model_open(dir, &options, &m, &err), &err, SLANT_OK, "");
    assert_string_equal(m->base_digest, expected);
    model_close(m);
}

/* Interleaved rows come back in order: the GGUF in BF16 was made from weights whose HF order the
 * F32 one shares, so both must agree with each other and differ from the file's own order. */
static void interleaved_heads_come_back_in_order(void **state)
{
    (void)state;
    model *m, *nf4;
    slant_error err;
    tiny_expect(open_base(MODELS "gguf/f32.gguf", 0, &m, &err), &err, SLANT_OK, "");
    tiny_expect(open_base(MODELS "gguf/f32.gguf", SLANT_DTYPE_NF4, &nf4, &err), &err, SLANT_OK, "");
    const kernel_weight *q = &m->layers[0].linears[LINEAR_Q].w;
    expect_nf4(&nf4->layers[0].linears[LINEAR_Q].w, (const float *)(const void *)q->data);
    model_close(nf4);
    model_close(m);
}

/* --- hub names -------------------------------------------------------------------------------- */

static void put_in_cache(const char *cache, const char *folder, const char *commit)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", cache, folder);
    assert_int_equal(mkdir(path, 0777), 0);
    tiny_make_folder(path, "refs");
    tiny_make_folder(path, "snapshots");
    tiny_write_text(path, "refs/main", commit);
    strcat(path, "/snapshots/");
    strcat(path, commit);
    assert_int_equal(mkdir(path, 0777), 0);
    tiny_write_base(path);
}

static void hub_names_are_found_in_the_caches(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    tiny_make_folder(dir, "hf");
    tiny_make_folder(dir, "own");
    tiny_make_folder(dir, "own/hub");
    setenv("HF_HUB_CACHE", tiny_path(dir, "hf"), 1);
    setenv("SLANT_CACHE", tiny_path(dir, "own"), 1);
    tiny_expect(open_base("org/tiny-1.5", 0, &m, &err), &err, SLANT_ERR_NOT_FOUND,
                "org/tiny-1.5: no such file or directory, and no such model in the caches");
    put_in_cache(tiny_path(dir, "hf"), "models--org--tiny-1.5", "abc123");
    tiny_expect(open_base("org/tiny-1.5", 0, &m, &err), &err, SLANT_OK, "");
    assert_non_null(strstr(m->path, "hf/models--org--tiny-1.5/snapshots/abc123"));
    model_close(m);
    put_in_cache(tiny_path(dir, "own/hub"), "models--org--tiny-1.5", "def456");
    tiny_expect(open_base("org/tiny-1.5", 0, &m, &err), &err, SLANT_OK, "");
    assert_non_null(strstr(m->path, "own/hub/models--org--tiny-1.5/snapshots/def456"));
    model_close(m);
    tiny_write_text(dir, "own/hub/models--org--tiny-1.5/refs/main", "../../../x");
    tiny_expect(open_base("org/tiny-1.5", 0, &m, &err), &err, SLANT_ERR_FORMAT,
                "refs/main: expected a commit in hexadecimal");
    static const char *const no_names[] = {"org/..", "../org/x",  "org//x",
                                           "a--b/c", "org/na me", ""};
    for (size_t i = 0; i < sizeof no_names / sizeof *no_names; i++)
        tiny_expect(open_base(no_names[i], 0, &m, &err), &err, SLANT_ERR_NOT_FOUND,
                    "no such file or directory");
    unsetenv("HF_HUB_CACHE");
    unsetenv("SLANT_CACHE");
}

static void a_checkpoint_of_a_hub_name(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    char snapshot[1024];
    tiny_make_folder(dir, "base");
    char base[1024];
    snprintf(base, sizeof base, "%s/base", dir);
    tiny_write_base(base);
    setenv("SLANT_CACHE", tiny_path(dir, "none"), 1);
    setenv("HF_HUB_CACHE", dir, 1);
    put_in_cache(dir, "models--org--lora", "abc");
    snprintf(snapshot, sizeof snapshot, "%s/models--org--lora/snapshots/abc", dir);
    tiny_write_adapter(snapshot, "checkpoint-12");
    model_open_options options = {.adapter = "org/lora/checkpoint-12"};
    tiny_expect(model_open(base, &options, &m, &err), &err, SLANT_OK, "");
    assert_non_null(strstr(m->adapter.path, "abc/checkpoint-12"));
    model_close(m);
    options.adapter = "org/lora";
    options.checkpoint = "12";
    tiny_expect(model_open(base, &options, &m, &err), &err, SLANT_OK, "");
    model_close(m);
    unsetenv("HF_HUB_CACHE");
    unsetenv("SLANT_CACHE");
}

/* --- memory ----------------------------------------------------------------------------------- */

static void memory_may_run_out_anywhere(void **state)
{
    const char *dir = *state;
    static const char *const paths[] = {NULL, MODELS "llama-f16", MODELS "bnb-double",
                                        MODELS "bnb-odd", MODELS "gguf/mixed.gguf"};
    tiny_write_base(dir);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        model_open_options options = {.base_only = true,
                                      .dtype = i == 0 ? SLANT_DTYPE_NF4 : SLANT_DTYPE_AUTO,
                                      .n_threads = 1,
                                      .want_digest = true};
        const char *path = i == 0 ? dir : paths[i];
        model *m;
        slant_error err;
        uint64_t before = mem_alloc_count();
        tiny_expect(model_open(path, &options, &m, &err), &err, SLANT_OK, "");
        uint64_t n_allocations = mem_alloc_count() - before;
        model_close(m);
        for (uint64_t n = 1; n <= n_allocations; n++) {
            mem_fail_at(n, false);
            slant_status status = model_open(path, &options, &m, &err);
            mem_fail_at(0, false);
            /* The GGUF reader's lists do not say why they cannot be had. */
            if (status != SLANT_ERR_FORMAT || strstr(err.message, "memory ran out") == NULL)
                tiny_expect(status, &err, SLANT_ERR_MEMORY, "");
        }
    }
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, tiny_setup, tiny_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(tensors_are_all_accounted_for),
        ON_DISK(a_base_without_a_head_answers_nothing),
        ON_DISK(a_base_saved_bare_is_the_same_base),
        ON_DISK(folders_that_are_something_else_say_so),
        ON_DISK(layers_can_be_cut),
        ON_DISK(weights_are_held_as_asked),
        ON_DISK(awkward_rows_are_expanded_and_said),
        ON_DISK(threads_change_nothing),
        ON_DISK(misaligned_tensors_are_copied),
        ON_DISK(the_embedding_is_read_by_row),
        ON_DISK(a_file_cut_short_under_our_hands),
        cmocka_unit_test(sources_are_told_apart),
        cmocka_unit_test(interleaved_heads_come_back_in_order),
        ON_DISK(a_quantised_head_is_expanded),
        ON_DISK(shards_make_no_other_base),
        ON_DISK(the_digest_is_what_the_page_says),
        ON_DISK(hub_names_are_found_in_the_caches),
        ON_DISK(a_checkpoint_of_a_hub_name),
        ON_DISK(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
