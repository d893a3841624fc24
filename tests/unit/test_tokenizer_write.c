/* tokenizer.json out of the tables: read again, it gives the same ids. */
#include "tokenizer_goldens.h"

#include "base/mem.h"

static const char *const kinds[] = {"gpt2",  "gpt2_prefix",     "llama3", "mistral_metaspace",
                                    "pairs", "mistral_prepend", "odd",    "qwen2",
                                    "spm",   "smollm2",         "tekken", "words"};

static tokenizer *written_and_read(const tokenizer *t, const char *kind)
{
    slant_error err;
    buf json = {0};
    tokenizer *again = NULL;
    if (tokenizer_to_json(t, kind, &json, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    if (tokenizer_open_json(json.data, json.size_bytes, kind, &again, &err) != SLANT_OK)
        fail_msg("%s: %s", kind, err.message);
    buf_free(&json);
    return again;
}

static void expect_same_ids(const tokenizer *a, const tokenizer *b, const json_t *texts,
                            const char *kind)
{
    tokenizer_state *states[2] = {tokenizer_state_open(a), tokenizer_state_open(b)};
    for (size_t i = 0; i < json_array_size(texts); i++)
        for (int split = 0; split < 2; split++) {
            const json_t *text = json_array_get(texts, i);
            tokenizer_options options = {
                .add_special_tokens = true, .split_special_tokens = split, .want_offsets = true};
            tokenizer_output out[2];
            for (int which = 0; which < 2; which++)
                assert_int_equal(tokenizer_encode(states[which], json_string_value(text),
                                                  json_string_length(text), &options, &out[which],
                                                  NULL),
                                 SLANT_OK);
            size_t n = out[0].n_ids;
            assert_int_equal(n, out[1].n_ids);
            if (n == 0)
                continue;
            if (memcmp(out[0].ids, out[1].ids, n * sizeof *out[0].ids) != 0)
                fail_msg("%s: text %zu has other ids", kind, i);
            assert_memory_equal(out[0].offsets, out[1].offsets, n * sizeof *out[0].offsets);
        }
    tokenizer_state_close(states[0]);
    tokenizer_state_close(states[1]);
}

static void what_is_written_reads_the_same(void **unused)
{
    (void)unused;
    json_t *texts = golden_json("texts");
    assert_true(json_array_size(texts) > 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tokenizer *t = golden_tokenizer(kinds[i]), *again = written_and_read(t, kinds[i]);
        expect_same_ids(t, again, texts, kinds[i]);
        tokenizer_close(t);
        tokenizer_close(again);
    }
    json_decref(texts);
}

/* From a GGUF's metadata, whose special tokens are in no vocabulary. */
static void added_tokens_keep_their_ids(void **unused)
{
    (void)unused;
    static const char *const tokens[] = {"<|a|>", "a", "b", "<|b|>", "ab"};
    static const size_t sizes[] = {5, 1, 1, 5, 2};
    static const int32_t types[] = {3, 1, 1, 4, 1};
    static const char *const merges[] = {"a b"};
    static const size_t merge_sizes[] = {3};
    tokenizer_gguf gguf = {.model = "gpt2",
                           .pre = "smollm",
                           .n_tokens = 5,
                           .tokens = tokens,
                           .token_bytes = sizes,
                           .types = types,
                           .n_merges = 1,
                           .merges = merges,
                           .merge_bytes = merge_sizes,
                           .bos_id = 0,
                           .eos_id = -1,
                           .unknown_id = -1,
                           .pad_id = -1,
                           .add_bos = 1};
    slant_error err;
    tokenizer *t;
    if (tokenizer_open_gguf(&gguf, "tiny.gguf", &t, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    tokenizer *again = written_and_read(t, "tiny");
    json_t *texts = json_pack("[s,s,s]", "ab<|b|>ba", "<|a|>a", "12");
    expect_same_ids(t, again, texts, "tiny");
    assert_true(tokenizer_is_special(again, 0));
    assert_false(tokenizer_is_special(again, 3));
    json_decref(texts);
    tokenizer_close(t);
    tokenizer_close(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(added_tokens_keep_their_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
