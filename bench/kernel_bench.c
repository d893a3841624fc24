/* How near the kernels come to the machine: the products of a Llama-3.2-1B layer, expansion of the
 * NF4 weights included, and attention, norm and SwiGLU, per instruction set, as a share of what a
 * loop of independent instructions reaches on the same threads in the same run.
 *
 *     kernel_bench [ISA [COMPUTE [THREADS]]]      e.g. kernel_bench avx512bf16 int8 2
 *
 * Weights are random; time is the best of several runs (of one thread: processor time). */
#include "base/mem.h"
#include "base/thread.h"
#include "kernels/kernels.h"
#include "quant/nf4.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_TOKENS = 1024, REPEATS = 7 };

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One thread is timed by the processor time it used, so that neighbours disturb less. */
static double best_of(int n_threads, void (*body)(void *, int, int), void *context)
{
    clockid_t clock = n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    double best = 1e30, start = seconds_of(CLOCK_MONOTONIC);
    for (int i = 0; i < REPEATS || seconds_of(CLOCK_MONOTONIC) - start < 0.3; i++) {
        double before = seconds_of(clock);
        thread_run(n_threads, body, context);
        double seconds = seconds_of(clock) - before;
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* ---- peaks: twelve independent chains ---- */

#define PEAK(name, isa, type, zero, op)                                                            \
    __attribute__((target(isa))) static void name(void *context, int thread, int n_threads)        \
    {                                                                                              \
        (void)context, (void)thread, (void)n_threads;                                              \
        type a = zero, s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a;                             \
        type s6 = a, s7 = a, s8 = a, s9 = a, s10 = a, s11 = a;                                     \
        for (int i = 0; i < PEAK_ROUNDS; i++) {                                                    \
            op(s0);                                                                                \
            op(s1);                                                                                \
            op(s2);                                                                                \
            op(s3);                                                                                \
            op(s4);                                                                                \
            op(s5);                                                                                \
            op(s6);                                                                                \
            op(s7);                                                                                \
            op(s8);                                                                                \
            op(s9);                                                                                \
            op(s10);                                                                               \
            op(s11);                                                                               \
        }                                                                                          \
    }
#define PEAK_ROUNDS 100000
#define FMA_Y(s) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(s) : "v"(a))
#define DPBUSD(s) __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(s) : "v"(a))
#define DPBUSD_Y(s) __asm__ volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(s) : "x"(a))
/* What an AVX2 product of bytes is made of: pairs of 16 bits, and the addition of their sums. */
#define MADD_Y(s)                                                                                  \
    do {                                                                                           \
        __m256i pairs;                                                                             \
        __asm__ volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0"                                \
                         : "+x"(s), "=&x"(pairs)                                                   \
                         : "x"(a));                                                                \
    } while (0)
#define DPBF16(s) __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(s) : "v"(a))

PEAK(peak_fma256, "avx2,fma", __m256, _mm256_setzero_ps(), FMA_Y)
PEAK(peak_madd256, "avx2", __m256i, _mm256_setzero_si256(), MADD_Y)
PEAK(peak_vnni256, "avx2,avxvnni", __m256i, _mm256_setzero_si256(), DPBUSD_Y)
PEAK(peak_fma512, "avx512f", __m512, _mm512_setzero_ps(), FMA_Y)
PEAK(peak_vnni512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), DPBUSD)
PEAK(peak_bf16512, "avx512f,avx512bf16", __m512i, _mm512_setzero_si512(), DPBF16)

typedef struct tile_config {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

__attribute__((target("amx-tile"))) static void configure_tiles(void)
{
    tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
    _tile_zero(4);
    _tile_zero(6);
}

__attribute__((target("amx-tile,amx-int8"))) static void peak_amx_int8(void *context, int thread,
                                                                       int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    configure_tiles();
    for (int i = 0; i < PEAK_ROUNDS / 10; i++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 6);
        _tile_dpbssd(2, 4, 6);
        _tile_dpbssd(3, 4, 6);
    }
    _tile_release();
}

__attribute__((target("amx-tile,amx-bf16"))) static void peak_amx_bf16(void *context, int thread,
                                                                       int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    configure_tiles();
    for (int i = 0; i < PEAK_ROUNDS / 10; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 6);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 6);
    }
    _tile_release();
}

static const struct {
    const char *isa;
    slant_compute compute;
    void (*loop)(void *, int, int);
    double operations; /* of one call */
} peaks[] = {
    {"amx", SLANT_COMPUTE_INT8, peak_amx_int8, PEAK_ROUNDS / 10 * 4.0 * 16 * 16 * 64 * 2},
    {"amx", SLANT_COMPUTE_BF16, peak_amx_bf16, PEAK_ROUNDS / 10 * 4.0 * 16 * 16 * 32 * 2},
    {"avx512bf16", SLANT_COMPUTE_INT8, peak_vnni512, PEAK_ROUNDS * 12.0 * 64 * 2},
    {"avx512bf16", SLANT_COMPUTE_BF16, peak_bf16512, PEAK_ROUNDS * 12.0 * 32 * 2},
    {"avx512vnni", SLANT_COMPUTE_INT8, peak_vnni512, PEAK_ROUNDS * 12.0 * 64 * 2},
    {"avx512", SLANT_COMPUTE_AUTO, peak_fma512, PEAK_ROUNDS * 12.0 * 16 * 2},
    {"avxvnni", SLANT_COMPUTE_INT8, peak_vnni256, PEAK_ROUNDS * 12.0 * 32 * 2},
    {"avx2", SLANT_COMPUTE_INT8, peak_madd256, PEAK_ROUNDS * 12.0 * 16 * 2},
    {"avx2", SLANT_COMPUTE_AUTO, peak_fma256, PEAK_ROUNDS * 12.0 * 8 * 2},
};

/* The instructions that a table's products are made of; where it has none of its own, fp32 FMA. */
static double peak_of(const char *isa, slant_compute compute, int n_threads, const char **what)
{
    int chosen = -1;
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++)
        if (strcmp(peaks[i].isa, isa) == 0 && peaks[i].compute == compute)
            chosen = (int)i;
    *what = chosen >= 0 ? "its own instructions" : "fp32 FMA";
    const char *fallback =
        strncmp(isa, "avx2", 4) == 0 || strcmp(isa, "avxvnni") == 0 ? "avx2" : "avx512";
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks && chosen < 0; i++)
        if (strcmp(peaks[i].isa, fallback) == 0 && peaks[i].compute == SLANT_COMPUTE_AUTO)
            chosen = (int)i;
    return n_threads * peaks[chosen].operations / best_of(n_threads, peaks[chosen].loop, NULL);
}

/* ---- products ---- */

typedef struct product {
    const kernel_table *k;
    kernel_weight w;
    acts x;
    int n_tokens, block_panels, block_groups;
    float *out;
    struct {
        void *panels, *expand, *matmul;
        float *scales;
    } memory[8];
    bool expand_only, matmul_only;
} product;

static void run_product(void *context, int thread, int n_threads)
{
    product *p = context;
    int first, end, n_groups = kernel_n_groups(p->w.n_in);
    thread_share(p->w.n_out / KERNEL_PANEL, 4, thread, n_threads, &first, &end);
    kernel_panels panels = {.compute = p->x.compute,
                            .data = p->memory[thread].panels,
                            .scales = p->memory[thread].scales};
    panels.n_in = p->w.n_in;
    for (int panel = first; panel < end; panel += p->block_panels)
        for (int g = 0; g < n_groups; g += p->block_groups) {
            int n = end - panel < p->block_panels ? end - panel : p->block_panels;
            panels.first_group = g;
            panels.n_groups = n_groups - g < p->block_groups ? n_groups - g : p->block_groups;
            panels.n_panels = n;
            if (!p->matmul_only)
                p->k->expand(&p->w, panel, n, &panels, p->memory[thread].expand);
            if (!p->expand_only)
                p->k->matmul(&p->x, 0, p->n_tokens, &panels, p->out + panel * KERNEL_PANEL,
                             (size_t)p->w.n_out, g > 0, p->memory[thread].matmul);
        }
}

static size_t element_bytes(slant_compute compute)
{
    return compute == SLANT_COMPUTE_INT8 ? 1 : compute == SLANT_COMPUTE_BF16 ? 2 : 4;
}

static void random_bytes(void *memory, size_t n)
{
    static uint32_t state = 1;
    uint8_t *bytes = memory;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
    }
}

static kernel_weight random_weight(int n_out, int n_in)
{
    size_t n_codes = nf4_panel_code_bytes(n_out, n_in), n_absmax = nf4_panel_n_absmax(n_out, n_in);
    uint8_t *codes = mem_alloc_pages(n_codes), *absmax = mem_alloc_pages(n_absmax);
    size_t n_nested = (size_t)nf4_n_nested((int64_t)n_out * n_in);
    float *nested = mem_alloc_pages(n_nested * sizeof *nested);
    random_bytes(codes, n_codes);
    random_bytes(absmax, n_absmax);
    for (size_t i = 0; i < n_nested; i++)
        nested[i] = 0.01f;
    return (kernel_weight){.n_out = n_out,
                           .n_in = n_in,
                           .type = DTYPE_NF4,
                           .data = codes,
                           .absmax_codes = absmax,
                           .nested_absmax = nested,
                           .nested_map = nf4_dynamic_map,
                           .code_map = nf4_codes,
                           .nested_offset = 0.05f};
}

static acts random_acts(const kernel_table *k, slant_compute compute, int n_tokens, int n_in)
{
    acts a = {.compute = compute, .n_in = n_in, .stride = kernel_acts_stride(compute, n_in)};
    size_t n_groups = (size_t)n_tokens * (size_t)kernel_n_groups(n_in);
    a.data = mem_alloc_pages((size_t)n_tokens * a.stride * element_bytes(compute));
    a.scales = mem_alloc_pages(n_groups * sizeof(float));
    a.sums = mem_alloc_pages(n_groups * sizeof(int32_t));
    float *row = mem_alloc_pages((size_t)n_in * sizeof *row);
    uint8_t *bytes = mem_alloc_pages((size_t)n_in);
    for (int t = 0; t < n_tokens; t++) {
        random_bytes(bytes, (size_t)n_in);
        for (int i = 0; i < n_in; i++)
            row[i] = (float)bytes[i] / 128.0f - 1.0f;
        k->quantise(row, (size_t)n_in, 1, &a, t);
    }
    mem_free_pages(row, (size_t)n_in * sizeof *row);
    mem_free_pages(bytes, (size_t)n_in);
    return a;
}

/* Everything is given back to the system at the end of the process. */
static void bench_product(const kernel_table *k, slant_compute compute, int n_in, int n_out,
                          int n_threads, double peak)
{
    static const int token_counts[] = {64, 512, 1024};
    product p = {.k = k,
                 .w = random_weight(n_out, n_in),
                 .x = random_acts(k, compute, MAX_TOKENS, n_in),
                 .out = mem_alloc_pages((size_t)MAX_TOKENS * (size_t)n_out * sizeof(float))};
    const char *groups = getenv("BLOCK_INPUTS"), *bytes = getenv("BLOCK_KB");
    int n_inputs = groups ? atoi(groups) : 2048, kilobytes = bytes ? atoi(bytes) : 512;
    p.block_groups = n_inputs / kernel_group(n_in);
    size_t one = k->panel_bytes(compute, n_inputs < n_in ? n_inputs : n_in, 1);
    p.block_panels = (int)((size_t)kilobytes * 1024 / one) / 4 * 4;
    p.block_panels = p.block_panels < 4 ? 4 : p.block_panels;
    for (int t = 0; t < n_threads; t++) {
        p.memory[t].panels = mem_alloc_pages(k->panel_bytes(compute, n_in, p.block_panels));
        p.memory[t].scales = mem_alloc_pages((size_t)(p.block_panels * kernel_n_groups(n_in)) *
                                             KERNEL_PANEL * sizeof(float));
        p.memory[t].expand = mem_alloc_pages(kernel_expand_scratch_bytes(n_in));
        p.memory[t].matmul = mem_alloc_pages(KERNEL_MATMUL_SCRATCH);
    }
    for (size_t i = 0; i < sizeof token_counts / sizeof *token_counts; i++) {
        p.n_tokens = token_counts[i];
        double operations = 2.0 * n_in * n_out * p.n_tokens;
        p.expand_only = p.matmul_only = false;
        double seconds = best_of(n_threads, run_product, &p);
        p.expand_only = true;
        double expansion = best_of(n_threads, run_product, &p);
        p.expand_only = false, p.matmul_only = true;
        double multiplication = best_of(n_threads, run_product, &p);
        printf(
            "  %4d x %4d  %4d tokens  %8.3f ms  %7.0f GOP/s  %5.1f %% of peak   "
            "(expand %.3f ms, multiply %.3f ms: %.1f %%)\n",
            n_in, n_out, p.n_tokens, 1e3 * seconds, 1e-9 * operations / seconds,
            100 * operations / seconds / peak, 1e3 * expansion, 1e3 * multiplication,
            100 * operations / multiplication / peak);
    }
    for (int t = 0; t < n_threads; t++)
        mem_free_pages(p.memory[t].panels, k->panel_bytes(compute, n_in, p.block_panels));
}

static void bench_products(const kernel_table *k, slant_compute compute, int n_threads)
{
    static const int shapes[][2] = {{2048, 2048}, {2048, 512}, {2048, 8192}, {8192, 2048}};
    static const char *names[] = {"auto", "int8", "bf16", "fp32"};
    const char *what;
    double peak = peak_of(k->name, compute, n_threads, &what);
    printf("%s %s, %d thread%s: peak %.0f GOP/s (%s)\n", k->name, names[compute], n_threads,
           n_threads > 1 ? "s" : "", 1e-9 * peak, what);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_product(k, compute, shapes[i][0], shapes[i][1], n_threads, peak);
}

int main(int argc, char **argv)
{
    static const char *names[] = {"auto", "int8", "bf16", "fp32"};
    const kernel_table *tables[16];
    int n = kernel_tables(tables, 16);
    for (int i = 0; i < n; i++) {
        if (strcmp(tables[i]->name, "scalar") == 0 ||
            (argc > 1 && strcmp(argv[1], tables[i]->name) != 0))
            continue;
        for (int c = SLANT_COMPUTE_INT8; c <= SLANT_COMPUTE_F32; c++) {
            if (argc > 2 && strcmp(argv[2], names[c]) != 0)
                continue;
            for (int threads = 1; threads <= thread_available() && threads <= 8; threads *= 2)
                if (argc <= 3 || atoi(argv[3]) == threads)
                    bench_products(tables[i], (slant_compute)c, threads);
        }
    }
    return 0;
}
