/* The machine's peak: what a loop of independent multiply-add instructions reaches on every core at
 * once. It owns the yardstick that the comparison divides by, and nothing else; it is compiled by
 * compare.py for the machine that it runs on.
 *
 *     cc -O2 -march=native -fopenmp bench/peak.c -o peak && ./peak [THREADS]
 *
 * prints one JSON object: billions of operations per second (a multiply and an add are two) by
 * kind, 0 where the machine or the compiler has no such instruction. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CHAINS = 12, BLOCKS = 20000, REPEATS = 9 };

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Operands and sums stay opaque, so that the compiler can neither fold nor drop the loop; named
 * variables, because gcc keeps an array of sums in memory. */
#define KEEP(x) __asm__ volatile("" : "+v"(x))
#define KEEP3(x, y, z) __asm__ volatile("" : "+v"(x), "+v"(y), "+v"(z))
#define PEAK_LOOP(name, sum, operand, zero, first, second, step)                                   \
    static void name(void)                                                                         \
    {                                                                                              \
        operand a = first, b = second;                                                             \
        sum s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;                      \
        sum s6 = zero, s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero;                    \
                                                                                                   \
        KEEP(a);                                                                                   \
        KEEP(b);                                                                                   \
        for (int i = 0; i < BLOCKS; i++) {                                                         \
            s0 = step(s0, a, b), s1 = step(s1, a, b), s2 = step(s2, a, b);                         \
            s3 = step(s3, a, b), s4 = step(s4, a, b), s5 = step(s5, a, b);                         \
            s6 = step(s6, a, b), s7 = step(s7, a, b), s8 = step(s8, a, b);                         \
            s9 = step(s9, a, b), s10 = step(s10, a, b), s11 = step(s11, a, b);                     \
            KEEP3(s0, s1, s2);                                                                     \
            KEEP3(s3, s4, s5);                                                                     \
            KEEP3(s6, s7, s8);                                                                     \
            KEEP3(s9, s10, s11);                                                                   \
        }                                                                                          \
    }

#define FMA512(s, x, y) _mm512_fmadd_ps(x, y, s)
#define FMA256(s, x, y) _mm256_fmadd_ps(x, y, s)
#define DOT_BF16(s, x, y) _mm512_dpbf16_ps(s, (__m512bh)(x), (__m512bh)(y))

#if defined(__AVX512F__)
PEAK_LOOP(run_fp32, __m512, __m512, _mm512_setzero_ps(), _mm512_set1_ps(0.5f), _mm512_set1_ps(1),
          FMA512)
static const double fp32_ops = 2.0 * 16 * CHAINS * BLOCKS;
#elif defined(__FMA__)
PEAK_LOOP(run_fp32, __m256, __m256, _mm256_setzero_ps(), _mm256_set1_ps(0.5f), _mm256_set1_ps(1),
          FMA256)
static const double fp32_ops = 2.0 * 8 * CHAINS * BLOCKS;
#else
#define run_fp32 NULL
static const double fp32_ops = 0;
#endif

#if defined(__AVX512BF16__)
PEAK_LOOP(run_bf16, __m512, __m512i, _mm512_setzero_ps(), _mm512_set1_epi16(0x3f00),
          _mm512_set1_epi16(0x3f80), DOT_BF16)
static const double bf16_ops = 2.0 * 32 * CHAINS * BLOCKS;
#else
#define run_bf16 NULL
static const double bf16_ops = 0;
#endif

#if defined(__AVX512VNNI__)
PEAK_LOOP(run_int8, __m512i, __m512i, _mm512_setzero_si512(), _mm512_set1_epi8(3),
          _mm512_set1_epi8(-5), _mm512_dpbusd_epi32)
static const double int8_ops = 2.0 * 64 * CHAINS * BLOCKS;
#elif defined(__AVXVNNI__)
PEAK_LOOP(run_int8, __m256i, __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(3),
          _mm256_set1_epi8(-5), _mm256_dpbusd_avx_epi32)
static const double int8_ops = 2.0 * 32 * CHAINS * BLOCKS;
#else
#define run_int8 NULL
static const double int8_ops = 0;
#endif

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
/* Linux hands out the tile registers' state on request only. */
static int amx_allowed(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static void amx_configure(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    static const uint8_t zeros[1024];

    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = 64;
        config.rows[t] = 16;
    }
    /* gcc 12 believes that the instruction reads only the first eight bytes. */
    __asm__ volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(5, zeros, 64);
    _tile_loadd(6, zeros, 64);
    _tile_loadd(7, zeros, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Two rows of tiles times two columns, as a product would use them. */
static void run_amx_int8(void)
{
    amx_configure();
    for (int i = 0; i < BLOCKS; i++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
}

static void run_amx_bf16(void)
{
    amx_configure();
    for (int i = 0; i < BLOCKS; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}
static const double amx_int8_ops = 4.0 * 2 * 16 * 16 * 64 * BLOCKS;
static const double amx_bf16_ops = 4.0 * 2 * 16 * 16 * 32 * BLOCKS;
#else
static int amx_allowed(void)
{
    return 0;
}
#define run_amx_int8 NULL
#define run_amx_bf16 NULL
static const double amx_int8_ops = 0, amx_bf16_ops = 0;
#endif

/* The best of several repeats: a peak is what is left when nobody disturbs. */
static double measure_gops(void (*run)(void), double ops, int n_threads)
{
    double best = 0;

    if (!run)
        return 0;
    for (int r = 0; r < REPEATS; r++) {
        double start = 0, end = 0;

#pragma omp parallel num_threads(n_threads)
        {
            run(); /* wake the core up */
#pragma omp barrier
#pragma omp master
            start = seconds_now();
#pragma omp barrier
            for (int i = 0; i < 20; i++)
                run();
#pragma omp barrier
#pragma omp master
            end = seconds_now();
        }
        double gops = 20 * ops * n_threads / (end - start) * 1e-9;
        if (gops > best)
            best = gops;
    }
    return best;
}

int main(int argc, char **argv)
{
    int n_threads = argc > 1 ? atoi(argv[1]) : omp_get_num_procs();
    int amx = amx_allowed();

    printf(
        "{\"threads\": %d, \"fp32\": %.0f, \"bf16\": %.0f, \"int8\": %.0f, "
        "\"amx_bf16\": %.0f, \"amx_int8\": %.0f}\n",
        n_threads, measure_gops(run_fp32, fp32_ops, n_threads),
        measure_gops(run_bf16, bf16_ops, n_threads), measure_gops(run_int8, int8_ops, n_threads),
        amx ? measure_gops(run_amx_bf16, amx_bf16_ops, n_threads) : 0,
        amx ? measure_gops(run_amx_int8, amx_int8_ops, n_threads) : 0);
    return 0;
}
