/* The peak of AVX-512 BF16. */
#include "kernels/peak_loops.h"

#include <immintrin.h>

#define BF16_HALF 0x3f00
#define BF16_ONE 0x3f80
#define BF16(sum, a, b) PEAK_FUSED("vdpbf16ps", sum, a, b)

PEAK_LOOP(peak_bf16_avx512bf16, __m512i, _mm512_set1_epi16(BF16_HALF), _mm512_set1_epi16(BF16_ONE),
          BF16)
