/* Integer products. INT8 with vpdpbusd, which multiplies unsigned by signed bytes: the weights are
 * the unsigned side (panels hold weight + 128), four inputs of a token are broadcast as the signed
 * side, and a sum starts at −128 · Σx, so that it ends exact. INT16 with vpdpwssd, which takes
 * pairs of signed words. */
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

#define STEPS 8 /* of four or two inputs, unrolled */

/* `is_int8` is a constant wherever these stand. */
#define START(sum, i, j)                                                                           \
    sum = is_int8 ? (int_lanes)_mm512_set1_epi32(t->x_sums[i]) : (int_lanes){0};
#define MULTIPLY(sum, i, j)                                                                        \
    sum = (int_lanes)(is_int8 ? _mm512_dpbusd_epi32((__m512i)sum, w##j, dword)                     \
                              : _mm512_dpwssd_epi32((__m512i)sum, w##j, dword));
/* Broadcast as the instruction reads it, from memory. */
#define MULTIPLY_MEMORY(sum, i, j)                                                                 \
    {                                                                                              \
        if (is_int8)                                                                               \
            __asm__("vpdpbusd %2%{1to16%}, %1, %0"                                                 \
                    : "+v"(sum)                                                                    \
                    : "v"(w##j), "m"(TILE_DWORD(i, at)));                                          \
        else                                                                                       \
            __asm__("vpdpwssd %2%{1to16%}, %1, %0"                                                 \
                    : "+v"(sum)                                                                    \
                    : "v"(w##j), "m"(TILE_DWORD(i, at)));                                          \
    }
#define LOAD_PANEL(j) TILE_LOAD_PANEL_AT(j, 16 * at)
#define TOKEN(i)                                                                                   \
    if (i < tokens) {                                                                              \
        __m512i dword = _mm512_set1_epi32(TILE_DWORD(i, at));                                      \
        FOR_PANELS_OF(i, MULTIPLY)                                                                 \
    }

/* Token 0 is broadcast by each of its products instead of once for all of them. With six single
 * broadcasts a Golden Cove core falls into a rhythm of 203 cycles for 64 inputs of int8, and stays
 * in it; like this it keeps to the 192 that two products a cycle allow. */
TILE_FUNCTION tile_integers(const tile *t, int tokens, int panels, bool is_int8)
{
    TILE_SUMS(int_lanes, {0});
    __m512i w0 = _mm512_setzero_si512(), w1 = w0, w2 = w0, w3 = w0;
    TILE_START;
    const char *end = x + (is_int8 ? t->n : 2 * t->n);
    FOR_SUMS(START)
    do {
#pragma GCC unroll 8
        for (int at = 0; at < 4 * STEPS; at += 4) {
            FOR_PANELS(LOAD_PANEL)
            FOR_PANELS_OF(0, MULTIPLY_MEMORY)
            TOKEN(1)
            TOKEN(2)
            TOKEN(3)
            TOKEN(4)
            TOKEN(5)
        }
        TILE_ADVANCE(4 * STEPS, 64 * STEPS);
    } while (x < end);
    TILE_SCALE_SUMS;
}

TILE_FUNCTION tile_int8(const tile *t, int tokens, int panels)
{
    tile_integers(t, tokens, panels, true);
}
TILE_KERNELS(tile_int8)

TILE_FUNCTION tile_int16(const tile *t, int tokens, int panels)
{
    tile_integers(t, tokens, panels, false);
}
TILE_KERNELS(tile_int16)

void matmul_avx512vnni(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                       size_t out_stride, bool accumulate, void *scratch)
{
    tile_scratch *memory = scratch;
    bool is_int8 = w->compute == SLANT_COMPUTE_INT8;
    tile_walk c = {.kernels = is_int8 ? tile_int8_kernels : tile_int16_kernels,
                   .x_bytes = is_int8 ? 1 : 2,
                   .w_bytes = is_int8 ? KERNEL_PANEL : 2 * KERNEL_PANEL,
                   .x = x,
                   .token0 = token0,
                   .w = w,
                   .out = out,
                   .out_stride = out_stride,
                   .accumulate = accumulate,
                   .sums = &memory->sums,
                   .scales = memory};
    if (kernel_is_scaled(w->compute))
        run_tiles(&c, n_tokens);
    else
        matmul_float_avx512(x, token0, n_tokens, w, out, out_stride, accumulate);
}
