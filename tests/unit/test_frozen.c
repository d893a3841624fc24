/* cache_frozen: the same bits with it and without it, however the run is cut into sittings, and no
 * file left when it is over. */
#include "train_run.h"

#include "base/folder.h"
#include "base/probe.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CACHED {"cache_frozen", "true"}
#define TOP {"layers_to_transform", "[1]"}
#define RESUME {"resume_from_checkpoint", "last"}

typedef const char *const option_pair[2];

static const char *adapter_of(const char *dir, const char *out)
{
    return run_path(run_path(dir, out), "adapter_model.safetensors");
}

static slant_status count_frozen(void *context, const char *name, slant_error *err)
{
    (void)err;
    *(int *)context += strncmp(name, ".frozen", 7) == 0;
    return SLANT_OK;
}

static int n_frozen_files(const char *dir, const char *out)
{
    int n = 0;
    assert_int_equal(folder_each(run_path(dir, out), count_frozen, &n, &run_err), SLANT_OK);
    return n;
}

/* Words of the plan, and whether the run should stop on the way. */
typedef struct watch {
    bool said_kept, said_there, said_nothing;
    int steps_left; /* negative: never stop */
} watch;

static void report(void *context, const slant_train_event *e)
{
    watch *w = context;
    w->said_kept = w->said_kept || strstr(e->text, "frozen layers: the lowest 1") != NULL;
    w->said_there = w->said_there || strstr(e->text, "articles are there already") != NULL;
    w->said_nothing = w->said_nothing || strstr(e->text, "nothing is kept") != NULL;
    if (e->kind == SLANT_TRAIN_STEP && w->steps_left > 0)
        w->steps_left--;
}

static bool should_stop(void *context)
{
    return ((watch *)context)->steps_left == 0;
}

static slant_status run_watched(slant_recipe *r, watch *w)
{
    slant_train_options options = {.report = report, .should_stop = should_stop, .context = w};
    return run_train(r, &options);
}

static void the_cache_changes_no_bit(void **state)
{
    static option_pair computes[][1] = {
        {{"compute", "fp32"}}, {{"compute", "bf16"}}, {{"compute", "int8"}}, {{"fp16", "true"}}};
    const char *dir = *state;
    run_make_base(dir);
    for (size_t i = 0; i < sizeof computes / sizeof *computes; i++) {
        option_pair plain[] = {TOP, {computes[i][0][0], computes[i][0][1]}};
        option_pair cached[] = {TOP, {computes[i][0][0], computes[i][0][1]}, CACHED};
        char names[2][32];
        watch w = {.steps_left = -1};
        snprintf(names[0], sizeof names[0], "plain-%zu", i);
        snprintf(names[1], sizeof names[1], "cached-%zu", i);
        run_ok(run_recipe(dir, names[0], plain, 2));
        assert_int_equal(run_watched(run_recipe(dir, names[1], cached, 3), &w), SLANT_OK);
        assert_true(w.said_kept && !w.said_there);
        assert_same_file(adapter_of(dir, names[0]), adapter_of(dir, names[1]));
        assert_int_equal(n_frozen_files(dir, names[1]), 0);
    }
}

/* Killed at its n-th probe; whether the process ended by that. */
static bool run_killed(slant_recipe *r, int64_t nth)
{
    pid_t child = fork();
    if (child == 0) {
        probe_kill_at((uint64_t)nth);
        _exit(run_train(r, NULL) == SLANT_OK ? 0 : 1);
    }
    int status;
    slant_recipe_close(r);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* A run that is killed goes on with the cache or without it, and ends with the same bits. Threads
 * do not survive a fork: every kill comes before the first run in this process. */
static void killed_runs_go_on_either_way(void **state)
{
    static option_pair plain[] = {TOP}, cached[] = {TOP, RESUME, CACHED}, bare[] = {TOP, RESUME};
    static const char *const outs[] = {"out-0", "out-1", "out-2", "out-3"};
    const char *dir = *state;
    run_make_base(dir);
    for (int i = 0; i < 4; i++) {
        assert_true(run_killed(run_recipe(dir, outs[i], cached, 3), 60 + 17 * i));
        assert_int_equal(n_frozen_files(dir, outs[i]), 2);
    }
    run_ok(run_recipe(dir, "whole", plain, 1));
    for (int i = 0; i < 4; i++) {
        watch w = {.steps_left = -1};
        bool again = i % 2 == 0;
        slant_recipe *r = run_recipe(dir, outs[i], again ? cached : bare, again ? 3 : 2);
        assert_int_equal(run_watched(r, &w), SLANT_OK);
        assert_int_equal(w.said_there, again);
        assert_same_file(adapter_of(dir, "whole"), adapter_of(dir, outs[i]));
        assert_int_equal(n_frozen_files(dir, outs[i]), 0);
    }
}

/* What is kept is what the layers above read: other values there give another adapter. */
static void what_is_kept_is_used(void **state)
{
    static option_pair plain[] = {TOP}, cached[] = {TOP, RESUME, CACHED};
    const char *dir = *state;
    watch w = {.steps_left = 5};
    run_make_base(dir);
    run_ok(run_recipe(dir, "whole", plain, 1));
    assert_int_equal(run_watched(run_recipe(dir, "out", cached, 3), &w), SLANT_ERR_CANCELLED);
    FILE *file = fopen(run_path(run_path(dir, "out"), ".frozen-train-0"), "r+b");
    assert_non_null(file);
    static const char zeros[4096];
    assert_int_equal(fseek(file, 8192, SEEK_SET), 0); /* the first articles' rows */
    for (int i = 0; i < 4; i++)
        assert_int_equal(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    assert_int_equal(fclose(file), 0);
    run_ok(run_recipe(dir, "out", cached, 3));
    buf a = {0}, b = {0};
    assert_int_equal(file_read(adapter_of(dir, "whole"), 1 << 24, &a, &run_err), SLANT_OK);
    assert_int_equal(file_read(adapter_of(dir, "out"), 1 << 24, &b, &run_err), SLANT_OK);
    assert_int_equal(a.size_bytes, b.size_bytes);
    assert_memory_not_equal(a.data, b.data, a.size_bytes);
    buf_free(&a);
    buf_free(&b);
}

/* What is there of other data, another base or another compute is not used. */
static void a_stale_cache_is_begun_anew(void **state)
{
    static option_pair stopped[] = {TOP, RESUME, CACHED};
    static option_pair others[][5] = {{TOP, RESUME, CACHED, {"max_length", "20"}, {"seed", "7"}},
                                      {TOP, RESUME, CACHED, {"compute", "bf16"}, {"seed", "7"}},
                                      {TOP, RESUME, CACHED, {"dtype", "nf4"}, {"seed", "7"}}};
    const char *dir = *state;
    run_make_base(dir);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char out[32], moved[32], fresh[32];
        watch w = {.steps_left = 4}, again = {.steps_left = -1};
        snprintf(out, sizeof out, "out-%zu", i);
        snprintf(moved, sizeof moved, "moved-%zu", i);
        snprintf(fresh, sizeof fresh, "fresh-%zu", i);
        assert_int_equal(run_watched(run_recipe(dir, out, stopped, 3), &w), SLANT_ERR_CANCELLED);
        assert_int_equal(n_frozen_files(dir, out), 2);
        assert_int_equal(mkdir(run_path(dir, moved), 0777), 0);
        assert_int_equal(rename(run_path(run_path(dir, out), ".frozen-train-0"),
                                run_path(run_path(dir, moved), ".frozen-train-0")),
                         0);
        assert_int_equal(run_watched(run_recipe(dir, moved, others[i], 5), &again), SLANT_OK);
        assert_false(again.said_there);
        run_ok(run_recipe(dir, fresh, others[i], 5));
        assert_same_file(adapter_of(dir, fresh), adapter_of(dir, moved));
    }
}

static void nothing_frozen_keeps_nothing(void **state)
{
    static option_pair all[] = {CACHED};
    const char *dir = *state;
    watch w = {.steps_left = -1};
    run_make_base(dir);
    assert_int_equal(run_watched(run_recipe(dir, "out", all, 1), &w), SLANT_OK);
    assert_true(w.said_nothing && !w.said_kept);
    assert_int_equal(n_frozen_files(dir, "out"), 0);
}

/* The room is taken before the first step; where there is none, nothing stays behind. */
static void a_full_disk_is_met_at_the_start(void **state)
{
    static option_pair cached[] = {TOP, CACHED, {"optim", "adamw_torch"}};
    const char *dir = *state;
    run_make_base(dir);
    struct rlimit before, small = {16 << 10, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    slant_status status = run_train(run_recipe(dir, "out", cached, 3), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, SLANT_ERR_IO);
    assert_non_null(strstr(run_err.message, "cache_frozen"));
    assert_int_equal(n_frozen_files(dir, "out"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tiny_setup, tiny_teardown)
        IN_FOLDER(killed_runs_go_on_either_way), IN_FOLDER(the_cache_changes_no_bit),
        IN_FOLDER(what_is_kept_is_used),         IN_FOLDER(a_stale_cache_is_begun_anew),
        IN_FOLDER(nothing_frozen_keeps_nothing), IN_FOLDER(a_full_disk_is_met_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
