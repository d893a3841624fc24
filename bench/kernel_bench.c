/* How near the kernels come to the machine: the products of a layer of Llama-3.2-1B and of the
 * embedded model, expansion of the NF4 weights included, per instruction set, as a share of what a
 * loop of independent instructions reaches on the same threads in the same run.
 *
 *     kernel_bench [ISA [COMPUTE [THREADS]]]      e.g. kernel_bench avx512bf16 int8 2
 *
 * Weights are random; time is the best of several runs (of one thread: processor time). */
#include "base/mem.h"
#include "base/thread.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "quant/nf4.h"

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
    a.data = mem_alloc_pages((size_t)n_tokens * a.stride * kernel_element_bytes(compute));
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
    static const int shapes[][2] = {{2048, 2048}, {2048, 512}, {2048, 8192}, {8192, 2048},
                                    {576, 576},   {576, 1536}, {1536, 576}};
    const peak_loop *loop = peak_loop_of(k->name, compute);
    double peak = peak_measure(loop, n_threads);
    printf("%s %s, %d thread%s: peak %.0f GOP/s (%s)\n", k->name, kernel_compute_name(compute),
           n_threads, n_threads > 1 ? "s" : "", 1e-9 * peak, loop->instruction);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_product(k, compute, shapes[i][0], shapes[i][1], n_threads, peak);
}

int main(int argc, char **argv)
{
    const kernel_table *tables[16];
    int n = kernel_tables(tables, 16);
    for (int i = 0; i < n; i++) {
        if (strcmp(tables[i]->name, "scalar") == 0 ||
            (argc > 1 && strcmp(argv[1], tables[i]->name) != 0))
            continue;
        for (int c = SLANT_COMPUTE_INT8; c <= SLANT_COMPUTE_F32; c++) {
            if (argc > 2 && strcmp(argv[2], kernel_compute_name(c)) != 0)
                continue;
            for (int threads = 1; threads <= thread_available() && threads <= 8; threads *= 2)
                if (argc <= 3 || atoi(argv[3]) == threads)
                    bench_products(tables[i], (slant_compute)c, threads);
        }
    }
    return 0;
}
