/* Truncation and scores: what the session does to ids and logits. */
#include "unit.h"

#include "data/cut.h"
#include "api/scores.h"

#include <math.h>
#include <string.h>

/* 0 leads, 1 … 8 are the body, 9 trails. */
static const int32_t ids[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

static void expect(slant_truncation truncation, size_t max_length, size_t n_leading,
                   size_t n_trailing, const char *want)
{
    cut_ids article = {ids, 10, n_leading, n_trailing};
    cut_rule rule = {truncation, max_length, 1};
    int32_t out[10];
    char got[32] = "";
    size_t n = cut_window(&article, &rule, 0, out);
    assert_true(n <= cut_window_ids(&article, &rule));
    for (size_t i = 0; i < n; i++)
        got[i] = (char)('0' + out[i]);
    assert_string_equal(got, want);
}

static void each_rule_keeps_its_ids(void **state)
{
    (void)state;
    expect(SLANT_TRUNCATION_HEAD, 4, 0, 0, "0123");
    expect(SLANT_TRUNCATION_HEAD, 4, 1, 1, "0129");
    expect(SLANT_TRUNCATION_TAIL, 4, 0, 0, "6789");
    expect(SLANT_TRUNCATION_TAIL, 4, 1, 0, "0789");
    expect(SLANT_TRUNCATION_HEAD_TAIL, 4, 0, 0, "0189");
    expect(SLANT_TRUNCATION_HEAD_TAIL, 5, 1, 0, "01289");
    expect(SLANT_TRUNCATION_NONE, 4, 1, 1, "0123456789");
    expect(SLANT_TRUNCATION_HEAD, 10, 1, 1, "0123456789");
    expect(SLANT_TRUNCATION_HEAD, 1, 1, 1, "0");
    expect(SLANT_TRUNCATION_HEAD_TAIL, 1, 1, 0, "0");
}

static void windows_cover_the_article(void **state)
{
    (void)state;
    cut_ids article = {ids, 10, 1, 0};
    cut_rule rule = {SLANT_TRUNCATION_WINDOW, 5, 2};
    static const char *const want[] = {"01234", "03456", "05678", "0789"};
    assert_int_equal(cut_n_windows(&article, &rule), 4);
    for (size_t i = 0; i < 4; i++) {
        int32_t out[5];
        char got[8] = "";
        size_t n = cut_window(&article, &rule, i, out);
        for (size_t j = 0; j < n; j++)
            got[j] = (char)('0' + out[j]);
        assert_string_equal(got, want[i]);
    }
    rule.max_length = 10;
    assert_int_equal(cut_n_windows(&article, &rule), 1);
    rule.max_length = 1;
    assert_int_equal(cut_n_windows(&article, &rule), 1);
}

static void scores_follow_the_pipeline(void **state)
{
    (void)state;
    float three[] = {1.0f, 2.0f, 3.0f};
    scores_apply(SLANT_FUNCTION_SOFTMAX, 1, three, 3);
    assert_true(fabsf(three[0] - 0.09003057f) < 1e-7f);
    assert_true(fabsf(three[2] - 0.66524096f) < 1e-7f);
    float far[] = {-1e30f, 1e30f};
    scores_apply(SLANT_FUNCTION_SOFTMAX, 1, far, 2);
    assert_true(far[0] == 0 && far[1] == 1);
    float cooled[] = {0.0f, 2.0f};
    scores_apply(SLANT_FUNCTION_SOFTMAX, 2, cooled, 2);
    assert_true(fabsf(cooled[1] - 0.7310586f) < 1e-6f);
    float one[] = {0.0f};
    scores_apply(SLANT_FUNCTION_SIGMOID, 1, one, 1);
    assert_true(one[0] == 0.5f);

    model_config config = {.n_labels = 3};
    assert_int_equal(scores_function(SLANT_FUNCTION_DEFAULT, &config), SLANT_FUNCTION_SOFTMAX);
    config.problem = PROBLEM_MULTI_LABEL;
    assert_int_equal(scores_function(SLANT_FUNCTION_DEFAULT, &config), SLANT_FUNCTION_SIGMOID);
    config.problem = PROBLEM_REGRESSION;
    assert_int_equal(scores_function(SLANT_FUNCTION_DEFAULT, &config), SLANT_FUNCTION_NONE);
    config = (model_config){.n_labels = 1};
    assert_int_equal(scores_function(SLANT_FUNCTION_DEFAULT, &config), SLANT_FUNCTION_SIGMOID);

    static const float tie[] = {0.25f, 0.5f, 0.5f};
    assert_int_equal(scores_best(tie, 3), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_keeps_its_ids),
        cmocka_unit_test(windows_cover_the_article),
        cmocka_unit_test(scores_follow_the_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
