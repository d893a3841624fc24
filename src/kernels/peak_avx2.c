/* The peak of AVX2: fp32 FMA, and what exact products of words, and of bytes, are made of there:
 * products of pairs and the addition of their sums. */
#include "kernels/peak_loops.h"

#include <immintrin.h>

#define FP32(sum, a, b) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))
#define WORDS(sum, a, b)                                                                           \
    do {                                                                                           \
        __m256i pairs;                                                                             \
        __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"                                \
                         : "+x"(sum), "=&x"(pairs)                                                 \
                         : "x"(a), "x"(b));                                                        \
    } while (0)

PEAK_LOOP(peak_fp32_avx2, __m256, _mm256_set1_ps(0.5f), _mm256_set1_ps(1), FP32)
PEAK_LOOP(peak_words_avx2, __m256i, _mm256_set1_epi16(3), _mm256_set1_epi16(-5), WORDS)
