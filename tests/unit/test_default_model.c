/* The embedded default model on 64 real articles, against transformers + PEFT in fp32
 * (tests/golden/default, made by tools/make_default_goldens.py). It owns the promise that the
 * model in models/news-bias answers as the adapter's own framework does. */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "slant.h"

#define GOLDEN SLANT_SOURCE_DIR "/tests/golden/default/"

enum { N_ARTICLES = 64, N_EXACT = 8, N_LABELS = 3, MAX_LENGTH = 512 };

static json_t *expected;
static json_t *articles[N_ARTICLES]; /* {"id", "text"} */
static slant_text texts[N_ARTICLES];

static char *read_file(const char *path, size_t *size_bytes)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size > 0);
    rewind(file);
    char *data = malloc((size_t)size);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    *size_bytes = (size_t)size;
    return data;
}

static void read_articles(void)
{
    size_t packed_bytes;
    char *packed = read_file(GOLDEN "articles.jsonl.zst", &packed_bytes);
    unsigned long long bytes = ZSTD_getFrameContentSize(packed, packed_bytes);

    assert_true(bytes > 0 && bytes < 16 * 1024 * 1024);
    char *lines = malloc((size_t)bytes);
    assert_non_null(lines);
    assert_int_equal(ZSTD_decompress(lines, (size_t)bytes, packed, packed_bytes), bytes);
    const char *line = lines, *end = lines + bytes;
    for (int i = 0; i < N_ARTICLES; i++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));

        assert_non_null(newline);
        articles[i] = json_loadb(line, (size_t)(newline - line), JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(articles[i], "text");
        assert_non_null(text);
        texts[i] =
            (slant_text){.text = json_string_value(text), .text_bytes = json_string_length(text)};
        line = newline + 1;
    }
    assert_ptr_equal(line, end);
    free(lines);
    free(packed);
}

static int set_up(void **state)
{
    (void)state;
    read_articles();
    expected = json_load_file(GOLDEN "expected.json", 0, NULL);
    assert_int_equal(json_array_size(expected), N_ARTICLES);
    for (size_t i = 0; i < N_ARTICLES; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(expected, i), "id")),
                            json_string_value(json_object_get(articles[i], "id")));
    return setenv("SLANT_MODEL", SLANT_SOURCE_DIR "/models/news-bias", 1);
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < N_ARTICLES; i++)
        json_decref(articles[i]);
    json_decref(expected);
    return 0;
}

static void classify(slant_compute compute, int n, float *scores, slant_result *results)
{
    slant_engine_options options = {.compute = compute};
    slant_engine *engine = NULL;
    slant_session *session = NULL;
    slant_error err = {0};

    if (slant_engine_open(NULL, &options, &engine, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(slant_engine_get_info(engine)->n_labels, N_LABELS);
    assert_string_equal(slant_engine_label(engine, 0), "Left");
    assert_string_equal(slant_engine_label(engine, 1), "Center");
    assert_string_equal(slant_engine_label(engine, 2), "Right");
    /* The scores as the adapter gives them, whatever temperature is fitted later. */
    slant_session_options raw = {.raw = true};
    if (slant_session_open(engine, &raw, &session, &err) != SLANT_OK ||
        slant_classify(session, texts, (size_t)n, scores, results, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    slant_session_close(session);
    slant_engine_close(engine);
}

static json_int_t integer_at(int article, const char *key)
{
    return json_integer_value(json_object_get(json_array_get(expected, (size_t)article), key));
}

static float score_at(int article, int label)
{
    const json_t *scores = json_object_get(json_array_get(expected, (size_t)article), "scores");

    return (float)json_number_value(json_array_get(scores, (size_t)label));
}

/* The largest difference over the labels. */
static float article_error(int article, const float *scores)
{
    float worst = 0;

    for (int i = 0; i < N_LABELS; i++) {
        float difference = fabsf(scores[i] - score_at(article, i));

        worst = isnan(difference) ? INFINITY : fmaxf(worst, difference);
    }
    return worst;
}

/* The label that the reference gives, and by how much it leads. */
static int reference_label(int article, float *margin)
{
    int best = 0;
    float second = -1;

    for (int i = 1; i < N_LABELS; i++)
        if (score_at(article, i) > score_at(article, best))
            best = i;
    for (int i = 0; i < N_LABELS; i++)
        if (i != best)
            second = fmaxf(second, score_at(article, i));
    *margin = score_at(article, best) - second;
    return best;
}

static void test_reference_compute(void **state)
{
    float scores[N_EXACT * N_LABELS];
    slant_result results[N_EXACT];

    (void)state;
    classify(SLANT_COMPUTE_F32, N_EXACT, scores, results);
    for (int i = 0; i < N_EXACT; i++) {
        assert_int_equal(results[i].status, SLANT_OK);
        assert_int_equal(results[i].tokens, integer_at(i, "tokens"));
        assert_int_equal(results[i].tokens_read, integer_at(i, "tokens_read"));
        float error = article_error(i, scores + (ptrdiff_t)i * N_LABELS);
        if (error > 1e-4f)
            fail_msg("article %d: off by %g", i, (double)error);
    }
}

static void test_fastest_compute(void **state)
{
    static float scores[N_ARTICLES * N_LABELS];
    static slant_result results[N_ARTICLES];
    float sum = 0;

    (void)state;
    classify(SLANT_COMPUTE_AUTO, N_ARTICLES, scores, results);
    for (int i = 0; i < N_ARTICLES; i++) {
        float margin, error = article_error(i, scores + (ptrdiff_t)i * N_LABELS);
        int label = reference_label(i, &margin);

        assert_int_equal(results[i].status, SLANT_OK);
        assert_int_equal(results[i].tokens, integer_at(i, "tokens"));
        assert_int_equal(results[i].tokens_read, integer_at(i, "tokens_read"));
        assert_int_equal(results[i].truncated, results[i].tokens > MAX_LENGTH);
        if (error > 0.03f)
            fail_msg("article %d: off by %g", i, (double)error);
        if (margin > 0.03f)
            assert_int_equal(results[i].label, label);
        sum += error;
    }
    if (sum / N_ARTICLES > 0.01f)
        fail_msg("off by %g in the mean", (double)(sum / N_ARTICLES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_compute),
        cmocka_unit_test(test_fastest_compute),
    };

    return cmocka_run_group_tests_name("default model", tests, set_up, tear_down);
}
