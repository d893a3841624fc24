/* Whole runs of training on a tiny model, through the public API, in a folder of their own. */
#ifndef SLANT_TESTS_TRAIN_RUN_H
#define SLANT_TESTS_TRAIN_RUN_H

#include "tiny_model.h"

#include <slant_train.h>

#define TRAINER_GOLDEN SLANT_SOURCE_DIR "/tests/golden/train/trainer/"
#define TINY_BASE SLANT_SOURCE_DIR "/tests/golden/models/"

static slant_error run_err;

/* dir/name; the last few stay valid. */
static inline const char *run_path(const char *dir, const char *name)
{
    static char *paths[16];
    static int next;
    char *path = file_join(dir, name);
    assert_non_null(path);
    next = (next + 1) % 16;
    mem_free(paths[next]);
    return paths[next] = path;
}

/* The tiny llama with its tokenizer as dir/base. */
static inline void run_make_base(const char *dir)
{
    const char *base = run_path(dir, "base");
    assert_int_equal(mkdir(base, 0777), 0);
    assert_int_equal(symlink(TINY_BASE "llama/config.json", run_path(base, "config.json")), 0);
    assert_int_equal(
        symlink(TINY_BASE "llama/model.safetensors", run_path(base, "model.safetensors")), 0);
    assert_int_equal(symlink(TINY_BASE "tokenizer.json", run_path(base, "tokenizer.json")), 0);
}

static inline void run_set(slant_recipe *r, const char *name, const char *value)
{
    if (slant_recipe_set(r, name, value, &run_err) != SLANT_OK)
        fail_msg("%s", run_err.message);
}

/* A small run with everything that a checkpoint has to remember: dropout, accumulation, warm-up, a
 * paged optimiser, measurements and two threads. Into dir/out; more: pairs of names and values. */
static inline slant_recipe *run_recipe(const char *dir, const char *out,
                                       const char *const (*more)[2], size_t n_more)
{
    static const char *const usual[][2] = {{"train", TRAINER_GOLDEN "train.jsonl"},
                                           {"eval", TRAINER_GOLDEN "eval.jsonl"},
                                           {"labels", "Left,Center,Right"},
                                           {"max_length", "24"},
                                           {"compute", "fp32"},
                                           {"threads", "2"},
                                           {"lora_r", "4"},
                                           {"lora_alpha", "8"},
                                           {"lora_dropout", "0.1"},
                                           {"target_modules", "q_proj,v_proj,down_proj"},
                                           {"per_device_train_batch_size", "4"},
                                           {"gradient_accumulation_steps", "2"},
                                           {"num_train_epochs", "2.5"},
                                           {"learning_rate", "3e-3"},
                                           {"warmup_steps", "2"},
                                           {"seed", "7"},
                                           {"optim", "paged_adamw_32bit"},
                                           {"logging_steps", "1"},
                                           {"eval_strategy", "steps"},
                                           {"eval_steps", "4"},
                                           {"save_steps", "3"}};
    slant_recipe *r;
    assert_int_equal(slant_recipe_open(&r, &run_err), SLANT_OK);
    run_set(r, "model", run_path(dir, "base"));
    run_set(r, "output_dir", run_path(dir, out));
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        run_set(r, usual[i][0], usual[i][1]);
    for (size_t i = 0; i < n_more; i++)
        run_set(r, more[i][0], more[i][1]);
    return r;
}

static inline slant_status run_train(slant_recipe *r, const slant_train_options *options)
{
    slant_status status = slant_train(r, options, &run_err);
    slant_recipe_close(r);
    return status;
}

static inline void run_ok(slant_recipe *r)
{
    if (run_train(r, NULL) != SLANT_OK)
        fail_msg("%s", run_err.message);
}

static inline void assert_same_file(const char *a, const char *b)
{
    buf x = {0}, y = {0};
    assert_int_equal(file_read(a, 64 << 20, &x, &run_err), SLANT_OK);
    assert_int_equal(file_read(b, 64 << 20, &y, &run_err), SLANT_OK);
    assert_int_equal(x.size_bytes, y.size_bytes);
    assert_memory_equal(x.data, y.data, x.size_bytes);
    buf_free(&x);
    buf_free(&y);
}

static inline json_t *run_json(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);
    if (root == NULL)
        fail_msg("%s is not JSON, or not there", path);
    return root;
}

#endif
