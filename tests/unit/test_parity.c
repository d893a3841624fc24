/* Parity: every tiny model of tests/golden/models through the public API, against what transformers
 * and PEFT answered in fp32 (tools/make_model_goldens.py made both). It owns the promise of
 * include/slant.h as a whole: files in, scores out, on every instruction set that runs here.
 *
 * Each case of expected.json becomes a few cmocka tests: the reference compute within 1e-5 in
 * probability, the fast ones within 0.01 in the mean and 0.03 at the worst with the same label
 * wherever the reference is sure by more than 0.03, and the same bits whatever stands beside an
 * article and however many threads work. */
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "slant.h"

#define GOLDEN SLANT_SOURCE_DIR "/tests/golden/models/"

enum { PATH_BYTES = 1024, MAX_TEXTS = 32, MAX_LABELS = 8, MAX_TABLES = 16, MAX_TESTS = 4096 };

static const float exact_tolerance = 1e-5f;
static const float mean_tolerance = 0.01f, worst_tolerance = 0.03f, sure_margin = 0.03f;

typedef struct parity_case {
    const json_t *json;
    const char *name;
    char *folder;  /* where its files lie, laid out; owned */
    char *model;   /* what is opened; owned */
    char *adapter; /* owned; NULL: none */
} parity_case;

typedef struct parity_test {
    const parity_case *of;
    const char *isa;
    slant_compute compute;
} parity_test;

typedef struct scores {
    float values[MAX_TEXTS][MAX_LABELS];
    slant_result results[MAX_TEXTS];
} scores;

static json_t *expected;
static slant_text texts[MAX_TEXTS];
static size_t n_texts;

/* --- laying out ------------------------------------------------------------------------------- */

static void make_parents(const char *path)
{
    char part[PATH_BYTES];

    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0700);
        *slash = '/';
    }
}

/* files: {"name in the directory": "file under GOLDEN"}. */
static void lay_out(const json_t *files, const char *folder)
{
    const char *name;
    json_t *source;

    json_object_foreach((json_t *)files, name, source)
    {
        char from[PATH_BYTES], to[PATH_BYTES];

        snprintf(from, sizeof(from), GOLDEN "%s", json_string_value(source));
        snprintf(to, sizeof(to), "%s/%s", folder, name);
        make_parents(to);
        assert_int_equal(symlink(from, to), 0);
    }
}

static char *joined(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);

    assert_non_null(path);
    snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

static void parity_case_init(parity_case *c, const json_t *json)
{
    char folder[] = "/tmp/slant-parity-XXXXXX";
    const char *open_as = json_string_value(json_object_get(json, "open"));
    const json_t *adapter = json_object_get(json, "adapter");

    c->json = json;
    c->name = json_string_value(json_object_get(json, "name"));
    assert_non_null(mkdtemp(folder));
    c->folder = strdup(folder);
    char *model = joined(folder, "model");
    lay_out(json_object_get(json, "model"), model);
    c->model = *open_as ? joined(model, open_as) : strdup(model);
    c->adapter = json_object_size(adapter) ? joined(folder, "adapter") : NULL;
    if (c->adapter)
        lay_out(adapter, c->adapter);
    free(model);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void parity_case_free(parity_case *c)
{
    nftw(c->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(c->folder);
    free(c->model);
    free(c->adapter);
}

/* --- running ---------------------------------------------------------------------------------- */

static slant_engine *open_engine(const parity_case *c, slant_compute compute)
{
    const json_t *options_json = json_object_get(c->json, "options");
    slant_engine_options options = {
        .adapter = c->adapter,
        .checkpoint = json_string_value(json_object_get(options_json, "checkpoint")),
        .dtype = json_is_true(json_object_get(options_json, "load_in_4bit")) ? SLANT_DTYPE_NF4
                                                                             : SLANT_DTYPE_AUTO,
        .compute = compute,
        .n_threads = 1,
    };
    slant_engine *engine = NULL;
    slant_error err = {0};

    if (slant_engine_open(c->model, &options, &engine, &err) != SLANT_OK)
        fail_msg("%s: %s", c->name, err.message);
    return engine;
}

/* order[i]: which text stands at place i; the answers come back in the texts' own order. */
static void classify(const slant_engine *engine, slant_function function, int n_threads,
                     const size_t *order, size_t n, scores *out)
{
    int n_labels = slant_engine_get_info(engine)->n_labels;
    slant_session_options options = {.n_threads = n_threads, .function = function};
    slant_session *session = NULL;
    slant_text batch[MAX_TEXTS];
    slant_result results[MAX_TEXTS];
    float values[MAX_TEXTS * MAX_LABELS];
    slant_error err = {0};

    assert_in_range(n_labels, 1, MAX_LABELS);
    for (size_t i = 0; i < n; i++)
        batch[i] = texts[order[i]];
    if (slant_session_open(engine, &options, &session, &err) != SLANT_OK ||
        slant_classify(session, batch, n, values, results, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    slant_session_close(session);
    for (size_t i = 0; i < n; i++) {
        if (results[i].status != SLANT_OK)
            fail_msg("text %zu: %s", order[i], results[i].message);
        out->results[order[i]] = results[i];
        memcpy(out->values[order[i]], values + i * (size_t)n_labels,
               (size_t)n_labels * sizeof(float));
    }
}

static void classify_all(const slant_engine *engine, slant_function function, scores *out)
{
    size_t order[MAX_TEXTS];

    for (size_t i = 0; i < n_texts; i++)
        order[i] = i;
    classify(engine, function, 1, order, n_texts, out);
}

/* --- comparing -------------------------------------------------------------------------------- */

static float number_at(const json_t *article, const char *key, int label)
{
    return (float)json_number_value(json_array_get(json_object_get(article, key), (size_t)label));
}

static bool is_probability(const parity_case *c)
{
    return strcmp(json_string_value(json_object_get(c->json, "function")), "none") != 0;
}

/* Scores without a function are logits: compared as the probability that they would be. */
static float as_probability(const parity_case *c, float score)
{
    return is_probability(c) ? score : 1 / (1 + expf(-score));
}

/* The largest difference over the labels of one article. */
static float article_error(const parity_case *c, const json_t *article, const float *values,
                           int n_labels)
{
    float worst = 0;

    for (int i = 0; i < n_labels; i++) {
        float difference = fabsf(as_probability(c, values[i]) -
                                 as_probability(c, number_at(article, "scores", i)));

        worst = isnan(difference) ? INFINITY : fmaxf(worst, difference);
    }
    return worst;
}

/* How much the reference's first label is ahead of its second. */
static float reference_margin(const json_t *article, int n_labels, int *label)
{
    float first = -INFINITY, second = -INFINITY;

    for (int i = 0; i < n_labels; i++) {
        float score = number_at(article, "scores", i);

        if (score > first) {
            second = first;
            first = score;
            *label = i;
        } else if (score > second) {
            second = score;
        }
    }
    return first - second;
}

static void check_labels(const parity_case *c, const slant_engine *engine)
{
    const json_t *labels = json_object_get(c->json, "labels");

    assert_int_equal(slant_engine_get_info(engine)->n_labels, json_array_size(labels));
    for (size_t i = 0; i < json_array_size(labels); i++)
        assert_string_equal(slant_engine_label(engine, (int)i),
                            json_string_value(json_array_get(labels, i)));
}

static void check_counts(const parity_case *c, const scores *got)
{
    const json_t *articles = json_object_get(c->json, "articles");

    for (size_t i = 0; i < n_texts; i++) {
        json_int_t tokens =
            json_integer_value(json_object_get(json_array_get(articles, i), "tokens"));

        assert_int_equal(got->results[i].tokens, tokens);
        assert_int_equal(got->results[i].tokens_read, tokens);
        assert_false(got->results[i].truncated);
    }
}

static slant_engine *open_on(const parity_test *test, slant_compute compute)
{
    assert_int_equal(setenv("SLANT_ISA", test->isa, 1), 0);
    slant_engine *engine = open_engine(test->of, compute);
    assert_string_equal(slant_engine_get_info(engine)->isa, test->isa);
    return engine;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_reference_compute(void **state)
{
    const parity_test *test = *state;
    const json_t *articles = json_object_get(test->of->json, "articles");
    slant_engine *engine = open_on(test, SLANT_COMPUTE_F32);
    int n_labels = slant_engine_get_info(engine)->n_labels;
    scores got, logits;

    check_labels(test->of, engine);
    classify_all(engine, SLANT_FUNCTION_DEFAULT, &got);
    classify_all(engine, SLANT_FUNCTION_NONE, &logits);
    check_counts(test->of, &got);
    for (size_t i = 0; i < n_texts; i++) {
        const json_t *article = json_array_get(articles, i);
        float error = article_error(test->of, article, got.values[i], n_labels);

        if (error > exact_tolerance)
            fail_msg("text %zu: off by %g", i, (double)error);
        for (int j = 0; j < n_labels; j++) {
            float logit = number_at(article, "logits", j);

            if (!(fabsf(logits.values[i][j] - logit) <= 1e-4f * fmaxf(1, fabsf(logit))))
                fail_msg("text %zu, label %d: logit %g, not %g", i, j, (double)logits.values[i][j],
                         (double)logit);
        }
    }
    slant_engine_close(engine);
}

static void test_fast_compute(void **state)
{
    const parity_test *test = *state;
    const json_t *articles = json_object_get(test->of->json, "articles");
    slant_engine *engine = open_on(test, test->compute);
    int n_labels = slant_engine_get_info(engine)->n_labels;
    float sum = 0, worst = 0;
    scores got;

    classify_all(engine, SLANT_FUNCTION_DEFAULT, &got);
    for (size_t i = 0; i < n_texts; i++) {
        const json_t *article = json_array_get(articles, i);
        float error = article_error(test->of, article, got.values[i], n_labels);
        int label = 0;

        sum += error;
        worst = fmaxf(worst, error);
        if (reference_margin(article, n_labels, &label) > sure_margin &&
            got.results[i].label != label)
            fail_msg("text %zu: label %d, not %d", i, got.results[i].label, label);
    }
    if (getenv("SLANT_PARITY_PRINT"))
        print_message("%s %s compute %d: mean %.5f worst %.5f\n", test->of->name, test->isa,
                      (int)test->compute, (double)(sum / (float)n_texts), (double)worst);
    if (sum / (float)n_texts > mean_tolerance || worst > worst_tolerance)
        fail_msg("off by %g in the mean and %g at the worst", (double)(sum / (float)n_texts),
                 (double)worst);
    slant_engine_close(engine);
}

static void assert_same_bits(const scores *a, const scores *b, int n_labels, const char *what)
{
    for (size_t i = 0; i < n_texts; i++) {
        if (memcmp(a->values[i], b->values[i], (size_t)n_labels * sizeof(float)) != 0)
            fail_msg("text %zu: other bits %s", i, what);
        assert_int_equal(a->results[i].label, b->results[i].label);
    }
}

static void test_same_bits(void **state)
{
    const parity_test *test = *state;
    slant_engine *engine = open_on(test, test->compute);
    int n_labels = slant_engine_get_info(engine)->n_labels;
    size_t order[MAX_TEXTS];
    scores together, other;

    classify_all(engine, SLANT_FUNCTION_DEFAULT, &together);
    for (size_t i = 0; i < n_texts; i++)
        classify(engine, SLANT_FUNCTION_DEFAULT, 1, &i, 1, &other);
    assert_same_bits(&together, &other, n_labels, "alone");
    for (size_t i = 0; i < n_texts; i++)
        order[i] = n_texts - 1 - i;
    classify(engine, SLANT_FUNCTION_DEFAULT, 1, order, n_texts, &other);
    assert_same_bits(&together, &other, n_labels, "in another order");
    classify(engine, SLANT_FUNCTION_DEFAULT, 2, order, n_texts, &other);
    assert_same_bits(&together, &other, n_labels, "with two threads");
    slant_engine_close(engine);
}

/* --- the list of tests ------------------------------------------------------------------------ */

static struct CMUnitTest tests[MAX_TESTS];
static parity_test plans[MAX_TESTS];
static size_t n_tests;

static void add_test(const parity_case *of, const char *isa, slant_compute compute,
                     const char *what, CMUnitTestFunction run)
{
    char name[200];

    assert_true(n_tests < MAX_TESTS);
    snprintf(name, sizeof(name), "%s, %s: %s", of->name, isa, what);
    plans[n_tests] = (parity_test){.of = of, .isa = isa, .compute = compute};
    tests[n_tests] = (struct CMUnitTest){
        .name = strdup(name), .test_func = run, .initial_state = &plans[n_tests]};
    n_tests++;
}

/* Every case answers on every instruction set; that its bits stay the same is asked of every case
 * on the best one, and of every BITS_STRIDE-th on the others. */
static void add_case(const parity_case *c, size_t index, const kernel_table *const *tables,
                     int n_tables)
{
    enum { BITS_STRIDE = 9 };

    for (int t = 0; t < n_tables; t++) {
        const char *isa = tables[t]->name;

        add_test(c, isa, SLANT_COMPUTE_F32, "fp32", test_reference_compute);
        add_test(c, isa, SLANT_COMPUTE_AUTO, "auto", test_fast_compute);
        add_test(c, isa, SLANT_COMPUTE_BF16, "bf16", test_fast_compute);
        add_test(c, isa, SLANT_COMPUTE_INT8, "int8", test_fast_compute);
        if (t == 0 || index % BITS_STRIDE == 0)
            add_test(c, isa, SLANT_COMPUTE_AUTO, "the same bits", test_same_bits);
        if (index % BITS_STRIDE == 0) {
            add_test(c, isa, SLANT_COMPUTE_BF16, "the same bits in bf16", test_same_bits);
            add_test(c, isa, SLANT_COMPUTE_F32, "the same bits in fp32", test_same_bits);
        }
    }
}

static void load_expected(void)
{
    json_error_t error;
    size_t i;
    json_t *row;

    expected = json_load_file(GOLDEN "expected.json", 0, &error);
    if (!expected) {
        fprintf(stderr, "expected.json:%d: %s\n", error.line, error.text);
        exit(1);
    }
    json_array_foreach(json_object_get(expected, "texts"), i, row)
    {
        const json_t *text = json_object_get(row, "text");

        texts[n_texts++] =
            (slant_text){.text = json_string_value(text), .text_bytes = json_string_length(text)};
    }
}

/* An argument keeps the cases whose name holds it. */
int main(int argc, char **argv)
{
    const kernel_table *tables[MAX_TABLES];
    int n_tables = kernel_tables(tables, MAX_TABLES);

    load_expected();
    const json_t *list = json_object_get(expected, "cases");
    size_t n_cases = json_array_size(list);
    parity_case *cases = calloc(n_cases, sizeof(*cases));
    for (size_t i = 0; i < n_cases; i++) {
        parity_case_init(&cases[i], json_array_get(list, i));
        if (argc < 2 || strstr(cases[i].name, argv[1]))
            add_case(&cases[i], i, tables, n_tables);
    }
    int failed = _cmocka_run_group_tests("parity", tests, n_tests, NULL, NULL);
    for (size_t i = 0; i < n_cases; i++)
        parity_case_free(&cases[i]);
    for (size_t i = 0; i < n_tests; i++)
        free((void *)tests[i].name);
    free(cases);
    json_decref(expected);
    return failed;
}
