/* The loops that peaks are measured with: every table has one for every compute, each runs wherever
 * its table does, and its rate is that of a machine of this world. */
#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "unit.h"

#include <string.h>

#define MAX_TABLES 8

static const slant_compute computes[] = {SLANT_COMPUTE_INT8, SLANT_COMPUTE_INT16,
                                         SLANT_COMPUTE_BF16, SLANT_COMPUTE_F32};
enum { N_COMPUTES = sizeof computes / sizeof *computes };

static void test_every_table_has_its_loops(void **state)
{
    (void)state;
    const kernel_table *tables[MAX_TABLES];
    int n = kernel_tables(tables, MAX_TABLES);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < N_COMPUTES; c++) {
            const peak_loop *loop = peak_loop_of(tables[i]->name, computes[c]);
            assert_non_null(loop);
            assert_true(strlen(loop->instruction) > 0);
            assert_true(loop->operations > 0);
            loop->run(3);
        }
    assert_null(peak_loop_of("avx1024", SLANT_COMPUTE_INT8));
}

/* A register of twice the width does twice as much in a round. */
static void test_rounds_of_wider_sets_do_more(void **state)
{
    (void)state;
    static const char *const names[] = {"scalar", "avx2", "avx512"};
    for (int c = 0; c < N_COMPUTES; c++)
        for (int i = 0; i + 1 < 3; i++)
            assert_true(2 * peak_loop_of(names[i], computes[c])->operations ==
                        peak_loop_of(names[i + 1], computes[c])->operations);
}

static void test_peak_is_measured(void **state)
{
    (void)state;
    const kernel_table *best = kernel_table_best();
    double one = peak_measure(peak_loop_of(best->name, SLANT_COMPUTE_F32), 1);
    double two = peak_measure(peak_loop_of(best->name, SLANT_COMPUTE_F32), 2);
    assert_true(one > 1e6 && one < 1e15);
    assert_true(two > 1e6 && two < 1e15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_table_has_its_loops),
        cmocka_unit_test(test_rounds_of_wider_sets_do_more),
        cmocka_unit_test(test_peak_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
