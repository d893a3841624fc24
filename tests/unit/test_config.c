/* config.json: what transformers reads into it is read, what slant does not run is refused by name,
 * and no number is believed before it is checked. */
#include "tiny_model.h"

#include "model/config.h"

#include <math.h>

static slant_status parse(const char *changes, const char *drop, model_config *config, arena *a,
                          slant_error *err)
{
    char *json = tiny_json(tiny_config, changes, drop);
    slant_status status = model_config_from_json(config, json, strlen(json), "config.json", a, err);
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
        {NULL, "model_type", SLANT_ERR_FORMAT, "config.json: model_type is missing"},
        {"{\"model_type\":\"gpt2\"}", NULL, SLANT_ERR_UNSUPPORTED, "model_type \"gpt2\""},
        {"{\"model_type\":3}", NULL, SLANT_ERR_FORMAT, "model_type: expected a string"},
        {"{\"hidden_act\":\"gelu\"}", NULL, SLANT_ERR_UNSUPPORTED, "hidden_act \"gelu\""},
        {NULL, "hidden_size", SLANT_ERR_FORMAT, "hidden_size is missing"},
        {NULL, "num_hidden_layers", SLANT_ERR_FORMAT, "num_hidden_layers is missing"},
        {"{\"hidden_size\":0}", NULL, SLANT_ERR_FORMAT,
         "hidden_size: expected 1 to 65536, found 0"},
        {"{\"hidden_size\":\"64\"}", NULL, SLANT_ERR_FORMAT,
         "hidden_size: expected an integer, found a string"},
        {"{\"hidden_size\":64.5}", NULL, SLANT_ERR_FORMAT, "hidden_size: expected an integer"},
        {"{\"num_hidden_layers\":4000000000}", NULL, SLANT_ERR_FORMAT,
         "num_hidden_layers: expected"},
        {"{\"num_hidden_layers\":-1}", NULL, SLANT_ERR_FORMAT, "num_hidden_layers: expected"},
        {"{\"vocab_size\":99999999}", NULL, SLANT_ERR_FORMAT, "vocab_size: expected"},
        {"{\"num_attention_heads\":3}", NULL, SLANT_ERR_FORMAT,
         "hidden_size (64) is no multiple of num_attention_heads (3)"},
        {"{\"num_attention_heads\":4,\"num_key_value_heads\":3}", NULL, SLANT_ERR_FORMAT,
         "4 attention heads are no multiple of 3 key-value heads"},
        {"{\"head_dim\":33}", NULL, SLANT_ERR_FORMAT, "head_dim is 33; rotation needs an even one"},
        {"{\"head_dim\":4096}", NULL, SLANT_ERR_FORMAT, "head_dim: expected 2 to 1024"},
        {"{\"num_attention_heads\":4096,\"num_key_value_heads\":4096,\"head_dim\":1024}", NULL,
         SLANT_ERR_FORMAT, "wider than"},
        {"{\"rms_norm_eps\":-1}", NULL, SLANT_ERR_FORMAT, "rms_norm_eps: expected"},
        {"{\"rms_norm_eps\":[1]}", NULL, SLANT_ERR_FORMAT, "rms_norm_eps: expected a number"},
        {"{\"attention_bias\":1}", NULL, SLANT_ERR_FORMAT,
         "attention_bias: expected true or false"},
        {"{\"rope_theta\":0}", NULL, SLANT_ERR_FORMAT, "rope_theta: expected"},
        {"{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0}}", NULL, SLANT_ERR_UNSUPPORTED,
         "rope_type \"yarn\""},
        {"{\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4.0}}", NULL, SLANT_ERR_UNSUPPORTED,
         "rope_type \"dynamic\""},
        {"{\"rope_parameters\":{\"rope_type\":\"longrope\"}}", NULL, SLANT_ERR_UNSUPPORTED,
         "rope_type \"longrope\""},
        {"{\"rope_scaling\":{\"type\":\"linear\"}}", NULL, SLANT_ERR_FORMAT,
         "factor is missing from the rope settings"},
        {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0}}",
         NULL, SLANT_ERR_FORMAT, "high_freq_factor is missing"},
        {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":4.0,"
         "\"high_freq_factor\":4.0}}",
         NULL, SLANT_ERR_FORMAT, "high_freq_factor (4) must exceed low_freq_factor (4)"},
        {"{\"rope_scaling\":[1]}", NULL, SLANT_ERR_FORMAT, "rope_scaling: expected an object"},
        {"{\"partial_rotary_factor\":0.5}", NULL, SLANT_ERR_UNSUPPORTED, "partial_rotary_factor"},
        {"{\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1e4}}}", NULL,
         SLANT_ERR_UNSUPPORTED, "differ by layer type"},
        {"{\"model_type\":\"qwen2\",\"layer_types\":[\"full_attention\"]}", NULL, SLANT_ERR_FORMAT,
         "layer_types: expected 2 entries, found 1"},
        {"{\"model_type\":\"qwen2\",\"layer_types\":[\"full_attention\",\"linear_attention\"]}",
         NULL, SLANT_ERR_UNSUPPORTED, "layer_types of layer 1: linear_attention is not run"},
        {"{\"model_type\":\"qwen2\",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
         NULL, SLANT_ERR_FORMAT, "layer_types of layer 1 slides, but there is no window"},
        {"{\"model_type\":\"mistral\",\"sliding_window\":0}", NULL, SLANT_ERR_FORMAT,
         "sliding_window: expected"},
        {"{\"pad_token_id\":\"x\"}", NULL, SLANT_ERR_FORMAT, "pad_token_id: expected a token id"},
        {"{\"eos_token_id\":[99999999999]}", NULL, SLANT_ERR_FORMAT, "eos_token_id"},
        {"{\"id2label\":{\"0\":\"a\",\"2\":\"b\"}}", NULL, SLANT_ERR_FORMAT,
         "id2label: expected keys 0 to 1, each once, found \"2\""},
        {"{\"id2label\":{\"0\":\"a\",\"x\":\"b\"}}", NULL, SLANT_ERR_FORMAT, "found \"x\""},
        {"{\"id2label\":{\"0\":\"a\",\"00\":\"b\"}}", NULL, SLANT_ERR_FORMAT, "each once"},
        {"{\"id2label\":{\"0\":7}}", NULL, SLANT_ERR_FORMAT, "id2label of 0: expected a string"},
        {"{\"id2label\":[\"a\"]}", NULL, SLANT_ERR_FORMAT, "id2label: expected an object"},
        {"{\"num_labels\":-3}", NULL, SLANT_ERR_FORMAT, "num_labels: expected"},
        {"{\"problem_type\":\"ranking\"}", NULL, SLANT_ERR_UNSUPPORTED, "problem_type \"ranking\""},
        {"{\"problem_type\":\"single_label_classification\",\"num_labels\":1}", NULL,
         SLANT_ERR_FORMAT, "needs more than one label"},
        {"{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}", NULL,
         SLANT_ERR_UNSUPPORTED, "quant_method \"gptq\" is not read"},
        {"{\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true}}",
         NULL, SLANT_ERR_UNSUPPORTED, "bitsandbytes int8"},
        {"{\"quantization_config\":{\"_load_in_4bit\":true,\"bnb_4bit_quant_type\":\"fp4\"}}", NULL,
         SLANT_ERR_UNSUPPORTED, "bnb_4bit_quant_type \"fp4\""},
        {"{\"quantization_config\":{\"load_in_4bit\":true}}", NULL, SLANT_ERR_UNSUPPORTED,
         "bnb_4bit_quant_type \"fp4\""},
        {"{\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}}", NULL,
         SLANT_ERR_UNSUPPORTED, "neither load_in_4bit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_config config;
        arena a = {0};
        slant_error err = {0};
        slant_status status = parse(cases[i].changes, cases[i].drop, &config, &a, &err);
        tiny_expect(status, &err, cases[i].status, cases[i].message);
        assert_memory_equal(err.message, "config.json: ", 13);
        arena_free(&a);
    }
}

static void broken_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "7",
                                        "{\"model_type\":}",
                                        "{} x",
                                        "{\"a\":1,\"a\":2}",
                                        "\xFF",
                                        "{\"a\":\"\\u0000\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        model_config config;
        arena a = {0};
        slant_error err = {0};
        assert_int_equal(
            model_config_from_json(&config, texts[i], strlen(texts[i]), "c.json", &a, &err),
            SLANT_ERR_FORMAT);
        assert_memory_equal(err.message, "c.json: ", 8);
        arena_free(&a);
    }
}

typedef struct expectation {
    const char *changes, *drop;
    int head_dim, n_kv_heads;
    rope_kind rope;
    double theta, factor;
    bool qkv_bias, o_bias, mlp_bias, qk_norm;
    int window0, window1;
    int n_labels;
} expectation;

/* The same as transformers 5.23 fills in, config by config. */
static void defaults_are_those_of_transformers(void **state)
{
    (void)state;
    static const expectation cases[] = {
        {NULL, NULL, 32, 1, ROPE_DEFAULT, 10000, 0, 0, 0, 0, 0, 0, 0, 0},
        {NULL, "num_key_value_heads", 32, 2, ROPE_DEFAULT, 10000, 0, 0, 0, 0, 0, 0, 0, 0},
        {"{\"num_key_value_heads\":null,\"head_dim\":null}", NULL, 32, 2, ROPE_DEFAULT, 10000, 0, 0,
         0, 0, 0, 0, 0, 0},
        {"{\"head_dim\":16,\"attention_bias\":true,\"mlp_bias\":true,\"num_labels\":3}", NULL, 16,
         1, ROPE_DEFAULT, 10000, 0, 1, 1, 1, 0, 0, 0, 3},
        {"{\"rope_theta\":5e5,\"rope_scaling\":null}", NULL, 32, 1, ROPE_DEFAULT, 5e5, 0, 0, 0, 0,
         0, 0, 0, 0},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}", NULL, 32, 1, ROPE_LINEAR, 10000,
         2, 0, 0, 0, 0, 0, 0, 0},
        {"{\"rope_parameters\":{\"rope_theta\":7.0}}", NULL, 32, 1, ROPE_DEFAULT, 7, 0, 0, 0, 0, 0,
         0, 0, 0},
        {"{\"rope_parameters\":{\"rope_type\":\"default\"},\"rope_theta\":9.0}", NULL, 32, 1,
         ROPE_DEFAULT, 9, 0, 0, 0, 0, 0, 0, 0, 0},
        /* Both styles: rope_scaling wins, and theta is then the top level's. */
        {"{\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":3.0,\"rope_theta\":7.0},"
         "\"rope_scaling\":{\"type\":\"default\"},\"rope_theta\":9.0}",
         NULL, 32, 1, ROPE_DEFAULT, 9, 0, 0, 0, 0, 0, 0, 0, 0},
        {"{\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":3.0,\"rope_theta\":7.0},"
         "\"rope_scaling\":{},\"rope_theta\":9.0}",
         NULL, 32, 1, ROPE_LINEAR, 7, 3, 0, 0, 0, 0, 0, 0, 0},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"rope_type\":\"default\",\"factor\":2.0,"
         "\"rope_theta\":77.0},\"rope_theta\":9.0}",
         NULL, 32, 1, ROPE_DEFAULT, 77, 0, 0, 0, 0, 0, 0, 0, 0},
        {"{\"model_type\":\"mistral\",\"attention_bias\":true,\"num_attention_heads\":8,\"head_"
         "dim\":32}",
         "num_key_value_heads", 32, 8, ROPE_DEFAULT, 10000, 0, 0, 0, 0, 0, 4096, 4096, 0},
        {"{\"model_type\":\"mistral\",\"sliding_window\":null}", NULL, 32, 1, ROPE_DEFAULT, 10000,
         0, 0, 0, 0, 0, 0, 0, 0},
        {"{\"model_type\":\"mistral\",\"sliding_window\":8,"
         "\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
         NULL, 32, 1, ROPE_DEFAULT, 10000, 0, 0, 0, 0, 0, 0, 8, 0},
        {"{\"model_type\":\"qwen2\",\"sliding_window\":8,\"max_window_layers\":1}", NULL, 32, 1,
         ROPE_DEFAULT, 10000, 0, 1, 0, 0, 0, 0, 0, 0},
        {"{\"model_type\":\"qwen2\",\"sliding_window\":8,\"max_window_layers\":1,"
         "\"use_sliding_window\":true}",
         NULL, 32, 1, ROPE_DEFAULT, 10000, 0, 1, 0, 0, 0, 0, 8, 0},
        {"{\"model_type\":\"qwen3\"}", NULL, 128, 1, ROPE_DEFAULT, 10000, 0, 0, 0, 0, 1, 0, 0, 0},
        {"{\"model_type\":\"qwen3\",\"attention_bias\":true,\"head_dim\":32}", NULL, 32, 1,
         ROPE_DEFAULT, 10000, 0, 1, 1, 0, 1, 0, 0, 0},
        {"{\"id2label\":{\"2\":\"C\",\"0\":\"A\",\"1\":\"B\"}}", NULL, 32, 1, ROPE_DEFAULT, 10000,
         0, 0, 0, 0, 0, 0, 0, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const expectation *e = &cases[i];
        model_config c;
        arena a = {0};
        slant_error err = {0};
        tiny_expect(parse(e->changes, e->drop, &c, &a, &err), &err, SLANT_OK, "");
        assert_int_equal(c.head_dim, e->head_dim);
        assert_int_equal(c.n_kv_heads, e->n_kv_heads);
        assert_int_equal(c.rope, e->rope);
        assert_true(c.rope_theta == e->theta && c.rope_factor == e->factor);
        assert_int_equal(c.qkv_bias, e->qkv_bias);
        assert_int_equal(c.o_bias, e->o_bias);
        assert_int_equal(c.mlp_bias, e->mlp_bias);
        assert_int_equal(c.qk_norm, e->qk_norm);
        assert_int_equal(c.layer_window[0], e->window0);
        assert_int_equal(c.layer_window[1], e->window1);
        assert_int_equal(c.n_labels, e->n_labels);
        arena_free(&a);
    }
}

static void token_ids_may_be_lists_or_absent(void **state)
{
    (void)state;
    model_config c;
    arena a = {0};
    slant_error err;
    tiny_expect(parse("{\"eos_token_id\":[5,6],\"pad_token_id\":-1,\"bos_token_id\":null}", NULL,
                      &c, &a, &err),
                &err, SLANT_OK, "");
    assert_int_equal(c.eos_token_id, 5);
    assert_int_equal(c.pad_token_id, -1);
    assert_int_equal(c.bos_token_id, -1);
    arena_free(&a);
}

static void labels_follow_their_keys(void **state)
{
    (void)state;
    model_config c;
    arena a = {0};
    slant_error err;
    tiny_expect(parse("{\"id2label\":{\"10\":\"k\",\"1\":\"b\",\"0\":\"a\",\"2\":\"c\",\"3\":\"d\","
                      "\"4\":\"e\",\"5\":\"f\",\"6\":\"g\",\"7\":\"h\",\"8\":\"i\",\"9\":\"j\"}}",
                      NULL, &c, &a, &err),
                &err, SLANT_OK, "");
    assert_int_equal(c.n_labels, 11);
    for (int i = 0; i < 11; i++)
        assert_int_equal(c.labels[i][0], 'a' + i);
    tiny_expect(parse("{\"num_labels\":2}", NULL, &c, &a, &err), &err, SLANT_OK, "");
    assert_string_equal(c.labels[1], "LABEL_1");
    arena_free(&a);
}

/* Llama-3.2-1B's own numbers, as transformers computes them. */
static void llama3_frequencies(void **state)
{
    (void)state;
    model_config c;
    arena a = {0};
    slant_error err;
    float inv_freq[32];
    tiny_expect(parse("{\"head_dim\":64,\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":32.0,"
                      "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                      "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}}",
                      NULL, &c, &a, &err),
                &err, SLANT_OK, "");
    model_config_inv_freq(&c, inv_freq);
    assert_true(inv_freq[0] == 1.0f);
    assert_float_equal(inv_freq[14], powf(500000.0f, -28.0f / 64), 1e-9);
    assert_float_equal(inv_freq[15], 1.29055e-3f, 1e-8);
    assert_float_equal(inv_freq[17], 9.70829e-5f, 1e-9);
    for (int i = 18; i < 32; i++)
        assert_float_equal(inv_freq[i] * 32, powf(500000.0f, (float)(-2 * i) / 64), 1e-9);
    c.rope = ROPE_LINEAR;
    model_config_inv_freq(&c, inv_freq);
    assert_true(inv_freq[0] == 1.0f / 32);
    arena_free(&a);
}

static void original_length_defaults_to_the_maximum(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "{\"rope_scaling\":{\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
        "\"rope_type\":\"llama3\"}}",
        "{\"rope_scaling\":{\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
        "\"rope_type\":\"llama3\",\"original_max_position_embeddings\":32}}",
        "{\"original_max_position_embeddings\":16,\"rope_scaling\":{\"factor\":8.0,"
        "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"rope_type\":\"llama3\","
        "\"original_max_position_embeddings\":32}}"};
    static const int64_t expected[] = {64, 32, 16};
    for (size_t i = 0; i < 3; i++) {
        model_config c;
        arena a = {0};
        slant_error err;
        tiny_expect(parse(changes[i], NULL, &c, &a, &err), &err, SLANT_OK, "");
        assert_int_equal(c.rope_original_max_position, expected[i]);
        arena_free(&a);
    }
}

/* What a .slant carries reads back as the same config. */
static void written_configs_read_back(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "{}",
        "{\"attention_bias\":true,\"mlp_bias\":true,\"head_dim\":48,\"rms_norm_eps\":1.1e-6}",
        "{\"rope_scaling\":{\"factor\":8.0,\"low_freq_factor\":1.5,\"high_freq_factor\":4.0,"
        "\"rope_type\":\"llama3\"},\"id2label\":{\"0\":\"L\\u00e9\\\"ft\",\"1\":\"R\"},"
        "\"problem_type\":\"multi_label_classification\",\"torch_dtype\":\"bfloat16\"}",
        "{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5},\"pad_token_id\":3}",
        "{\"model_type\":\"mistral\"}",
        "{\"model_type\":\"mistral\",\"sliding_window\":null}",
        "{\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"max_window_layers\":1}",
        "{\"model_type\":\"qwen3\",\"eos_token_id\":[4,5],\"bos_token_id\":1}",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        model_config first, second;
        arena a = {0};
        slant_error err;
        buf once = {0}, twice = {0};
        tiny_expect(parse(changes[i], NULL, &first, &a, &err), &err, SLANT_OK, "");
        model_config_to_json(&first, &once);
        tiny_expect(model_config_from_json(&second, once.data, once.size_bytes, "again", &a, &err),
                    &err, SLANT_OK, "");
        model_config_to_json(&second, &twice);
        assert_string_equal(once.data, twice.data);
        assert_memory_equal(first.layer_window, second.layer_window, 2 * sizeof(int));
        assert_true(first.rms_norm_eps == second.rms_norm_eps && first.rope == second.rope &&
                    first.qkv_bias == second.qkv_bias && first.problem == second.problem);
        buf_free(&once);
        buf_free(&twice);
        arena_free(&a);
    }
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    char *json = tiny_json(
        tiny_config, "{\"id2label\":{\"0\":\"NaN\",\"1\":\"b\"},\"dtype\":\"float16\"}", NULL);
    for (uint64_t n = 1;; n++) {
        model_config c;
        arena a = {0};
        slant_error err;
        mem_fail_at(n, false);
        slant_status status = model_config_from_json(&c, json, strlen(json), "c", &a, &err);
        mem_fail_at(0, false);
        arena_free(&a);
        if (status == SLANT_OK)
            break;
        assert_int_equal(status, SLANT_ERR_MEMORY);
    }
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_configs_say_why),
        cmocka_unit_test(broken_json_is_refused),
        cmocka_unit_test(defaults_are_those_of_transformers),
        cmocka_unit_test(token_ids_may_be_lists_or_absent),
        cmocka_unit_test(labels_follow_their_keys),
        cmocka_unit_test(llama3_frequencies),
        cmocka_unit_test(original_length_defaults_to_the_maximum),
        cmocka_unit_test(written_configs_read_back),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
