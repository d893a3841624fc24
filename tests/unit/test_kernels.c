/* Every instruction set against the scalar reference, at awkward sizes; and what must be equal to
 * the bit: int8 weights, int8 activations and int8 products on every instruction set, and every
 * result however many tokens and panels a call covers. */
#include "kernels/kernels.h"

#include "base/mem.h"
#include "quant/nf4.h"
#include "quant/quant.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TABLES 8
#define MAX_OUT 112 /* 100 rounded up to panels */

/* Relative rms errors against the scalar table. F32 differs by the order of sums; BF16 too, its
 * inputs being equal; activations in bf16 or int8 may round the other way where an exp or a mean
 * differs in its last bit. */
#define TOLERANCE_F32 3e-6
#define TOLERANCE_BF16 2e-5
#define TOLERANCE_ACTS_BF16 2e-4
#define TOLERANCE_ACTS_INT16 1e-4
#define TOLERANCE_ACTS_INT8 1e-3
#define TOLERANCE_ATTENTION_BF16 6e-3
#define TOLERANCE_ATTENTION_INT16 1e-3

static const kernel_table *tables[MAX_TABLES];
static int n_tables;
static const kernel_table *scalar;

static int find_tables(void **state)
{
    (void)state;
    n_tables = kernel_tables(tables, MAX_TABLES);
    scalar = kernel_table_named("scalar");
    return scalar != NULL && n_tables > 0 ? 0 : -1;
}

/* Reproducible values. */
static uint64_t seed = 1;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(seed >> 33) + 0.5) / 2147483648.0;
}

static float gaussian(void)
{
    return (float)(sqrt(-2.0 * log(uniform())) * cos(6.283185307179586 * uniform()));
}

static float *gaussians(size_t n)
{
    float *values = mem_alloc_pages(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = gaussian();
    return values;
}

static void free_floats(float *values, size_t n)
{
    mem_free_pages(values, n * sizeof *values);
}

/* rms(a − b) / rms(b) over n values; rows of `width` that are `stride` apart. */
static double relative_rms(const float *a, const float *b, size_t rows, size_t width, size_t stride)
{
    double difference = 0, size = 1e-30;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double x = a[r * stride + i], y = b[r * stride + i];
            difference += (x - y) * (x - y);
            size += y * y;
        }
    return sqrt(difference / size);
}

static void assert_near(double error, double limit, const char *isa, const char *what, int a, int b)
{
    if (!(error <= limit))
        fail_msg("%s: %s (%d, %d): relative rms %.3g above %.3g", isa, what, a, b, error, limit);
}

/* A weight in one of the types that a model holds. */
typedef struct test_weight {
    kernel_weight w;
    uint8_t *codes, *absmax_codes;
    float *absmax, *nested;
} test_weight;

enum { WEIGHT_NF4, WEIGHT_NF4_PLAIN, WEIGHT_F32, WEIGHT_BF16, WEIGHT_Q8_0, N_WEIGHTS };

static void make_nf4(test_weight *t, const float *values, bool nested)
{
    int64_t n_out = t->w.n_out, n_in = t->w.n_in, n = n_out * n_in, n_blocks = nf4_n_blocks(n);
    uint8_t *flat = mem_alloc((size_t)n, 1), *flat_codes = mem_alloc((size_t)n_blocks, 1);
    float *flat_absmax = mem_alloc((size_t)n_blocks, sizeof(float));
    float *scratch = mem_alloc((size_t)n_blocks, sizeof(float));
    size_t n_panel = nf4_panel_n_absmax(n_out, n_in);
    t->codes = mem_alloc(nf4_panel_code_bytes(n_out, n_in), 1);
    t->absmax_codes = mem_alloc(n_panel, 1);
    t->absmax = mem_alloc(n_panel, sizeof(float));
    t->nested = mem_alloc((size_t)nf4_n_nested(n), sizeof(float));
    nf4_flat q = {.n_values = n,
                  .codes = flat,
                  .nested_absmax = t->nested,
                  .nested_map = nf4_dynamic_map,
                  .code_map = nf4_codes};
    if (nested) {
        nf4_encode(values, n, flat, flat_codes, t->nested, &q.nested_offset, scratch);
        q.absmax_codes = flat_codes;
    } else {
        nf4_encode_plain(values, n, flat, flat_absmax);
        q.absmax = flat_absmax;
    }
    nf4_pack_panels(&q, n_out, n_in, t->codes, nested ? t->absmax_codes : NULL,
                    nested ? NULL : t->absmax);
    t->w.type = DTYPE_NF4;
    t->w.data = t->codes;
    t->w.absmax_codes = nested ? t->absmax_codes : NULL;
    t->w.absmax = nested ? NULL : t->absmax;
    t->w.nested_absmax = t->nested;
    t->w.nested_map = nf4_dynamic_map;
    t->w.code_map = nf4_codes;
    t->w.nested_offset = q.nested_offset;
    mem_free(flat);
    mem_free(flat_codes);
    mem_free(flat_absmax);
    mem_free(scratch);
}

static void make_rows(test_weight *t, const float *values, dtype type)
{
    const dtype_info *info = dtype_get(type);
    size_t n = (size_t)t->w.n_out * (size_t)t->w.n_in;
    t->codes = mem_alloc(n / (size_t)info->block_values, (size_t)info->block_bytes);
    if (type == DTYPE_Q8_0) { /* slant writes none: a scale in f16, then 32 bytes */
        for (size_t b = 0; b < n / 32; b++) {
            uint16_t scale = f16_from_f32(0.01f + 0.001f * (float)(b % 7));
            memcpy(t->codes + b * 34, &scale, 2);
            for (int i = 0; i < 32; i++)
                t->codes[b * 34 + 2 + (size_t)i] =
                    (uint8_t)(int8_t)(values[b * 32] * 40 + (float)i);
        }
    } else {
        quant_get(type)->encode_row(values, t->codes, n);
    }
    t->w.type = type;
    t->w.data = t->codes;
}

/* Block sizes of Gaussian weights vary by a factor, as trained ones do. */
static test_weight make_weight(int kind, int n_out, int n_in)
{
    test_weight t = {.w = {.n_out = n_out, .n_in = n_in}};
    size_t n = (size_t)n_out * (size_t)n_in;
    float *values = gaussians(n);
    for (size_t i = 0; i < n; i++)
        values[i] *= 0.02f * (float)(1 + i / 64 % 5);
    if (kind == WEIGHT_NF4 || kind == WEIGHT_NF4_PLAIN)
        make_nf4(&t, values, kind == WEIGHT_NF4);
    else
        make_rows(&t, values,
                  kind == WEIGHT_F32    ? DTYPE_F32
                  : kind == WEIGHT_BF16 ? DTYPE_BF16
                                        : DTYPE_Q8_0);
    free_floats(values, n);
    return t;
}

static void free_weight(test_weight *t)
{
    mem_free(t->codes);
    mem_free(t->absmax_codes);
    mem_free(t->absmax);
    mem_free(t->nested);
}

static acts make_acts(slant_compute compute, int n_tokens, int n_in)
{
    acts a = {.compute = compute, .n_in = n_in, .stride = kernel_acts_stride(compute, n_in)};
    size_t n_groups = (size_t)n_tokens * (size_t)kernel_n_groups(n_in);
    a.data = mem_alloc_pages((size_t)n_tokens * a.stride * kernel_element_bytes(compute));
    a.scales = mem_calloc(n_groups, sizeof(float));
    a.sums = mem_calloc(n_groups, sizeof(int32_t));
    return a;
}

static void free_acts(acts *a, int n_tokens)
{
    mem_free_pages(a->data, (size_t)n_tokens * a->stride * kernel_element_bytes(a->compute));
    mem_free(a->scales);
    mem_free(a->sums);
}

/* Row t of a in fp32. */
static void read_acts(const acts *a, int t, float *out)
{
    size_t row = (size_t)t * a->stride;
    for (int i = 0; i < a->n_in; i++) {
        size_t at = row + (size_t)i;
        size_t g =
            (size_t)t * (size_t)kernel_n_groups(a->n_in) + (size_t)(i / kernel_group(a->n_in));
        out[i] = a->compute == SLANT_COMPUTE_INT8
                     ? (float)((const int8_t *)a->data)[at] * a->scales[g]
                 : a->compute == SLANT_COMPUTE_INT16
                     ? (float)((const int16_t *)a->data)[at] * a->scales[g]
                 : a->compute == SLANT_COMPUTE_BF16 ? bf16_to_f32(((const uint16_t *)a->data)[at])
                                                    : ((const float *)a->data)[at];
    }
}

static double acts_error(const acts *a, const acts *b, int n_tokens)
{
    size_t n = (size_t)n_tokens * (size_t)a->n_in;
    float *x = gaussians(n), *y = gaussians(n);
    for (int t = 0; t < n_tokens; t++) {
        read_acts(a, t, x + (size_t)t * (size_t)a->n_in);
        read_acts(b, t, y + (size_t)t * (size_t)a->n_in);
    }
    double error = relative_rms(x, y, 1, n, n);
    free_floats(x, n);
    free_floats(y, n);
    return error;
}

/* Panels of a table, with their memory. */
typedef struct test_panels {
    kernel_panels p;
    size_t bytes;
} test_panels;

static test_panels expand(const kernel_table *k, slant_compute compute, const kernel_weight *w,
                          int first_group, int n_groups)
{
    int n_panels = (w->n_out + KERNEL_PANEL - 1) / KERNEL_PANEL;
    size_t n_scales = (size_t)n_panels * (size_t)kernel_n_groups(w->n_in) * KERNEL_PANEL;
    test_panels t = {.p = {.compute = compute,
                           .n_in = w->n_in,
                           .n_panels = n_panels,
                           .first_group = first_group,
                           .n_groups = n_groups},
                     .bytes = k->panel_bytes(compute, w->n_in, n_panels)};
    size_t scratch_bytes = kernel_expand_scratch_bytes(w->n_in);
    void *scratch = mem_alloc_pages(scratch_bytes);
    t.p.data = mem_alloc_pages(t.bytes);
    t.p.scales = mem_calloc(n_scales, sizeof(float));
    k->expand(w, 0, n_panels, &t.p, scratch);
    mem_free_pages(scratch, scratch_bytes);
    return t;
}

static void free_panels(test_panels *t)
{
    mem_free_pages(t->p.data, t->bytes);
    mem_free(t->p.scales);
}

static void matmul(const kernel_table *k, const acts *x, int token0, int n_tokens,
                   const kernel_panels *w, float *out, bool accumulate)
{
    void *scratch = mem_alloc_pages(KERNEL_MATMUL_SCRATCH);
    k->matmul(x, token0, n_tokens, w, out, MAX_OUT, accumulate, scratch);
    mem_free_pages(scratch, KERNEL_MATMUL_SCRATCH);
}

static const slant_compute computes[] = {SLANT_COMPUTE_F32, SLANT_COMPUTE_BF16, SLANT_COMPUTE_INT8,
                                         SLANT_COMPUTE_INT16};
enum { N_COMPUTES = sizeof computes / sizeof *computes };

/* n_in, n_out, tokens */
static const int shapes[][3] = {{64, 1, 1},     {64, 16, 7},    {128, 33, 5},  {192, 17, 13},
                                {320, 48, 31},  {576, 100, 70}, {896, 64, 33}, {1536, 20, 64},
                                {2048, 96, 65}, {2112, 80, 47}, {2112, 3, 18}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* One table's product of a shape against the scalar one; those of integers to the bit. */
static void check_product(const kernel_table *k, slant_compute compute, const test_weight *weight,
                          const float *x, int tokens)
{
    int n_in = weight->w.n_in, n_out = weight->w.n_out;
    acts a = make_acts(compute, tokens, n_in);
    scalar->quantise(x, (size_t)n_in, tokens, &a, 0);
    test_panels mine = expand(k, compute, &weight->w, 0, 0);
    test_panels reference = expand(scalar, compute, &weight->w, 0, 0);
    size_t n = (size_t)tokens * MAX_OUT;
    float *expected = gaussians(n), *found = gaussians(n);
    memcpy(found, expected, n * sizeof *found);
    for (int pass = 0; pass < 2; pass++) { /* the second accumulates on the first */
        matmul(scalar, &a, 0, tokens, &reference.p, expected, pass == 1);
        matmul(k, &a, 0, tokens, &mine.p, found, pass == 1);
        double error = relative_rms(found, expected, (size_t)tokens, (size_t)n_out, MAX_OUT);
        double limit = kernel_is_scaled(compute)       ? 0
                       : compute == SLANT_COMPUTE_BF16 ? TOLERANCE_BF16
                                                       : TOLERANCE_F32;
        assert_near(error, limit, k->name, "product", n_in, n_out);
    }
    int width = mine.p.n_panels * KERNEL_PANEL; /* nothing is written beyond the panels */
    for (int t = 0; t < tokens; t++)
        assert_memory_equal(found + (size_t)t * MAX_OUT + width,
                            expected + (size_t)t * MAX_OUT + width,
                            (size_t)(MAX_OUT - width) * sizeof *found);
    free_floats(expected, n);
    free_floats(found, n);
    free_panels(&mine);
    free_panels(&reference);
    free_acts(&a, tokens);
}

static void products_agree_with_the_reference(void **state)
{
    (void)state;
    for (int s = 0; s < N_SHAPES; s++) {
        int n_in = shapes[s][0], n_out = shapes[s][1], tokens = shapes[s][2];
        float *x = gaussians((size_t)tokens * (size_t)n_in);
        for (int kind = 0; kind < N_WEIGHTS; kind++) {
            test_weight weight = make_weight(kind, n_out, n_in);
            for (int i = 0; i < n_tables; i++)
                for (int c = 0; c < N_COMPUTES; c++)
                    check_product(tables[i], computes[c], &weight, x, tokens);
            free_weight(&weight);
        }
        free_floats(x, (size_t)tokens * (size_t)n_in);
    }
}

/* Inputs that are no multiple of 64 (an adapter's rank): padded with zeros. */
static void short_inputs_are_padded(void **state)
{
    (void)state;
    static const int ranks[] = {1, 4, 8, 16, 24, 100, 300};
    for (size_t r = 0; r < sizeof ranks / sizeof *ranks; r++) {
        float *x = gaussians(9 * (size_t)ranks[r]);
        test_weight weight = make_weight(WEIGHT_F32, 40, ranks[r]);
        for (int i = 0; i < n_tables; i++)
            for (int c = 0; c < N_COMPUTES; c++)
                check_product(tables[i], computes[c], &weight, x, 9);
        free_weight(&weight);
        free_floats(x, 9 * (size_t)ranks[r]);
    }
}

/* The reference itself against double precision: what each compute may cost. */
static void the_reference_is_accurate(void **state)
{
    (void)state;
    enum { N_IN = 2048, N_OUT = 48, TOKENS = 8 };
    static const double limits[] = {2e-6, 4e-3, 1.5e-2, 1.2e-3};
    float *x = gaussians(TOKENS * N_IN);
    test_weight weight = make_weight(WEIGHT_NF4, N_OUT, N_IN);
    test_panels exact = expand(scalar, SLANT_COMPUTE_F32, &weight.w, 0, 0);
    const float *values = exact.p.data;
    float expected[TOKENS * MAX_OUT], found[TOKENS * MAX_OUT];
    for (int t = 0; t < TOKENS; t++)
        for (int o = 0; o < N_OUT; o++) {
            double sum = 0;
            for (int k = 0; k < N_IN; k++)
                sum +=
                    (double)x[t * N_IN + k] * values[(o / 16 * N_IN + k) * KERNEL_PANEL + o % 16];
            expected[t * MAX_OUT + o] = (float)sum;
        }
    for (int c = 0; c < N_COMPUTES; c++) {
        acts a = make_acts(computes[c], TOKENS, N_IN);
        test_panels panels = expand(scalar, computes[c], &weight.w, 0, 0);
        scalar->quantise(x, N_IN, TOKENS, &a, 0);
        matmul(scalar, &a, 0, TOKENS, &panels.p, found, false);
        assert_near(relative_rms(found, expected, TOKENS, N_OUT, MAX_OUT), limits[c], "scalar",
                    "against double", c, 0);
        free_panels(&panels);
        free_acts(&a, TOKENS);
    }
    free_panels(&exact);
    free_weight(&weight);
    free_floats(x, TOKENS * N_IN);
}

/* Whatever tokens, panels and portions a call covers, a result's bits are the same. */
static void products_do_not_depend_on_the_call(void **state)
{
    (void)state;
    enum { N_IN = 1088, N_OUT = 80, TOKENS = 71 };
    float *x = gaussians(TOKENS * N_IN);
    float whole[TOKENS * MAX_OUT] = {0}, parts[TOKENS * MAX_OUT] = {0};
    test_weight weight = make_weight(WEIGHT_NF4, N_OUT, N_IN);
    for (int i = 0; i < n_tables; i++)
        for (int c = 0; c < N_COMPUTES; c++) {
            const kernel_table *k = tables[i];
            acts a = make_acts(computes[c], TOKENS, N_IN);
            k->quantise(x, N_IN, TOKENS, &a, 0);
            test_panels all = expand(k, computes[c], &weight.w, 0, 0);
            matmul(k, &a, 0, TOKENS, &all.p, whole, false);
            for (int t = 0, n = 1; t < TOKENS; t += n, n = n % 17 + 1) {
                n = n < TOKENS - t ? n : TOKENS - t;
                matmul(k, &a, t, n, &all.p, parts + (size_t)t * MAX_OUT, false);
            }
            assert_memory_equal(parts, whole, sizeof whole);
            int n_groups = kernel_n_groups(N_IN);
            for (int g = 0; g < n_groups; g += 2) {
                test_panels some =
                    expand(k, computes[c], &weight.w, g, n_groups - g < 2 ? n_groups - g : 2);
                matmul(k, &a, 0, TOKENS, &some.p, parts, g > 0);
                free_panels(&some);
            }
            assert_memory_equal(parts, whole, sizeof whole);
            free_panels(&all);
            free_acts(&a, TOKENS);
        }
    free_weight(&weight);
    free_floats(x, TOKENS * N_IN);
}

/* A product with an addend is that of two calls, to the bit. */
static void check_both(const kernel_table *k, slant_compute compute, int n_in, int rank, int tokens)
{
    enum { N_OUT = 80 };
    float *x = gaussians((size_t)tokens * (size_t)n_in), *low = gaussians((size_t)tokens * 128);
    size_t n = (size_t)tokens * MAX_OUT;
    float *expected = gaussians(n), *found = gaussians(n);
    memcpy(found, expected, n * sizeof *found);
    test_weight base = make_weight(WEIGHT_NF4, N_OUT, n_in);
    test_weight adapter = make_weight(WEIGHT_F32, N_OUT, rank);
    acts a = make_acts(compute, tokens, n_in), b = make_acts(compute, tokens, rank);
    k->quantise(x, (size_t)n_in, tokens, &a, 0);
    k->quantise(low, 128, tokens, &b, 0);
    test_panels w = expand(k, compute, &base.w, 0, 0), wb = expand(k, compute, &adapter.w, 0, 0);
    void *scratch = mem_alloc_pages(KERNEL_MATMUL_SCRATCH);
    for (int pass = 0; pass < 2; pass++) { /* the second accumulates on the first */
        int from = tokens / 3 * pass;
        kernel_addend addend = {&b, from, &wb.p};
        k->matmul(&b, from, tokens - from, &wb.p, expected, MAX_OUT, pass == 1, scratch);
        k->matmul(&a, from, tokens - from, &w.p, expected, MAX_OUT, true, scratch);
        k->matmul_both(&a, from, tokens - from, &w.p, &addend, found, MAX_OUT, pass == 1, scratch);
        assert_memory_equal(found, expected, n * sizeof *found);
    }
    mem_free_pages(scratch, KERNEL_MATMUL_SCRATCH);
    free_panels(&w);
    free_panels(&wb);
    free_acts(&a, tokens);
    free_acts(&b, tokens);
    free_weight(&base);
    free_weight(&adapter);
    free_floats(x, (size_t)tokens * (size_t)n_in);
    free_floats(low, (size_t)tokens * 128);
    free_floats(expected, n);
    free_floats(found, n);
}

static void two_products_at_once_are_two_products(void **state)
{
    (void)state;
    static const int cases[][3] = {{64, 8, 1}, {576, 16, 70}, {320, 100, 33}, {1536, 16, 64}};
    for (int i = 0; i < n_tables; i++)
        for (size_t j = 0; tables[i]->matmul_both != NULL && j < sizeof cases / sizeof *cases; j++)
            for (int c = 0; c < N_COMPUTES; c++)
                check_both(tables[i], computes[c], cases[j][0], cases[j][1], cases[j][2]);
}

/* The integers are the same on every instruction set, and the order of the fp32 sums is. */
static void check_equal_products(slant_compute compute)
{
    enum { N_IN = 896, N_OUT = 100, TOKENS = 37 };
    float *x = gaussians(TOKENS * N_IN);
    static float first[TOKENS * MAX_OUT], found[TOKENS * MAX_OUT];
    x[5 * N_IN + 3] = 300.0f;                 /* an outlier */
    memset(x + 7 * N_IN, 0, 300 * sizeof *x); /* a group of zeros */
    for (int kind = 0; kind < N_WEIGHTS; kind++) {
        test_weight weight = make_weight(kind, N_OUT, N_IN);
        for (int i = 0; i < n_tables; i++) {
            acts a = make_acts(compute, TOKENS, N_IN);
            tables[i]->quantise(x, N_IN, TOKENS, &a, 0);
            test_panels panels = expand(tables[i], compute, &weight.w, 0, 0);
            matmul(tables[i], &a, 0, TOKENS, &panels.p, i == 0 ? first : found, false);
            if (i > 0)
                assert_memory_equal(found, first, sizeof first);
            free_panels(&panels);
            free_acts(&a, TOKENS);
        }
        free_weight(&weight);
    }
    free_floats(x, TOKENS * N_IN);
}

static void integer_products_are_equal_everywhere(void **state)
{
    (void)state;
    check_equal_products(SLANT_COMPUTE_INT8);
    check_equal_products(SLANT_COMPUTE_INT16);
}

/* A scale cannot hide it. */
static void what_is_no_number_stays_so_in_int16(void **state)
{
    (void)state;
    enum { N_IN = 320, N_OUT = 16, TOKENS = 2 };
    float *x = gaussians(TOKENS * N_IN);
    x[3] = NAN;
    x[N_IN + 300] = INFINITY;
    test_weight weight = make_weight(WEIGHT_NF4, N_OUT, N_IN);
    for (int i = 0; i < n_tables; i++) {
        float found[TOKENS * MAX_OUT] = {0};
        acts a = make_acts(SLANT_COMPUTE_INT16, TOKENS, N_IN);
        tables[i]->quantise(x, N_IN, TOKENS, &a, 0);
        test_panels panels = expand(tables[i], SLANT_COMPUTE_INT16, &weight.w, 0, 0);
        matmul(tables[i], &a, 0, TOKENS, &panels.p, found, false);
        for (int t = 0; t < TOKENS; t++)
            for (int o = 0; o < N_OUT; o++)
                assert_false(isfinite(found[t * MAX_OUT + o]));
        free_panels(&panels);
        free_acts(&a, TOKENS);
    }
    free_weight(&weight);
    free_floats(x, TOKENS * N_IN);
}

static void assert_same_acts(const acts *a, const acts *b, int n_tokens)
{
    size_t n_groups = (size_t)n_tokens * (size_t)kernel_n_groups(a->n_in);
    size_t row_bytes = (size_t)kernel_padded(a->n_in) * kernel_element_bytes(a->compute);
    for (size_t t = 0; t < (size_t)n_tokens; t++)
        assert_memory_equal((char *)a->data + t * a->stride * kernel_element_bytes(a->compute),
                            (char *)b->data + t * b->stride * kernel_element_bytes(b->compute),
                            row_bytes);
    if (kernel_is_scaled(a->compute))
        assert_memory_equal(a->scales, b->scales, n_groups * sizeof(float));
    if (a->compute == SLANT_COMPUTE_INT8)
        assert_memory_equal(a->sums, b->sums, n_groups * sizeof(int32_t));
}

static const int widths[] = {1, 15, 16, 63, 64, 100, 320, 576, 896, 1000, 2048};
enum { N_WIDTHS = sizeof widths / sizeof *widths, ROWS = 5 };

static void conversion_is_equal_everywhere(void **state)
{
    (void)state;
    for (int w = 0; w < N_WIDTHS; w++) {
        int n_in = widths[w];
        float *x = gaussians(ROWS * (size_t)n_in);
        for (int i = 0; i < n_tables; i++)
            for (int c = 0; c < N_COMPUTES; c++) {
                acts mine = make_acts(computes[c], ROWS, n_in);
                acts reference = make_acts(computes[c], ROWS, n_in);
                memset(mine.data, 0x55, ROWS * mine.stride * kernel_element_bytes(computes[c]));
                tables[i]->quantise(x, (size_t)n_in, ROWS, &mine, 0);
                scalar->quantise(x, (size_t)n_in, ROWS, &reference, 0);
                assert_same_acts(&mine, &reference, ROWS);
                free_acts(&mine, ROWS);
                free_acts(&reference, ROWS);
            }
        free_floats(x, ROWS * (size_t)n_in);
    }
}

static double acts_limit(slant_compute compute)
{
    return compute == SLANT_COMPUTE_INT8    ? TOLERANCE_ACTS_INT8
           : compute == SLANT_COMPUTE_INT16 ? TOLERANCE_ACTS_INT16
           : compute == SLANT_COMPUTE_BF16  ? TOLERANCE_ACTS_BF16
                                            : TOLERANCE_F32;
}

static void norm_and_swiglu_agree_with_the_reference(void **state)
{
    (void)state;
    for (int w = 0; w < N_WIDTHS; w++) {
        int n_in = widths[w];
        size_t stride = (size_t)n_in + 3;
        float *x = gaussians(ROWS * stride), *y = gaussians(ROWS * stride);
        for (size_t i = 0; i < ROWS * stride; i++)
            x[i] *= 4.0f;
        for (int i = 0; i < n_tables; i++)
            for (int c = 0; c < N_COMPUTES; c++) {
                acts mine = make_acts(computes[c], ROWS, n_in);
                acts reference = make_acts(computes[c], ROWS, n_in);
                tables[i]->rmsnorm(x, stride, y, 1e-5f, ROWS, &mine, 0);
                scalar->rmsnorm(x, stride, y, 1e-5f, ROWS, &reference, 0);
                assert_near(acts_error(&mine, &reference, ROWS), acts_limit(computes[c]),
                            tables[i]->name, "rmsnorm", n_in, c);
                int half = kernel_group(n_in) < n_in ? kernel_group(n_in) : 0; /* in two calls */
                tables[i]->swiglu(x, y, stride, ROWS, &mine, 0, 0, half);
                tables[i]->swiglu(x + half, y + half, stride, ROWS, &mine, 0, half,
                                  kernel_padded(n_in));
                scalar->swiglu(x, y, stride, ROWS, &reference, 0, 0, kernel_padded(n_in));
                assert_near(acts_error(&mine, &reference, ROWS), acts_limit(computes[c]),
                            tables[i]->name, "swiglu", n_in, c);
                free_acts(&mine, ROWS);
                free_acts(&reference, ROWS);
            }
        free_floats(x, ROWS * stride);
        free_floats(y, ROWS * stride);
    }
}

/* silu over its whole range, alone in its group so that fp32 shows the function itself. */
static void silu_is_accurate_to_the_ends(void **state)
{
    (void)state;
    enum { N = 4096 };
    float gate[N], up[N];
    acts a = make_acts(SLANT_COMPUTE_F32, 1, N);
    for (int i = 0; i < N; i++) {
        gate[i] = -120.0f + 240.0f * (float)i / (N - 1);
        up[i] = 1.0f;
    }
    for (int i = 0; i < n_tables; i++) {
        tables[i]->swiglu(gate, up, N, 1, &a, 0, 0, kernel_padded(N));
        for (int j = 0; j < N; j++) {
            double exact = gate[j] / (1.0 + exp(-(double)gate[j]));
            double error = fabs(((const float *)a.data)[j] - exact);
            if (!(error <= 1e-6 * fabs(exact) + 1e-35))
                fail_msg("%s: silu(%g) is off by %g of %g", tables[i]->name, gate[j], error, exact);
        }
    }
    free_acts(&a, 1);
}

static void rope_and_add_agree_with_the_reference(void **state)
{
    (void)state;
    static const int head_dims[] = {2, 30, 64, 80, 128, 256};
    for (size_t d = 0; d < sizeof head_dims / sizeof *head_dims; d++) {
        enum { TOKENS = 3, HEADS = 3 };
        int head_dim = head_dims[d];
        size_t stride = HEADS * (size_t)head_dim + 5, n = TOKENS * stride;
        float *x = gaussians(n), *mine = gaussians(n), *reference = gaussians(n);
        float *cosines = gaussians(TOKENS * (size_t)head_dim / 2);
        float *sines = gaussians(TOKENS * (size_t)head_dim / 2);
        for (int i = 0; i < n_tables; i++) {
            memcpy(mine, x, n * sizeof *x);
            memcpy(reference, x, n * sizeof *x);
            tables[i]->rope(mine, stride, TOKENS, HEADS, head_dim, cosines, sines);
            scalar->rope(reference, stride, TOKENS, HEADS, head_dim, cosines, sines);
            assert_near(relative_rms(mine, reference, 1, n, n), TOLERANCE_F32, tables[i]->name,
                        "rope", head_dim, 0);
            tables[i]->add(mine, x, n);
            scalar->add(reference, x, n);
            assert_near(relative_rms(mine, reference, 1, n, n), TOLERANCE_F32, tables[i]->name,
                        "add", head_dim, 0);
        }
        free_floats(x, n);
        free_floats(mine, n);
        free_floats(reference, n);
        free_floats(cosines, TOKENS * (size_t)head_dim / 2);
        free_floats(sines, TOKENS * (size_t)head_dim / 2);
    }
}

/* Attention over n_keys of one kv head; queries first … n_keys - 1 in calls of `step`. */
typedef struct attention_case {
    int head_dim, n_heads, n_keys, first, window;
} attention_case;

static void attend(const kernel_table *k, slant_compute compute, const attention_case *c,
                   const float *q, const float *kv, int step, float *out)
{
    size_t width = (size_t)c->n_heads * (size_t)c->head_dim,
           kv_stride = 2 * (size_t)c->head_dim + 3;
    size_t scratch_bytes = attention_scratch_bytes(c->n_keys, c->head_dim, c->n_heads);
    void *scratch = mem_alloc_pages(scratch_bytes);
    for (int i = c->first; i < c->n_keys; i += step) {
        int n = c->n_keys - i < step ? c->n_keys - i : step;
        attention_args a = {.q = q + (size_t)i * (width + 2),
                            .k = kv,
                            .v = kv + c->head_dim,
                            .q_stride = width + 2,
                            .kv_stride = kv_stride,
                            .first_query = i,
                            .n_queries = n,
                            .n_keys = i + n,
                            .window = c->window,
                            .head_dim = c->head_dim,
                            .n_heads = c->n_heads,
                            .scale = 1.0f / sqrtf((float)c->head_dim),
                            .out = out + (size_t)i * width,
                            .out_stride = width,
                            .scratch = scratch,
                            .compute = compute};
        k->attention(&a);
    }
    mem_free_pages(scratch, scratch_bytes);
}

/* AMX attends in bf16, the other tables in fp32 or 16-bit integers. */
static double attention_tolerance(const kernel_table *k, slant_compute compute)
{
    if (compute == SLANT_COMPUTE_F32)
        return TOLERANCE_F32;
    return strcmp(k->name, "amx") == 0 ? TOLERANCE_ATTENTION_BF16 : TOLERANCE_ATTENTION_INT16;
}

static void check_attention(const attention_case *c)
{
    size_t width = (size_t)c->n_heads * (size_t)c->head_dim, n = (size_t)c->n_keys * width;
    size_t n_q = (size_t)c->n_keys * (width + 2),
           n_kv = (size_t)c->n_keys * (2 * (size_t)c->head_dim + 3);
    float *q = gaussians(n_q), *kv = gaussians(n_kv);
    float *expected = gaussians(n), *found = gaussians(n), *parts = gaussians(n);
    for (size_t i = 0; i < n_q; i++)
        q[i] *= 3.0f;
    if (c->n_keys > 1) { /* a scale of zero; alone it would leave nothing to compare */
        memset(q, 0, width * sizeof *q);
        memset(kv, 0, 2 * (size_t)c->head_dim * sizeof *kv);
    }
    attend(scalar, SLANT_COMPUTE_F32, c, q, kv, c->n_keys, expected);
    size_t from = (size_t)c->first * width;
    for (int i = 0; i < n_tables; i++)
        for (int m = 0; m < N_COMPUTES; m++) {
            attend(tables[i], computes[m], c, q, kv, c->n_keys, found);
            double error = relative_rms(found + from, expected + from, 1, n - from, n);
            double limit = attention_tolerance(tables[i], computes[m]);
            assert_near(error, limit, tables[i]->name, "attention", c->head_dim, c->n_keys);
            attend(tables[i], computes[m], c, q, kv, 7, parts);
            assert_memory_equal(parts + from, found + from, (n - from) * sizeof *parts);
        }
    free_floats(q, n_q);
    free_floats(kv, n_kv);
    free_floats(expected, n);
    free_floats(found, n);
    free_floats(parts, n);
}

static void attention_agrees_with_the_reference(void **state)
{
    (void)state;
    static const attention_case cases[] = {
        {64, 4, 1, 0, 0},       {64, 4, 63, 0, 0},   {64, 4, 200, 0, 0},  {64, 3, 129, 128, 0},
        {128, 2, 150, 0, 0},    {80, 1, 100, 0, 0},  {2, 2, 70, 0, 0},    {30, 3, 66, 5, 0},
        {256, 1, 90, 0, 0},     {64, 1, 300, 0, 1},  {64, 2, 300, 0, 64}, {64, 2, 300, 0, 65},
        {128, 1, 400, 10, 130}, {96, 5, 140, 60, 7}, {64, 9, 33, 0, 0},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        check_attention(&cases[c]);
}

static void unknown_instruction_sets_are_refused(void **state)
{
    (void)state;
    slant_error err;
    assert_null(kernel_table_named("avx1024"));
    assert_int_equal(setenv("SLANT_ISA", "avx1024", 1), 0);
    assert_int_equal(kernel_check_environment(&err), SLANT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "avx1024"));
    assert_non_null(strstr(err.message, "scalar"));
    assert_int_equal(setenv("SLANT_ISA", "scalar", 1), 0);
    assert_int_equal(kernel_check_environment(&err), SLANT_OK);
    assert_ptr_equal(kernel_table_best(), scalar);
    assert_int_equal(unsetenv("SLANT_ISA"), 0);
    assert_ptr_equal(kernel_table_best(), tables[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_accurate),
        cmocka_unit_test(products_agree_with_the_reference),
        cmocka_unit_test(short_inputs_are_padded),
        cmocka_unit_test(products_do_not_depend_on_the_call),
        cmocka_unit_test(two_products_at_once_are_two_products),
        cmocka_unit_test(integer_products_are_equal_everywhere),
        cmocka_unit_test(what_is_no_number_stays_so_in_int16),
        cmocka_unit_test(conversion_is_equal_everywhere),
        cmocka_unit_test(norm_and_swiglu_agree_with_the_reference),
        cmocka_unit_test(silu_is_accurate_to_the_ends),
        cmocka_unit_test(rope_and_add_agree_with_the_reference),
        cmocka_unit_test(attention_agrees_with_the_reference),
        cmocka_unit_test(unknown_instruction_sets_are_refused),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
