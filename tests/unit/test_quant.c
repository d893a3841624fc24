/* Number formats: f16 and bf16 at every one of their values, decoding against gguf's golden
 * vectors, and each format's round-trip error against its own budget. */
#include "unit.h"

#include "base/mem.h"
#include "formats/safetensors.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The definition of binary16, with nothing of the implementation's bit tricks. */
static double f16_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double magnitude = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static void f16_decodes_every_value(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        double expected = f16_value((uint16_t)bits);
        float found = f16_to_f32((uint16_t)bits);
        if (isnan(expected)) {
            assert_true(isnan(found));
            continue;
        }
        assert_true(found == expected);
        assert_int_equal(signbit(found) != 0, bits >> 15);
        assert_int_equal(f16_from_f32(found), bits);
    }
    assert_true(isnan(f16_to_f32(f16_from_f32(NAN))));
}

/* Between each pair of neighbours: the middle goes to the even one, all else to the nearer one. */
static void f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint16_t bits = 0; bits < 0x7C00; bits++) {
        float low = (float)f16_value(bits);
        float high = bits == 0x7BFF ? 65536.0f : (float)f16_value((uint16_t)(bits + 1));
        float middle = low + (high - low) / 2;
        assert_int_equal(f16_from_f32(middle), bits % 2 == 0 ? bits : bits + 1);
        assert_int_equal(f16_from_f32(nextafterf(middle, 0)), bits);
        assert_int_equal(f16_from_f32(nextafterf(middle, INFINITY)), bits + 1);
        assert_int_equal(f16_from_f32(-nextafterf(middle, INFINITY)), 0x8000 | (bits + 1));
    }
    assert_int_equal(f16_from_f32(1e30f), 0x7C00);
    assert_int_equal(f16_from_f32(-1e-30f), 0x8000);
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x7F80; bits++) {
        float low = bf16_to_f32((uint16_t)bits);
        assert_int_equal(bf16_from_f32(low), bits);
        uint32_t middle_bits = bits << 16 | 0x8000;
        float middle;
        memcpy(&middle, &middle_bits, sizeof middle);
        assert_int_equal(bf16_from_f32(middle), bits % 2 == 0 ? bits : bits + 1);
        assert_int_equal(bf16_from_f32(nextafterf(middle, 0)), bits);
        assert_int_equal(bf16_from_f32(-nextafterf(middle, INFINITY)), 0x8000 | (bits + 1));
    }
    assert_true(isnan(bf16_to_f32(bf16_from_f32(NAN))));
    assert_int_equal(bf16_from_f32(INFINITY), 0x7F80);
}

/* What can hold weights has a row in the table, and nothing else. */
static void the_table_knows_the_formats_of_weights(void **state)
{
    (void)state;
    static const dtype integers[] = {DTYPE_I64, DTYPE_I32,  DTYPE_I16, DTYPE_I8,
                                     DTYPE_U8,  DTYPE_BOOL, DTYPE_NF4};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        assert_null(quant_get(integers[i]));
    static const dtype weights[] = {DTYPE_F64,  DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0,
                                    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        assert_non_null(quant_get(weights[i]));
        assert_int_equal(quant_get(weights[i])->type, weights[i]);
    }
}

static double relative_rms(const float *found, const float *expected, size_t n_values)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n_values; i++) {
        error += pow((double)found[i] - expected[i], 2);
        power += pow(expected[i], 2);
    }
    return sqrt(error / power);
}

/* A budget must hold, and must not be so wide that it says nothing. */
static void assert_within_budget(const quant_traits *traits, double error)
{
    if (error > traits->max_relative_rms || error < 0.5 * traits->max_relative_rms)
        fail_msg("%s: relative rms %g, budget %g", dtype_get(traits->type)->name, error,
                 traits->max_relative_rms);
}

static void block_formats_decode_as_gguf_does(void **state)
{
    (void)state;
    static const char *const names[] = {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"};
    slant_error err;
    safetensors *golden;
    if (safetensors_open(SLANT_SOURCE_DIR "/tests/golden/quant/blocks.safetensors", &golden,
                         &err) != SLANT_OK)
        fail_msg("%s", err.message);
    const tensor_view *source = safetensors_find(golden, "source");
    size_t n_source = (size_t)source->shape[0];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.bytes", names[i]);
        const tensor_view *bytes = safetensors_find(golden, name);
        snprintf(name, sizeof name, "%s.values", names[i]);
        const tensor_view *values = safetensors_find(golden, name);
        const quant_traits *traits = quant_get((dtype)(DTYPE_Q8_0 + i));
        assert_string_equal(dtype_get(traits->type)->name, names[i]);

        size_t n_values = (size_t)values->shape[0];
        float *found = mem_alloc(n_values, sizeof *found), *gaussian = mem_alloc(n_source, 4);
        traits->decode_row(bytes->data, found, n_values);
        assert_memory_equal(found, values->data, values->size_bytes);
        memcpy(gaussian, source->data, source->size_bytes);
        assert_within_budget(traits, relative_rms(found, gaussian, n_source));
        mem_free(found);
        mem_free(gaussian);
    }
    safetensors_close(golden);
}

/* Sums of uniform numbers are Gaussian enough. */
static float gaussian_value(uint64_t *seed)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*seed >> 11) * 0x1p-53 - 0.5;
    }
    return (float)(0.02 * sum);
}

static void written_formats_stay_within_their_budgets(void **state)
{
    (void)state;
    enum { N = 4096 };
    static const dtype written[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static float source[N], found[N];
    static uint8_t bytes[4 * N + 1];
    uint64_t seed = 1;
    for (int i = 0; i < N; i++)
        source[i] = gaussian_value(&seed);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        const quant_traits *traits = quant_get(written[i]);
        for (int shift = 0; shift < 2; shift++) { /* rows in files are not aligned */
            traits->encode_row(source, bytes + shift, N);
            traits->decode_row(bytes + shift, found, N);
            assert_within_budget(traits, relative_rms(found, source, N));
        }
    }
}

static void f64_decodes_to_the_nearest_float(void **state)
{
    (void)state;
    double values[3] = {0.1, -1e300, 1.0 / 3};
    float found[3];
    quant_get(DTYPE_F64)->decode_row(values, found, 3);
    assert_true(found[0] == 0.1f && found[1] == -INFINITY && found[2] == 1.0f / 3);
    assert_null(quant_get(DTYPE_F64)->encode_row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_decodes_every_value),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(the_table_knows_the_formats_of_weights),
        cmocka_unit_test(block_formats_decode_as_gguf_does),
        cmocka_unit_test(written_formats_stay_within_their_budgets),
        cmocka_unit_test(f64_decodes_to_the_nearest_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
