/* The tokenizer against Hugging Face's: ids and offsets of awkward texts, for small tokenizers of
 * every kind (tools/make_tokenizer_goldens.py). */
#include "tokenizer_goldens.h"

#include "base/mem.h"

/* One text, encoded as options say, against what the golden has. */
static void check_ids(const tokenizer_output *out, const json_t *ids, const char *kind, size_t row)
{
    if (out->n_ids != json_array_size(ids))
        fail_msg("%s, text %zu: %zu ids, expected %zu", kind, row, out->n_ids,
                 json_array_size(ids));
    for (size_t i = 0; i < out->n_ids; i++)
        if (out->ids[i] != json_integer_value(json_array_get(ids, i)))
            fail_msg("%s, text %zu: id %zu is %d, expected %lld", kind, row, i, out->ids[i],
                     json_integer_value(json_array_get(ids, i)));
}

static void check_offsets(const tokenizer_output *out, const json_t *offsets, const char *kind,
                          size_t row)
{
    assert_int_equal(json_array_size(offsets), 2 * out->n_ids);
    for (size_t i = 0; i < out->n_ids; i++) {
        size_t start = (size_t)json_integer_value(json_array_get(offsets, 2 * i));
        size_t end = (size_t)json_integer_value(json_array_get(offsets, 2 * i + 1));
        if (out->offsets[i].start != start || out->offsets[i].end != end)
            fail_msg("%s, text %zu: id %zu covers [%zu, %zu), expected [%zu, %zu)", kind, row, i,
                     out->offsets[i].start, out->offsets[i].end, start, end);
    }
}

/* Each text three times: new to the cache, from the cache, and with offsets past the cache. */
static void check_text(tokenizer_state *state, const char *text, size_t text_bytes,
                       const json_t *expected, const char *kind, size_t row)
{
    tokenizer_output out;
    for (int pass = 0; pass < 3; pass++) {
        tokenizer_options options = {.add_special_tokens = true, .want_offsets = pass == 2};
        assert_int_equal(tokenizer_encode(state, text, text_bytes, &options, &out, NULL), SLANT_OK);
        check_ids(&out, json_object_get(expected, "ids"), kind, row);
    }
    check_offsets(&out, json_object_get(expected, "offsets"), kind, row);
    tokenizer_options plain = {.split_special_tokens = true};
    assert_int_equal(tokenizer_encode(state, text, text_bytes, &plain, &out, NULL), SLANT_OK);
    check_ids(&out, json_object_get(expected, "plain"), kind, row);
}

static void check_texts(const tokenizer *t, const char *kind)
{
    char name[64];
    snprintf(name, sizeof name, "%s.ids", kind);
    json_t *texts = golden_json("texts"), *expected = golden_json(name);
    tokenizer_state *state = tokenizer_state_open(t);
    assert_non_null(state);
    assert_int_equal(json_array_size(texts), json_array_size(expected));
    for (size_t row = 0; row < json_array_size(texts); row++) {
        const json_t *text = json_array_get(texts, row);
        check_text(state, json_string_value(text), json_string_length(text),
                   json_array_get(expected, row), kind, row);
    }
    tokenizer_state_close(state);
    json_decref(texts);
    json_decref(expected);
}

/* From tokenizer.json, and again from a copy of its tables. */
static void check_kind(const char *kind)
{
    tokenizer *t = golden_tokenizer(kind), *copy = NULL;
    check_texts(t, kind);
    size_t blob_bytes;
    const uint8_t *blob = tokenizer_blob(t, &blob_bytes);
    uint8_t *bytes = mem_alloc_pages(blob_bytes);
    memcpy(bytes, blob, blob_bytes);
    assert_int_equal(tokenizer_open_blob(bytes, blob_bytes, kind, &copy, NULL), SLANT_OK);
    assert_string_equal(tokenizer_digest(t), tokenizer_digest(copy));
    tokenizer_close(t);
    check_texts(copy, kind);
    tokenizer_close(copy);
    mem_free_pages(bytes, blob_bytes);
}

static void equals_hugging_face(void **unused)
{
    (void)unused;
    static const char *const kinds[] = {
        "gpt2",  "gpt2_prefix", "llama3",          "smollm2",
        "qwen2", "tekken",      "mistral_prepend", "mistral_metaspace",
        "odd",   "words",       "pairs",           "spm"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check_kind(kinds[i]);
}

/* Merging by scan and by heap agree with each other: a text of one long word equals its ids in
 * pieces only if both find the same merges, so the long one is compared with offsets that add up.
 */
static void long_words(void **unused)
{
    (void)unused;
    tokenizer *t = golden_tokenizer("llama3");
    tokenizer_state *state = tokenizer_state_open(t);
    size_t n = 20000;
    char *word = mem_alloc(n, 1);
    uint32_t random = 1;
    for (size_t i = 0; i < n; i++)
        word[i] = "thesenatorid"[(random = random * 1664525 + 1013904223) >> 24 & 7];
    tokenizer_output out;
    tokenizer_options options = {.want_offsets = true};
    assert_int_equal(tokenizer_encode(state, word, n, &options, &out, NULL), SLANT_OK);
    assert_true(out.n_ids > n / 4 && out.n_ids < n);
    size_t at = 0;
    for (size_t i = 0; i < out.n_ids; i++) {
        const uint8_t *bytes;
        size_t n_bytes;
        assert_true(tokenizer_bytes(t, out.ids[i], &bytes, &n_bytes));
        assert_int_equal(out.offsets[i].start, at);
        assert_memory_equal(bytes, word + at, n_bytes);
        at += n_bytes;
        assert_int_equal(out.offsets[i].end, at);
    }
    assert_int_equal(at, n);
    mem_free(word);
    tokenizer_state_close(state);
    tokenizer_close(t);
}

static void encoding_allocates_nothing_after_warm_up(void **unused)
{
    (void)unused;
    static const char *const kinds[] = {"llama3", "smollm2", "qwen2", "mistral_metaspace", "odd"};
    json_t *texts = golden_json("texts");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        tokenizer *t = golden_tokenizer(kinds[k]);
        tokenizer_state *state = tokenizer_state_open(t);
        uint64_t before = 0;
        for (int pass = 0; pass < 3; pass++) {
            before = pass == 2 ? mem_alloc_count() : 0;
            for (size_t row = 0; row < json_array_size(texts); row++) {
                const json_t *text = json_array_get(texts, row);
                tokenizer_options options = {.add_special_tokens = true, .want_offsets = row & 1};
                tokenizer_output out;
                assert_int_equal(tokenizer_encode(state, json_string_value(text),
                                                  json_string_length(text), &options, &out, NULL),
                                 SLANT_OK);
            }
        }
        assert_int_equal(mem_alloc_count(), before);
        tokenizer_state_close(state);
        tokenizer_close(t);
    }
    json_decref(texts);
}

static void ill_formed_text(void **unused)
{
    (void)unused;
    static const char text[] = "the \xF0\x9F\x98 senator\xFFs";
    tokenizer *t = golden_tokenizer("llama3");
    tokenizer_state *state = tokenizer_state_open(t);
    tokenizer_output out, clean;
    slant_error err;
    tokenizer_options options = {.add_special_tokens = true, .want_offsets = true};
    assert_int_equal(tokenizer_encode(state, text, sizeof text - 1, &options, &out, &err),
                     SLANT_ERR_TEXT);
    assert_non_null(strstr(err.message, "byte 4"));
    options.lossy = true;
    assert_int_equal(tokenizer_encode(state, text, sizeof text - 1, &options, &out, &err),
                     SLANT_OK);
    size_t n_ids = out.n_ids, last_end = out.offsets[n_ids - 1].end;
    int32_t ids[32];
    assert_true(n_ids <= 32);
    memcpy(ids, out.ids, n_ids * sizeof *ids);
    assert_int_equal(last_end, sizeof text - 1); /* offsets count the bytes that were given */
    static const char replaced[] = "the \xEF\xBF\xBD senator\xEF\xBF\xBDs";
    options.lossy = false;
    assert_int_equal(tokenizer_encode(state, replaced, sizeof replaced - 1, &options, &clean, &err),
                     SLANT_OK);
    assert_int_equal(clean.n_ids, n_ids);
    assert_memory_equal(clean.ids, ids, n_ids * sizeof *ids);
    options.lossy = true; /* a text that begins ill-formed, in a state that is new */
    tokenizer_state_close(state);
    state = tokenizer_state_open(t);
    assert_int_equal(tokenizer_encode(state, "\xFFs", 2, &options, &out, &err), SLANT_OK);
    assert_int_equal(out.offsets[out.n_ids - 1].end, 2);
    tokenizer_state_close(state);
    tokenizer_close(t);
}

static void facts(void **unused)
{
    (void)unused;
    tokenizer *t = golden_tokenizer("llama3");
    const uint8_t *bytes;
    size_t n_bytes;
    int32_t bos = tokenizer_find(t, "<|begin_of_text|>", 17);
    int32_t the = tokenizer_find(t, "\xC4\xA0the", 5);
    assert_true(bos > 0 && the > 0);
    assert_true(tokenizer_is_special(t, bos));
    assert_false(tokenizer_is_special(t, the));
    assert_true(tokenizer_bytes(t, the, &bytes, &n_bytes));
    assert_int_equal(n_bytes, 4);
    assert_memory_equal(bytes, " the", 4);
    assert_memory_equal(tokenizer_piece(t, the, &n_bytes), "\xC4\xA0the", 5);
    assert_int_equal(tokenizer_find(t, "no such token", 13), -1);
    assert_null(tokenizer_piece(t, -1, &n_bytes));
    assert_null(tokenizer_piece(t, (int32_t)tokenizer_vocab_size(t), &n_bytes));
    assert_int_equal(strlen(tokenizer_digest(t)), 71);
    tokenizer_close(t);
    tokenizer_close(NULL);
    tokenizer_state_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_hugging_face),
        cmocka_unit_test(long_words),
        cmocka_unit_test(encoding_allocates_nothing_after_warm_up),
        cmocka_unit_test(ill_formed_text),
        cmocka_unit_test(facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
