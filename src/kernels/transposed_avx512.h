/* How the transposed expansions find two outputs' codes among those of a panel. */
#ifndef SLANT_KERNELS_TRANSPOSED_AVX512_H
#define SLANT_KERNELS_TRANSPOSED_AVX512_H

#include "kernels/avx512.h"

/* Two runs of 64 bytes hold 16 inputs of 16 outputs: dword o of a run holds eight inputs of output
 * o, input j in nibble 2·(j % 4) + j / 4. Word 2·k of a result comes from the first output, word
 * 2·k + 1 from the second: which word of the runs holds input k's nibble, and how far up. */
typedef struct two_outputs {
    __m512i words, shifts;
} two_outputs;

static inline two_outputs two_outputs_start(void)
{
    short index[32], shift[32];
    for (int k = 0; k < 16; k++) {
        index[2 * k] = (short)(k / 8 * 32 + k % 4 / 2);
        index[2 * k + 1] = (short)(index[2 * k] + 2);
        shift[2 * k] = shift[2 * k + 1] = (short)(8 * (k % 2) + (k % 8 < 4 ? 0 : 4));
    }
    return (two_outputs){_mm512_loadu_si512(index), _mm512_loadu_si512(shift)};
}

/* Outputs o and o + 1 of the panel; codes: 128 bytes. Each word says in its low five bits where in
 * a table of 16 values of the first and 16 of the second its value stands. */
static inline __m512i two_outputs_codes(const two_outputs *at, const uint8_t *codes, int o)
{
    const __m512i nibble = _mm512_set1_epi16(15), second = _mm512_set1_epi32(0x00100000);
    __m512i index = _mm512_add_epi16(at->words, _mm512_set1_epi16((short)(2 * o)));
    __m512i held =
        _mm512_permutex2var_epi16(_mm512_loadu_si512(codes), index, _mm512_loadu_si512(codes + 64));
    held = _mm512_srlv_epi16(held, at->shifts);
    return _mm512_ternarylogic_epi32(held, nibble, second, 0xEA); /* (held & nibble) | second */
}

#endif
