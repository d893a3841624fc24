/* The kernels of training: each instruction set against the scalar reference, at awkward sizes, and
 * the reference against the formula. What weights and dropout give must be equal to the bit. */
#include "unit.h"

#include "base/mem.h"
#include "kernels/gradients.h"
#include "quant/nf4.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TABLES = 8 };

static const gradient_table *tables[MAX_TABLES], *scalar;
static int n_tables;
static const kernel_table *kernels;

static int find_tables(void **state)
{
    (void)state;
    n_tables = gradient_tables(tables, MAX_TABLES);
    kernels = kernel_table_named("scalar");
    scalar = gradient_table_for(kernels);
    return kernels != NULL && n_tables > 0 ? 0 : -1;
}

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
    float *x = mem_alloc_pages(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = gaussian();
    return x;
}

static void assert_close(const char *what, const float *got, const float *want, size_t n,
                         double tolerance)
{
    double apart = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        apart += pow((double)got[i] - (double)want[i], 2);
        size += pow((double)want[i], 2);
    }
    if (!(sqrt(apart / size) <= tolerance))
        fail_msg("%s of %zu: %.3g apart", what, n, sqrt(apart / size));
}

/* --- panels ------------------------------------------------------------------------------------
 */

typedef struct matrix {
    kernel_weight w;
    uint8_t *data, *absmax_codes;
    float *absmax, *nested, *values;
    size_t n_values;
} matrix;

static void quantise_matrix(matrix *m, bool is_double)
{
    int64_t n = (int64_t)m->n_values, n_blocks = nf4_n_blocks(n);
    uint8_t *codes = mem_alloc((size_t)(n + 1) / 2, 1), *flat = mem_alloc((size_t)n_blocks, 1);
    float *scratch = mem_alloc((size_t)n_blocks, sizeof *scratch);
    float *flat_absmax = mem_alloc((size_t)n_blocks, sizeof *flat_absmax);
    size_t panel_absmax = nf4_panel_n_absmax(m->w.n_out, m->w.n_in);
    m->data = mem_alloc(nf4_panel_code_bytes(m->w.n_out, m->w.n_in), 1);
    m->absmax_codes = mem_alloc(panel_absmax, 1);
    m->absmax = mem_alloc(panel_absmax, sizeof *m->absmax);
    m->nested = mem_alloc((size_t)nf4_n_nested(n), sizeof *m->nested);
    nf4_flat q = {.n_values = n, .codes = codes};
    if (is_double) {
        nf4_encode(m->values, n, codes, flat, m->nested, &q.nested_offset, scratch);
        q.absmax_codes = flat;
        q.nested_absmax = m->nested;
        q.nested_map = nf4_dynamic_map;
    } else {
        nf4_encode_plain(m->values, n, codes, flat_absmax);
        q.absmax = flat_absmax;
    }
    q.code_map = nf4_codes;
    nf4_pack_panels(&q, m->w.n_out, m->w.n_in, m->data, is_double ? m->absmax_codes : NULL,
                    is_double ? NULL : m->absmax);
    m->w.data = m->data;
    m->w.code_map = nf4_codes;
    m->w.nested_map = nf4_dynamic_map;
    m->w.nested_absmax = m->nested;
    m->w.nested_offset = q.nested_offset;
    m->w.absmax_codes = is_double ? m->absmax_codes : NULL;
    m->w.absmax = is_double ? NULL : m->absmax;
    mem_free(codes);
    mem_free(flat);
    mem_free(scratch);
    mem_free(flat_absmax);
}

/* Gaussian values held as type; NF4 with double quantisation where the rows are many. */
static matrix make_matrix(int n_out, int n_in, dtype type)
{
    matrix m = {.w = {.n_out = n_out, .n_in = n_in, .type = type},
                .n_values = (size_t)n_out * (size_t)n_in};
    m.values = gaussians(m.n_values);
    if (type == DTYPE_NF4) {
        quantise_matrix(&m, n_out > 20);
        return m;
    }
    const dtype_info *info = dtype_get(type);
    size_t row_bytes = (size_t)(n_in / info->block_values) * (size_t)info->block_bytes;
    m.data = mem_alloc((size_t)n_out, row_bytes);
    if (type == DTYPE_Q8_0) /* slant writes none: any bytes do, but for the scale */
        for (size_t b = 0; b < m.n_values / 32; b++) {
            uint16_t scale = f16_from_f32(0.01f + 0.001f * (float)(b % 7));
            for (size_t i = 0; i < 34; i++)
                m.data[b * 34 + i] = (uint8_t)(int)(m.values[b * 32 + i % 32] * 100);
            memcpy(m.data + b * 34, &scale, sizeof scale);
        }
    for (int o = 0; o < n_out && type != DTYPE_Q8_0; o++)
        quant_get(type)->encode_row(m.values + (size_t)o * (size_t)n_in,
                                    m.data + (size_t)o * row_bytes, (size_t)n_in);
    m.w.data = m.data;
    return m;
}

static void free_matrix(matrix *m)
{
    mem_free_pages(m->values, m->n_values * sizeof *m->values);
    mem_free(m->data);
    mem_free(m->absmax_codes);
    mem_free(m->absmax);
    mem_free(m->nested);
}

static size_t panels_bytes(const kernel_panels *p, int n_panels)
{
    size_t one = (size_t)kernel_padded(p->n_in) * 16 * kernel_element_bytes(p->compute);
    return 2 * one * (size_t)n_panels; /* of INT8 some tables need twice as much */
}

static size_t scales_of(const kernel_panels *p, int n_panels)
{
    return kernel_is_scaled(p->compute) ? (size_t)(n_panels * kernel_n_groups(p->n_in)) * 16 : 0;
}

static void free_panels(kernel_panels *p, int n_panels)
{
    mem_free_pages(p->data, panels_bytes(p, n_panels));
    mem_free(p->scales);
}

static kernel_panels expand(const gradient_table *t, const kernel_weight *w,
                            const dropout_bits *dropped, slant_compute compute, int first, int n,
                            int first_group, int n_groups)
{
    kernel_panels p = {.compute = compute, .first_group = first_group, .n_groups = n_groups};
    p.n_in = w->n_out;
    size_t size_bytes = panels_bytes(&p, n), scratch_bytes = gradient_scratch_bytes(n);
    p.data = mem_alloc_pages(size_bytes);
    memset(p.data, 0xA5, size_bytes);
    p.scales = mem_calloc(scales_of(&p, n) + 1, sizeof *p.scales);
    void *scratch = mem_alloc_pages(scratch_bytes);
    t->expand_transposed(w, dropped, first, n, &p, scratch);
    mem_free_pages(scratch, scratch_bytes);
    assert_int_equal(p.n_panels, n);
    assert_int_equal(p.n_in, w->n_out);
    return p;
}

/* Weights of INT8 as they are: some tables have them plus 128 for vpdpbusd, or as pairs of words.
 */
static void as_the_reference_has_it(const gradient_table *t, int8_t *data, size_t n)
{
    bool is_plain = t == scalar || strcmp(t->name, "amx") == 0;
    if (is_plain)
        return;
    if (strcmp(t->name, "avx2") != 0 && strcmp(t->name, "avx512") != 0) {
        for (size_t i = 0; i < n; i++)
            data[i] = (int8_t)(data[i] ^ 0x80);
        return;
    }
    int16_t four[64];
    for (size_t i = 0; i < n; i += 64) {
        memcpy(four, data + 2 * i, sizeof four);
        for (size_t k = 0; k < 64; k++) /* output k / 4, input k % 4 */
            data[i + k] = (int8_t)four[k % 4 / 2 * 32 + k / 4 * 2 + k % 2];
    }
}

static void check_panels(const gradient_table *t, const matrix *m, const dropout_bits *dropped,
                         slant_compute compute, int first, int n, int first_group, int n_groups)
{
    kernel_panels want = expand(scalar, &m->w, dropped, compute, first, n, first_group, n_groups);
    kernel_panels got = expand(t, &m->w, dropped, compute, first, n, first_group, n_groups);
    int group = kernel_group(m->w.n_out), left = kernel_padded(m->w.n_out) - first_group * group;
    int n_inputs = n_groups > 0 && n_groups * group < left ? n_groups * group : left;
    size_t size_bytes = (size_t)(n_inputs * 16 * n) * kernel_element_bytes(compute);
    if (compute == SLANT_COMPUTE_INT8)
        as_the_reference_has_it(t, got.data, size_bytes);
    if (memcmp(got.data, want.data, size_bytes) != 0 ||
        memcmp(got.scales, want.scales, scales_of(&want, n) * sizeof *want.scales) != 0)
        fail_msg("%s: %s [%d, %d] in compute %d, panels %d + %d, differs", t->name,
                 dtype_get(m->w.type)->name, m->w.n_out, m->w.n_in, (int)compute, first, n);
    free_panels(&want, n);
    free_panels(&got, n);
}

static dropout_row row_of(uint32_t n, float p)
{
    return (dropout_row){
        .key = {7, 9}, .counter = {0, n, 3, 5}, .threshold = (uint32_t)(p * 65536.0f + 0.5f)};
}

static dropout_bits make_dropped(int n_rows, int n)
{
    dropout_bits dropped = {.stride = ((size_t)n + 15) / 16 + 1};
    dropped.rows = mem_calloc((size_t)n_rows * dropped.stride, sizeof *dropped.rows);
    assert_non_null(dropped.rows);
    for (int r = 0; r < n_rows; r++) {
        dropout_row row = row_of((uint32_t)r, 0.3f);
        scalar->dropout(&row, n, dropped.rows + (size_t)r * dropped.stride);
    }
    return dropped;
}

static void check_all_panels(const gradient_table *t, const matrix *m, const dropout_bits *dropped,
                             slant_compute compute)
{
    int n_panels = (m->w.n_in + 15) / 16;
    check_panels(t, m, dropped, compute, 0, n_panels, 0, 0);
    check_panels(t, m, dropped, compute, n_panels / 2, n_panels - n_panels / 2, 0, 0);
    check_panels(t, m, dropped, compute, n_panels - 1, 1, 0, 0);
    if (kernel_n_groups(m->w.n_out) > 1)
        check_panels(t, m, dropped, compute, 0, n_panels, 1, 1);
}

static void transposed_panels_are_equal_to_the_bit(void **state)
{
    (void)state;
    static const struct {
        int n_out, n_in;
        dtype type;
    } shapes[] = {{48, 128, DTYPE_NF4},  {17, 192, DTYPE_NF4},   {300, 64, DTYPE_NF4},
                  {33, 80, DTYPE_F32},   {64, 36, DTYPE_F32},    {1, 16, DTYPE_F32},
                  {70, 100, DTYPE_BF16}, {33, 48, DTYPE_BF16},   {40, 72, DTYPE_F16},
                  {33, 64, DTYPE_Q8_0},  {129, 128, DTYPE_Q8_0}, {576, 192, DTYPE_NF4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        matrix m = make_matrix(shapes[i].n_out, shapes[i].n_in, shapes[i].type);
        bool is_plain = m.w.type == DTYPE_F32 || m.w.type == DTYPE_BF16;
        dropout_bits dropped = make_dropped(m.w.n_out, m.w.n_in);
        for (int t = 0; t < n_tables; t++)
            for (int c = 0; c < 2; c++) {
                slant_compute compute = c == 0 ? SLANT_COMPUTE_F32 : SLANT_COMPUTE_BF16;
                check_all_panels(tables[t], &m, NULL, compute);
                if (is_plain)
                    check_all_panels(tables[t], &m, &dropped, compute);
            }
        for (int t = 0; t < n_tables && m.w.type == DTYPE_NF4; t++)
            check_all_panels(tables[t], &m, NULL, SLANT_COMPUTE_INT8);
        mem_free(dropped.rows);
        free_matrix(&m);
    }
}

/* The reference itself: a product with the panels is xᵀ·W. */
static void a_product_with_transposed_panels_is_one_with_the_transposed_matrix(void **state)
{
    (void)state;
    enum { N_OUT = 70, N_IN = 36, TOKENS = 3 };
    static float x[TOKENS * 128] __attribute__((aligned(64))), out[TOKENS * 48];
    matrix m = make_matrix(N_OUT, N_IN, DTYPE_F32);
    for (int i = 0; i < TOKENS * 128; i++)
        x[i] = i % 128 < N_OUT ? gaussian() : 0;
    acts rows = {.compute = SLANT_COMPUTE_F32, .n_in = N_OUT, .stride = 128, .data = x};
    kernel_panels p = expand(scalar, &m.w, NULL, SLANT_COMPUTE_F32, 0, 3, 0, 0);
    void *scratch = mem_alloc_pages(KERNEL_MATMUL_SCRATCH);
    kernels->matmul(&rows, 0, TOKENS, &p, out, 48, false, scratch);
    for (int t = 0; t < TOKENS; t++)
        for (int k = 0; k < 48; k++) {
            double want = 0;
            for (int o = 0; o < N_OUT && k < N_IN; o++)
                want += (double)x[t * 128 + o] * (double)m.values[o * N_IN + k];
            assert_float_equal(out[t * 48 + k], want, 1e-4);
        }
    mem_free_pages(scratch, KERNEL_MATMUL_SCRATCH);
    free_panels(&p, 3);
    free_matrix(&m);
}

/* The reference in INT8 against the exact one. */
static void int8_panels_are_accurate(void **state)
{
    (void)state;
    enum { N_OUT = 700, N_IN = 64, TOKENS = 5, PANELS = N_IN / 16 };
    matrix m = make_matrix(N_OUT, N_IN, DTYPE_NF4);
    float *x = gaussians(TOKENS * N_OUT), *want = gaussians(TOKENS * N_IN);
    float *got = gaussians(TOKENS * N_IN);
    void *scratch = mem_alloc_pages(KERNEL_MATMUL_SCRATCH);
    for (int exact = 1; exact >= 0; exact--) {
        slant_compute compute = exact ? SLANT_COMPUTE_F32 : SLANT_COMPUTE_INT8;
        acts rows = {.compute = compute, .n_in = N_OUT};
        rows.stride = kernel_acts_stride(compute, N_OUT);
        size_t size_bytes = TOKENS * rows.stride * kernel_element_bytes(compute);
        size_t n_groups = (size_t)(TOKENS * kernel_n_groups(N_OUT));
        rows.data = mem_alloc_pages(size_bytes);
        rows.scales = mem_calloc(n_groups, sizeof *rows.scales);
        rows.sums = mem_calloc(n_groups, sizeof *rows.sums);
        kernels->quantise(x, N_OUT, TOKENS, &rows, 0);
        kernel_panels p = expand(scalar, &m.w, NULL, compute, 0, PANELS, 0, 0);
        kernels->matmul(&rows, 0, TOKENS, &p, exact ? want : got, N_IN, false, scratch);
        if (!exact)
            assert_close("a product in int8", got, want, TOKENS * N_IN, 1.5e-2);
        free_panels(&p, PANELS);
        mem_free_pages(rows.data, size_bytes);
        mem_free(rows.scales);
        mem_free(rows.sums);
    }
    mem_free_pages(scratch, KERNEL_MATMUL_SCRATCH);
    mem_free_pages(x, TOKENS * N_OUT * sizeof *x);
    mem_free_pages(want, TOKENS * N_IN * sizeof *want);
    mem_free_pages(got, TOKENS * N_IN * sizeof *got);
    free_matrix(&m);
}

/* --- rows --------------------------------------------------------------------------------------
 */

static const int sizes[] = {1, 7, 16, 17, 48, 80, 127, 128, 129, 576, 1000};
enum { N_SIZES = sizeof sizes / sizeof *sizes, LONGEST = 1000 };

static void numbers_survive_being_narrowed(void **state)
{
    (void)state;
    static const dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    float *x = gaussians(LONGEST), *back = gaussians(LONGEST), *want = gaussians(LONGEST);
    uint8_t *held = mem_alloc(LONGEST, 4), *held_by_scalar = mem_alloc(LONGEST, 4);
    x[3] = 1e6f; /* beyond half precision */
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_SIZES; i++)
            for (int k = 0; k < 3; k++) {
                size_t n = (size_t)sizes[i], bytes = n * (k == 0 ? 4 : 2);
                tables[t]->narrow(x, types[k], held, n);
                scalar->narrow(x, types[k], held_by_scalar, n);
                assert_memory_equal(held, held_by_scalar, bytes);
                tables[t]->widen(held, types[k], back, n);
                scalar->widen(held, types[k], want, n);
                assert_memory_equal(back, want, n * sizeof *back);
                if (n > 3 && types[k] == DTYPE_F16)
                    assert_true(isinf(back[3]));
            }
    mem_free(held);
    mem_free(held_by_scalar);
    mem_free_pages(x, LONGEST * sizeof *x);
    mem_free_pages(back, LONGEST * sizeof *x);
    mem_free_pages(want, LONGEST * sizeof *x);
}

static void norm_derivatives_agree(void **state)
{
    (void)state;
    float *x = gaussians(LONGEST), *w = gaussians(LONGEST), *dy = gaussians(LONGEST);
    float *got = gaussians(LONGEST), *want = gaussians(LONGEST);
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_SIZES; i++) {
            for (int k = 0; k < LONGEST; k++)
                got[k] = want[k] = 0.5f;
            tables[t]->rmsnorm_backward(x, w, 1e-5f, dy, sizes[i], got);
            scalar->rmsnorm_backward(x, w, 1e-5f, dy, sizes[i], want);
            assert_close("norm", got, want, LONGEST, 2e-6);
        }
    float *all[] = {x, w, dy, got, want};
    for (int i = 0; i < 5; i++)
        mem_free_pages(all[i], LONGEST * sizeof *x);
}

static void activation_derivatives_agree(void **state)
{
    (void)state;
    float *gate = gaussians(LONGEST), *up = gaussians(LONGEST), *d = gaussians(LONGEST);
    float *g[2] = {gaussians(LONGEST), gaussians(LONGEST)};
    float *u[2] = {gaussians(LONGEST), gaussians(LONGEST)};
    gate[0] = -90;
    gate[2] = 90;
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_SIZES; i++) {
            size_t n = (size_t)sizes[i];
            tables[t]->swiglu_backward(gate, up, d, sizes[i], g[0], u[0]);
            scalar->swiglu_backward(gate, up, d, sizes[i], g[1], u[1]);
            assert_close("gate", g[0], g[1], n, 2e-6);
            assert_close("up", u[0], u[1], n, 2e-6);
        }
    float *all[] = {gate, up, d, g[0], g[1], u[0], u[1]};
    for (int i = 0; i < 7; i++)
        mem_free_pages(all[i], LONGEST * sizeof *gate);
}

static void attention_rows_agree(void **state)
{
    (void)state;
    enum { N = 144 };
    static const int spans[][2] = {{0, 1}, {0, 144}, {5, 6}, {17, 99}, {64, 130}, {0, 16}};
    float s[N], dp[N], p[2][N], ds[2][N];
    for (int i = 0; i < N; i++) {
        s[i] = 4 * gaussian();
        dp[i] = gaussian();
    }
    for (int t = 0; t < n_tables; t++)
        for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
            int first = spans[i][0], end = spans[i][1];
            tables[t]->softmax(s, 0.3f, first, end, N, p[0]);
            scalar->softmax(s, 0.3f, first, end, N, p[1]);
            assert_close("softmax", p[0], p[1], N, 2e-6);
            float sum = 0;
            for (int k = 0; k < N; k++) {
                sum += p[0][k];
                assert_true((k >= first && k < end) || p[0][k] == 0);
            }
            assert_float_equal(sum, 1, 1e-5);
            tables[t]->softmax_backward(p[0], dp, 0.3f, first, end, N, ds[0]);
            scalar->softmax_backward(p[1], dp, 0.3f, first, end, N, ds[1]);
            for (int k = 0; k < N; k++)
                assert_float_equal(ds[0][k], ds[1][k], 2e-6);
        }
}

static void columns_become_rows(void **state)
{
    (void)state;
    enum { ROWS = 70, COLUMNS = 37, STRIDE = 40, OUT_STRIDE = 160 };
    static uint8_t got[COLUMNS + 1][OUT_STRIDE * 4] __attribute__((aligned(64)));
    static uint8_t want[COLUMNS + 1][OUT_STRIDE * 4] __attribute__((aligned(64)));
    float *x = gaussians(ROWS * STRIDE);
    for (int t = 0; t < n_tables; t++)
        for (int k = 0; k < 2; k++) {
            slant_compute compute = k == 0 ? SLANT_COMPUTE_F32 : SLANT_COMPUTE_BF16;
            acts a = {.compute = compute, .n_in = ROWS, .stride = OUT_STRIDE, .data = got};
            acts b = a;
            b.data = want;
            memset(got, 0xA5, sizeof got);
            memset(want, 0xA5, sizeof want);
            tables[t]->transpose(x, STRIDE, ROWS, COLUMNS, &a, 1);
            scalar->transpose(x, STRIDE, ROWS, COLUMNS, &b, 1);
            assert_memory_equal(got, want, sizeof got);
            float first;
            memcpy(&first, (float *)(void *)got + OUT_STRIDE * 3 + 2, sizeof first);
            if (compute == SLANT_COMPUTE_F32)
                assert_float_equal(first, x[2 * STRIDE + 2], 0);
        }
    mem_free_pages(x, ROWS * STRIDE * sizeof *x);
}

/* --- dropout -----------------------------------------------------------------------------------
 */

enum { WORDS = (LONGEST + 15) / 16 };

static void dropout_is_equal_to_the_bit(void **state)
{
    (void)state;
    uint16_t dropped[2][WORDS];
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_SIZES; i++)
            for (uint32_t r = 0; r < 5; r++) {
                dropout_row row = row_of(r, 0.3f);
                int n = sizes[i];
                memset(dropped, 0xA5, sizeof dropped);
                tables[t]->dropout(&row, n, dropped[0]);
                scalar->dropout(&row, n, dropped[1]);
                for (int k = 0; k < n; k++)
                    assert_int_equal(dropped[0][k / 16] >> k % 16 & 1,
                                     dropped[1][k / 16] >> k % 16 & 1);
                for (int k = (n + 15) / 16; k < WORDS; k++)
                    assert_int_equal(dropped[0][k], 0xA5A5);
            }
}

static void only_what_is_kept_is_copied_and_added(void **state)
{
    (void)state;
    uint16_t dropped[WORDS], halves[LONGEST], copied[LONGEST];
    float x[LONGEST], y[LONGEST], sum[LONGEST];
    dropout_row row = row_of(1, 0.3f);
    scalar->dropout(&row, LONGEST, dropped);
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_SIZES; i++) {
            for (int k = 0; k < LONGEST; k++) {
                x[k] = y[k] = sum[k] = (float)k + 1;
                halves[k] = copied[k] = (uint16_t)(k + 1);
            }
            int n = sizes[i];
            tables[t]->copy_kept(dropped, x, SLANT_COMPUTE_F32, n, y);
            tables[t]->copy_kept(dropped, halves, SLANT_COMPUTE_BF16, n, copied);
            tables[t]->add_kept(dropped, x, n, sum);
            for (int k = 0; k < LONGEST; k++) {
                bool gone = k < n && dropped[k / 16] >> k % 16 & 1;
                assert_true(y[k] == (gone ? 0 : x[k]));
                assert_int_equal(copied[k], gone ? 0 : halves[k]);
                assert_true(sum[k] == (gone || k >= n ? x[k] : 2 * x[k]));
            }
        }
}

/* A shorter row drops what a longer one drops there; and rows drop as often as asked. */
/* The products of an adapter: both sides awkward, with and without dropout, nothing beyond. */
static void products_of_few_rows_agree(void **state)
{
    (void)state;
    static const int shapes[][3] = {
        {1, 1, 16}, {3, 8, 48}, {70, 16, 64}, {33, 17, 36}, {9, 40, 20}};
    enum { STRIDE = 80, MOST = 80, FIRST = 16 };
    float *left = gaussians(MOST * STRIDE), *rows = gaussians(MOST * STRIDE * 2);
    float *got = gaussians(MOST * STRIDE), *want = gaussians(MOST * STRIDE);
    dropout_bits dropped = make_dropped(MOST, FIRST + STRIDE);
    for (int i = 0; i < n_tables * 20; i++) {
        const gradient_table *t = tables[i / 20];
        const int *shape = shapes[i % 5];
        const dropout_bits *drop = i % 2 ? &dropped : NULL;
        bool outer = i / 5 % 2;
        memcpy(want, got, MOST * STRIDE * sizeof *got);
        for (int k = 0; k < 2; k++) {
            const gradient_table *one = k == 0 ? t : scalar;
            (outer ? one->outer : one->spread)(left, STRIDE, shape[1], rows, 2 * STRIDE, drop,
                                               shape[0], FIRST, shape[2], k == 0 ? got : want,
                                               STRIDE);
        }
        assert_close(outer ? "outer" : "spread", got, want, MOST * STRIDE, 1e-6);
    }
    mem_free(dropped.rows);
    mem_free_pages(left, MOST * STRIDE * sizeof *left);
    mem_free_pages(rows, MOST * STRIDE * 2 * sizeof *rows);
    mem_free_pages(got, MOST * STRIDE * sizeof *got);
    mem_free_pages(want, MOST * STRIDE * sizeof *want);
}

static void dropout_counts_from_the_rows_start(void **state)
{
    (void)state;
    enum { N = 4096 };
    uint16_t whole[N / 16], part[4];
    int64_t n_dropped = 0;
    for (uint32_t r = 0; r < 64; r++) {
        dropout_row row = row_of(r, 0.1f);
        tables[0]->dropout(&row, N, whole);
        tables[0]->dropout(&row, 64, part);
        assert_memory_equal(whole, part, sizeof part);
        for (int i = 0; i < N; i++)
            n_dropped += whole[i / 16] >> i % 16 & 1;
    }
    double share = (double)n_dropped / (64.0 * N);
    assert_true(fabs(share - 0.1) < 0.0025); /* four deviations of 262,144 draws */
}

/* --- the optimiser -----------------------------------------------------------------------------
 */

static void updates_agree(void **state)
{
    (void)state;
    adamw_step step = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.271f, 0.0547f, 0.5f};
    float *start = gaussians(LONGEST), *g = gaussians(LONGEST);
    float *x[2][3];
    for (int i = 0; i < 6; i++)
        x[i / 3][i % 3] = gaussians(LONGEST);
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < N_SIZES; i++) {
            size_t n = (size_t)sizes[i];
            for (int k = 0; k < 6; k++)
                for (size_t j = 0; j < LONGEST; j++)
                    x[k / 3][k % 3][j] = k % 3 == 2 ? start[j] * start[j] : start[j];
            tables[t]->adamw(&step, g, x[0][0], x[0][1], x[0][2], n);
            scalar->adamw(&step, g, x[1][0], x[1][1], x[1][2], n);
            for (int k = 0; k < 3; k++)
                assert_close("adamw", x[0][k], x[1][k], LONGEST, 1e-6);
            double sum = scalar->sum_of_squares(g, n);
            assert_true(fabs(tables[t]->sum_of_squares(g, n) - sum) <= 1e-12 * sum);
        }
    mem_free_pages(start, LONGEST * sizeof *start);
    mem_free_pages(g, LONGEST * sizeof *start);
    for (int i = 0; i < 6; i++)
        mem_free_pages(x[i / 3][i % 3], LONGEST * sizeof *start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transposed_panels_are_equal_to_the_bit),
        cmocka_unit_test(a_product_with_transposed_panels_is_one_with_the_transposed_matrix),
        cmocka_unit_test(int8_panels_are_accurate),
        cmocka_unit_test(numbers_survive_being_narrowed),
        cmocka_unit_test(norm_derivatives_agree),
        cmocka_unit_test(activation_derivatives_agree),
        cmocka_unit_test(attention_rows_agree),
        cmocka_unit_test(columns_become_rows),
        cmocka_unit_test(dropout_is_equal_to_the_bit),
        cmocka_unit_test(only_what_is_kept_is_copied_and_added),
        cmocka_unit_test(products_of_few_rows_agree),
        cmocka_unit_test(dropout_counts_from_the_rows_start),
        cmocka_unit_test(updates_agree),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
