/* Whole runs: what the Trainer logs and leaves, and what an adapter's files look like. */
#include "train_run.h"

#include "train/peft.h"
#include "train_model.h"

#include <math.h>

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void assert_near_number(const json_t *got, const json_t *want, const char *name,
                               double tolerance)
{
    double a = number(got, name), b = number(want, name);
    if (!(fabs(a - b) <= tolerance * (1 + fabs(b))))
        fail_msg("step %.0f: %s is %.9g, the Trainer has %.9g", number(want, "step"), name, a, b);
}

/* Entry by entry: the same keys, and the same numbers but for times. */
static void compare_histories(const json_t *got, const json_t *want)
{
    static const struct {
        const char *name;
        double tolerance;
    } values[] = {
        {"epoch", 1e-12},         {"step", 0},         {"loss", 2e-4},    {"grad_norm", 2e-3},
        {"learning_rate", 1e-12}, {"eval_loss", 2e-4}, {"eval_f1", 1e-9}, {"eval_accuracy", 1e-9},
        {"train_loss", 2e-4}};
    assert_int_equal(json_array_size(got), json_array_size(want));
    for (size_t i = 0; i < json_array_size(want); i++) {
        const json_t *a = json_array_get(got, i), *b = json_array_get(want, i);
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)b, name, value)
        {
            if (json_object_get(a, name) == NULL)
                fail_msg("entry %zu has no %s", i, name);
        }
        for (size_t k = 0; k < sizeof values / sizeof *values; k++)
            if (json_object_get(b, values[k].name) != NULL)
                assert_near_number(a, b, values[k].name, values[k].tolerance);
    }
}

static void compare_states(const char *got_path, const char *want_path)
{
    static const char *const same[] = {
        "global_step",      "epoch",         "eval_steps", "max_steps",
        "num_train_epochs", "logging_steps", "save_steps", "train_batch_size"};
    json_t *got = run_json(got_path), *want = run_json(want_path);
    const char *name;
    json_t *value;
    json_object_foreach(want, name, value)
    {
        if (json_object_get(got, name) == NULL)
            fail_msg("trainer_state.json has no %s", name);
    }
    assert_int_equal(json_object_size(got), json_object_size(want));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_near_number(got, want, same[i], 1e-12);
    compare_histories(json_object_get(got, "log_history"), json_object_get(want, "log_history"));
    json_decref(got);
    json_decref(want);
}

/* Distance between the adapters relative to how far training moved each tensor. */
static void compare_adapters(const char *got_path, const char *want_path, const char *start_path)
{
    safetensors *got, *want, *start;
    assert_int_equal(safetensors_open(got_path, &got, &run_err), SLANT_OK);
    assert_int_equal(safetensors_open(want_path, &want, &run_err), SLANT_OK);
    assert_int_equal(safetensors_open(start_path, &start, &run_err), SLANT_OK);
    assert_int_equal(safetensors_count(got), safetensors_count(want));
    assert_string_equal(safetensors_metadata(got, "format"), "pt");
    for (size_t i = 0; i < safetensors_count(want); i++) {
        const tensor_view *b = safetensors_at(want, i);
        const tensor_view *a = safetensors_find(got, b->name);
        const tensor_view *s = safetensors_find(start, b->name);
        assert_non_null(a);
        assert_int_equal(a->type, DTYPE_F32);
        assert_int_equal(a->size_bytes, b->size_bytes);
        double apart = 0, moved = 0;
        for (size_t k = 0; k < b->size_bytes / sizeof(float); k++) {
            float x, y, z;
            memcpy(&x, a->data + k * sizeof x, sizeof x);
            memcpy(&y, b->data + k * sizeof y, sizeof y);
            memcpy(&z, s->data + k * sizeof z, sizeof z);
            apart += pow((double)x - (double)y, 2);
            moved += pow((double)z - (double)y, 2);
        }
        if (!(sqrt(apart) <= 1e-3 * sqrt(moved)))
            fail_msg("%s: %.3g away after a travel of %.3g", b->name, sqrt(apart), sqrt(moved));
    }
    safetensors_close(got);
    safetensors_close(want);
    safetensors_close(start);
}

static void a_run_is_the_trainers(void **state)
{
    static const char *const more[][2] = {{"adapter", TRAINER_GOLDEN "start"},
                                          {"lora_dropout", "0"},
                                          {"weight_decay", "0.01"},
                                          {"max_grad_norm", "1.5"},
                                          {"save_steps", "4"},
                                          {"optim", "adamw_torch"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "out", more, sizeof more / sizeof *more));
    const char *out = run_path(dir, "out");
    compare_states(run_path(out, "trainer_state.json"), TRAINER_GOLDEN "trainer_state.json");
    compare_adapters(run_path(out, "adapter_model.safetensors"),
                     TRAINER_GOLDEN "end/adapter_model.safetensors",
                     TRAINER_GOLDEN "start/adapter_model.safetensors");
    assert_true(file_is_dir(run_path(out, "checkpoint-4")));
    assert_true(file_is_dir(run_path(out, "checkpoint-8")));
    assert_true(file_is_dir(run_path(out, "checkpoint-10")));
    assert_false(file_exists(run_path(out, "checkpoint-2")));
}

/* target_modules is a set in PEFT: its order there means nothing. */
static void sort_targets(json_t *config)
{
    json_t *list = json_object_get(config, "target_modules"), *sorted = json_array();
    while (json_is_array(list) && json_array_size(list) > 0) {
        size_t least = 0;
        for (size_t i = 1; i < json_array_size(list); i++)
            if (strcmp(json_string_value(json_array_get(list, i)),
                       json_string_value(json_array_get(list, least))) < 0)
                least = i;
        json_array_append(sorted, json_array_get(list, least));
        json_array_remove(list, least);
    }
    if (json_is_array(list))
        json_object_set(config, "target_modules", sorted);
    json_decref(sorted);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The tensors that the configuration comes to on a llama of three layers, by name and shape. */
static void check_tensors(const char *name, const buf *config)
{
    char path[512], *lines[64];
    model base;
    lora_module *modules;
    parameters *p;
    buf want = {0}, got = {0};
    train_base(&base, train_case_named("llama"));
    if (peft_modules(config->data, config->size_bytes, name, &base, &modules, &run_err) != SLANT_OK)
        fail_msg("%s", run_err.message);
    assert_int_equal(parameters_open(&base, modules, false, &p, &run_err), SLANT_OK);
    assert_true(p->n <= 64);
    for (int i = 0; i < p->n; i++)
        lines[i] = arena_printf(&base.memory, "%s [%d, %d]\n", p->list[i].name, p->list[i].rows,
                                p->list[i].columns);
    qsort(lines, (size_t)p->n, sizeof *lines, compare_lines);
    for (int i = 0; i < p->n; i++)
        buf_string(&got, lines[i]);
    snprintf(path, sizeof path, SLANT_SOURCE_DIR "/tests/golden/train/peft/%s.txt", name);
    assert_int_equal(file_read(path, 1 << 20, &want, &run_err), SLANT_OK);
    assert_string_equal(got.data, want.data);
    parameters_close(p);
    mem_free(modules);
    arena_free(&base.memory);
    buf_free(&got);
    buf_free(&want);
}

static void check_config(const char *name, const char *const (*settings)[2], size_t n)
{
    char path[512];
    buf text = {0};
    slant_recipe *r;
    assert_int_equal(slant_recipe_open(&r, &run_err), SLANT_OK);
    for (size_t i = 0; i < n; i++)
        run_set(r, settings[i][0], settings[i][1]);
    assert_int_equal(peft_config(&r->settings, NULL, &text, &run_err), SLANT_OK);
    snprintf(path, sizeof path, SLANT_SOURCE_DIR "/tests/golden/train/peft/%s.json", name);
    json_t *want = run_json(path), *got = json_loads(text.data, 0, NULL);
    assert_non_null(got);
    sort_targets(got);
    sort_targets(want);
    if (!json_equal(got, want))
        fail_msg("%s: %s", name, text.data);
    check_tensors(name, &text);
    json_decref(got);
    json_decref(want);
    buf_free(&text);
    slant_recipe_close(r);
}

static void configs_are_pefts(void **state)
{
    (void)state;
    static const char *const card[][2] = {
        {"r", "16"}, {"lora_alpha", "64"}, {"lora_dropout", "0.1"}, {"bias", "none"}};
    static const char *const everything[][2] = {{"lora-r", "4"},
                                                {"lora-alpha", "2.5"},
                                                {"lora-dropout", "0.25"},
                                                {"use-rslora", "true"},
                                                {"target-modules", "all-linear"},
                                                {"exclude-modules", "k_proj"},
                                                {"rank-pattern", "{\"q_proj\": 7}"},
                                                {"alpha-pattern", "{\"up_proj\": 3}"},
                                                {"modules-to-save", "score"},
                                                {"init-lora-weights", "gaussian"}};
    static const char *const layers[][2] = {{"target_modules", "o_proj"},
                                            {"layers_to_transform", "0,2"},
                                            {"layers_pattern", "\"layers\""}};
    static const char *const pattern[][2] = {
        {"target_modules", ".*layers\\.[01]\\..*(q|gate)_proj"}};
    check_config("plain", NULL, 0);
    check_config("card", card, 4);
    check_config("everything", everything, 10);
    check_config("layers", layers, 3);
    check_config("pattern", pattern, 1);
}

/* A step whose gradients overflow is logged and counted, but moves neither weights nor schedule. */
static void half_precision_scales_its_losses(void **state)
{
    static const char *const more[][2] = {{"fp16", "true"}, {"learning_rate", "1e-3"}};
    static const char *const plain[][2] = {{"learning_rate", "1e-3"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "half", more, 2));
    run_ok(run_recipe(dir, "plain", plain, 1));
    const char *out = run_path(dir, "half");
    json_t *saved = run_json(run_path(run_path(out, "checkpoint-10"), "training_state.json"));
    json_t *half = run_json(run_path(out, "trainer_state.json"));
    json_t *whole = run_json(run_path(run_path(dir, "plain"), "trainer_state.json"));
    double skipped = 10 - number(saved, "scheduler_steps");
    assert_float_equal(number(saved, "global_step"), 10, 0);
    assert_float_equal(number(saved, "scaler_scale"), 65536 / pow(2, skipped), 0);
    assert_float_equal(number(saved, "scheduler_steps"), number(saved, "optimizer_updates"), 0);
    const json_t *a = json_object_get(half, "log_history"),
                 *b = json_object_get(whole, "log_history");
    assert_int_equal(json_array_size(a), json_array_size(b));
    assert_float_equal(number(json_array_get(a, 0), "loss"), number(json_array_get(b, 0), "loss"),
                       5e-3);
    json_decref(saved);
    json_decref(half);
    json_decref(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_are_pefts),
        cmocka_unit_test_setup_teardown(a_run_is_the_trainers, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(half_precision_scales_its_losses, tiny_setup,
                                        tiny_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
