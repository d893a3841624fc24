/* Recipes: settings by name, from files and from text, and what a bad one or bad data is told. */
#include "train_run.h"

#include "train/settings.h"

static slant_recipe *fresh(void)
{
    slant_recipe *r;
    assert_int_equal(slant_recipe_open(&r, &run_err), SLANT_OK);
    return r;
}

static void expect_error(slant_recipe *r, const char *name, const char *value, const char *words)
{
    if (slant_recipe_set(r, name, value, &run_err) == SLANT_OK)
        fail_msg("%s %s was taken", name, value);
    if (strstr(run_err.message, words) == NULL)
        fail_msg("%s %s: %s", name, value, run_err.message);
}

static void defaults_are_those_of_the_libraries(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    const train_settings *s = &r->settings;
    assert_int_equal(s->per_device_train_batch_size, 8);
    assert_int_equal(s->gradient_accumulation_steps, 1);
    assert_float_equal(s->learning_rate, 5e-5, 0);
    assert_float_equal(s->num_train_epochs, 3, 0);
    assert_float_equal(s->max_grad_norm, 1, 0);
    assert_float_equal(s->logging_steps, 500, 0);
    assert_int_equal(s->seed, 42);
    assert_int_equal(s->lora_r, 8);
    assert_float_equal(s->lora_alpha, 8, 0);
    assert_int_equal(s->save_strategy, STRATEGY_STEPS);
    assert_int_equal(s->eval_strategy, STRATEGY_NO);
    assert_string_equal(slant_recipe_notes(r), "");
    slant_recipe_close(r);
}

static void every_setting_can_be_set_under_both_spellings(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    for (size_t i = 0; slant_train_setting(i) != NULL; i++) {
        const slant_setting *s = slant_train_setting(i);
        char name[64], choice[64];
        if (s->type == SLANT_SETTING_OLD)
            continue;
        snprintf(name, sizeof name, "%s", s->name);
        for (char *c = name; *c; c++)
            if (*c == '_')
                *c = '-';
        if (s->choices != NULL)
            snprintf(choice, sizeof choice, "%.*s",
                     (int)strcspn(s->choices + (*s->choices == '|'), "|"),
                     s->choices + (*s->choices == '|'));
        const char *value = s->type == SLANT_SETTING_FLAG     ? "true"
                            : s->type == SLANT_SETTING_CHOICE ? choice
                            : s->type == SLANT_SETTING_COUNT || s->type == SLANT_SETTING_NUMBER
                                ? (s->max < 1 ? "0.5" : "1")
                                : "false";
        run_set(r, s->name, value);
        run_set(r, name, value);
        assert_true(settings_given(r, s->name));
        assert_non_null(s->help);
    }
    slant_recipe_close(r);
}

static void unknown_names_are_refused_with_the_nearest(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    expect_error(r, "lerning_rate", "1", "did you mean learning_rate?");
    expect_error(r, "per-device-train-batchsize", "1", "did you mean per_device_train_batch_size?");
    expect_error(r, "xyzzy", "1", "unknown setting xyzzy");
    slant_recipe_close(r);
}

static void values_out_of_bounds_are_refused(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    expect_error(r, "learning_rate", "fast", "expected a number");
    expect_error(r, "learning_rate", "nan", "expected a number");
    expect_error(r, "lora_r", "0", "from 1 to 512");
    expect_error(r, "lora_r", "1.5", "a whole number");
    expect_error(r, "lora_dropout", "1", "expected a number");
    expect_error(r, "fp16", "maybe", "true or false");
    expect_error(r, "lr_scheduler_type", "polynomial", "linear|cosine|constant");
    expect_error(r, "bnb_4bit_quant_type", "fp4", "nf4");
    expect_error(r, "bias", "all", "none");
    expect_error(r, "rank_pattern", "{broken", "expected JSON");
    slant_recipe_close(r);
}

static void old_names_are_taken_with_a_note(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    run_set(r, "warmup_ratio", "0.03");
    run_set(r, "evaluation_strategy", "epoch");
    run_set(r, "group_by_length", "true");
    run_set(r, "logging_dir", "./logs");
    assert_float_equal(r->settings.warmup_steps, 0.03, 0);
    assert_int_equal(r->settings.eval_strategy, STRATEGY_EPOCH);
    assert_int_equal(r->settings.train_sampling_strategy, 2);
    const char *notes = slant_recipe_notes(r);
    assert_non_null(strstr(notes, "warmup_ratio 0.03"));
    assert_non_null(strstr(notes, "logging_dir"));
    slant_recipe_close(r);
}

static void lists_are_read_as_they_are_written(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    run_set(r, "target_modules", "q_proj,v_proj");
    assert_string_equal(r->settings.target_modules, "[\"q_proj\",\"v_proj\"]");
    run_set(r, "target_modules", "all-linear");
    assert_string_equal(r->settings.target_modules, "\"all-linear\"");
    run_set(r, "target_modules", ".*(q|v)_proj");
    assert_string_equal(r->settings.target_modules, "\".*(q|v)_proj\"");
    run_set(r, "layers_to_transform", "0,2");
    assert_string_equal(r->settings.layers_to_transform, "[0,2]");
    run_set(r, "labels", "0,1");
    assert_string_equal(r->settings.labels, "[\"0\",\"1\"]");
    run_set(r, "train", "a (1).jsonl,b.jsonl");
    assert_string_equal(r->settings.train, "[\"a (1).jsonl\",\"b.jsonl\"]");
    slant_recipe_close(r);
}

static slant_status read_text(slant_recipe *r, const char *dir, const char *text)
{
    const char *path = run_path(dir, "recipe.json");
    assert_int_equal(file_write_whole(path, text, strlen(text), &run_err), SLANT_OK);
    return slant_recipe_read(r, path, &run_err);
}

static void recipes_are_read_with_their_groups(void **state)
{
    slant_recipe *r = fresh();
    assert_int_equal(read_text(r, *state,
                               "{\"about\": \"a test\", \"learning_rate\": 2e-4,\n"
                               "\"LoraConfig\": {\"r\": 16, \"lora_alpha\": 64, \"bias\": \"none\","
                               " \"target_modules\": [\"q_proj\"]},\n"
                               "\"BitsAndBytesConfig\": {\"load_in_4bit\": true},\n"
                               "\"assumed\": {\"max_length\": 512, \"data_seed\": null,"
                               " \"gradient_checkpointing\": true}}"),
                     SLANT_OK);
    assert_float_equal(r->settings.learning_rate, 2e-4, 0);
    assert_int_equal(r->settings.lora_r, 16);
    assert_float_equal(r->settings.lora_alpha, 64, 0);
    assert_string_equal(r->settings.target_modules, "[\"q_proj\"]");
    assert_true(r->settings.load_in_4bit);
    assert_int_equal(r->settings.max_length, 512);
    assert_int_equal(r->settings.data_seed, -1);
    slant_recipe_close(r);
}

static void the_cards_recipe_is_the_card(void **state)
{
    (void)state;
    slant_recipe *r = fresh();
    const train_settings *s = &r->settings;
    const char *path = SLANT_SOURCE_DIR "/recipes/news-bias-llama-3.2-1b.json";
    if (slant_recipe_read(r, path, &run_err) != SLANT_OK)
        fail_msg("%s", run_err.message);
    assert_true(s->load_in_4bit && s->bnb_4bit_use_double_quant && s->fp16);
    assert_int_equal(s->bnb_4bit_compute_dtype, WORD_BFLOAT16);
    assert_int_equal(s->lora_r, 16);
    assert_float_equal(s->lora_alpha, 64, 0);
    assert_float_equal(s->lora_dropout, 0.1, 0);
    assert_int_equal(s->per_device_train_batch_size, 4);
    assert_int_equal(s->gradient_accumulation_steps, 4);
    assert_float_equal(s->learning_rate, 2e-4, 0);
    assert_int_equal(s->optim, OPTIM_PAGED_ADAMW_32BIT);
    assert_float_equal(s->num_train_epochs, 3, 0);
    assert_float_equal(s->warmup_steps, 2, 0);
    assert_float_equal(s->logging_steps, 1, 0);
    slant_recipe_close(r);
}

static void broken_recipes_are_refused_by_place(void **state)
{
    static const char *const texts[][2] = {{"{\"learning_rate\": }", "line 1"},
                                           {"[1]", "an object of settings"},
                                           {"{\"lora_rank\": 4}", "unknown setting lora_rank"},
                                           {"{\"seed\": 1, \"seed\": 2}", "recipe.json"},
                                           {"{\"lora_r\": \"many\"}", "lora_r: expected"},
                                           {"", "recipe.json"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        slant_recipe *r = fresh();
        assert_int_not_equal(read_text(r, *state, texts[i][0]), SLANT_OK);
        if (strstr(run_err.message, texts[i][1]) == NULL)
            fail_msg("%s: %s", texts[i][0], run_err.message);
        slant_recipe_close(r);
    }
    slant_recipe *r = fresh();
    assert_int_equal(slant_recipe_read(r, run_path(*state, "none.json"), &run_err),
                     SLANT_ERR_NOT_FOUND);
    slant_recipe_close(r);
}

/* --- data ------------------------------------------------------------------------------------- */

static void expect_failure(const char *dir, const char *const (*more)[2], size_t n_more,
                           const char *words)
{
    if (run_train(run_recipe(dir, "out", more, n_more), NULL) == SLANT_OK)
        fail_msg("trained, though %s was expected", words);
    if (strstr(run_err.message, words) == NULL)
        fail_msg("%s: %s", words, run_err.message);
}

static void expect_bad_data(const char *dir, const char *rows, const char *words)
{
    const char *path = run_path(dir, "bad.jsonl");
    assert_int_equal(file_write_whole(path, rows, strlen(rows), &run_err), SLANT_OK);
    const char *const more[][2] = {{"train", path}};
    expect_failure(dir, more, 1, words);
}

static void bad_data_is_named(void **state)
{
    const char *dir = *state;
    run_make_base(dir);
    expect_bad_data(dir, "", "holds no labelled article");
    expect_bad_data(dir, "{\"text\":\"tax vote\",\"label\":1}\n{\"text\":\"a bill\",\"label\":1}\n",
                    "nothing to tell apart");
    expect_bad_data(dir, "{\"text\":\"tax vote\",\"label\":0}\n{\"text\":\"a bill\",\"label\":3}\n",
                    "bad.jsonl:2: label 3 is none of the 3 labels");
    expect_bad_data(dir, "{\"text\":\"tax vote\",\"label\":0}\n{\"text\":\"a bill\"}\n",
                    "bad.jsonl:2: no label");
    expect_bad_data(dir, "{\"text\":\"tax vote\",\"label\":0}\n{\"text\":\"\",\"label\":1}\n",
                    "bad.jsonl:2");
    expect_bad_data(dir, "{\"text\":\"tax vote\",\"label\":0}\nnonsense\n", "bad.jsonl:2");
    const char *const none[][2] = {{"train", run_path(dir, "none.jsonl")}};
    expect_failure(dir, none, 1, "none.jsonl");
}

static void bad_rows_can_be_left_out(void **state)
{
    static const char rows[] =
        "{\"text\":\"tax vote\",\"label\":\"Left\"}\nnonsense\n"
        "{\"text\":\"a bill\",\"label\":\"Right\"}\n{\"text\":\"b\"}\n";
    const char *dir = *state, *path = run_path(dir, "bad.jsonl");
    run_make_base(dir);
    assert_int_equal(file_write_whole(path, rows, strlen(rows), &run_err), SLANT_OK);
    const char *const more[][2] = {{"train", path}, {"skip_bad_rows", "true"}, {"max_steps", "1"}};
    run_ok(run_recipe(dir, "out", more, 3));
}

static void settings_that_exclude_each_other_are_refused(void **state)
{
    static const char *const best[][2] = {{"eval_strategy", "no"}, {"save_strategy", "best"}};
    static const char *const patience[][2] = {{"eval_strategy", "no"},
                                              {"early_stopping_patience", "1"}};
    static const char *const load_best[][2] = {{"load_best_model_at_end", "true"},
                                               {"save_strategy", "epoch"}};
    static const char *const metric[][2] = {{"metric_for_best_model", "eval_taste"}};
    static const char *const two_types[][2] = {{"load_in_4bit", "true"}, {"dtype", "bf16"}};
    static const char *const targets[][2] = {{"target_modules", "embed_tokens"}};
    static const char *const nothing[][2] = {{"target_modules", "c_attn"}};
    static const char *const saved[][2] = {{"modules_to_save", "norm"}};
    static const char *const labels[][2] = {{"labels", "Left,Right"}};
    static const char *const selective[][2] = {{"gradient_checkpointing", "selective"}};
    static const char *const limit[][2] = {{"memory_limit", "10k"}};
    static const char *const size[][2] = {{"memory_limit", "lots"}};
    const char *dir = *state;
    run_make_base(dir);
    expect_failure(dir, best, 2, "needs an eval_strategy");
    expect_failure(dir, patience, 2, "needs an eval_strategy");
    expect_failure(dir, load_best, 2, "load_best_model_at_end");
    expect_failure(dir, metric, 1, "eval_taste");
    expect_failure(dir, two_types, 2, "load_in_4bit");
    expect_failure(dir, targets, 1, "embed_tokens");
    expect_failure(dir, nothing, 1, "reaches no linear module");
    expect_failure(dir, saved, 1, "modules_to_save: norm");
    expect_failure(dir, labels, 1, "label 2 is none of the 2 labels");
    expect_failure(dir, selective, 1, "memory_limit");
    expect_failure(dir, limit, 1, "memory limit");
    expect_failure(dir, size, 1, "memory_limit: expected a size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tiny_setup, tiny_teardown)
        cmocka_unit_test(defaults_are_those_of_the_libraries),
        cmocka_unit_test(every_setting_can_be_set_under_both_spellings),
        cmocka_unit_test(unknown_names_are_refused_with_the_nearest),
        cmocka_unit_test(values_out_of_bounds_are_refused),
        cmocka_unit_test(old_names_are_taken_with_a_note),
        cmocka_unit_test(lists_are_read_as_they_are_written),
        IN_FOLDER(recipes_are_read_with_their_groups),
        cmocka_unit_test(the_cards_recipe_is_the_card),
        IN_FOLDER(broken_recipes_are_refused_by_place),
        IN_FOLDER(bad_data_is_named),
        IN_FOLDER(bad_rows_can_be_left_out),
        IN_FOLDER(settings_that_exclude_each_other_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
