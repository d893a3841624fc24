/* What the AVX2 expansions share: how NF4 blocks are read and integer weights stored. */
#ifndef SLANT_KERNELS_EXPAND_AVX2_H
#define SLANT_KERNELS_EXPAND_AVX2_H

#include "kernels/avx2.h"

#define BLOCK 64        /* inputs per NF4 absmax */
#define BLOCK_CODES 512 /* bytes of one block of a panel */
#define RUN_CODES 64    /* bytes of 8 inputs of a panel */
#define HALVES 2        /* registers of 8 outputs to a panel */
#define HALF_BYTES 32

/* Integer weights as a table holds them: INT8 as bytes plus 128 or as words, and INT16. */
typedef enum weight_form { FORM_UNSIGNED, FORM_WORDS, FORM_INT16 } weight_form;

static inline size_t bytes_of(weight_form form)
{
    return form == FORM_UNSIGNED ? 1 : 2;
}

/* The absmax of a panel's 16 outputs for one block, 0 where there is no output. */
static inline void read_absmax(const kernel_weight *w, int panel, int block,
                               float absmax[KERNEL_PANEL])
{
    int n_blocks = w->n_in / BLOCK, first = panel * KERNEL_PANEL;
    size_t at = ((size_t)panel * (size_t)n_blocks + (size_t)block) * KERNEL_PANEL;
    for (int o = 0; o < KERNEL_PANEL; o++) {
        size_t flat = (size_t)(first + o) * (size_t)n_blocks + (size_t)block;
        if (first + o >= w->n_out)
            absmax[o] = 0.0f;
        else if (w->absmax)
            absmax[o] = w->absmax[at + (size_t)o];
        else
            absmax[o] =
                w->nested_map[w->absmax_codes[at + (size_t)o]] * w->nested_absmax[flat / 256] +
                w->nested_offset;
    }
}

static inline const uint8_t *codes_of(const kernel_weight *w, int panel, int block)
{
    size_t n_blocks = (size_t)(w->n_in / BLOCK);
    return w->data + ((size_t)panel * n_blocks + (size_t)block) * BLOCK_CODES;
}

/* Dwords whose low four bits choose among 16 floats. */
static inline __m256 look_up_float(__m256i code, __m256 map_low, __m256 map_high)
{
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(map_low, code),
                            _mm256_permutevar8x32_ps(map_high, code), upper);
}

static inline void add_subtract(__m256i *a, __m256i *b)
{
    __m256i sum = _mm256_add_epi16(*a, *b);
    *b = _mm256_sub_epi16(*a, *b);
    *a = sum;
}

/* Int16 pairs of four inputs of eight outputs, half a panel, to where the table wants them; out at
 * the first of the inputs. */
static inline void store_weights(__m256i first, __m256i second, weight_form form, int8_t *out)
{
    if (form != FORM_UNSIGNED) {
        _mm256_store_si256((__m256i *)out, first);
        _mm256_store_si256((__m256i *)(out + 64), second);
        return;
    }
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    __m256i bytes = _mm256_shuffle_epi8(_mm256_packs_epi16(first, second), order);
    _mm256_store_si256((__m256i *)out, _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)));
}

#endif
