/* Merging: the weights that PEFT's merge_and_unload makes, rounded once; files that open again; and
 * nothing left behind where it fails. */
#include "tiny_model.h"

#include "model/model.h"

#include <slant_model.h>

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#define MODELS SLANT_SOURCE_DIR "/tests/golden/models/"
#define GOLDENS SLANT_SOURCE_DIR "/tests/golden/merge/"

enum { GOLDEN_STEP = 8 }; /* rows from one to the next that a golden keeps */

typedef struct merge_case {
    const char *golden, *base, *adapter;
    bool with_nf4;
} merge_case;

static const merge_case cases[] = {
    {"default", "llama", "default", false},
    {"patterns", "llama", "patterns", true},
    {"rslora", "llama", "rslora", false},
    {"bnb", "bnb-plain", "bnb", true},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void merge_or_fail(const merge_case *c, const char *out, slant_dtype written, int n_threads,
                          slant_merge_report *report)
{
    slant_error err;
    char base[256], adapter[256];
    slant_merge_options options = {.dtype = written, .n_threads = n_threads};
    snprintf(base, sizeof base, MODELS "%s", c->base);
    snprintf(adapter, sizeof adapter, MODELS "adapters/%s", c->adapter);
    if (slant_merge(base, adapter, out, &options, report, &err) != SLANT_OK)
        fail_msg("%s: %s", c->golden, err.message);
}

/* Opened with its linear weights as rows of fp32. */
static model *open_expanded(const char *path)
{
    slant_error err;
    model *m;
    model_open_options options = {.dtype = SLANT_DTYPE_F32, .n_threads = 1};
    if (model_open(path, &options, &m, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    return m;
}

static safetensors *open_golden(const merge_case *c)
{
    slant_error err;
    safetensors *st;
    char path[256];
    snprintf(path, sizeof path, GOLDENS "%s.safetensors", c->golden);
    if (safetensors_open(path, &st, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    return st;
}

static float golden_at(const tensor_view *view, size_t i)
{
    float value;
    memcpy(&value, view->data + i * sizeof value, sizeof value);
    return value;
}

/* Calls check for every value that a golden has of the linear weights; suffix ".nf4" or "". */
static int each_golden(const safetensors *st, const model *m, const char *suffix,
                       void (*check)(const char *name, float got, float want, void *context),
                       void *context)
{
    int n_tensors = 0;
    for (int at = 0; at < m->config.n_layers * LINEAR_COUNT; at++) {
        const kernel_weight *w = &m->layers[at / LINEAR_COUNT].linears[at % LINEAR_COUNT].w;
        char name[160];
        snprintf(name, sizeof name, "model.layers.%d.%s.weight%s", at / LINEAR_COUNT,
                 linear_module_names[at % LINEAR_COUNT], suffix);
        const tensor_view *view = safetensors_find(st, name);
        if (view == NULL)
            continue;
        n_tensors++;
        assert_int_equal(w->type, DTYPE_F32);
        const float *got = (const float *)(const void *)w->data;
        size_t n_in = (size_t)w->n_in;
        for (size_t i = 0; i < view->size_bytes / sizeof(float); i++)
            check(name, got[i / n_in * GOLDEN_STEP * n_in + i % n_in], golden_at(view, i), context);
    }
    return n_tensors;
}

/* Half a unit in the last place of a bf16, and what sums in another order may add. */
static void check_rounded(const char *name, float got, float want, void *context)
{
    int exponent;
    (void)context;
    (void)frexpf(want, &exponent);
    if (!(fabsf(got - want) <= ldexpf(1, exponent - 9) + 2e-6f))
        fail_msg("%s: %.9g, PEFT has %.9g", name, (double)got, (double)want);
}

static void expect_golden_score(const safetensors *st, const model *m, float relative)
{
    const tensor_view *view = safetensors_find(st, "score.weight");
    assert_non_null(view);
    for (size_t i = 0; i < view->size_bytes / sizeof(float); i++)
        assert_true(fabsf(m->score[i] - golden_at(view, i)) <=
                    relative * fabsf(golden_at(view, i)));
}

static void weights_are_pefts_rounded_once(void **state)
{
    const char *dir = *state;
    for (int i = 0; i < N_CASES; i++) {
        safetensors *st = open_golden(&cases[i]);
        for (int as_file = 0; as_file < 2; as_file++) {
            char name[64];
            snprintf(name, sizeof name, "%s%s", cases[i].golden, as_file ? ".slant" : "");
            merge_or_fail(&cases[i], tiny_path(dir, name), SLANT_DTYPE_BF16, 2, NULL);
            model *m = open_expanded(tiny_path(dir, name));
            assert_true(each_golden(st, m, "", check_rounded, NULL) > 0);
            expect_golden_score(st, m, as_file ? 0.0f : 0x1p-8f);
            model_close(m);
        }
        safetensors_close(st);
    }
}

typedef struct nf4_count {
    int n, n_apart;
} nf4_count;

/* A value that lies on a threshold may fall to either side. */
static void check_quantised(const char *name, float got, float want, void *context)
{
    nf4_count *count = context;
    (void)name;
    count->n++;
    count->n_apart += !(fabsf(got - want) <= 1e-6f + 1e-5f * fabsf(want));
}

static void nf4_is_what_bitsandbytes_makes_of_them(void **state)
{
    const char *dir = *state;
    for (int i = 0; i < N_CASES; i++) {
        if (!cases[i].with_nf4)
            continue;
        safetensors *st = open_golden(&cases[i]);
        for (int as_file = 0; as_file < 2; as_file++) {
            char name[64];
            nf4_count count = {0};
            snprintf(name, sizeof name, "%s%s", cases[i].golden, as_file ? ".slant" : "");
            merge_or_fail(&cases[i], tiny_path(dir, name), SLANT_DTYPE_NF4, 2, NULL);
            model *m = open_expanded(tiny_path(dir, name));
            assert_true(each_golden(st, m, ".nf4", check_quantised, &count) > 0);
            if (count.n_apart * 500 > count.n)
                fail_msg("%s: %d of %d values differ", name, count.n_apart, count.n);
            model_close(m);
        }
        safetensors_close(st);
    }
}

/* What no adapter changes keeps its very codes: quantising it again would move it. */
static void unchanged_nf4_goes_over_as_it_is(void **state)
{
    static const char changed[] =
        "{\"peft_type\":\"LORA\",\"task_type\":\"SEQ_CLS\",\"r\":2,\"lora_alpha\":8,"
        "\"target_modules\":[\"v_proj\"],\"bias\":\"none\"}";
    const char *dir = *state;
    slant_error err;
    tiny_set set = {0};
    char name[128];
    for (int i = 0; i < 2; i++)
        for (int part = 0; part < 2; part++) {
            snprintf(name, sizeof name,
                     "base_model.model.model.layers.%d.self_attn.v_proj.lora_%c.weight", i,
                     part == 0 ? 'A' : 'B');
            tiny_add(&set, name, DTYPE_F32, part == 0 ? 2 : 32, part == 0 ? 64 : 2);
        }
    tiny_add(&set, "base_model.model.score.weight", DTYPE_F32, 3, 64);
    tiny_make_folder(dir, "adapter");
    tiny_write_text(dir, "adapter/adapter_config.json", changed);
    tiny_write_tensors(dir, "adapter/adapter_model.safetensors", &set);
    slant_merge_options options = {.dtype = SLANT_DTYPE_NF4, .n_threads = 1};
    model *before = open_expanded(MODELS "bnb-plain");
    for (int as_file = 0; as_file < 2; as_file++) {
        const char *out = as_file ? "out.slant" : "out";
        slant_status status = slant_merge(MODELS "bnb-plain", tiny_path(dir, "adapter"),
                                          tiny_path(dir, out), &options, NULL, &err);
        if (status != SLANT_OK)
            fail_msg("%s", err.message);
        model *after = open_expanded(tiny_path(dir, out));
        for (int at = 0; at < 2 * LINEAR_COUNT; at++) {
            const kernel_weight *a =
                &before->layers[at / LINEAR_COUNT].linears[at % LINEAR_COUNT].w;
            const kernel_weight *b = &after->layers[at / LINEAR_COUNT].linears[at % LINEAR_COUNT].w;
            size_t size_bytes = (size_t)a->n_out * (size_t)a->n_in * sizeof(float);
            bool same = memcmp(a->data, b->data, size_bytes) == 0;
            assert_int_equal(same, at % LINEAR_COUNT != LINEAR_V);
        }
        model_close(after);
    }
    model_close(before);
}

static buf read_all(const char *dir, const char *name)
{
    slant_error err;
    buf bytes = {0};
    if (file_read(tiny_path(dir, name), (size_t)1 << 24, &bytes, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    return bytes;
}

static void threads_change_nothing(void **state)
{
    const char *dir = *state;
    static const slant_dtype dtypes[] = {SLANT_DTYPE_BF16, SLANT_DTYPE_NF4};
    for (int i = 0; i < 2; i++) {
        slant_merge_report one, three;
        merge_or_fail(&cases[1], tiny_path(dir, "one.slant"), dtypes[i], 1, &one);
        merge_or_fail(&cases[1], tiny_path(dir, "three.slant"), dtypes[i], 3, &three);
        buf a = read_all(dir, "one.slant"), b = read_all(dir, "three.slant");
        assert_int_equal(a.size_bytes, b.size_bytes);
        assert_memory_equal(a.data, b.data, a.size_bytes);
        assert_true(one.weight_error == three.weight_error);
        buf_free(&a);
        buf_free(&b);
    }
}

/* The golden bases hold no tokenizer: the tiny one goes beside a copy of llama. */
static void make_readable_base(const char *dir)
{
    tiny_make_folder(dir, "base");
    assert_int_equal(symlink(MODELS "llama/config.json", tiny_path(dir, "base/config.json")), 0);
    assert_int_equal(
        symlink(MODELS "llama/model.safetensors", tiny_path(dir, "base/model.safetensors")), 0);
    assert_int_equal(symlink(MODELS "tokenizer.json", tiny_path(dir, "base/tokenizer.json")), 0);
}

static slant_status merge_readable(const char *dir, const char *out,
                                   const slant_merge_options *options, slant_merge_report *report,
                                   slant_error *err)
{
    return slant_merge(tiny_path(dir, "base"), MODELS "adapters/all-linear", tiny_path(dir, out),
                       options, report, err);
}

static void the_report_measures_rounding(void **state)
{
    const char *dir = *state;
    slant_error err;
    slant_merge_report report;
    make_readable_base(dir);
    tiny_write_text(dir, "news.jsonl",
                    "{\"text\":\"The mayor called the vote a hard choice.\"}\n"
                    "{\"text\":\"\"}\n{\"text\":\"Year after year.\"}\nno JSON\n");
    char news[512];
    snprintf(news, sizeof news, "%s/news.jsonl", dir);
    const char *articles = news;
    slant_merge_options options = {.n_threads = 1, .articles = &articles, .n_articles = 1};
    assert_int_equal(merge_readable(dir, "out", &options, &report, &err), SLANT_OK);
    assert_int_equal(report.n_merged, 14);
    assert_int_equal(report.n_articles, 2);
    assert_int_equal(report.n_failed, 2);
    assert_int_equal(report.n_same_label, 2);
    assert_true(report.weight_error > 5e-4 && report.weight_error < 4e-3);
    assert_true(report.worst_weight_error >= report.weight_error);
    assert_non_null(strstr(report.worst_weight, "model.layers."));
    assert_true(report.max_logit > 0 && report.max_logit < 0.05);
    assert_true(report.mean_logit <= report.max_logit);
    assert_true(report.max_probability > 0 && report.max_probability < 0.02);
    options.dtype = SLANT_DTYPE_NF4;
    assert_int_equal(merge_readable(dir, "nf4.slant", &options, &report, &err), SLANT_OK);
    assert_true(report.weight_error > 0.05 && report.weight_error < 0.15);
}

/* Labels, lengths and the rest of what the adapter's slant.json says go along; its base's digest
 * does not, for the base is another one now. */
static void what_the_adapter_remembers_goes_along(void **state)
{
    static const char *const copied[] = {"adapter_config.json", "adapter_model.safetensors"};
    const char *dir = *state;
    slant_error err;
    make_readable_base(dir);
    tiny_make_folder(dir, "adapter");
    for (size_t i = 0; i < 2; i++) {
        char from[256], to[64];
        snprintf(from, sizeof from, MODELS "adapters/default/%s", copied[i]);
        snprintf(to, sizeof to, "adapter/%s", copied[i]);
        assert_int_equal(symlink(from, tiny_path(dir, to)), 0);
    }
    tiny_write_text(
        dir, "adapter/slant.json",
        "{\"labels\":[\"Left\",\"Center\",\"Right\"],\"max_length\":77,"
        "\"truncation\":\"head-tail\",\"temperature\":1.5,\"title_field\":\"headline\"}");
    for (int as_file = 0; as_file < 2; as_file++) {
        const char *out = as_file ? "out.slant" : "out";
        slant_engine *engine;
        slant_merge_options options = {.n_threads = 1};
        assert_int_equal(slant_merge(tiny_path(dir, "base"), tiny_path(dir, "adapter"),
                                     tiny_path(dir, out), &options, NULL, &err),
                         SLANT_OK);
        assert_int_equal(slant_engine_open(tiny_path(dir, out), NULL, &engine, &err), SLANT_OK);
        const slant_engine_info *info = slant_engine_get_info(engine);
        assert_int_equal(info->max_length, 77);
        assert_int_equal(info->truncation, SLANT_TRUNCATION_HEAD_TAIL);
        assert_true(info->temperature == 1.5f);
        assert_string_equal(info->title_field, "headline");
        assert_string_equal(slant_engine_label(engine, 2), "Right");
        assert_null(info->adapter_path);
        assert_null(info->base_digest);
        slant_engine_close(engine);
    }
    json_t *config = json_load_file(tiny_path(dir, "out/config.json"), 0, NULL);
    assert_non_null(config);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(config, "label2id"), "Center")), 1);
    assert_string_equal(json_string_value(json_object_get(config, "problem_type")),
                        "single_label_classification");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(config, "architectures"), 0)),
        "LlamaForSequenceClassification");
    json_decref(config);
}

static void expect_failure(const char *dir, const char *base, const char *adapter, const char *out,
                           const slant_merge_options *options, slant_status status,
                           const char *words)
{
    slant_error err = {0};
    slant_merge_report report;
    tiny_expect(slant_merge(base, adapter, tiny_path(dir, out), options, &report, &err), &err,
                status, words);
}

static void what_cannot_be_merged_is_said(void **state)
{
    const char *dir = *state;
    slant_merge_options fp32 = {.dtype = SLANT_DTYPE_F32};
    char base[512];
    make_readable_base(dir);
    snprintf(base, sizeof base, "%s/base", dir);
    expect_failure(dir, base, MODELS "adapters/default", "base", NULL, SLANT_ERR_ARGUMENT,
                   "is there already");
    expect_failure(dir, base, MODELS "adapters/default", "out", &fp32, SLANT_ERR_ARGUMENT,
                   "bf16 or nf4");
    expect_failure(dir, MODELS "bnb-plain", NULL, "out", NULL, SLANT_ERR_ARGUMENT,
                   "no adapter to merge");
    expect_failure(dir, MODELS "gguf/mixed.gguf", MODELS "adapters/default", "out", NULL,
                   SLANT_ERR_UNSUPPORTED, "config.json cannot say");
    expect_failure(dir, base, MODELS "adapters/default", "no/such/out", NULL, SLANT_ERR_NOT_FOUND,
                   "no/such");
    assert_false(file_exists(tiny_path(dir, "out")));
    assert_false(file_exists(tiny_path(dir, ".out.partial")));
}

/* Writing fails after some kilobytes, as on a full disk. */
static void a_full_disk_leaves_nothing(void **state)
{
    const char *dir = *state;
    slant_error err;
    struct rlimit before, small = {40 << 10, RLIM_INFINITY};
    make_readable_base(dir);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    slant_status folder = merge_readable(dir, "out", NULL, NULL, &err);
    slant_status file = merge_readable(dir, "out.slant", NULL, NULL, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(folder, SLANT_ERR_IO);
    assert_int_equal(file, SLANT_ERR_IO);
    assert_false(file_exists(tiny_path(dir, "out")));
    assert_false(file_exists(tiny_path(dir, ".out.partial")));
    assert_false(file_exists(tiny_path(dir, "out.slant")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tiny_setup, tiny_teardown)
        IN_FOLDER(weights_are_pefts_rounded_once),
        IN_FOLDER(nf4_is_what_bitsandbytes_makes_of_them),
        IN_FOLDER(unchanged_nf4_goes_over_as_it_is),
        IN_FOLDER(threads_change_nothing),
        IN_FOLDER(the_report_measures_rounding),
        IN_FOLDER(what_the_adapter_remembers_goes_along),
        IN_FOLDER(what_cannot_be_merged_is_said),
        IN_FOLDER(a_full_disk_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
