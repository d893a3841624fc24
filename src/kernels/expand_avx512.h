/* Weights into panels with AVX-512: NF4 straight from the packed nibbles, every other type through
 * its decoder and a transposition. A panel's dword for inputs j and output o goes to [j][o]. */
#ifndef SLANT_KERNELS_EXPAND_AVX512_H
#define SLANT_KERNELS_EXPAND_AVX512_H

#include "kernels/avx512.h"
#include "quant/quant.h"

#define BLOCK 64                      /* inputs per NF4 absmax */
#define BLOCK_CODES 512               /* bytes of one block of a panel */
#define CODES_AHEAD (4 * BLOCK_CODES) /* of codes that are asked for before they are needed */

/* Reads the absmax of a panel's 16 outputs block by block. */
typedef struct absmax_reader {
    const kernel_weight *w;
    size_t at;           /* [panel][0][0] in absmax or absmax_codes */
    __mmask16 valid;     /* outputs that exist */
    __m512i first_block; /* flat number of each output's block 0 */
    __m512i nested_row;  /* which nested absmax is held */
    __m512 nested;
} absmax_reader;

static inline absmax_reader absmax_start(const kernel_weight *w, int panel)
{
    int n_blocks = w->n_in / BLOCK;
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i output = _mm512_add_epi32(lane, _mm512_set1_epi32(panel * KERNEL_PANEL));
    return (absmax_reader){
        .w = w,
        .at = (size_t)panel * (size_t)n_blocks * KERNEL_PANEL,
        .valid = first_lanes(w->n_out - panel * KERNEL_PANEL),
        .first_block = _mm512_mullo_epi32(output, _mm512_set1_epi32(n_blocks)),
        .nested_row = _mm512_set1_epi32(-1),
        .nested = _mm512_setzero_ps(),
    };
}

static inline __m512 absmax_of(absmax_reader *r, int block)
{
    size_t at = r->at + (size_t)block * KERNEL_PANEL;
    if (r->w->absmax)
        return _mm512_maskz_loadu_ps(r->valid, r->w->absmax + at);
    __m512i flat = _mm512_add_epi32(r->first_block, _mm512_set1_epi32(block));
    __m512i row = _mm512_srli_epi32(flat, 8);
    if (_mm512_cmpneq_epi32_mask(row, r->nested_row)) { /* once in 256 blocks of an output */
        r->nested_row = row;
        r->nested =
            _mm512_mask_i32gather_ps(_mm512_setzero_ps(), r->valid, row, r->w->nested_absmax, 4);
    }
    __m512i code =
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(r->w->absmax_codes + at)));
    __m512 map = _mm512_i32gather_ps(code, r->w->nested_map, 4);
    __m512 offset = _mm512_set1_ps(r->w->nested_offset);
    return _mm512_maskz_mov_ps(r->valid, _mm512_add_ps(_mm512_mul_ps(map, r->nested), offset));
}

/* The NF4 values as integers (NF4_CODE_ONE), twice, for a lookup by the low five bits of a word. */
static inline __m512i nf4_code_words(const float *code_map, float *code_max)
{
    __m512 map = _mm512_loadu_ps(code_map);
    *code_max = _mm512_reduce_max_ps(_mm512_abs_ps(map));
    __m512i words =
        _mm512_cvtps_epi32(_mm512_mul_ps(map, _mm512_set1_ps(NF4_CODE_ONE / *code_max)));
    __m256i half = _mm512_cvtepi32_epi16(words);
    return _mm512_inserti64x4(_mm512_castsi256_si512(half), half, 1);
}

/* A block of a panel as 16-bit integers. A word of codes holds the nibbles of inputs b, b + 4, b +
 * 1, b + 5 (b 0 or 2, by the word's place in its dword), from the bottom; so part p of run j holds
 * inputs 8 · j + b + 4 · (p & 1) + (p >> 1). */
typedef struct nf4_words {
    __m512i v[8][4]; /* [run][part] */
} nf4_words;

/* The empty statement keeps gcc from rearranging sums of sums, of which it would then make more. */
static inline void add_subtract(__m512i *a, __m512i *b)
{
    __m512i sum = _mm512_add_epi16(*a, *b);
    *b = _mm512_sub_epi16(*a, *b);
    *a = sum;
    __asm__("" : "+v"(*a), "+v"(*b));
}

/* The upper word of each dword of a against the lower one of b. */
static inline void exchange_words(__m512i *a, __m512i *b)
{
    const __m512i other =
        _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    __m512i upper = _mm512_mask_shuffle_epi8(*a, 0xCCCCCCCCCCCCCCCCu, *b, other);
    *b = _mm512_mask_shuffle_epi8(*b, 0x3333333333333333u, *a, other);
    *a = upper;
}

/* Looks a run's nibbles up where a shift brings them to the bottom (the table answers to the low
 * five bits, its halves are equal), and takes two stages of the rotation: inputs 1 and 4 apart. */
static inline void nf4_load_run(const uint8_t *codes, __m512i table, __m512i *w0, __m512i *w1,
                                __m512i *w2, __m512i *w3)
{
    __m512i c = _mm512_loadu_si512(codes);
    _mm_prefetch((const char *)codes + CODES_AHEAD, _MM_HINT_T0);
    *w0 = _mm512_permutexvar_epi16(c, table);
    *w1 = _mm512_permutexvar_epi16(_mm512_srli_epi16(c, 4), table);
    *w2 = _mm512_permutexvar_epi16(_mm512_srli_epi16(c, 8), table);
    *w3 = _mm512_permutexvar_epi16(_mm512_srli_epi16(c, 12), table);
    add_subtract(w0, w1);
    add_subtract(w2, w3);
    add_subtract(w0, w2);
    add_subtract(w1, w3);
}

/* One part of two runs: inputs 8 apart, then 2 apart. The latter are the words of a dword, so half
 * of them change places first, and stay there until nf4_store_runs. */
static inline void nf4_rotate_two(__m512i *first, __m512i *second)
{
    add_subtract(first, second);
    exchange_words(first, second);
    add_subtract(first, second);
}

/* Inputs 32 apart, and the largest |sum|: the larger of |a + b| and |a − b| is |a| + |b|. */
static inline __m512i nf4_join(__m512i *first, __m512i *second, __m512i v, __m512i largest)
{
    __m512i a = *first;
    __m512i larger = _mm512_add_epi16(_mm512_abs_epi16(a), _mm512_abs_epi16(v));
    add_subtract(&a, &v);
    *first = a;
    *second = v;
    return _mm512_max_epi16(largest, larger);
}

/* Four runs, with all stages between them. gcc keeps arrays in memory, so registers have names,
 * v<run><part>. */
#define NF4_LOAD(r) nf4_load_run(codes + 64 * (r), table, &v##r##0, &v##r##1, &v##r##2, &v##r##3)
#define NF4_STAGES(p)                                                                              \
    nf4_rotate_two(&v0##p, &v1##p);                                                                \
    nf4_rotate_two(&v2##p, &v3##p);                                                                \
    add_subtract(&v0##p, &v2##p);                                                                  \
    add_subtract(&v1##p, &v3##p)
#define NF4_HALF                                                                                   \
    __m512i v00, v01, v02, v03, v10, v11, v12, v13, v20, v21, v22, v23, v30, v31, v32, v33;        \
    NF4_LOAD(0);                                                                                   \
    NF4_LOAD(1);                                                                                   \
    NF4_LOAD(2);                                                                                   \
    NF4_LOAD(3);                                                                                   \
    NF4_STAGES(0);                                                                                 \
    NF4_STAGES(1);                                                                                 \
    NF4_STAGES(2);                                                                                 \
    NF4_STAGES(3)
#define NF4_STORE(r)                                                                               \
    words->v[r][0] = v##r##0, words->v[r][1] = v##r##1, words->v[r][2] = v##r##2,                  \
    words->v[r][3] = v##r##3
#define NF4_JOIN(r)                                                                                \
    largest0 = nf4_join(&words->v[r][0], &words->v[4 + r][0], v##r##0, largest0);                  \
    largest1 = nf4_join(&words->v[r][1], &words->v[4 + r][1], v##r##1, largest1);                  \
    largest0 = nf4_join(&words->v[r][2], &words->v[4 + r][2], v##r##2, largest0);                  \
    largest1 = nf4_join(&words->v[r][3], &words->v[4 + r][3], v##r##3, largest1)

static inline void nf4_first_half(const uint8_t *codes, __m512i table, nf4_words *words)
{
    NF4_HALF;
    NF4_STORE(0);
    NF4_STORE(1);
    NF4_STORE(2);
    NF4_STORE(3);
}

static inline __m512i nf4_second_half(const uint8_t *codes, __m512i table, nf4_words *words)
{
    __m512i largest0 = _mm512_setzero_si512(), largest1 = largest0;
    NF4_HALF;
    NF4_JOIN(0);
    NF4_JOIN(1);
    NF4_JOIN(2);
    NF4_JOIN(3);
    return _mm512_max_epi16(largest0, largest1);
}

/* A block, rotated; gives each output's largest |sum|. */
static inline __m512 nf4_rotated_block(const uint8_t *codes, __m512i table, nf4_words *words)
{
    nf4_first_half(codes, table, words);
    __m512i largest = nf4_second_half(codes + BLOCK_CODES / 2, table, words);
    largest = _mm512_max_epi16(largest, _mm512_rol_epi32(largest, 16));
    return _mm512_cvtepi32_ps(_mm512_and_si512(largest, _mm512_set1_epi32(0xFFFF)));
}

/* The low bytes of two registers' words, scaled: a's below b's. */
static inline __m512i nf4_scale_words(__m512i a, __m512i b, __m512i ratio)
{
    const __m512i lower =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14));
    return _mm512_mask_shuffle_epi8(_mm512_mulhrs_epi16(a, ratio), 0xAAAAAAAAAAAAAAAAu,
                                    _mm512_mulhrs_epi16(b, ratio), lower);
}

/* Parts part and part + 2 of two runs to bytes by their output's ratio, in the panel's order. */
static inline void nf4_store_runs(const nf4_words *words, int run, int part, __m512i ratio,
                                  __m512i flip, int8_t *out)
{
    __m512i first = nf4_scale_words(words->v[run][part], words->v[run][part + 2], ratio);
    __m512i second = nf4_scale_words(words->v[run + 1][part], words->v[run + 1][part + 2], ratio);
    exchange_words(&first, &second);
    _mm512_store_si512(out, _mm512_xor_si512(first, flip));
    _mm512_store_si512(out + 128, _mm512_xor_si512(second, flip));
}

static inline void nf4_store_block(const nf4_words *words, __m512i ratio, __m512i flip, int8_t *out)
{
    for (int run = 0; run < 8; run += 2, out += 256) {
        nf4_store_runs(words, run, 0, ratio, flip, out);
        nf4_store_runs(words, run, 1, ratio, flip, out + 64);
    }
}

/* The same as words: two runs' pairs of inputs 2 · pair and 2 · pair + 1, where `low` holds both
 * runs' even inputs and `high` their odd ones. */
static inline void nf4_store_pairs(__m512i low, __m512i high, __m512i ratio, int pair, int16_t *out)
{
    exchange_words(&low, &high);
    _mm512_store_si512(out + 32 * pair, _mm512_mulhrs_epi16(low, ratio));
    _mm512_store_si512(out + 32 * (4 + pair), _mm512_mulhrs_epi16(high, ratio));
}

static inline void nf4_store_block_int16(const nf4_words *words, __m512i ratio, int16_t *out)
{
    for (int run = 0; run < 8; run += 2, out += 256)
        for (int half = 0; half < 2; half++) /* of a run: inputs 0 … 3, then 4 … 7 */
            for (int pair = 0; pair < 2; pair++)
                nf4_store_pairs(words->v[run + pair][half], words->v[run + pair][half + 2], ratio,
                                2 * half + pair, out);
}

/* Blocks first_block … + n_blocks, one group of a panel: INT8 into out, or INT16. */
static inline void nf4_group(absmax_reader *reader, const uint8_t *codes, int first_block,
                             int n_blocks, __m512i table, float code_max, bool is_int8,
                             __m512i flip, int8_t *out, float *scales)
{
    nf4_words words[KERNEL_GROUP_MAX / BLOCK];
    __m512 absmax[KERNEL_GROUP_MAX / BLOCK], largest = _mm512_setzero_ps();
    const __m512 least = _mm512_set1_ps(is_int8 ? NF4_CODE_ONE : INT16_LEAST_SUM);
    for (int b = 0; b < n_blocks; b++) {
        __m512 sum = nf4_rotated_block(codes + b * BLOCK_CODES, table, &words[b]);
        sum = _mm512_max_ps(sum, least);
        absmax[b] = absmax_of(reader, first_block + b);
        largest = _mm512_max_ps(largest, _mm512_mul_ps(sum, _mm512_abs_ps(absmax[b])));
    }
    __mmask16 some = _mm512_cmp_ps_mask(largest, _mm512_set1_ps(LEAST_ABSMAX), _CMP_GE_OQ);
    __m512 one = _mm512_set1_ps(is_int8 ? NF4_RATIO_ONE : INT16_RATIO_ONE);
    __m512 inverse = _mm512_maskz_div_ps(some, one, largest);
    for (int b = 0; b < n_blocks; b++) {
        __m512i ratio = _mm512_cvtps_epi32(_mm512_mul_ps(absmax[b], inverse));
        ratio = _mm512_mask_blend_epi16(0xAAAAAAAAu, ratio, _mm512_slli_epi32(ratio, 16));
        if (is_int8)
            nf4_store_block(&words[b], ratio, flip, out + b * BLOCK * KERNEL_PANEL);
        else
            nf4_store_block_int16(&words[b], ratio, (int16_t *)out + b * BLOCK * KERNEL_PANEL);
    }
    float w_max = is_int8 ? 127.0f : INT16_W_MAX;
    const __m512 to_scale = _mm512_set1_ps(code_max / (w_max * NF4_CODE_ONE * ROTATION_BLOCK));
    _mm512_storeu_ps(scales, _mm512_mul_ps(largest, to_scale));
}

static inline void nf4_panel(const kernel_weight *w, int panel, const input_range *r, bool is_int8,
                             __m512i flip, int8_t *out, float *scales)
{
    float code_max;
    int w_bytes = is_int8 ? KERNEL_PANEL : 2 * KERNEL_PANEL;
    __m512i table = nf4_code_words(w->code_map, &code_max);
    absmax_reader reader = absmax_start(w, panel);
    const uint8_t *codes = w->data + (size_t)panel * (size_t)(w->n_in / BLOCK) * BLOCK_CODES;
    for (int g = 0; g < r->n_groups; g++) {
        int first = g * r->group, block = (r->first + first) / BLOCK;
        nf4_group(&reader, codes + (size_t)block * BLOCK_CODES, block,
                  range_group_length(r, g) / BLOCK, table, code_max, is_int8, flip,
                  out + first * w_bytes, scales + g * KERNEL_PANEL);
    }
}

/* Rows of any type: 16 outputs in fp32, [16][kernel_padded(n_in)], zeros where there is nothing. */
static inline void decode_panel(const kernel_weight *w, int panel, float *rows)
{
    size_t padded = (size_t)kernel_padded(w->n_in);
    const dtype_info *info = dtype_get(w->type);
    size_t row_bytes = (size_t)(w->n_in / info->block_values) * (size_t)info->block_bytes;
    for (int o = 0; o < KERNEL_PANEL; o++) {
        int output = panel * KERNEL_PANEL + o;
        float *row = rows + (size_t)o * padded;
        int n = output < w->n_out ? w->n_in : 0;
        if (n > 0)
            quant_get(w->type)->decode_row(w->data + (size_t)output * row_bytes, row, (size_t)n);
        for (size_t k = (size_t)n; k < padded; k++)
            row[k] = 0.0f;
    }
}

/* values [n], rotated in place, to integers up to w_max with one scale, over the first bytes of
 * out: INT8, flipped, or INT16. */
static inline float row_group(float *values, int n, bool is_int8, __m128i flip, void *out)
{
    __m512 largest = _mm512_setzero_ps(), v[ROTATION_BLOCK / LANES];
    for (int i = 0; i < n; i += ROTATION_BLOCK) {
        for (int j = 0; j < ROTATION_BLOCK / LANES; j++)
            v[j] = _mm512_loadu_ps(values + i + j * LANES);
        rotate_block_avx512(v);
        for (int j = 0; j < ROTATION_BLOCK / LANES; j++) {
            largest = _mm512_max_ps(largest, _mm512_abs_ps(v[j]));
            _mm512_storeu_ps(values + i + j * LANES, v[j]);
        }
    }
    float absmax = _mm512_reduce_max_ps(largest), w_max = is_int8 ? 127.0f : INT16_W_MAX;
    __m512 inverse = _mm512_set1_ps(absmax < LEAST_ABSMAX ? 0.0f : w_max / absmax);
    for (int i = 0; i < n; i += LANES) {
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(values + i), inverse));
        if (is_int8)
            _mm_storeu_si128((__m128i *)((int8_t *)out + i),
                             _mm_xor_si128(_mm512_cvtsepi32_epi8(q), flip));
        else
            _mm256_storeu_si256((__m256i *)((int16_t *)out + i), _mm512_cvtsepi32_epi16(q));
    }
    return absmax / w_max / ROTATION_BLOCK;
}

/* Lays 16 rows of n_dwords dwords, stride apart, into [n_dwords][16]. n_dwords % 16 == 0. */
static inline void interleave_rows(const uint32_t *rows, size_t stride, int n_dwords, void *out)
{
    __m512i tile[16];
    for (int j = 0; j < n_dwords; j += 16) {
        for (int o = 0; o < 16; o++)
            tile[o] = _mm512_loadu_si512(rows + (size_t)o * stride + j);
        transpose16(tile);
        for (int i = 0; i < 16; i++)
            _mm512_store_si512((char *)out + (size_t)(j + i) * 64, tile[i]);
    }
}

static inline void rows_panel(float *rows, size_t padded, const input_range *r, bool is_int8,
                              __m512i flip, int8_t *out, float *scales)
{
    int element = is_int8 ? 1 : 2;
    for (int g = 0; g < r->n_groups; g++) {
        int first = g * r->group, n = range_group_length(r, g);
        for (int o = 0; o < KERNEL_PANEL; o++) {
            float *row = rows + (size_t)o * padded + r->first + first;
            scales[g * KERNEL_PANEL + o] =
                row_group(row, n, is_int8, _mm512_castsi512_si128(flip), row);
        }
        interleave_rows((uint32_t *)rows + r->first + first, padded, n * element / 4,
                        out + first * element * KERNEL_PANEL);
    }
}

/* INT8 and INT16 panels; flip is XORed into every weight of INT8: 0x80 gives weight + 128 for
 * unsigned operands. */
static inline void expand_scaled_avx512(const kernel_weight *w, int first_panel, int n_panels,
                                        kernel_panels *out, void *scratch, __m512i flip)
{
    input_range r = panels_range(out);
    bool is_int8 = out->compute == SLANT_COMPUTE_INT8;
    for (int p = 0; p < n_panels; p++) {
        int8_t *data =
            (int8_t *)out->data + (size_t)p * kernel_panel_bytes(out->compute, r.length, 1);
        float *scales = out->scales + (size_t)p * (size_t)r.n_groups * KERNEL_PANEL;
        if (w->type == DTYPE_NF4) {
            nf4_panel(w, first_panel + p, &r, is_int8, flip, data, scales);
        } else {
            decode_panel(w, first_panel + p, scratch);
            rows_panel(scratch, (size_t)kernel_padded(w->n_in), &r, is_int8, flip, data, scales);
        }
    }
}

#endif
