/* The peak of AVX-VNNI. */
#include "kernels/peak_loops.h"

#include <immintrin.h>

#define INT8(sum, a, b) __asm__ volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))

#define INT16(sum, a, b)                                                                           \
    __asm__ volatile("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))

PEAK_LOOP(peak_int8_avxvnni, __m256i, _mm256_set1_epi8(3), _mm256_set1_epi8(-5), INT8)
PEAK_LOOP(peak_int16_avxvnni, __m256i, _mm256_set1_epi16(3), _mm256_set1_epi16(-5), INT16)
