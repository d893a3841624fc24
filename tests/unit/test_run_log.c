/* What can be watched of a run: log.jsonl, TensorBoard's files and the report. */
#include "train_run.h"

#include "base/folder.h"
#include "train/tfevents.h"

#include <math.h>

/* Three records as tensorboard 2.20's RecordWriter and protobuf wrote them. */
static const char tensorboards[] =
    "1800000000000000a37f4b220900000000004a93401a0d627261696e2e4576656e743a3265b8d3fb10000000000000"
    "00"
    "95fbfe180900000000004a934010ac023a02080160cea6772100000000000000017becf60900000000004a934010ac"
    "02"
    "2a130a110a0a747261696e2f6c6f7373150000403f3612e5d9";

static void events_are_tensorboards_bytes(void **state)
{
    (void)state;
    buf events = {0}, hex = {0};
    tfevents_start(&events, 1234.5);
    tfevents_session(&events, 1234.5, 300);
    tfevents_scalar(&events, 1234.5, 300, "train/loss", 0.75f);
    for (size_t i = 0; i < events.size_bytes; i++)
        buf_printf(&hex, "%02x", (unsigned char)events.data[i]);
    assert_string_equal(hex.data, tensorboards);
    assert_int_equal(tfevents_crc32c("123456789", 9), 0xE3069283u);
    buf_free(&events);
    buf_free(&hex);
}

static bool stop_after(void *context)
{
    int *calls_left = context;
    return (*calls_left)-- <= 0;
}

static slant_status count_file(void *context, const char *name, slant_error *err)
{
    (void)err;
    *(int *)context += strncmp(name, "events.out.tfevents.", 20) == 0;
    return SLANT_OK;
}

/* After a resume the lines are those of log_history: none twice, none lost. */
static void the_lines_are_the_history(void **state)
{
    static const char *const resume[][2] = {{"resume_from_checkpoint", "last"}};
    const char *dir = *state, *out = run_path(dir, "out");
    int left = 11, n_sittings = 0;
    run_make_base(dir);
    slant_train_options options = {.should_stop = stop_after, .context = &left};
    assert_int_equal(run_train(run_recipe(dir, "out", resume, 1), &options), SLANT_ERR_CANCELLED);
    run_ok(run_recipe(dir, "out", resume, 1));
    json_t *root = run_json(run_path(out, "trainer_state.json"));
    const json_t *log = json_object_get(root, "log_history");
    FILE *lines = fopen(run_path(out, "log.jsonl"), "r");
    assert_non_null(lines);
    for (size_t i = 0; i < json_array_size(log); i++) {
        json_t *line = json_loadf(lines, JSON_DISABLE_EOF_CHECK, NULL);
        if (line == NULL || !json_equal(line, json_array_get(log, i)))
            fail_msg("line %zu is not entry %zu", i, i);
        json_decref(line);
    }
    assert_int_equal(fgetc(lines), '\n');
    assert_int_equal(fgetc(lines), EOF);
    fclose(lines);
    json_decref(root);
    assert_int_equal(folder_each(run_path(out, "runs"), count_file, &n_sittings, &run_err),
                     SLANT_OK);
    assert_true(n_sittings >= 1);
}

static void the_report_and_the_card_tell_the_run(void **state)
{
    static const char *const words[] = {"Training loss", "Evaluation F1", "<polyline",
                                        "no arbiter"};
    static const char *const card[] = {"r 4, alpha 8", "eval_f1", "sha256:", "no arbiter"};
    const char *dir = *state, *out = run_path(dir, "out");
    buf report = {0}, readme = {0};
    run_make_base(dir);
    run_ok(run_recipe(dir, "out", NULL, 0));
    assert_int_equal(file_read(run_path(out, "report.html"), 1 << 20, &report, &run_err), SLANT_OK);
    assert_int_equal(file_read(run_path(out, "README.md"), 1 << 20, &readme, &run_err), SLANT_OK);
    for (int i = 0; i < 4; i++) {
        assert_non_null(strstr(report.data, words[i]));
        assert_non_null(strstr(readme.data, card[i]));
    }
    assert_null(strstr(report.data, "http")); /* nothing from elsewhere */
    assert_null(strstr(report.data, "nan"));
    buf_free(&report);
    buf_free(&readme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_tensorboards_bytes),
        cmocka_unit_test_setup_teardown(the_lines_are_the_history, tiny_setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(the_report_and_the_card_tell_the_run, tiny_setup,
                                        tiny_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
