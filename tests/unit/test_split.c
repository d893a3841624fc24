/* Which part a row goes to: sizes, labels' shares, chance. */
#include "unit.h"

#include "data/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static slant_error err;
static const double card[] = {64, 16, 20};
static const char *const names[] = {"train", "eval", "test", "fourth", "fifth", "sixth"};

static void largest_remainders_get_what_is_left(void **state)
{
    (void)state;
    const double shares[] = {1.2, 2.5, 0.9, 1.4};
    int64_t counts[4];
    split_largest_remainder(shares, 4, 6, counts);
    const int64_t want[] = {1, 3, 1, 1};
    assert_memory_equal(counts, want, sizeof want);
    const double equal[] = {0.5, 0.5, 0.5, 0.5};
    const int64_t first[] = {1, 1, 0, 0};
    split_largest_remainder(equal, 4, 2, counts);
    assert_memory_equal(counts, first, sizeof first);
    const double nearly[] = {28100 * 0.64, 28100 * 0.16, 28100 * 0.2};
    const int64_t sizes[] = {17984, 4496, 5620};
    split_largest_remainder(nearly, 3, 28100, counts);
    assert_memory_equal(counts, sizes, sizeof sizes);
}

static int64_t column_sum(const split_plan *plan, const int64_t *counts, size_t part)
{
    int64_t sum = 0;
    for (size_t label = 0; label < plan->n_labels; label++)
        sum += counts[label * plan->n_parts + part];
    return sum;
}

static void the_cards_sizes_come_out(void **state)
{
    (void)state;
    const int64_t label_rows[] = {9771, 8132, 10197};
    const int64_t sizes[] = {17984, 4496, 5620}, tenth[] = {1798, 450, 562};
    arena memory = {0};
    split_plan plan;
    assert_int_equal(split_plan_make(&plan, label_rows, 3, card, names, 3, 0.1, &memory, &err),
                     SLANT_OK);
    for (size_t part = 0; part < 3; part++) {
        assert_int_equal(column_sum(&plan, plan.whole, part), sizes[part]);
        assert_int_equal(column_sum(&plan, plan.kept, part), tenth[part]);
    }
    arena_free(&memory);
}

/* Both margins hold, and no cell is a whole row away from its share. */
static void check_plan(const split_plan *plan, const int64_t *label_rows, const double *ratios,
                       double fraction)
{
    double n_rows = 0, sum = 0;
    for (size_t label = 0; label < plan->n_labels; label++)
        n_rows += (double)label_rows[label];
    for (size_t part = 0; part < plan->n_parts; part++)
        sum += ratios[part];
    for (size_t part = 0; part < plan->n_parts; part++) {
        double size = (double)column_sum(plan, plan->whole, part);
        double kept = (double)column_sum(plan, plan->kept, part);
        assert_true(fabs(size - n_rows * ratios[part] / sum) < 1);
        assert_true(fabs(kept - size * fraction) < 1);
        for (size_t label = 0; label < plan->n_labels; label++) {
            size_t cell = label * plan->n_parts + part;
            double share = (double)label_rows[label] * size / n_rows;
            assert_true(fabs((double)plan->whole[cell] - share) < 1);
            assert_true(fabs((double)plan->kept[cell] - (double)plan->whole[cell] * kept / size) <
                        1);
            assert_in_range(plan->kept[cell], 0, plan->whole[cell]);
        }
    }
    for (size_t label = 0; label < plan->n_labels; label++) {
        int64_t rows = 0;
        for (size_t part = 0; part < plan->n_parts; part++)
            rows += plan->whole[label * plan->n_parts + part];
        assert_int_equal(rows, label_rows[label]);
    }
}

/* Among so many tables there are some where largest remainders alone leave a row without a part. */
static void every_table_is_rounded_within_a_row(void **state)
{
    (void)state;
    uint32_t word = 1;
    int n_made = 0;
    for (int table = 0; table < 4000; table++) {
        int64_t label_rows[6];
        double ratios[6], fraction = table % 3 == 0 ? 0.37 : 1;
        word = word * 1664525u + 1013904223u;
        size_t n_labels = 1 + (word >> 20) % 6, n_parts = 2 + (word >> 26) % 5;
        for (size_t i = 0; i < 6; i++) {
            word = word * 1664525u + 1013904223u;
            label_rows[i] = 1 + (word >> 16) % (table % 2 == 0 ? 9 : 400);
            ratios[i] = 1 + (word >> 8) % 7;
        }
        arena memory = {0};
        split_plan plan;
        slant_status status = split_plan_make(&plan, label_rows, n_labels, ratios, names, n_parts,
                                              fraction, &memory, &err);
        if (status == SLANT_OK)
            check_plan(&plan, label_rows, ratios, fraction);
        else /* a part would be empty */
            assert_int_equal(status, SLANT_ERR_ARGUMENT);
        n_made += status == SLANT_OK;
        arena_free(&memory);
    }
    assert_true(n_made > 3000);
}

static void too_few_rows_name_the_empty_part(void **state)
{
    (void)state;
    const int64_t label_rows[] = {2, 1};
    arena memory = {0};
    split_plan plan;
    assert_int_equal(split_plan_make(&plan, label_rows, 2, card, names, 3, 1, &memory, &err),
                     SLANT_ERR_ARGUMENT);
    assert_string_equal(err.message, "3 rows are too few: the part 'eval' would have none");
    arena_free(&memory);
}

enum { N_ROWS = 1000 };

static void assign(double fraction, uint64_t seed, int8_t *parts)
{
    int labels[N_ROWS];
    int64_t label_rows[3] = {0};
    arena memory = {0};
    split_plan plan;
    for (int i = 0; i < N_ROWS; i++)
        label_rows[labels[i] = i * i % 3]++;
    label_rows[2] = 0;
    assert_int_equal(split_plan_make(&plan, label_rows, 2, card, names, 3, fraction, &memory, &err),
                     SLANT_OK);
    assert_int_equal(split_assign(&plan, labels, N_ROWS, seed, parts, &err), SLANT_OK);
    arena_free(&memory);
    int counts[3] = {0};
    for (int i = 0; i < N_ROWS; i++)
        if (parts[i] != SPLIT_NO_PART)
            counts[parts[i]]++;
    assert_int_equal(counts[0], (int)lround(640 * fraction));
    assert_int_equal(counts[1], (int)lround(160 * fraction));
    assert_int_equal(counts[2], (int)lround(200 * fraction));
}

static void the_seed_alone_decides(void **state)
{
    (void)state;
    int8_t once[N_ROWS], again[N_ROWS], other[N_ROWS], wide[N_ROWS];
    assign(1, 42, once);
    assign(1, 42, again);
    assign(1, 43, other);
    assign(1, 42 + ((uint64_t)1 << 32), wide);
    assert_memory_equal(once, again, sizeof once);
    assert_memory_not_equal(once, other, sizeof once);
    assert_memory_not_equal(once, wide, sizeof once);
}

static void a_fraction_is_part_of_the_whole(void **state)
{
    (void)state;
    int8_t whole[N_ROWS], tenth[N_ROWS];
    assign(1, 7, whole);
    assign(0.1, 7, tenth);
    for (int i = 0; i < N_ROWS; i++)
        assert_true(tenth[i] == SPLIT_NO_PART || tenth[i] == whole[i]);
}

/* Each row is as likely in the test part as any other. */
static void chance_is_even(void **state)
{
    (void)state;
    int8_t parts[N_ROWS];
    int in_test[N_ROWS] = {0};
    double chi_squared = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        assign(1, seed, parts);
        for (int i = 0; i < N_ROWS; i++)
            in_test[i] += parts[i] == 2;
    }
    for (int i = 0; i < N_ROWS; i++)
        chi_squared += (in_test[i] - 40.0) * (in_test[i] - 40.0) / (40 * 0.8);
    assert_true(chi_squared > 800 && chi_squared < 1200); /* mean 1,000, deviation 45 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_remainders_get_what_is_left),
        cmocka_unit_test(the_cards_sizes_come_out),
        cmocka_unit_test(every_table_is_rounded_within_a_row),
        cmocka_unit_test(too_few_rows_name_the_empty_part),
        cmocka_unit_test(the_seed_alone_decides),
        cmocka_unit_test(a_fraction_is_part_of_the_whole),
        cmocka_unit_test(chance_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
