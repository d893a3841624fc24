/* The peak of what every x86-64 has: SSE2, which compilers use for plain loops. */
#include "kernels/peak_loops.h"

#include <emmintrin.h>

#define MULTIPLY_ADD(type, multiply, add, sum, a, b)                                               \
    do {                                                                                           \
        type product = a;                                                                          \
        __asm__ volatile(multiply " %2, %1\n\t" add " %1, %0"                                      \
                         : "+x"(sum), "+x"(product)                                                \
                         : "x"(b));                                                                \
    } while (0)
#define FP32(sum, a, b) MULTIPLY_ADD(__m128, "mulps", "addps", sum, a, b)
#define WORDS(sum, a, b) MULTIPLY_ADD(__m128i, "pmaddwd", "paddd", sum, a, b)

PEAK_LOOP(peak_fp32_scalar, __m128, _mm_set1_ps(0.5f), _mm_set1_ps(1), FP32)
PEAK_LOOP(peak_words_scalar, __m128i, _mm_set1_epi16(3), _mm_set1_epi16(-5), WORDS)
