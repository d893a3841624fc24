/* Metrics against scikit-learn's (tools/make_eval_goldens.py). */
#include "unit.h"

#include "eval/metrics.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define TOLERANCE 1e-9
#define MAX_LABELS 8

static void assert_same(double got, const json_t *want)
{
    assert_true(json_is_number(want));
    if (fabs(got - json_number_value(want)) > TOLERANCE)
        fail_msg("%.17g, expected %.17g", got, json_number_value(want));
}

static void assert_scores(const metrics_scores *got, const json_t *want)
{
    assert_same(got->precision, json_object_get(want, "precision"));
    assert_same(got->recall, json_object_get(want, "recall"));
    assert_same(got->f1, json_object_get(want, "f1"));
}

static int64_t whole(const json_t *list, size_t i)
{
    return json_integer_value(json_array_get(list, i));
}

static void count(const json_t *item, int n_labels, int64_t *confusion)
{
    const json_t *truths = json_object_get(item, "truths");
    const json_t *answers = json_object_get(item, "answers");
    for (size_t i = 0; i < json_array_size(truths); i++)
        confusion[whole(truths, i) * n_labels + whole(answers, i)]++;
}

static double mean_log_loss(const json_t *item)
{
    const json_t *truths = json_object_get(item, "truths");
    const json_t *rows = json_object_get(item, "probabilities");
    double sum = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        sum += metrics_log_loss(json_number_value(json_array_get(row, (size_t)whole(truths, i))));
    }
    return sum / (double)json_array_size(rows);
}

static void check_case(const json_t *item)
{
    int64_t confusion[MAX_LABELS * MAX_LABELS] = {0};
    const json_t *labels = json_object_get(item, "labels");
    const json_t *matrix = json_object_get(item, "confusion");
    int n_labels = (int)json_array_size(labels);
    assert_in_range(n_labels, 2, MAX_LABELS);
    count(item, n_labels, confusion);
    for (int i = 0; i < n_labels * n_labels; i++)
        assert_int_equal(confusion[i], whole(json_array_get(matrix, (size_t)(i / n_labels)),
                                             (size_t)(i % n_labels)));
    metrics_summary m = metrics_summarise(confusion, n_labels);
    assert_int_equal(m.n_rows, json_array_size(json_object_get(item, "truths")));
    assert_same(m.accuracy, json_object_get(item, "accuracy"));
    assert_scores(&m.macro, json_object_get(item, "macro"));
    assert_scores(&m.micro, json_object_get(item, "micro"));
    assert_scores(&m.weighted, json_object_get(item, "weighted"));
    for (int label = 0; label < n_labels; label++) {
        metrics_label one = metrics_of_label(confusion, n_labels, label);
        const json_t *want = json_array_get(labels, (size_t)label);
        assert_scores(&one.scores, want);
        assert_int_equal(one.support, json_integer_value(json_object_get(want, "support")));
    }
    assert_same(mean_log_loss(item), json_object_get(item, "log_loss"));
}

static void figures_are_scikit_learns(void **state)
{
    (void)state;
    json_t *cases = json_load_file(SLANT_SOURCE_DIR "/tests/golden/eval/metrics.json", 0, NULL);
    assert_true(json_array_size(cases) >= 11);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(cases);
}

static void nothing_gives_zeros(void **state)
{
    (void)state;
    const int64_t confusion[9] = {0};
    metrics_summary m = metrics_summarise(confusion, 3);
    assert_int_equal(m.n_rows, 0);
    const double figures[] = {m.accuracy, m.macro.f1, m.micro.f1, m.weighted.f1};
    for (int i = 0; i < 4; i++)
        assert_true(figures[i] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_scikit_learns),
        cmocka_unit_test(nothing_gives_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
