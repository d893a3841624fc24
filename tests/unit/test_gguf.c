/* GGUF: what the gguf package writes, and memory that runs out at every allocation. What is refused
 * is in test_gguf_refusals.c. */
#include "unit.h"

#include "base/mem.h"
#include "formats/gguf.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN SLANT_SOURCE_DIR "/tests/golden/formats/every_type.gguf"

static gguf *open_golden(void)
{
    slant_error err;
    gguf *g = NULL;
    if (gguf_open(GOLDEN, &g, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    return g;
}

static void every_type_of_metadata_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"t.u8", 200},           {"t.i8", -100},        {"t.u16", 60000},
                {"t.i16", -30000},       {"t.u32", 4000000000}, {"t.i32", -2000000000},
                {"t.i64", -(1LL << 62)}, {"t.bool", 1}};
    gguf *g = open_golden();
    int64_t integer = 7;
    double number;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        assert_true(gguf_has(g, ints[i].key));
        assert_true(gguf_int(g, ints[i].key, &integer));
        assert_int_equal(integer, ints[i].value);
        assert_null(gguf_string(g, ints[i].key));
    }
    assert_false(gguf_int(g, "t.u64", &integer)); /* 2^63 does not fit */
    assert_false(gguf_int(g, "t.f32", &integer));
    assert_false(gguf_int(g, "t.string", &integer));
    assert_false(gguf_int(g, "t.ints", &integer));
    assert_false(gguf_int(g, "none", &integer));

    assert_true(gguf_double(g, "t.f32", &number) && number == 0.5);
    assert_true(gguf_double(g, "t.f64", &number) && number == 0.1);
    assert_true(gguf_double(g, "t.i16", &number) && number == -30000);
    assert_false(gguf_double(g, "t.bool", &number));
    assert_false(gguf_double(g, "t.string", &number));
    assert_false(gguf_double(g, "t.floats", &number));

    assert_string_equal(gguf_string(g, "t.string"), "größer");
    assert_string_equal(gguf_string(g, "general.architecture"), "llama");
    assert_null(gguf_string(g, "t.strings"));
    assert_null(gguf_string(g, "none"));
    assert_false(gguf_has(g, "none"));
    gguf_close(g);
}

static void arrays_are_read(void **state)
{
    (void)state;
    gguf *g = open_golden();
    const char *const *strings;
    const size_t *string_bytes;
    const int32_t *ints;
    const float *floats;
    size_t n;
    assert_int_equal(gguf_array_count(g, "t.strings"), 3);
    assert_int_equal(gguf_array_count(g, "t.string"), 0);
    assert_int_equal(gguf_array_count(g, "none"), 0);

    assert_true(gguf_array_strings(g, "t.strings", &strings, &string_bytes, &n));
    assert_int_equal(n, 3);
    assert_true(string_bytes[0] == 1 && string_bytes[1] == 0 && string_bytes[2] == 3);
    assert_memory_equal(strings[2], "bcd", 3);
    const char *const *again;
    assert_true(gguf_array_strings(g, "t.strings", &again, &string_bytes, &n));
    assert_ptr_equal(again, strings);
    assert_false(gguf_array_strings(g, "t.ints", &strings, &string_bytes, &n));
    assert_false(gguf_array_strings(g, "none", &strings, &string_bytes, &n));

    assert_true(gguf_array_ints(g, "t.ints", &ints, &n));
    assert_true(n == 3 && ints[0] == 1 && ints[1] == -2 && ints[2] == 3);
    assert_true(gguf_array_ints(g, "t.bools", &ints, &n));
    assert_true(n == 2 && ints[0] == 1 && ints[1] == 0);
    assert_false(gguf_array_ints(g, "t.floats", &ints, &n));
    assert_false(gguf_array_ints(g, "t.strings", &ints, &n));
    assert_false(gguf_array_ints(g, "t.u8", &ints, &n));

    assert_true(gguf_array_floats(g, "t.floats", &floats, &n));
    assert_true(n == 2 && floats[0] == 0.25f && floats[1] == -1.0f);
    assert_false(gguf_array_floats(g, "t.ints", &floats, &n));
    assert_false(gguf_array_floats(g, "t.strings", &floats, &n));
    gguf_close(g);
}

static void keys_are_listed_in_their_order(void **state)
{
    (void)state;
    gguf *g = open_golden();
    assert_int_equal(gguf_metadata_count(g), 17);
    assert_string_equal(gguf_metadata_key(g, 0), "general.architecture");
    assert_int_equal(gguf_metadata_type(g, 0), GGUF_STRING);
    assert_string_equal(gguf_metadata_key(g, 1), "t.u8");
    assert_int_equal(gguf_metadata_type(g, 1), GGUF_U8);
    assert_string_equal(gguf_metadata_key(g, 16), "t.bools");
    assert_int_equal(gguf_metadata_type(g, 16), GGUF_ARRAY);
    gguf_close(g);
}

/* All hold the same matrix, so all must decode to it within their budgets. */
static void every_tensor_type_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        dtype type;
    } expected[] = {{"f32", DTYPE_F32},   {"f16", DTYPE_F16},   {"bf16", DTYPE_BF16},
                    {"q8_0", DTYPE_Q8_0}, {"q4_0", DTYPE_Q4_0}, {"q4_1", DTYPE_Q4_1},
                    {"q5_0", DTYPE_Q5_0}, {"q5_1", DTYPE_Q5_1}};
    enum { N = 3 * 64 };
    float exact[N], found[N];
    gguf *g = open_golden();
    assert_int_equal(gguf_count(g), 9);
    memcpy(exact, gguf_find(g, "f32")->data, sizeof exact);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const tensor_view *view = gguf_find(g, expected[i].name);
        assert_non_null(view);
        assert_int_equal(view->type, expected[i].type);
        assert_int_equal(view->n_dims, 2);
        assert_true(view->shape[0] == 3 && view->shape[1] == 64); /* outermost first */
        const dtype_info *info = dtype_get(view->type);
        assert_int_equal(view->size_bytes, N / info->block_values * info->block_bytes);
        quant_get(view->type)->decode_row(view->data, found, N);
        double error = 0, power = 0;
        for (int k = 0; k < N; k++) {
            error += pow(found[k] - exact[k], 2);
            power += pow(exact[k], 2);
        }
        assert_true(sqrt(error / power) <= 1.2 * quant_get(view->type)->max_relative_rms);
    }
    assert_int_equal(gguf_find(g, "one_dimension")->n_dims, 1);
    assert_memory_equal(gguf_find(g, "one_dimension")->data, exact, 64 * 4);
    assert_string_equal(gguf_at(g, 0)->name, "f32");
    assert_null(gguf_find(g, "f33"));
    gguf_close(g);
}

static void files_that_cannot_be_opened_are_told(void **state)
{
    (void)state;
    slant_error err;
    gguf *g;
    assert_int_equal(gguf_open("/none/x.gguf", &g, &err), SLANT_ERR_NOT_FOUND);
    assert_null(g);
    assert_int_equal(gguf_open("/tmp", &g, &err), SLANT_ERR_IO);
    gguf_close(NULL);
}

/* Whichever allocation fails, opening says so, and a later array does not come. */
static void memory_may_run_out(void **state)
{
    (void)state;
    for (int sticky = 0; sticky < 2; sticky++) {
        int n_failures = 0;
        bool complete = false;
        for (uint64_t nth = 1; !complete; nth++) {
            slant_error err;
            gguf *g = NULL;
            const char *const *strings;
            const size_t *string_bytes;
            const int32_t *ints;
            const float *floats;
            size_t n;
            mem_fail_at(nth, sticky);
            slant_status status = gguf_open(GOLDEN, &g, &err);
            complete = status == SLANT_OK &&
                       gguf_array_strings(g, "t.strings", &strings, &string_bytes, &n) &&
                       gguf_array_ints(g, "t.ints", &ints, &n) &&
                       gguf_array_floats(g, "t.floats", &floats, &n);
            mem_fail_at(0, false);
            assert_true(status == SLANT_OK || status == SLANT_ERR_MEMORY);
            if (status == SLANT_OK) { /* what failed once can be had later */
                assert_true(gguf_array_strings(g, "t.strings", &strings, &string_bytes, &n));
                assert_true(gguf_array_ints(g, "t.ints", &ints, &n));
                assert_true(gguf_array_floats(g, "t.floats", &floats, &n));
            }
            n_failures += !complete;
            gguf_close(g);
        }
        assert_true(n_failures >= 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_metadata_is_read),
        cmocka_unit_test(arrays_are_read),
        cmocka_unit_test(keys_are_listed_in_their_order),
        cmocka_unit_test(every_tensor_type_is_read),
        cmocka_unit_test(files_that_cannot_be_opened_are_told),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
