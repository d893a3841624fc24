/* Which loop stands for which products, and its timing. */
#include "kernels/peak.h"

#include "base/thread.h"
#include "kernels/peak_loops.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define RUN_SECONDS 1.5e-3
enum { N_RUNS = 60, FIRST_ROUNDS = 2000 };

/* Of one round, in lanes × (multiply and add) × chains; a tile product is 16 × 16 lanes wide. */
#define LANES(n) (2.0 * (n) * PEAK_CHAINS)
#define TILES(n_inputs) (4 * 2.0 * 16 * 16 * (n_inputs))

static const peak_loop fp32_scalar = {"mulps, addps xmm", LANES(4), peak_fp32_scalar};
static const peak_loop words_scalar = {"pmaddwd, paddd xmm", LANES(8), peak_words_scalar};
static const peak_loop fp32_avx2 = {"vfmadd231ps ymm", LANES(8), peak_fp32_avx2};
static const peak_loop words_avx2 = {"vpmaddwd, vpaddd ymm", LANES(16), peak_words_avx2};
static const peak_loop int8_avxvnni = {"vpdpbusd ymm", LANES(32), peak_int8_avxvnni};
static const peak_loop int16_avxvnni = {"vpdpwssd ymm", LANES(16), peak_int16_avxvnni};
static const peak_loop fp32_avx512 = {"vfmadd231ps zmm", LANES(16), peak_fp32_avx512};
static const peak_loop words_avx512 = {"vpmaddwd, vpaddd zmm", LANES(32), peak_words_avx512};
static const peak_loop int8_avx512vnni = {"vpdpbusd zmm", LANES(64), peak_int8_avx512vnni};
static const peak_loop int16_avx512vnni = {"vpdpwssd zmm", LANES(32), peak_int16_avx512vnni};
static const peak_loop bf16_avx512bf16 = {"vdpbf16ps zmm", LANES(32), peak_bf16_avx512bf16};
static const peak_loop int8_amx = {"tdpbssd", TILES(64), peak_int8_amx};
static const peak_loop bf16_amx = {"tdpbf16ps", TILES(32), peak_bf16_amx};

/* bf16 without an instruction of its own is widened and multiplied in fp32, and INT8 as INT16. */
static const struct {
    const char *isa;
    const peak_loop *int8, *int16, *bf16, *fp32;
} loops[] = {
    {"scalar", &words_scalar, &words_scalar, &fp32_scalar, &fp32_scalar},
    {"avx2", &words_avx2, &words_avx2, &fp32_avx2, &fp32_avx2},
    {"avxvnni", &int8_avxvnni, &int16_avxvnni, &fp32_avx2, &fp32_avx2},
    {"avx512", &words_avx512, &words_avx512, &fp32_avx512, &fp32_avx512},
    {"avx512vnni", &int8_avx512vnni, &int16_avx512vnni, &fp32_avx512, &fp32_avx512},
    {"avx512bf16", &int8_avx512vnni, &int16_avx512vnni, &bf16_avx512bf16, &fp32_avx512},
    {"amx", &int8_amx, &int16_avx512vnni, &bf16_amx, &fp32_avx512},
};

const peak_loop *peak_loop_of(const char *isa, slant_compute compute)
{
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (strcmp(loops[i].isa, isa) == 0)
            return compute == SLANT_COMPUTE_INT8    ? loops[i].int8
                   : compute == SLANT_COMPUTE_INT16 ? loops[i].int16
                   : compute == SLANT_COMPUTE_BF16  ? loops[i].bf16
                                                    : loops[i].fp32;
    return NULL;
}

/* Of this thread alone: what others do on its core meanwhile is no part of the peak. */
static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct peak_run {
    const peak_loop *loop;
    int64_t n_rounds;
    _Atomic int64_t rate; /* operations per second, of all threads together */
} peak_run;

static void run_share(void *context, int thread, int n_threads)
{
    peak_run *run = context;
    double start = thread_seconds();
    run->loop->run(run->n_rounds);
    double rate = run->loop->operations * (double)run->n_rounds / (thread_seconds() - start);
    atomic_fetch_add(&run->rate, (int64_t)rate);
    (void)thread, (void)n_threads;
}

/* Rounds that take RUN_SECONDS, as far as powers of two go. */
static int64_t enough_rounds(const peak_loop *loop)
{
    for (int64_t n_rounds = FIRST_ROUNDS;; n_rounds *= 2) {
        double start = thread_seconds();
        loop->run(n_rounds);
        if (thread_seconds() - start >= RUN_SECONDS)
            return n_rounds;
    }
}

double peak_measure(const peak_loop *loop, int n_threads)
{
    peak_run run = {.loop = loop, .n_rounds = enough_rounds(loop)};
    int64_t best = 0;
    for (int i = 0; i < N_RUNS; i++) {
        atomic_store(&run.rate, 0);
        thread_run(n_threads, run_share, &run);
        int64_t rate = atomic_load(&run.rate);
        best = rate > best ? rate : best;
    }
    return (double)best;
}
