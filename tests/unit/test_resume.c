/* Nothing is lost: a run that is killed, stopped or damaged goes on to the same bits. */
#include "train_run.h"

#include "base/folder.h"
#include "base/probe.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { KILLS = 20 };

/* Trains in a process of its own, for threads do not survive a fork. It dies at its nth probe (0:
 * lives); true if it lived, and then *n_probes is how many it passed. */
static bool train_apart(const char *dir, const char *out, uint64_t nth, uint64_t *n_probes)
{
    static const char *const resume[][2] = {{"resume_from_checkpoint", "last"}};
    int pipes[2], how;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        probe_kill_at(nth);
        slant_status status = run_train(run_recipe(dir, out, resume, 1), NULL);
        uint64_t passed = probe_count();
        bool told = write(pipes[1], &passed, sizeof passed) == sizeof passed;
        _exit(status == SLANT_OK && told ? 0 : 1);
    }
    close(pipes[1]);
    assert_int_equal(waitpid(child, &how, 0), child);
    bool lived = read(pipes[0], n_probes, sizeof *n_probes) == sizeof *n_probes;
    close(pipes[0]);
    assert_true(lived ? WIFEXITED(how) && WEXITSTATUS(how) == 0
                      : WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    return lived;
}

static void assert_same_adapter(const char *dir, const char *out)
{
    assert_same_file(run_path(run_path(dir, out), "adapter_model.safetensors"),
                     run_path(run_path(dir, "whole"), "adapter_model.safetensors"));
}

/* At 20 seeded places, inside steps and inside every stage of writing a checkpoint, and at each
 * restart again a few places further on, the process dies. */
static void killed_runs_end_with_the_same_bits(void **state)
{
    const char *dir = *state;
    run_make_base(dir);
    uint64_t n_probes, passed, draw = 12345;
    int n_kills = 0;
    assert_true(train_apart(dir, "whole", 0, &n_probes));
    assert_true(n_probes > 100);
    for (int round = 0; n_kills < KILLS; round++) {
        char out[32];
        snprintf(out, sizeof out, "killed-%d", round);
        for (;;) {
            draw = draw * 6364136223846793005u + 1442695040888963407u;
            if (train_apart(dir, out, 1 + (draw >> 33) % n_probes, &passed))
                break;
            n_kills++;
        }
        assert_same_adapter(dir, out);
    }
}

static bool stop_at_once(void *context)
{
    int *calls_left = context;
    return (*calls_left)-- <= 0;
}

/* A stop that is asked for in the middle of a step saves what the last whole step left. */
static void stopped_runs_go_on_to_the_same_bits(void **state)
{
    static const char *const resume[][2] = {{"resume_from_checkpoint", "last"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "whole", NULL, 0));
    for (int calls = 1; calls < 18; calls += 3) {
        char out[32];
        int left = calls, n_stops = 0;
        slant_status status;
        snprintf(out, sizeof out, "stopped-%d", calls);
        slant_train_options options = {.should_stop = stop_at_once, .context = &left};
        while ((status = run_train(run_recipe(dir, out, resume, 1), &options)) ==
               SLANT_ERR_CANCELLED) {
            left = calls + n_stops++;
            assert_true(n_stops < 40);
        }
        assert_int_equal(status, SLANT_OK);
        assert_true(n_stops > 0);
        assert_same_adapter(dir, out);
    }
}

static json_t *history_without_times(const char *path)
{
    json_t *root = run_json(path), *log = json_incref(json_object_get(root, "log_history"));
    static const char *const times[] = {
        "eval_runtime",  "eval_samples_per_second",  "eval_steps_per_second",
        "train_runtime", "train_samples_per_second", "train_steps_per_second"};
    for (size_t i = 0; i < json_array_size(log); i++)
        for (size_t k = 0; k < sizeof times / sizeof *times; k++)
            json_object_del(json_array_get(log, i), times[k]);
    json_decref(root);
    return log;
}

static void a_resumed_log_is_the_whole_log(void **state)
{
    static const char *const first[][2] = {{"resume_from_checkpoint", "last"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "whole", NULL, 0));
    int left = 14;
    slant_train_options options = {.should_stop = stop_at_once, .context = &left};
    assert_int_equal(run_train(run_recipe(dir, "out", first, 1), &options), SLANT_ERR_CANCELLED);
    assert_non_null(strstr(run_err.message, "--resume-from-checkpoint last"));
    run_ok(run_recipe(dir, "out", first, 1));
    json_t *a = history_without_times(run_path(run_path(dir, "whole"), "trainer_state.json"));
    json_t *b = history_without_times(run_path(run_path(dir, "out"), "trainer_state.json"));
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

static void a_finished_run_resumes_to_itself(void **state)
{
    static const char *const resume[][2] = {{"resume_from_checkpoint", "last"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "whole", NULL, 0));
    run_ok(run_recipe(dir, "out", NULL, 0));
    run_ok(run_recipe(dir, "out", resume, 1));
    assert_same_adapter(dir, "out");
}

static void truncate_file(const char *path)
{
    assert_int_equal(truncate(path, 100), 0);
}

static void damaged_checkpoints_are_passed_over(void **state)
{
    static const char *const files[] = {"adapter_model.safetensors", "optimizer.safetensors",
                                        "training_state.json", "trainer_state.json",
                                        "manifest.json"};
    static const char *const resume[][2] = {{"resume_from_checkpoint", "last"}};
    static const char *const last[][2] = {{"resume_from_checkpoint", "10"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "whole", NULL, 0));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char out[32];
        snprintf(out, sizeof out, "damaged-%zu", i);
        run_ok(run_recipe(dir, out, NULL, 0));
        const char *newest = run_path(run_path(dir, out), "checkpoint-10");
        truncate_file(run_path(newest, files[i]));
        assert_int_not_equal(run_train(run_recipe(dir, out, last, 1), NULL), SLANT_OK);
        assert_non_null(strstr(run_err.message, "checkpoint-10"));
        run_ok(run_recipe(dir, out, resume, 1));
        assert_same_adapter(dir, out);
    }
}

static void expect_refusal(slant_recipe *r, slant_status status, const char *words)
{
    slant_status got = run_train(r, NULL);
    if (got != status || strstr(run_err.message, words) == NULL)
        fail_msg("status %d: %s", got, run_err.message);
}

static void another_run_is_refused(void **state)
{
    static const char *const other_data[][2] = {{"resume_from_checkpoint", "last"},
                                                {"max_length", "23"}};
    static const char *const other_base[][2] = {{"resume_from_checkpoint", "last"},
                                                {"layers", "1"}};
    static const char *const other_adapter[][2] = {{"resume_from_checkpoint", "last"},
                                                   {"lora_alpha", "9"}};
    static const char *const other_compute[][2] = {{"resume_from_checkpoint", "last"},
                                                   {"compute", "bf16"}};
    static const char *const other_order[][2] = {{"resume_from_checkpoint", "last"},
                                                 {"data_seed", "3"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "out", NULL, 0));
    expect_refusal(run_recipe(dir, "out", NULL, 0), SLANT_ERR_ARGUMENT, "holds checkpoints");
    expect_refusal(run_recipe(dir, "out", other_data, 2), SLANT_ERR_MISMATCH, "training data");
    expect_refusal(run_recipe(dir, "out", other_base, 2), SLANT_ERR_MISMATCH, "changed since");
    expect_refusal(run_recipe(dir, "out", other_adapter, 2), SLANT_ERR_MISMATCH, "adapter's shape");
    expect_refusal(run_recipe(dir, "out", other_compute, 2), SLANT_ERR_MISMATCH, "--compute");
    expect_refusal(run_recipe(dir, "out", other_order, 2), SLANT_ERR_MISMATCH, "order of articles");
}

/* Writing fails after a few kilobytes, as on a full disk: the run ends with the file named, and the
 * checkpoint before is whole. */
static void a_full_disk_leaves_the_last_checkpoint(void **state)
{
    static const char *const resume[][2] = {{"resume_from_checkpoint", "last"}};
    static const char *const same[][2] = {{"resume_from_checkpoint", "last"},
                                          {"optim", "adamw_torch"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "whole", NULL, 0));
    int left = 9;
    slant_train_options options = {.should_stop = stop_at_once, .context = &left};
    assert_int_equal(run_train(run_recipe(dir, "out", resume, 1), &options), SLANT_ERR_CANCELLED);
    struct rlimit before, small = {16 << 10, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    slant_status status = run_train(run_recipe(dir, "out", same, 2), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, SLANT_ERR_IO);
    assert_non_null(strstr(run_err.message, ".safetensors"));
    run_ok(run_recipe(dir, "out", resume, 1));
    assert_same_adapter(dir, "out");
}

static slant_status count_entry(void *context, const char *name, slant_error *err)
{
    (void)err;
    *(int *)context += strstr(name, "checkpoint-") != NULL;
    return SLANT_OK;
}

static int count_checkpoints(const char *out)
{
    int n = 0;
    assert_int_equal(folder_each(out, count_entry, &n, &run_err), SLANT_OK);
    return n;
}

static void save_total_limit_keeps_the_best_and_the_last(void **state)
{
    static const char *const more[][2] = {{"save_total_limit", "2"},
                                          {"save_steps", "1"},
                                          {"eval_steps", "1"},
                                          {"load_best_model_at_end", "true"},
                                          {"metric_for_best_model", "eval_loss"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "out", more, 5));
    const char *out = run_path(dir, "out");
    json_t *root = run_json(run_path(out, "trainer_state.json"));
    const char *best = json_string_value(json_object_get(root, "best_model_checkpoint"));
    assert_non_null(best);
    assert_true(file_is_dir(best));
    assert_true(file_is_dir(run_path(out, "checkpoint-10")));
    assert_true(count_checkpoints(out) <= 2);
    assert_same_file(run_path(out, "adapter_model.safetensors"),
                     run_path(best, "adapter_model.safetensors"));
    json_decref(root);
}

static void early_stopping_waits_for_its_patience(void **state)
{
    static const char *const more[][2] = {{"eval_steps", "1"},
                                          {"save_steps", "1"},
                                          {"metric_for_best_model", "eval_f1"},
                                          {"early_stopping_patience", "2"},
                                          {"early_stopping_threshold", "0.9"}};
    const char *dir = *state;
    run_make_base(dir);
    run_ok(run_recipe(dir, "out", more, 5));
    json_t *root = run_json(run_path(run_path(dir, "out"), "trainer_state.json"));
    assert_int_equal(json_integer_value(json_object_get(root, "global_step")), 3);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tiny_setup, tiny_teardown)
        IN_FOLDER(killed_runs_end_with_the_same_bits),
        IN_FOLDER(stopped_runs_go_on_to_the_same_bits),
        IN_FOLDER(a_resumed_log_is_the_whole_log),
        IN_FOLDER(a_finished_run_resumes_to_itself),
        IN_FOLDER(damaged_checkpoints_are_passed_over),
        IN_FOLDER(another_run_is_refused),
        IN_FOLDER(a_full_disk_leaves_the_last_checkpoint),
        IN_FOLDER(save_total_limit_keeps_the_best_and_the_last),
        IN_FOLDER(early_stopping_waits_for_its_patience),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
