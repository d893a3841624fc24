/* What tokenizers are opened from: tokenizer.json in all its spellings, GGUF metadata, flat tables;
 * and how the wrong ones are refused. */
#include "tokenizer_goldens.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/json_reader.h"
#include "text/tokenizer_tables.h"

/* A tokenizer.json around the parts that a test is about. */
#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<unk>\":3}"
#define MODEL "\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\"]}"

static slant_status open_text(const char *json, tokenizer **out, slant_error *err)
{
    return tokenizer_open_json(json, strlen(json), "tokenizer.json", out, err);
}

static void encodes_to(const tokenizer *t, const char *text, const int32_t *ids, size_t n_ids)
{
    tokenizer_state *state = tokenizer_state_open(t);
    tokenizer_options options = {.add_special_tokens = true};
    tokenizer_output out;
    assert_int_equal(tokenizer_encode(state, text, strlen(text), &options, &out, NULL), SLANT_OK);
    assert_int_equal(out.n_ids, n_ids);
    if (n_ids > 0)
        assert_memory_equal(out.ids, ids, n_ids * sizeof *ids);
    tokenizer_state_close(state);
}

static void opens_to(const char *json, const char *text, const int32_t *ids, size_t n_ids)
{
    tokenizer *t;
    slant_error err = {0};
    if (open_text(json, &t, &err) != SLANT_OK)
        fail_msg("%s: %s", json, err.message);
    encodes_to(t, text, ids, n_ids);
    tokenizer_close(t);
}

static void spellings(void **unused)
{
    (void)unused;
    static const int32_t both[] = {2}, unknown[] = {2, 3, 0}, framed[] = {0, 2, 1};
    opens_to("{" MODEL "}", "ab", both, 1);
    opens_to("{\"model\":{\"merges\":[[\"a\",\"b\"]]," VOCAB "}}", "ab", both, 1);
    opens_to("{\"model\":{\"merges\":[\"#version: 0.2\",\"a b\"]," VOCAB ",\"dropout\":0.0}}", "ab",
             both, 1);
    opens_to("{\"model\":{\"merges\":[\"\\u0061 b\"]," VOCAB ",\"unk_token\":\"<unk>\"}}", "abca",
             unknown, 3);
    opens_to("{\"model\":{\"merges\":[\"a b\"]," VOCAB
             ",\"unk_token\":\"<unk>\",\"fuse_unk\":true}}",
             "abccca", unknown, 3);
    opens_to(
        "{\"post_processor\":{\"single\":[{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"y\","
        "\"type_id\":0}}],\"special_tokens\":{\"y\":{\"ids\":[1]},\"x\":{\"ids\":[0]}},"
        "\"type\":\"TemplateProcessing\"}," MODEL "}",
        "ab", framed, 3);
    opens_to("{" MODEL ",\"truncation\":{\"max_length\":1},\"unheard-of\":[{}]}", "ab", both, 1);
    opens_to("{" MODEL "}", "", NULL, 0);
}

/* A file that must be refused, the status, and a word of the message. */
static const struct refused {
    const char *json;
    slant_status status;
    const char *says;
} refused[] = {
    {"", SLANT_ERR_FORMAT, "object"},
    {"{}", SLANT_ERR_FORMAT, "no model"},
    {"{" MODEL "} x", SLANT_ERR_FORMAT, "after the end"},
    {"{" MODEL, SLANT_ERR_FORMAT, "byte"},
    {"{" MODEL ",}", SLANT_ERR_FORMAT, "string"},
    {"{\"model\":{\"vocab\":{\"\xFF\":0}}}", SLANT_ERR_FORMAT, "UTF-8"},
    {"{\"model\":{\"vocab\":{\"\\ud800\":0}}}", SLANT_ERR_FORMAT, "surrogate"},
    {"{\"model\":{\"vocab\":{\"a\":-1}}}", SLANT_ERR_FORMAT, "integer"},
    {"{\"model\":{\"vocab\":{\"a\":0.5}}}", SLANT_ERR_FORMAT, "integer"},
    {"{\"model\":{\"vocab\":{\"a\":4294967295}}}", SLANT_ERR_FORMAT, "too large"},
    {"{\"model\":{\"vocab\":{\"a\":4000000000}}}", SLANT_ERR_UNSUPPORTED, "4000000000"},
    {"{\"model\":{\"vocab\":{\"a\":0,\"b\":0}}}", SLANT_ERR_FORMAT, "id 0"},
    {"{\"model\":{\"vocab\":{\"a\":0,\"a\":1}}}", SLANT_ERR_FORMAT, "\"a\""},
    {"{\"model\":{\"vocab\":{}}}", SLANT_ERR_FORMAT, "empty"},
    {"{\"model\":{" VOCAB ",\"merges\":[\"ab\"]}}", SLANT_ERR_FORMAT, "merge 0"},
    {"{\"model\":{" VOCAB ",\"merges\":[\"a b\",\"a b c\"]}}", SLANT_ERR_FORMAT, "merge 1"},
    {"{\"model\":{" VOCAB ",\"merges\":[[\"a\"]]}}", SLANT_ERR_FORMAT, "merge 0"},
    {"{\"model\":{" VOCAB ",\"merges\":[\"a c\"]}}", SLANT_ERR_FORMAT, "the second"},
    {"{\"model\":{" VOCAB ",\"merges\":[\"b a\"]}}", SLANT_ERR_FORMAT, "what they make"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0.0]]}}", SLANT_ERR_UNSUPPORTED,
     "Unigram"},
    {"{\"model\":{\"type\":\"WordPiece\"}}", SLANT_ERR_UNSUPPORTED, "WordPiece"},
    {"{\"model\":{" VOCAB ",\"dropout\":0.1}}", SLANT_ERR_UNSUPPORTED, "dropout"},
    {"{\"model\":{" VOCAB ",\"end_of_word_suffix\":\"</w>\"}}", SLANT_ERR_UNSUPPORTED,
     "end_of_word_suffix"},
    {"{\"model\":{" VOCAB ",\"continuing_subword_prefix\":\"##\"}}", SLANT_ERR_UNSUPPORTED,
     "continuing_subword_prefix"},
    {"{\"version\":\"2.0\"," MODEL "}", SLANT_ERR_UNSUPPORTED, "2.0"},
    {"{\"normalizer\":{\"type\":\"BertNormalizer\"}," MODEL "}", SLANT_ERR_UNSUPPORTED,
     "BertNormalizer"},
    {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\"}]}," MODEL
     "}",
     SLANT_ERR_UNSUPPORTED, "Precompiled"},
    {"{\"normalizer\":{\"type\":\"Replace\",\"content\":\"x\"}," MODEL "}", SLANT_ERR_FORMAT,
     "pattern"},
    {"{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"x\"}," MODEL
     "}",
     SLANT_ERR_UNSUPPORTED, "empty pattern"},
    {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," MODEL "}", SLANT_ERR_UNSUPPORTED,
     "UnicodeScripts"},
    {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
     "{\"type\":\"Digits\"}]}," MODEL "}",
     SLANT_ERR_UNSUPPORTED, "Digits"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}"
     "," MODEL "}",
     SLANT_ERR_FORMAT, "disagree"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
     "\"often\"}," MODEL "}",
     SLANT_ERR_UNSUPPORTED, "often"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Odd\"}"
     "," MODEL "}",
     SLANT_ERR_UNSUPPORTED, "Odd"},
    {"{\"post_processor\":{\"type\":\"BertProcessing\"}," MODEL "}", SLANT_ERR_UNSUPPORTED,
     "BertProcessing"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
     "\"x\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{}}," MODEL "}",
     SLANT_ERR_FORMAT, "\"x\""},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}"
     "}],"
     "\"special_tokens\":{}}," MODEL "}",
     SLANT_ERR_UNSUPPORTED, "another sequence"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
     "\"x\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[9]}}}," MODEL "}",
     SLANT_ERR_FORMAT, "id 9"},
    {"{\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]," MODEL "}", SLANT_ERR_FORMAT, "\"a\""},
    {"{\"added_tokens\":[{\"id\":9,\"content\":\"<x>\"}]," MODEL "}", SLANT_ERR_UNSUPPORTED, "<x>"},
    {"{\"added_tokens\":[{\"id\":9}]," MODEL "}", SLANT_ERR_FORMAT, "added token"},
    {"{\"added_tokens\":[{\"id\":4,\"content\":\"x\"},{\"id\":4,\"content\":\"x\"}]," MODEL "}",
     SLANT_ERR_FORMAT, "twice"},
};

static void refusals(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        tokenizer *t = NULL;
        slant_error err = {0};
        slant_status status = open_text(refused[i].json, &t, &err);
        if (status != refused[i].status || strstr(err.message, refused[i].says) == NULL)
            fail_msg("%s: status %d, \"%s\"; expected %d with \"%s\"", refused[i].json, status,
                     err.message, refused[i].status, refused[i].says);
        assert_null(t);
    }
}

/* Patterns that PCRE2 would read in another way than Hugging Face's engine. */
static void refused_patterns(void **unused)
{
    (void)unused;
    static const char *const patterns[] = {
        "a{,2}",       "a{2}?",      "a{1,2}+", "\\\\h",  "\\\\bx", "[[:alpha:]]",     "[a&&b]",
        "[^\\\\P{L}]", "\\\\p{Han}", "(?<n>a)", "(?m:.)", "x(?i)y", "(?i:[\\\\p{L}])", "(a)\\\\1",
        "(*ANY)a",     "a)",         "(a",      "[a",     "\\\\"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char json[512];
        tokenizer *t = NULL;
        slant_error err = {0};
        snprintf(json, sizeof json,
                 "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},"
                 "\"behavior\":\"Isolated\",\"invert\":false}," MODEL "}",
                 patterns[i]);
        slant_status status = open_text(json, &t, &err);
        if (status != SLANT_ERR_UNSUPPORTED || strstr(err.message, "pattern") == NULL)
            fail_msg("%s: status %d, \"%s\"", patterns[i], status, err.message);
    }
}

static void deep_json_is_refused(void **unused)
{
    (void)unused;
    enum { DEPTH = 10000 };
    char *json = mem_alloc(DEPTH + 16, 1);
    memcpy(json, "{\"x\":", 5);
    memset(json + 5, '[', DEPTH);
    tokenizer *t;
    slant_error err;
    assert_int_equal(tokenizer_open_json(json, DEPTH + 5, "deep", &t, &err), SLANT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "deep"));
    mem_free(json);
}

/* A GGUF's arrays, from a tokenizer.json of the goldens or from tokenizer_spm.gguf.json. */
typedef struct gguf_arrays {
    arena memory;
    tokenizer_gguf gguf;
} gguf_arrays;

static void read_strings(gguf_arrays *a, const json_t *strings, const char *const **texts,
                         const size_t **sizes, size_t *n)
{
    *n = json_array_size(strings);
    const char **text = arena_alloc(&a->memory, *n, sizeof *text);
    size_t *size = arena_alloc(&a->memory, *n, sizeof *size);
    for (size_t i = 0; i < *n; i++) {
        const json_t *item = json_array_get(strings, i);
        text[i] = arena_strndup(&a->memory, json_string_value(item), json_string_length(item));
        size[i] = json_string_length(item);
    }
    *texts = text;
    *sizes = size;
}

static void open_spm(gguf_arrays *a, json_t *spec)
{
    const json_t *scores = json_object_get(spec, "scores"), *types = json_object_get(spec, "types");
    size_t n = json_array_size(scores);
    float *score = arena_alloc(&a->memory, n, sizeof *score);
    int32_t *type = arena_alloc(&a->memory, n, sizeof *type);
    for (size_t i = 0; i < n; i++) {
        score[i] = (float)json_number_value(json_array_get(scores, i));
        type[i] = (int32_t)json_integer_value(json_array_get(types, i));
    }
    a->gguf = (tokenizer_gguf){.model = "llama",
                               .scores = score,
                               .types = type,
                               .bos_id = 1,
                               .eos_id = 2,
                               .unknown_id = 0,
                               .pad_id = -1,
                               .add_bos = -1};
    read_strings(a, json_object_get(spec, "tokens"), &a->gguf.tokens, &a->gguf.token_bytes,
                 &a->gguf.n_tokens);
}

/* Tokens by id, with the added ones as control tokens, and "left right" merges. */
static void open_byte_level(gguf_arrays *a, json_t *spec, const char *pre)
{
    json_t *model = json_object_get(spec, "model"), *token;
    const json_t *vocab = json_object_get(model, "vocab"),
                 *merges = json_object_get(model, "merges");
    const json_t *added = json_object_get(spec, "added_tokens");
    size_t n = json_object_size(vocab), i, n_merges = json_array_size(merges);
    const char *piece;
    json_array_foreach(added, i, token) n +=
        json_object_get(vocab, json_string_value(json_object_get(token, "content"))) == NULL;
    const char **tokens = arena_alloc(&a->memory, n, sizeof *tokens);
    size_t *sizes = arena_alloc(&a->memory, n, sizeof *sizes);
    int32_t *types = arena_alloc(&a->memory, n, sizeof *types);
    json_object_foreach((json_t *)vocab, piece, token)
    {
        tokens[json_integer_value(token)] = arena_strdup(&a->memory, piece);
        types[json_integer_value(token)] = 1;
    }
    json_array_foreach(added, i, token)
    {
        json_int_t id = json_integer_value(json_object_get(token, "id"));
        tokens[id] = arena_strdup(&a->memory, json_string_value(json_object_get(token, "content")));
        types[id] = 3;
    }
    for (i = 0; i < n; i++)
        sizes[i] = strlen(tokens[i]);
    const char **lines = arena_alloc(&a->memory, n_merges, sizeof *lines);
    size_t *line_bytes = arena_alloc(&a->memory, n_merges, sizeof *line_bytes);
    for (i = 0; i < n_merges; i++) {
        const json_t *pair = json_array_get(merges, i);
        lines[i] = arena_printf(&a->memory, "%s %s", json_string_value(json_array_get(pair, 0)),
                                json_string_value(json_array_get(pair, 1)));
        line_bytes[i] = strlen(lines[i]);
    }
    a->gguf = (tokenizer_gguf){.model = "gpt2",
                               .pre = pre,
                               .n_tokens = n,
                               .tokens = tokens,
                               .token_bytes = sizes,
                               .types = types,
                               .n_merges = n_merges,
                               .merges = lines,
                               .merge_bytes = line_bytes,
                               .bos_id = -1,
                               .eos_id = -1,
                               .unknown_id = -1,
                               .pad_id = -1,
                               .add_bos = -1};
}

static void check_gguf(const tokenizer_gguf *gguf, const char *kind, bool add_special)
{
    char name[64];
    tokenizer *t;
    slant_error err;
    if (tokenizer_open_gguf(gguf, kind, &t, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    snprintf(name, sizeof name, "%s.ids", kind);
    json_t *texts = golden_json("texts"), *expected = golden_json(name);
    tokenizer_state *state = tokenizer_state_open(t);
    tokenizer_options options = {.add_special_tokens = add_special};
    for (size_t row = 0; row < json_array_size(texts); row++) {
        const json_t *text = json_array_get(texts, row);
        const json_t *ids = json_object_get(json_array_get(expected, row), "ids");
        tokenizer_output out;
        assert_int_equal(tokenizer_encode(state, json_string_value(text), json_string_length(text),
                                          &options, &out, &err),
                         SLANT_OK);
        if (out.n_ids != json_array_size(ids))
            fail_msg("%s, text %zu: %zu ids, expected %zu", kind, row, out.n_ids,
                     json_array_size(ids));
        for (size_t i = 0; i < out.n_ids; i++)
            assert_int_equal(out.ids[i], json_integer_value(json_array_get(ids, i)));
    }
    tokenizer_state_close(state);
    tokenizer_close(t);
    json_decref(texts);
    json_decref(expected);
}

static void gguf_kinds(void **unused)
{
    (void)unused;
    static const struct {
        const char *kind, *pre, *bos;
    } kinds[] = {{"llama3", "llama-bpe", "<|begin_of_text|>"},
                 {"smollm2", "smollm", NULL},
                 {"qwen2", "qwen2", NULL},
                 {"tekken", "tekken", "<s>"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        gguf_arrays a = {0};
        json_t *spec = golden_json(kinds[k].kind);
        open_byte_level(&a, spec, kinds[k].pre);
        for (size_t id = 0; kinds[k].bos != NULL && id < a.gguf.n_tokens; id++)
            if (strcmp(a.gguf.tokens[id], kinds[k].bos) == 0)
                a.gguf.bos_id = (int64_t)id;
        check_gguf(&a.gguf, kinds[k].kind, true);
        arena_free(&a.memory);
        json_decref(spec);
    }
    gguf_arrays a = {0};
    json_t *spec = golden_json("spm.gguf");
    open_spm(&a, spec);
    check_gguf(&a.gguf, "spm", true);
    arena_free(&a.memory);
    json_decref(spec);
}

static void refused_ggufs(void **unused)
{
    (void)unused;
    static const char *const tokens[] = {"a", "b"};
    static const size_t sizes[] = {1, 1};
    static const char *const merges[] = {"ab"};
    static const size_t merge_bytes[] = {2};
    const tokenizer_gguf good = {.model = "gpt2",
                                 .pre = "smollm",
                                 .n_tokens = 2,
                                 .tokens = tokens,
                                 .token_bytes = sizes,
                                 .bos_id = -1,
                                 .unknown_id = -1,
                                 .add_bos = 0};
    tokenizer_gguf bad[6] = {good, good, good, good, good, good};
    static const char *const says[6] = {"bert",   "falcon",       "pre",
                                        "scores", "bos_token_id", "merge 0"};
    bad[0].model = "bert";
    bad[1].pre = "falcon";
    bad[2].pre = NULL;
    bad[3].model = "llama";
    bad[4].add_bos = 1;
    bad[5].n_merges = 1;
    bad[5].merges = merges;
    bad[5].merge_bytes = merge_bytes;
    tokenizer *t;
    slant_error err;
    assert_int_equal(tokenizer_open_gguf(&good, "x.gguf", &t, &err), SLANT_OK);
    tokenizer_close(t);
    for (int i = 0; i < 6; i++) {
        assert_int_not_equal(tokenizer_open_gguf(&bad[i], "x.gguf", &t, &err), SLANT_OK);
        assert_non_null(strstr(err.message, says[i]));
        assert_null(t);
    }
}

/* Opens and, where that works, encodes with a damaged copy: any ids will do, but no crash. */
static void try_blob(const uint8_t *bytes, size_t n_bytes)
{
    static const char text[] = "The senator's 12 \xC3\xA9 <|eot_id|>x [left] bills.";
    tokenizer *t;
    if (tokenizer_open_blob(bytes, n_bytes, "damaged", &t, NULL) != SLANT_OK)
        return;
    tokenizer_state *state = tokenizer_state_open(t);
    for (int pass = 0; pass < 2; pass++) {
        tokenizer_options options = {.add_special_tokens = true, .want_offsets = pass == 1};
        tokenizer_output out;
        if (tokenizer_encode(state, text, sizeof text - 1, &options, &out, NULL) == SLANT_OK)
            for (size_t i = 0; i < out.n_ids; i++)
                assert_true(out.ids[i] >= 0 && (size_t)out.ids[i] < tokenizer_vocab_size(t));
    }
    tokenizer_state_close(state);
    tokenizer_close(t);
}

static void damaged_tables(void **unused)
{
    (void)unused;
    tokenizer *good = golden_tokenizer("odd"), *t;
    size_t n_bytes;
    const uint8_t *blob = tokenizer_blob(good, &n_bytes);
    uint8_t *bytes = mem_alloc_pages(n_bytes + TABLES_ALIGN);
    memcpy(bytes, blob, n_bytes);
    slant_error err;
    assert_int_equal(tokenizer_open_blob(bytes, n_bytes - 1, "cut", &t, &err), SLANT_ERR_FORMAT);
    assert_int_equal(tokenizer_open_blob(bytes, 10, "cut", &t, &err), SLANT_ERR_FORMAT);
    assert_int_equal(tokenizer_open_blob(bytes + 1, n_bytes, "odd", &t, &err), SLANT_ERR_ARGUMENT);
    bytes[8]++;
    assert_int_equal(tokenizer_open_blob(bytes, n_bytes, "newer", &t, &err), SLANT_ERR_UNSUPPORTED);
    bytes[8]--;
    uint32_t random = 7;
    for (size_t i = 0; i < n_bytes; i += i < sizeof(tables_header) ? 1 : 37) {
        uint8_t was = bytes[i];
        bytes[i] = (uint8_t)(was ^ (1u + ((random = random * 1664525 + 1013904223) >> 24) % 255));
        try_blob(bytes, n_bytes);
        bytes[i] = was;
    }
    mem_free_pages(bytes, n_bytes + TABLES_ALIGN);
    tokenizer_close(good);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    buf text = golden_text("odd");
    slant_status status = SLANT_ERR_MEMORY;
    for (uint64_t nth = 1; status != SLANT_OK; nth++) {
        assert_true(nth < 100000);
        tokenizer *t = NULL;
        tokenizer_state *state = NULL;
        tokenizer_output out;
        mem_fail_at(nth, true);
        status = tokenizer_open_json(text.data, text.size_bytes, "odd", &t, NULL);
        if (status == SLANT_OK && (state = tokenizer_state_open(t)) == NULL)
            status = SLANT_ERR_MEMORY;
        if (status == SLANT_OK) {
            tokenizer_options options = {.want_offsets = true, .lossy = true};
            status = tokenizer_encode(state, "The  bill\xFF", 10, &options, &out, NULL);
        }
        mem_fail_at(0, false);
        tokenizer_state_close(state);
        tokenizer_close(t);
        assert_true(status == SLANT_OK || status == SLANT_ERR_MEMORY);
    }
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings),        cmocka_unit_test(refusals),
        cmocka_unit_test(refused_patterns), cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(gguf_kinds),       cmocka_unit_test(refused_ggufs),
        cmocka_unit_test(damaged_tables),   cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
