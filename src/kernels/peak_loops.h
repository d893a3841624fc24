/* What the loops of all instruction sets share. A loop keeps PEAK_CHAINS sums going, each waiting
 * for itself alone: more than latency × throughput of any of these instructions. The sums have
 * names, because gcc keeps an array of them in memory, and the instructions are written out, so
 * that nothing is folded, dropped or turned into something else. */
#ifndef SLANT_KERNELS_PEAK_LOOPS_H
#define SLANT_KERNELS_PEAK_LOOPS_H

#include "kernels/peak.h"

#define PEAK_CHAINS 12

/* void name(int64_t n_rounds): step(sum, a, b) for each sum, a and b holding first and second. */
#define PEAK_LOOP(name, type, first, second, step)                                                 \
    void name(int64_t n_rounds)                                                                    \
    {                                                                                              \
        type a = first, b = second;                                                                \
        type s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a;                                       \
        type s6 = a, s7 = a, s8 = a, s9 = a, s10 = a, s11 = a;                                     \
        for (int64_t i = 0; i < n_rounds; i++) {                                                   \
            step(s0, a, b);                                                                        \
            step(s1, a, b);                                                                        \
            step(s2, a, b);                                                                        \
            step(s3, a, b);                                                                        \
            step(s4, a, b);                                                                        \
            step(s5, a, b);                                                                        \
            step(s6, a, b);                                                                        \
            step(s7, a, b);                                                                        \
            step(s8, a, b);                                                                        \
            step(s9, a, b);                                                                        \
            step(s10, a, b);                                                                       \
            step(s11, a, b);                                                                       \
        }                                                                                          \
    }

/* One instruction that multiplies and adds, in EVEX form where registers are "v". */
#define PEAK_FUSED(text, sum, a, b)                                                                \
    __asm__ volatile(text " %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))

void peak_fp32_scalar(int64_t n_rounds);
void peak_words_scalar(int64_t n_rounds);
void peak_fp32_avx2(int64_t n_rounds);
void peak_words_avx2(int64_t n_rounds);
void peak_int8_avxvnni(int64_t n_rounds);
void peak_int16_avxvnni(int64_t n_rounds);
void peak_fp32_avx512(int64_t n_rounds);
void peak_words_avx512(int64_t n_rounds);
void peak_int8_avx512vnni(int64_t n_rounds);
void peak_int16_avx512vnni(int64_t n_rounds);
void peak_bf16_avx512bf16(int64_t n_rounds);
void peak_int8_amx(int64_t n_rounds);
void peak_bf16_amx(int64_t n_rounds);

#endif
