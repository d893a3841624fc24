/* The peak of AVX-512 without dot products of bytes: fp32 FMA, and pairs of 16 bits. */
#include "kernels/peak_loops.h"

#include <immintrin.h>

#define FP32(sum, a, b) PEAK_FUSED("vfmadd231ps", sum, a, b)
#define WORDS(sum, a, b)                                                                           \
    do {                                                                                           \
        __m512i pairs;                                                                             \
        __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"                                \
                         : "+v"(sum), "=&v"(pairs)                                                 \
                         : "v"(a), "v"(b));                                                        \
    } while (0)

PEAK_LOOP(peak_fp32_avx512, __m512, _mm512_set1_ps(0.5f), _mm512_set1_ps(1), FP32)
PEAK_LOOP(peak_words_avx512, __m512i, _mm512_set1_epi16(3), _mm512_set1_epi16(-5), WORDS)
