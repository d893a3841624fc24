/* PEFT adapters: which modules they change, what is refused by name, which tensors they must and
 * must not hold, which directory is meant, and what slant.json beside them says. */
#include "tiny_model.h"

#include "model/adapter_config.h"
#include "model/model.h"

/* --- adapter_config.json ---------------------------------------------------------------------- */

static slant_status parse(const char *changes, const char *drop, adapter_config *c, arena *a,
                          slant_error *err)
{
    char *json = tiny_json(tiny_adapter_config, changes, drop);
    slant_status status =
        adapter_config_from_json(c, json, strlen(json), "adapter_config.json", a, err);
    free(json);
    return status;
}

static void refused_configs_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *changes, *drop;
        slant_status status;
        const char *message;
    } cases[] = {
        {NULL, "peft_type", SLANT_ERR_FORMAT, "peft_type is missing"},
        {"{\"peft_type\":\"IA3\"}", NULL, SLANT_ERR_UNSUPPORTED, "peft_type \"IA3\""},
        {"{\"use_dora\":true}", NULL, SLANT_ERR_UNSUPPORTED, "use_dora is set"},
        {"{\"use_qalora\":true}", NULL, SLANT_ERR_UNSUPPORTED, "use_qalora is set"},
        {"{\"use_bdlora\":{\"x\":1}}", NULL, SLANT_ERR_UNSUPPORTED, "use_bdlora is set"},
        {"{\"alora_invocation_tokens\":[1,2]}", NULL, SLANT_ERR_UNSUPPORTED, "alora_invocation"},
        {"{\"arrow_config\":{\"top_k\":1}}", NULL, SLANT_ERR_UNSUPPORTED, "arrow_config is set"},
        {"{\"kasa_config\":{\"x\":1}}", NULL, SLANT_ERR_UNSUPPORTED, "kasa_config is set"},
        {"{\"velora_config\":{\"x\":1}}", NULL, SLANT_ERR_UNSUPPORTED, "velora_config is set"},
        {"{\"layer_replication\":[[0,1]]}", NULL, SLANT_ERR_UNSUPPORTED,
         "layer_replication is set"},
        {"{\"target_parameters\":[\"x\"]}", NULL, SLANT_ERR_UNSUPPORTED,
         "target_parameters is set"},
        {"{\"lora_bias\":true}", NULL, SLANT_ERR_UNSUPPORTED, "lora_bias is set"},
        {"{\"trainable_token_indices\":[1]}", NULL, SLANT_ERR_UNSUPPORTED,
         "trainable_token_indices"},
        {"{\"enable_lora\":[true,false,true]}", NULL, SLANT_ERR_UNSUPPORTED,
         "enable_lora is a list"},
        {"{\"init_lora_weights\":\"pissa\"}", NULL, SLANT_ERR_UNSUPPORTED, "\"pissa\" rewrites"},
        {"{\"init_lora_weights\":\"pissa_niter_4\"}", NULL, SLANT_ERR_UNSUPPORTED, "pissa_niter_4"},
        {"{\"init_lora_weights\":\"olora\"}", NULL, SLANT_ERR_UNSUPPORTED, "\"olora\" rewrites"},
        {"{\"init_lora_weights\":\"corda\"}", NULL, SLANT_ERR_UNSUPPORTED, "\"corda\" rewrites"},
        {"{\"init_lora_weights\":\"loftq\"}", NULL, SLANT_ERR_UNSUPPORTED, "\"loftq\" rewrites"},
        {"{\"r\":0}", NULL, SLANT_ERR_FORMAT, "r: expected 1 to"},
        {"{\"r\":\"4\"}", NULL, SLANT_ERR_FORMAT, "r: expected an integer"},
        {"{\"lora_alpha\":\"8\"}", NULL, SLANT_ERR_FORMAT, "lora_alpha: expected a number"},
        {"{\"target_modules\":[1]}", NULL, SLANT_ERR_FORMAT, "target_modules: expected strings"},
        {"{\"target_modules\":7}", NULL, SLANT_ERR_FORMAT, "target_modules: expected a string"},
        {"{\"target_modules\":\"(\"}", NULL, SLANT_ERR_FORMAT,
         "the pattern \"(\" does not compile"},
        {"{\"layers_to_transform\":[-1]}", NULL, SLANT_ERR_FORMAT, "layers_to_transform: expected"},
        {"{\"layers_to_transform\":\"1\"}", NULL, SLANT_ERR_FORMAT,
         "layers_to_transform: expected"},
        {"{\"layers_to_transform\":[1],\"target_modules\":\".*q_proj\"}", NULL, SLANT_ERR_FORMAT,
         "layers_to_transform cannot stand beside target_modules that are a pattern"},
        {"{\"layers_pattern\":\"layers\",\"target_modules\":\"all-linear\"}", NULL,
         SLANT_ERR_FORMAT, "layers_pattern cannot stand beside"},
        {"{\"layers_pattern\":\"layers\"}", NULL, SLANT_ERR_FORMAT,
         "layers_pattern is set without layers_to_transform"},
        {"{\"rank_pattern\":{\"q_proj\":0}}", NULL, SLANT_ERR_FORMAT, "rank_pattern of \"q_proj\""},
        {"{\"rank_pattern\":{\"[\":2}}", NULL, SLANT_ERR_FORMAT, "rank_pattern: the pattern"},
        {"{\"alpha_pattern\":{\"q_proj\":\"x\"}}", NULL, SLANT_ERR_FORMAT, "alpha_pattern of"},
        {"{\"modules_to_save\":\"score\"}", NULL, SLANT_ERR_FORMAT,
         "modules_to_save: expected a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapter_config c;
        arena a = {0};
        slant_error err = {0};
        tiny_expect(parse(cases[i].changes, cases[i].drop, &c, &a, &err), &err, cases[i].status,
                    cases[i].message);
        assert_memory_equal(err.message, "adapter_config.json: ", 21);
        adapter_config_close(&c);
        arena_free(&a);
    }
}

/* Older, odd and harmless settings load, as in PEFT. */
static void odd_configs_load(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "{\"task_type\":null,\"modules_to_save\":null,\"use_dora\":null,\"use_rslora\":null}",
        "{\"modules_to_save\":[\"score\",\"score\",\"classifier\"]}",
        "{\"lora_alpha\":16.5,\"fan_in_fan_out\":true,\"bias\":\"all\",\"layers_pattern\":[]}",
        "{\"merge_weights\":false,\"enable_lora\":null,\"a_key_of_tomorrow\":{\"x\":[1]}}",
        "{\"init_lora_weights\":\"gaussian\",\"loftq_config\":{},\"runtime_config\":{\"a\":true}}",
        "{\"init_lora_weights\":\"eva\",\"eva_config\":{\"rho\":2.0}}",
        "{\"init_lora_weights\":\"orthogonal\"}",
        "{\"init_lora_weights\":false,\"layers_pattern\":\"layers\",\"layers_to_transform\":1}",
        "{\"init_lora_weights\":\"lora_ga\",\"exclude_modules\":\"\"}",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        adapter_config c;
        arena a = {0};
        slant_error err = {0};
        tiny_expect(parse(changes[i], NULL, &c, &a, &err), &err, SLANT_OK, "");
        adapter_config_close(&c);
        arena_free(&a);
    }
}

static void targets_are_those_of_peft(void **state)
{
    (void)state;
    static const char q0[] = "model.layers.0.self_attn.q_proj",
                      q1[] = "model.layers.1.self_attn.q_proj",
                      down1[] = "model.layers.1.mlp.down_proj";
    static const struct {
        const char *changes, *module;
        bool is_head, targeted;
    } cases[] = {
        {"{}", q0, false, true},
        {"{}", down1, false, false},
        {"{\"target_modules\":null}", q0, false, true},
        {"{\"target_modules\":[\"proj\"]}", q0, false, false}, /* whole parts of a path alone */
        {"{\"target_modules\":[\"self_attn.q_proj\"]}", q0, false, true},
        {"{\"target_modules\":[\"model.layers.1.self_attn.q_proj\"]}", q1, false, true},
        {"{\"target_modules\":[\"model.layers.1.self_attn.q_proj\"]}", q0, false, false},
        {"{\"target_modules\":\".*q_proj\"}", q0, false, true},
        {"{\"target_modules\":\"q_proj\"}", q0, false, false}, /* a string is matched as a whole */
        {"{\"target_modules\":\".*q_\"}", q0, false, false},
        {"{\"target_modules\":\"x|.*down_proj\"}", down1, false, true},
        {"{\"target_modules\":\".*\\\\.layers\\\\.[1-9]\\\\..*_proj\"}", q0, false, false},
        {"{\"target_modules\":\"all-linear\"}", down1, false, true},
        {"{\"target_modules\":\"ALL-LINEAR\"}", down1, false, true},
        {"{\"target_modules\":\"all-linear\"}", "score", true, false},
        {"{\"target_modules\":\"all-linear\",\"task_type\":null,\"modules_to_save\":null}", "score",
         true, true},
        {"{\"target_modules\":[\"score\"]}", "score", true,
         false}, /* saved whole, so not adapted */
        {"{\"target_modules\":[\"score\"],\"modules_to_save\":null}", "score", true, true},
        {"{\"exclude_modules\":[\"q_proj\"]}", q0, false, false},
        {"{\"exclude_modules\":[\"_proj\"]}", q0, false, true},
        {"{\"exclude_modules\":\".*layers\\\\.0.*\"}", q0, false, false},
        {"{\"exclude_modules\":\".*layers\\\\.0.*\"}", q1, false, true},
        {"{\"modules_to_save\":[\"self_attn\"]}", q0, false, false},
        {"{\"layers_to_transform\":[1]}", q0, false, false},
        {"{\"layers_to_transform\":[1]}", q1, false, true},
        {"{\"layers_to_transform\":1}", q1, false, true},
        {"{\"layers_to_transform\":0}", q1, false, false},
        {"{\"layers_to_transform\":[]}", q1, false, true},
        {"{\"layers_to_transform\":[1],\"layers_pattern\":\"layers\"}", q1, false, true},
        {"{\"layers_to_transform\":[1],\"layers_pattern\":[\"h\",\"layers\"]}", q1, false, true},
        {"{\"layers_to_transform\":[1],\"layers_pattern\":\"h\"}", q1, false, false},
        /* A whole path is not held to layers_to_transform. */
        {"{\"layers_to_transform\":[1],\"target_modules\":[\"model.layers.0.self_attn.q_proj\"]}",
         q0, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapter_config c;
        arena a = {0};
        slant_error err = {0};
        bool targeted;
        tiny_expect(parse(cases[i].changes, NULL, &c, &a, &err), &err, SLANT_OK, "");
        tiny_expect(adapter_config_targets(&c, cases[i].module, cases[i].is_head, &targeted, &err),
                    &err, SLANT_OK, "");
        if (targeted != cases[i].targeted)
            fail_msg("%s: %s is %stargeted", cases[i].changes, cases[i].module,
                     targeted ? "" : "not ");
        adapter_config_close(&c);
        arena_free(&a);
    }
}

static void ranks_and_scales_follow_their_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *changes, *module;
        int rank;
        float scale;
    } cases[] = {
        {"{}", "model.layers.0.self_attn.q_proj", 4, 2.0f},
        {"{\"use_rslora\":true}", "model.layers.0.self_attn.q_proj", 4, 4.0f},
        {"{\"lora_alpha\":6.0}", "model.layers.0.self_attn.q_proj", 4, 1.5f},
        {"{\"rank_pattern\":{\"q_proj\":2}}", "model.layers.0.self_attn.q_proj", 2, 4.0f},
        {"{\"rank_pattern\":{\"_proj\":2}}", "model.layers.0.self_attn.q_proj", 4, 2.0f},
        {"{\"rank_pattern\":{\"layers.1.self_attn.q_proj\":2}}", "model.layers.0.self_attn.q_proj",
         4, 2.0f},
        {"{\"rank_pattern\":{\".*_proj\":16,\"q_proj\":2}}", "model.layers.0.self_attn.q_proj", 16,
         0.5f}, /* the first that matches */
        {"{\"alpha_pattern\":{\"model\\\\.layers\\\\.[01]\\\\..*\":3}}",
         "model.layers.1.self_attn.v_proj", 4, 0.75f},
        {"{\"rank_pattern\":{\"v_proj\":16},\"alpha_pattern\":{\"v_proj\":2.0},"
         "\"use_rslora\":true}",
         "model.layers.1.self_attn.v_proj", 16, 0.5f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapter_config c;
        arena a = {0};
        slant_error err = {0};
        int rank;
        float scale;
        tiny_expect(parse(cases[i].changes, NULL, &c, &a, &err), &err, SLANT_OK, "");
        tiny_expect(adapter_config_scale(&c, cases[i].module, &rank, &scale, &err), &err, SLANT_OK,
                    "");
        assert_int_equal(rank, cases[i].rank);
        assert_true(scale == cases[i].scale);
        adapter_config_close(&c);
        arena_free(&a);
    }
}

static void endless_patterns_end(void **state)
{
    (void)state;
    adapter_config c;
    arena a = {0};
    slant_error err = {0};
    bool targeted;
    tiny_expect(parse("{\"target_modules\":\"([a-z_.0-9]+)+[A-Z]\"}", NULL, &c, &a, &err), &err,
                SLANT_OK, "");
    tiny_expect(adapter_config_targets(&c, "model.layers.0.self_attn.q_proj_and_much_more_of_it",
                                       false, &targeted, &err),
                &err, SLANT_ERR_UNSUPPORTED, "takes too long to match");
    adapter_config_close(&c);
    arena_free(&a);
}

/* --- tensors ---------------------------------------------------------------------------------- */

typedef struct tensor_case {
    const char *changes; /* of adapter_config.json */
    const char *drop;    /* a tensor that is left out */
    const char *add;     /* a tensor that is added */
    int64_t n0, n1;      /* its shape */
    dtype type;
    slant_status status;
    const char *message;
} tensor_case;

static slant_status open_with(const char *dir, const char *checkpoint, const char *labels,
                              model **m, slant_error *err)
{
    char base[1024], adapter[1024];
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(adapter, sizeof adapter, "%s/adapter", dir);
    model_open_options options = {
        .adapter = adapter, .checkpoint = checkpoint, .labels = labels, .n_threads = 1};
    return model_open(base, &options, m, err);
}

static void write_both(const char *dir)
{
    tiny_make_folder(dir, "base");
    char base[1024];
    snprintf(base, sizeof base, "%s/base", dir);
    tiny_write_base(base);
    tiny_write_adapter(dir, "adapter");
}

static void write_adapter_case(const char *dir, const tensor_case *c)
{
    tiny_set set = tiny_lora();
    char adapter[1024];
    snprintf(adapter, sizeof adapter, "%s/adapter", dir);
    if (c->drop != NULL)
        tiny_drop(&set, c->drop);
    if (c->add != NULL)
        tiny_add(&set, c->add, c->type, c->n0, c->n1);
    tiny_write_json(adapter, "adapter_config.json", tiny_adapter_config, c->changes, NULL);
    tiny_write_tensors(adapter, "adapter_model.safetensors", &set);
}

#define PEFT "base_model.model."
#define Q0 PEFT "model.layers.0.self_attn.q_proj."

static void tensors_are_all_accounted_for(void **state)
{
    const char *dir = *state;
    static const tensor_case cases[] = {
        {NULL, NULL, NULL, 0, 0, 0, SLANT_OK, ""},
        {NULL, Q0 "lora_A.weight", Q0 "lora_A.default.weight", 4, 64, DTYPE_F16, SLANT_OK, ""},
        {NULL, Q0 "lora_B.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT,
         "adapts model.layers.0.self_attn.q_proj, but tensor " Q0 "lora_B.weight is missing"},
        {NULL, Q0 "lora_A.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT, Q0 "lora_A.weight is missing"},
        {NULL, Q0 "lora_A.weight", Q0 "lora_A.weight", 8, 64, DTYPE_F32, SLANT_ERR_MISMATCH,
         "expected shape [4, 64], found [8, 64]"},
        {NULL, Q0 "lora_A.weight", Q0 "lora_A.weight", 4, 64, DTYPE_I32, SLANT_ERR_FORMAT,
         "expected F32, F16 or BF16, found I32"},
        {"{\"r\":8}", NULL, NULL, 0, 0, 0, SLANT_ERR_MISMATCH, "expected shape [8, 64]"},
        {NULL, NULL, PEFT "model.layers.0.self_attn.k_proj.lora_A.weight", 4, 64, DTYPE_F32,
         SLANT_ERR_FORMAT, "belongs to no module that adapter_config.json adapts"},
        {NULL, NULL, PEFT "model.layers.7.self_attn.q_proj.lora_A.weight", 4, 64, DTYPE_F32,
         SLANT_ERR_MISMATCH, "is of layer 7, but the base has 2 layers"},
        {NULL, NULL, Q0 "bias", 64, 0, DTYPE_F32, SLANT_ERR_UNSUPPORTED, "is a trained bias"},
        {"{\"bias\":\"all\"}", NULL, NULL, 0, 0, 0, SLANT_OK, ""},
        {NULL, NULL, PEFT "score.bias", 3, 0, DTYPE_F32, SLANT_ERR_UNSUPPORTED,
         PEFT "score.bias is a trained bias"},
        {NULL, NULL, PEFT "score.original_module.weight", 3, 64, DTYPE_F32, SLANT_OK, ""},
        {NULL, PEFT "score.weight", PEFT "score.modules_to_save.weight", 3, 64, DTYPE_F32, SLANT_OK,
         ""},
        {NULL, PEFT "score.weight", PEFT "score.modules_to_save.default.weight", 3, 64, DTYPE_BF16,
         SLANT_OK, ""},
        {NULL, PEFT "score.weight", PEFT "classifier.weight", 3, 64, DTYPE_F32, SLANT_ERR_FORMAT,
         "no score head (base_model.model.score.weight), only " PEFT "classifier.weight"},
        {NULL, PEFT "score.weight", NULL, 0, 0, 0, SLANT_ERR_FORMAT, "no score head"},
        {"{\"task_type\":null,\"modules_to_save\":null}", PEFT "score.weight", NULL, 0, 0, 0,
         SLANT_ERR_FORMAT, "no score head"},
        {NULL, PEFT "score.weight", PEFT "score.weight", 3, 32, DTYPE_F32, SLANT_ERR_MISMATCH,
         "expected shape [labels, 64], found [3, 32]"},
        {NULL, PEFT "score.weight", PEFT "score.weight", 192, 0, DTYPE_F32, SLANT_ERR_MISMATCH,
         "expected shape [labels, 64], found [192]"},
        {NULL, NULL, PEFT "lm_head.weight", 10, 64, DTYPE_F32, SLANT_OK, ""},
        {NULL, NULL, PEFT "model.embed_tokens.weight", 10, 64, DTYPE_BF16, SLANT_OK, ""},
        {NULL, NULL, PEFT "model.embed_tokens.weight", 12, 64, DTYPE_BF16, SLANT_ERR_MISMATCH,
         "expected F32, F16 or BF16 [10, 64], found BF16 [12, 64]"},
        {NULL, NULL, PEFT "model.norm.weight", 64, 0, DTYPE_F32, SLANT_ERR_FORMAT,
         PEFT "model.norm.weight belongs to no module"},
        {"{\"target_modules\":[\"nothing\"]}", NULL, NULL, 0, 0, 0, SLANT_ERR_MISMATCH,
         "target_modules reaches no linear module"},
        {"{\"target_modules\":[\"q_proj\",\"v_proj\",\"embed_tokens\"]}", NULL, NULL, 0, 0, 0,
         SLANT_ERR_UNSUPPORTED, "target_modules reaches model.embed_tokens"},
        {"{\"target_modules\":[\"q_proj\",\"v_proj\",\"score\"],\"modules_to_save\":null}", NULL,
         NULL, 0, 0, 0, SLANT_ERR_UNSUPPORTED, "target_modules reaches score"},
        {"{\"use_dora\":true}", NULL, NULL, 0, 0, 0, SLANT_ERR_UNSUPPORTED, "use_dora is set"},
    };
    write_both(dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model *m;
        slant_error err = {0};
        write_adapter_case(dir, &cases[i]);
        slant_status status = open_with(dir, NULL, NULL, &m, &err);
        if (status != cases[i].status ||
            (status != SLANT_OK && strstr(err.message, cases[i].message) == NULL))
            fail_msg("case %zu: status %d, \"%s\"; expected %d, \"%s\"", i, status, err.message,
                     cases[i].status, cases[i].message);
        model_close(m);
    }
}

static void factors_are_held_as_saved(void **state)
{
    const char *dir = *state;
    static const tensor_case c = {NULL, Q0 "lora_A.weight", Q0 "lora_A.weight", 4,
                                  64,   DTYPE_F16,          SLANT_OK,           ""};
    model *m;
    slant_error err;
    write_both(dir);
    write_adapter_case(dir, &c);
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_OK, "");
    const lora *q = &m->layers[0].linears[LINEAR_Q].adapter;
    assert_int_equal(q->rank, 4);
    assert_true(q->scale == 2.0f);
    assert_int_equal(q->a.type, DTYPE_F16);
    assert_int_equal(q->b.type, DTYPE_F32);
    assert_int_equal(m->layers[0].linears[LINEAR_K].adapter.rank, 0);
    assert_int_equal(m->adapter.n_modules, 4);
    assert_int_equal(m->adapter.rank, 4);
    assert_string_equal(m->adapter.base_model_name, "example/tiny");
    assert_true(((const float *)(const void *)q->b.data)[5] == tiny_value(Q0 "lora_B.weight", 5));
    assert_true(m->score[64] == tiny_value(PEFT "score.weight", 64));
    model_close(m);
}

static void a_saved_embedding_takes_the_base_ones_place(void **state)
{
    const char *dir = *state;
    static const tensor_case c = {
        NULL, NULL, PEFT "model.embed_tokens.weight", 10, 64, DTYPE_F32, SLANT_OK, ""};
    model *m;
    slant_error err;
    float row[64], scratch[64];
    write_both(dir);
    write_adapter_case(dir, &c);
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_OK, "");
    tiny_expect(model_embed(m, 7, row, scratch, &err), &err, SLANT_OK, "");
    for (size_t i = 0; i < 64; i++)
        assert_true(row[i] == tiny_value(PEFT "model.embed_tokens.weight", 7 * 64 + i));
    assert_non_null(strstr(m->notes, "an embedding of its own, which takes the place"));
    model_close(m);
}

static void a_pickle_is_refused_with_the_way_out(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    write_both(dir);
    unlink(tiny_path(dir, "adapter/adapter_model.safetensors"));
    tiny_write_text(dir, "adapter/adapter_model.bin", "PK");
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_ERR_UNSUPPORTED,
                "convert it once with PeftModel.from_pretrained");
}

/* --- labels ----------------------------------------------------------------------------------- */

static void expect_labels(const char *dir, const char *option, slant_status status,
                          const char *first, const char *message)
{
    model *m;
    slant_error err = {0};
    tiny_expect(open_with(dir, NULL, option, &m, &err), &err, status, message);
    if (status == SLANT_OK) {
        assert_int_equal(m->config.n_labels, 3);
        assert_string_equal(m->config.labels[0], first);
    }
    model_close(m);
}

static void labels_come_from_whoever_names_them(void **state)
{
    const char *dir = *state;
    char base[1024];
    snprintf(base, sizeof base, "%s/base", dir);
    write_both(dir);
    expect_labels(dir, NULL, SLANT_OK, "LABEL_0", "");
    expect_labels(dir, "Left,Center,Right", SLANT_OK, "Left", "");
    expect_labels(dir, "Left,Right", SLANT_ERR_MISMATCH, NULL, "labels: 2 labels for a head of 3");
    expect_labels(dir, "Left,,Right", SLANT_ERR_ARGUMENT, NULL, "labels: name 2 of 3 is empty");
    tiny_write_json(base, "config.json", tiny_config,
                    "{\"id2label\":{\"0\":\"L\",\"1\":\"C\",\"2\":\"R\"}}", NULL);
    expect_labels(dir, NULL, SLANT_OK, "L", "");
    /* Names that nobody chose give way to the head; chosen ones do not. */
    tiny_write_json(base, "config.json", tiny_config,
                    "{\"id2label\":{\"0\":\"LABEL_0\",\"1\":\"LABEL_1\"}}", NULL);
    expect_labels(dir, NULL, SLANT_OK, "LABEL_0", "");
    tiny_write_json(base, "config.json", tiny_config, "{\"id2label\":{\"0\":\"L\",\"1\":\"R\"}}",
                    NULL);
    expect_labels(dir, NULL, SLANT_ERR_MISMATCH, NULL,
                  "the base's id2label: 2 labels for a head of 3");
    tiny_write_text(dir, "adapter/slant.json", "{\"labels\":[\"a\",\"b\",\"c\"]}");
    expect_labels(dir, NULL, SLANT_OK, "a", "");
    expect_labels(dir, "x,y,z", SLANT_OK, "x", "");
    tiny_write_text(dir, "adapter/slant.json", "{\"labels\":[\"a\",\"b\"]}");
    expect_labels(dir, NULL, SLANT_ERR_MISMATCH, NULL, "slant.json: 2 labels for a head of 3");
}

static void a_head_in_the_base_binds_the_adapter(void **state)
{
    const char *dir = *state;
    char base[1024], adapter[1024];
    tiny_set set = tiny_body("model.", DTYPE_F32), headless = tiny_lora();
    model *m;
    slant_error err;
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(adapter, sizeof adapter, "%s/adapter", dir);
    write_both(dir);
    tiny_add(&set, "score.weight", DTYPE_F32, 2, 64);
    tiny_write_tensors(base, "model.safetensors", &set);
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_ERR_MISMATCH,
                "expected shape [2, 64] as the base's own head, found [3, 64]");
    /* A LoRA of no task that brings no head leaves the base's. */
    tiny_drop(&headless, PEFT "score.weight");
    tiny_write_json(adapter, "adapter_config.json", tiny_adapter_config,
                    "{\"task_type\":null,\"modules_to_save\":null}", NULL);
    tiny_write_tensors(adapter, "adapter_model.safetensors", &headless);
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_OK, "");
    assert_int_equal(m->config.n_labels, 2);
    assert_true(m->score[3] == tiny_value("score.weight", 3));
    model_close(m);
}

/* --- slant.json ------------------------------------------------------------------------------- */

#define DIGEST64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void the_sidecar_is_read_strictly(void **state)
{
    const char *dir = *state;
    static const struct {
        const char *json;
        slant_status status;
        const char *message;
    } cases[] = {
        {"{}", SLANT_OK, ""},
        {"{\"metrics\":{\"f1\":NaN},\"of_tomorrow\":1}", SLANT_OK, ""},
        {"{\"max_length\":0}", SLANT_ERR_FORMAT, "slant.json: max_length: expected 1 to"},
        {"{\"max_length\":\"512\"}", SLANT_ERR_FORMAT, "max_length: expected an integer"},
        {"{\"truncation\":\"middle\"}", SLANT_ERR_FORMAT, "truncation: expected head, tail"},
        {"{\"temperature\":0}", SLANT_ERR_FORMAT, "temperature: expected"},
        {"{\"labels\":{\"0\":\"a\"}}", SLANT_ERR_FORMAT, "labels: expected a list"},
        {"{\"labels\":[1,2,3]}", SLANT_ERR_FORMAT, "labels: expected strings, found an integer"},
        {"{\"base_digest\":\"md5:1\"}", SLANT_ERR_FORMAT, "base_digest: expected \"sha256:\""},
        {"{\"base_digest\":\"sha256:" DIGEST64 "\"}", SLANT_OK, ""},
        {"[]", SLANT_ERR_FORMAT, "slant.json: expected an object"},
        {"{", SLANT_ERR_FORMAT, "slant.json: line 1"},
    };
    write_both(dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model *m;
        slant_error err = {0};
        tiny_write_text(dir, "adapter/slant.json", cases[i].json);
        tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, cases[i].status, cases[i].message);
        model_close(m);
    }
    model *m;
    slant_error err;
    tiny_write_text(dir, "adapter/slant.json",
                    "{\"max_length\":512,\"truncation\":\"head-tail\",\"title_field\":\"title\","
                    "\"temperature\":1.5}");
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_OK, "");
    assert_int_equal(m->adapter.max_length, 512);
    assert_int_equal(m->adapter.truncation, SLANT_TRUNCATION_HEAD_TAIL);
    assert_string_equal(m->adapter.title_field, "title");
    assert_true(m->adapter.temperature == 1.5f);
    model_close(m);
}

static void another_base_is_an_error(void **state)
{
    const char *dir = *state;
    char base[1024], adapter[1024], json[256];
    model *m;
    slant_error err;
    snprintf(base, sizeof base, "%s/base", dir);
    snprintf(adapter, sizeof adapter, "%s/adapter", dir);
    write_both(dir);
    model_open_options options = {.adapter = adapter, .n_threads = 1, .want_digest = true};
    tiny_expect(model_open(base, &options, &m, &err), &err, SLANT_OK, "");
    assert_non_null(strstr(m->notes, "the adapter names no digest"));
    snprintf(json, sizeof json, "{\"base_digest\":\"%s\"}", m->base_digest);
    model_close(m);

    tiny_write_text(adapter, "slant.json", json);
    tiny_expect(model_open(base, &options, &m, &err), &err, SLANT_OK, "");
    assert_string_equal(m->notes, "");
    model_close(m);
    tiny_expect(open_with(dir, NULL, NULL, &m, &err), &err, SLANT_OK, "");
    assert_non_null(strstr(m->notes, "its digest is unknown"));
    model_close(m);

    tiny_write_text(adapter, "slant.json", "{\"base_digest\":\"sha256:" DIGEST64 "\"}");
    tiny_expect(model_open(base, &options, &m, &err), &err, SLANT_ERR_MISMATCH,
                "was trained on another base: expected sha256:0123456789abcdef");
}

/* --- which directory -------------------------------------------------------------------------- */

static void write_checkpoint(const char *dir, const char *name, float marker)
{
    char folder[1024], path[1024];
    snprintf(folder, sizeof folder, "%s/adapter", dir);
    tiny_write_adapter(folder, name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char json[64];
    snprintf(json, sizeof json, "{\"temperature\":%g}", (double)marker);
    tiny_write_text(path, "slant.json", json);
}

static void expect_choice(const char *dir, const char *choice, float marker, const char *note)
{
    model *m;
    slant_error err;
    tiny_expect(open_with(dir, choice, NULL, &m, &err), &err, SLANT_OK, "");
    assert_true(m->adapter.temperature == marker);
    if (note != NULL)
        assert_non_null(strstr(m->notes, note));
    else
        assert_null(strstr(m->notes, "checkpoint"));
    model_close(m);
}

static void expect_no_choice(const char *dir, const char *choice, slant_status status,
                             const char *message)
{
    model *m;
    slant_error err;
    tiny_expect(open_with(dir, choice, NULL, &m, &err), &err, status, message);
}

static void checkpoints_are_chosen_as_asked(void **state)
{
    const char *dir = *state;
    char base[1024];
    snprintf(base, sizeof base, "%s/base", dir);
    tiny_make_folder(dir, "base");
    tiny_make_folder(dir, "adapter");
    tiny_write_base(base);
    expect_no_choice(dir, NULL, SLANT_ERR_NOT_FOUND,
                     "neither adapter_config.json nor checkpoint-N");
    expect_no_choice(dir, "last", SLANT_ERR_NOT_FOUND, "holds no checkpoint-N");
    write_checkpoint(dir, "checkpoint-9", 9);
    write_checkpoint(dir, "checkpoint-100", 100);
    write_checkpoint(dir, "checkpoint-best", 5);
    write_checkpoint(dir, "checkpoint-0200", 6);
    expect_choice(dir, NULL, 100, "its last checkpoint, checkpoint-100, answers");
    expect_choice(dir, "last", 100, NULL);
    expect_choice(dir, "9", 9, NULL);
    expect_no_choice(dir, "10", SLANT_ERR_NOT_FOUND, "no checkpoint-10; there are 9, 100");
    expect_no_choice(dir, "newest", SLANT_ERR_ARGUMENT, "expected last, best or a number");
    expect_no_choice(dir, "best", SLANT_ERR_NOT_FOUND, "no trainer_state.json");
    tiny_write_text(dir, "adapter/checkpoint-100/trainer_state.json",
                    "{\"best_model_checkpoint\":null,\"best_metric\":NaN}");
    expect_no_choice(dir, "best", SLANT_ERR_NOT_FOUND, "best_model_checkpoint is null");
    tiny_write_text(dir, "adapter/checkpoint-100/trainer_state.json",
                    "{\"best_model_checkpoint\":\"/elsewhere/out/checkpoint-9/\","
                    "\"log_history\":[{\"grad_norm\":Infinity}],\"best_metric\":-Infinity}");
    expect_choice(dir, "best", 9, NULL);
    tiny_write_text(dir, "adapter/trainer_state.json",
                    "{\"best_model_checkpoint\":\"out\\\\checkpoint-7\"}");
    expect_no_choice(dir, "best", SLANT_ERR_FORMAT, "names no checkpoint-N");
    /* A checkpoint that was being saved when the trainer died. */
    tiny_make_folder(dir, "adapter/checkpoint-300");
    expect_choice(dir, "last", 100, "checkpoint-300 is not whole and was passed over");
    /* The directory's own adapter comes first, unless a checkpoint is asked for. */
    tiny_write_adapter(dir, "adapter");
    tiny_write_text(dir, "adapter/slant.json", "{\"temperature\":7}");
    expect_choice(dir, NULL, 7, NULL);
    expect_choice(dir, "9", 9, NULL);
}

static void memory_may_run_out_anywhere(void **state)
{
    const char *dir = *state;
    model *m;
    slant_error err;
    write_both(dir);
    tiny_write_text(dir, "adapter/slant.json", "{\"labels\":[\"a\",\"b\",\"c\"]}");
    uint64_t before = mem_alloc_count();
    tiny_expect(open_with(dir, NULL, "x,y,z", &m, &err), &err, SLANT_OK, "");
    uint64_t n_allocations = mem_alloc_count() - before;
    model_close(m);
    for (uint64_t n = 1; n <= n_allocations; n++) {
        mem_fail_at(n, false);
        slant_status status = open_with(dir, NULL, "x,y,z", &m, &err);
        mem_fail_at(0, false);
        tiny_expect(status, &err, SLANT_ERR_MEMORY, "");
        mem_fail_at(n, true);
        status = open_with(dir, NULL, "x,y,z", &m, &err);
        mem_fail_at(0, false);
        tiny_expect(status, &err, SLANT_ERR_MEMORY, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_configs_say_why),
        cmocka_unit_test(odd_configs_load),
        cmocka_unit_test(targets_are_those_of_peft),
        cmocka_unit_test(ranks_and_scales_follow_their_patterns),
        cmocka_unit_test(endless_patterns_end),
        cmocka_unit_test_setup_teardown(tensors_are_all_accounted_for, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(factors_are_held_as_saved, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(a_saved_embedding_takes_the_base_ones_place, tiny_setup,
                                        tiny_teardown),
        cmocka_unit_test_setup_teardown(a_pickle_is_refused_with_the_way_out, tiny_setup,
                                        tiny_teardown),
        cmocka_unit_test_setup_teardown(labels_come_from_whoever_names_them, tiny_setup,
                                        tiny_teardown),
        cmocka_unit_test_setup_teardown(a_head_in_the_base_binds_the_adapter, tiny_setup,
                                        tiny_teardown),
        cmocka_unit_test_setup_teardown(the_sidecar_is_read_strictly, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(another_base_is_an_error, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(checkpoints_are_chosen_as_asked, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(memory_may_run_out_anywhere, tiny_setup, tiny_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
