/* The exchanges between ranks. Run alone it is a team of one; mpirun runs it as a team of several,
 * and each rank checks what it sees. */
#include "unit.h"

#include "base/mem.h"
#include "dist/dist.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static dist *team;
static slant_error err;

enum { MOST_RANKS = 16, N_VALUES = 1000 };

static int size_now(void)
{
    assert_in_range(dist_size(team), 1, MOST_RANKS);
    return dist_size(team);
}

/* Values whose sum depends on the order: large ones that go out against each other. */
static float value_of(int rank, size_t i)
{
    static const float scales[] = {1e8F, 1.0F, -1e8F, 0.37F};
    return scales[((size_t)rank + i) % 4] * (1.0F + 0.001F * (float)i);
}

static void assert_sum(size_t n)
{
    float *values = mem_alloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = value_of(dist_rank(team), i);
    assert_int_equal(dist_sum(team, values, n, &err), SLANT_OK);
    for (size_t i = 0; i < n; i++) {
        float want = value_of(0, i);
        for (int r = 1; r < size_now(); r++)
            want += value_of(r, i);
        assert_memory_equal(&values[i], &want, sizeof want);
    }
    mem_free(values);
}

static void sums_are_taken_in_the_order_of_ranks(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 33, N_VALUES, 100003};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_sum(sizes[i]);
}

/* A gradient that overflowed anywhere has overflowed for everybody. */
static void what_is_not_finite_stays_so(void **state)
{
    (void)state;
    float values[40] = {0};
    if (dist_rank(team) == size_now() - 1)
        values[39] = INFINITY;
    assert_int_equal(dist_sum(team, values, 40, &err), SLANT_OK);
    assert_true(isinf(values[39]));
    assert_true(values[38] == 0);
}

static void everybody_gets_what_each_has(void **state)
{
    (void)state;
    double mine[3] = {dist_rank(team), 0.5, -dist_rank(team)}, all[MOST_RANKS][3];
    assert_int_equal(dist_gather(team, mine, sizeof mine, all, &err), SLANT_OK);
    for (int r = 0; r < size_now(); r++)
        assert_true(all[r][0] == r && all[r][1] == 0.5 && all[r][2] == -r);
}

static void rank_0_tells_the_others(void **state)
{
    (void)state;
    char text[24] = "";
    if (dist_rank(team) == 0)
        snprintf(text, sizeof text, "what rank 0 says");
    assert_int_equal(dist_broadcast(team, text, sizeof text, &err), SLANT_OK);
    assert_string_equal(text, "what rank 0 says");
    assert_int_equal(dist_broadcast(team, text, 0, &err), SLANT_OK);
}

static void all_is_well_where_all_say_so(void **state)
{
    (void)state;
    assert_int_equal(dist_agree(team, SLANT_OK, &err), SLANT_OK);
}

/* Of several failures the first rank's is everybody's, with its message. */
static void a_failure_is_everybodys(void **state)
{
    (void)state;
    int failing = size_now() > 1 ? 1 : 0;
    slant_status status = SLANT_OK;
    if (dist_rank(team) >= failing)
        status = status_fail(&err, SLANT_ERR_FORMAT, "row %d is bad", dist_rank(team));
    assert_int_equal(dist_agree(team, status, &err), SLANT_ERR_FORMAT);
    assert_int_equal(err.status, SLANT_ERR_FORMAT);
    assert_string_equal(err.message, failing == 1 ? "rank 1: row 1 is bad" : "row 0 is bad");
}

/* Who was stopped is heard after who failed. */
static void a_failure_counts_before_a_stop(void **state)
{
    (void)state;
    int last = size_now() - 1;
    slant_status status = dist_rank(team) == last
                              ? status_fail(&err, SLANT_ERR_IO, "the disk is full")
                              : status_fail(&err, SLANT_ERR_CANCELLED, "stopped");
    assert_int_equal(dist_agree(team, status, &err), SLANT_ERR_IO);
    assert_non_null(strstr(err.message, "the disk is full"));
    status = dist_rank(team) == last ? status_fail(&err, SLANT_ERR_CANCELLED, "stopped") : SLANT_OK;
    assert_int_equal(dist_agree(team, status, &err), SLANT_ERR_CANCELLED);
    assert_string_equal(err.message, "stopped");
}

static void each_rank_has_cores(void **state)
{
    (void)state;
    assert_true(dist_cores(team) >= 1);
    assert_in_range(dist_rank(team), 0, size_now() - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_taken_in_the_order_of_ranks),
        cmocka_unit_test(what_is_not_finite_stays_so),
        cmocka_unit_test(everybody_gets_what_each_has),
        cmocka_unit_test(rank_0_tells_the_others),
        cmocka_unit_test(all_is_well_where_all_say_so),
        cmocka_unit_test(a_failure_is_everybodys),
        cmocka_unit_test(a_failure_counts_before_a_stop),
        cmocka_unit_test(each_rank_has_cores),
    };
    if (dist_open(&team, &err) != SLANT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    dist_close(team);
    return n_failed;
}
