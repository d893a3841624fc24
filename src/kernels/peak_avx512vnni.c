/* The peak of AVX-512 VNNI. */
#include "kernels/peak_loops.h"

#include <immintrin.h>

#define INT8(sum, a, b) PEAK_FUSED("vpdpbusd", sum, a, b)

PEAK_LOOP(peak_int8_avx512vnni, __m512i, _mm512_set1_epi8(3), _mm512_set1_epi8(-5), INT8)

#define INT16(sum, a, b) PEAK_FUSED("vpdpwssd", sum, a, b)

PEAK_LOOP(peak_int16_avx512vnni, __m512i, _mm512_set1_epi16(3), _mm512_set1_epi16(-5), INT16)
