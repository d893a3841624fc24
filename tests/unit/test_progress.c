/* Progress: the words, and the bar's silence where nobody looks. */
#include "unit.h"

#include "base/progress.h"

#include <string.h>

static void expect_words(const char *want, int64_t done, double share, double rate, double left)
{
    buf out = {0};
    progress_words(&out, "articles", done, share, rate, left);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void words_leave_out_what_is_unknown(void **state)
{
    (void)state;
    expect_words("1,234,567 articles, 34 %, 12/s, 3:21 left", 1234567, 0.34, 12.3, 201);
    expect_words("7 articles, 0.25/s", 7, -1, 0.25, -1);
    expect_words("0 articles", 0, -1, 0, -1);
}

static void counts_and_clocks(void **state)
{
    (void)state;
    buf out = {0};
    progress_count(&out, 999);
    buf_char(&out, ' ');
    progress_count(&out, -1000);
    buf_char(&out, ' ');
    progress_clock(&out, 3723.4);
    buf_char(&out, ' ');
    progress_clock(&out, 59.6);
    assert_string_equal(out.data, "999 -1,000 1:02:03 1:00");
    buf_free(&out);
}

static void quiet_is_quiet(void **state)
{
    (void)state;
    progress p;
    assert_int_equal(progress_style_for_stderr(true), PROGRESS_NONE);
    progress_start(&p, PROGRESS_NONE, "articles");
    progress_update(&p, 10, 0.5);
    assert_false(p.drawn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_leave_out_what_is_unknown),
        cmocka_unit_test(counts_and_clocks),
        cmocka_unit_test(quiet_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
