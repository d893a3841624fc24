/* Weights into panels with AVX2: NF4 straight from the packed nibbles, every other type through its
 * decoder and a transposition. fp32 and bf16 panels have the order that all tables share; int8
 * weights become int16 pairs [n_in / 2][16][2] for vpmaddwd, or bytes plus 128 [n_in / 4][16][4]
 * for vpdpbusd; INT16 weights are such pairs too. */
#include "kernels/expand_avx2.h"
#include "kernels/tables.h"
#include "quant/quant.h"

#include <math.h>

#define CODES_AHEAD (4 * BLOCK_CODES) /* of codes that are asked for before they are needed */

static float largest_of(weight_form form)
{
    return form == FORM_INT16 ? INT16_W_MAX : 127.0f;
}

/* ---- NF4 ---- */

/* Half a run: eight inputs of eight outputs in fp32, v[input]. */
static inline void nf4_half_float(const uint8_t *codes, const float *map, __m256 absmax,
                                  __m256 v[8])
{
    __m256i c = _mm256_loadu_si256((const __m256i *)codes);
    __m256 low = _mm256_loadu_ps(map), high = _mm256_loadu_ps(map + LANES);
    for (int b = 0; b < 4; b++) {
        __m256 first = look_up_float(_mm256_srli_epi32(c, 8 * b), low, high);
        __m256 second = look_up_float(_mm256_srli_epi32(c, 8 * b + 4), low, high);
        v[b] = _mm256_mul_ps(first, absmax);
        v[4 + b] = _mm256_mul_ps(second, absmax);
    }
}

/* One block of a panel; out at its first input. */
static void nf4_block_float(const uint8_t *codes, const float *map, const float *absmax,
                            slant_compute compute, char *out)
{
    __m256 v[8];
    bool is_bf16 = compute == SLANT_COMPUTE_BF16;
    for (int run = 0; run < BLOCK_CODES; run += RUN_CODES) {
        for (int half = 0; half < HALVES; half++) {
            nf4_half_float(codes + run + 32 * half, map, _mm256_loadu_ps(absmax + LANES * half), v);
            if (is_bf16)
                for (int i = 0; i < 8; i += 2)
                    _mm256_store_si256((__m256i *)(out + 32 * i + 32 * half),
                                       pair_bf16(v[i], v[i + 1]));
            else
                for (int i = 0; i < 8; i++)
                    _mm256_store_ps((float *)(out + 64 * i + 32 * half), v[i]);
        }
        out += is_bf16 ? 256 : 512;
    }
}

static void nf4_panel_float(const kernel_weight *w, int panel, const input_range *r,
                            slant_compute compute, char *out)
{
    float absmax[KERNEL_PANEL];
    size_t block_bytes = kernel_panel_bytes(compute, BLOCK, 1);
    for (int b = 0; b < r->length / BLOCK; b++, out += block_bytes) {
        read_absmax(w, panel, r->first / BLOCK + b, absmax);
        nf4_block_float(codes_of(w, panel, r->first / BLOCK + b), w->code_map, absmax, compute,
                        out);
    }
}

/* The NF4 values as integers (NF4_CODE_ONE), their low and their high bytes for vpshufb. */
typedef struct code_bytes {
    __m256i low, high;
    float largest; /* absolute value in the map */
} code_bytes;

static code_bytes code_bytes_of(const float *map)
{
    uint8_t low[16], high[16];
    float largest = 0;
    for (int c = 0; c < 16; c++)
        largest = fmaxf(largest, fabsf(map[c]));
    for (int c = 0; c < 16; c++) {
        int value = (int)rintf(map[c] * (NF4_CODE_ONE / largest));
        low[c] = (uint8_t)(value & 0xFF);
        high[c] = (uint8_t)((value >> 8) & 0xFF);
    }
    return (code_bytes){
        .low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)low)),
        .high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)high)),
        .largest = largest,
    };
}

/* The nibbles of four inputs of eight outputs as int16 pairs: [output][inputs 0, 1] into *first,
 * [output][inputs 2, 3] into *second. */
static inline void look_up_int16(__m256i nibbles, const code_bytes *table, __m256i *first,
                                 __m256i *second)
{
    __m256i low = _mm256_shuffle_epi8(table->low, nibbles);
    __m256i high = _mm256_shuffle_epi8(table->high, nibbles);
    __m256 a = _mm256_castsi256_ps(_mm256_unpacklo_epi8(low, high));
    __m256 b = _mm256_castsi256_ps(_mm256_unpackhi_epi8(low, high));
    *first = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    *second = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD));
}

/* A block of eight outputs as int16 pairs: register [run][pair] holds inputs 8 · run + 2 · pair and
 * the one after it. */
typedef struct nf4_words {
    __m256i v[8][4];
} nf4_words;

/* The words of each lane, exchanged. */
static inline __m256i exchange_words(__m256i v)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    return _mm256_shuffle_epi8(v, order);
}

/* Eight inputs, v [4], from 32 bytes of codes, and the three stages of the rotation that lie among
 * them. */
static inline void nf4_load_run(const uint8_t *codes, const code_bytes *table, __m256i *v)
{
    const __m256i mask = _mm256_set1_epi8(0x0F), signs = _mm256_set1_epi32((int)0xFFFF0001u);
    __m256i c = _mm256_loadu_si256((const __m256i *)codes), w[4];
    _mm_prefetch((const char *)codes + CODES_AHEAD, _MM_HINT_T0);
    look_up_int16(_mm256_and_si256(c, mask), table, &w[0], &w[1]);
    look_up_int16(_mm256_and_si256(_mm256_srli_epi16(c, 4), mask), table, &w[2], &w[3]);
    add_subtract(&w[0], &w[1]);
    add_subtract(&w[2], &w[3]);
    add_subtract(&w[0], &w[2]);
    add_subtract(&w[1], &w[3]);
    for (int pair = 0; pair < 4; pair++)
        v[pair] = _mm256_add_epi16(_mm256_sign_epi16(w[pair], signs), exchange_words(w[pair]));
}

/* The three stages across runs; gives each output's largest |sum|. */
static inline __m256 nf4_rotate_runs(nf4_words *words)
{
    __m256i largest = _mm256_setzero_si256();
    for (int pair = 0; pair < 4; pair++) {
        __m256i v[8];
        for (int run = 0; run < 8; run++)
            v[run] = words->v[run][pair];
        for (int stride = 1; stride < 8; stride *= 2)
            for (int run = 0; run < 8; run++)
                if (!(run & stride))
                    add_subtract(&v[run], &v[run + stride]);
        for (int run = 0; run < 8; run++) {
            largest = _mm256_max_epi16(largest, _mm256_abs_epi16(v[run]));
            words->v[run][pair] = v[run];
        }
    }
    largest = _mm256_max_epi16(largest, exchange_words(largest));
    return _mm256_cvtepi32_ps(_mm256_and_si256(largest, _mm256_set1_epi32(0xFFFF)));
}

/* ratio: of each output, in both words of its lane. */
static inline void nf4_store_block(const nf4_words *words, __m256i ratio, weight_form form,
                                   int8_t *out)
{
    size_t four_inputs = 4 * KERNEL_PANEL * bytes_of(form);
    for (int run = 0; run < 8; run++)
        for (int pair = 0; pair < 4; pair += 2, out += four_inputs)
            store_weights(_mm256_mulhrs_epi16(words->v[run][pair], ratio),
                          _mm256_mulhrs_epi16(words->v[run][pair + 1], ratio), form, out);
}

/* Eight outputs of one group of n_blocks: codes, absmax and out at the first of them. */
static void nf4_group(const uint8_t *codes, const float (*absmax)[KERNEL_PANEL], int n_blocks,
                      const code_bytes *table, weight_form form, int8_t *out, float *scales)
{
    nf4_words words[KERNEL_GROUP_MAX / BLOCK];
    __m256 largest = _mm256_setzero_ps();
    const __m256 least = _mm256_set1_ps(form == FORM_INT16 ? INT16_LEAST_SUM : NF4_CODE_ONE);
    const __m256 one = _mm256_set1_ps(form == FORM_INT16 ? INT16_RATIO_ONE : NF4_RATIO_ONE);
    for (int b = 0; b < n_blocks; b++) {
        for (int run = 0; run < 8; run++)
            nf4_load_run(codes + b * BLOCK_CODES + run * RUN_CODES, table, words[b].v[run]);
        __m256 sum = _mm256_max_ps(nf4_rotate_runs(&words[b]), least);
        __m256 size = _mm256_mul_ps(sum, abs_avx2(_mm256_loadu_ps(absmax[b])));
        largest = _mm256_max_ps(largest, size);
    }
    __m256 some = _mm256_cmp_ps(largest, _mm256_set1_ps(LEAST_ABSMAX), _CMP_GE_OQ);
    __m256 inverse = _mm256_and_ps(some, _mm256_div_ps(one, largest));
    for (int b = 0; b < n_blocks; b++) {
        __m256i ratio = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(absmax[b]), inverse));
        ratio = _mm256_blend_epi16(ratio, _mm256_slli_epi32(ratio, 16), 0xAA);
        nf4_store_block(&words[b], ratio, form,
                        out + (size_t)(b * BLOCK * KERNEL_PANEL) * bytes_of(form));
    }
    float to_scale = table->largest / (largest_of(form) * NF4_CODE_ONE * ROTATION_BLOCK);
    _mm256_storeu_ps(scales, _mm256_mul_ps(largest, _mm256_set1_ps(to_scale)));
}

static void nf4_panel_scaled(const kernel_weight *w, int panel, const input_range *r,
                             weight_form form, int8_t *out, float *scales)
{
    code_bytes table = code_bytes_of(w->code_map);
    float absmax[KERNEL_GROUP_MAX / BLOCK][KERNEL_PANEL];
    for (int g = 0; g < r->n_groups; g++) {
        int first = g * r->group, n_blocks = range_group_length(r, g) / BLOCK;
        int first_block = (r->first + first) / BLOCK;
        int8_t *group = out + (size_t)(first * KERNEL_PANEL) * bytes_of(form);
        for (int b = 0; b < n_blocks; b++)
            read_absmax(w, panel, first_block + b, absmax[b]);
        for (int half = 0; half < HALVES; half++)
            nf4_group(codes_of(w, panel, first_block) + HALF_BYTES * half,
                      (const float(*)[KERNEL_PANEL])(absmax[0] + LANES * half), n_blocks, &table,
                      form, group + HALF_BYTES * half, scales + g * KERNEL_PANEL + LANES * half);
    }
}

/* ---- rows of any other type ---- */

/* 16 outputs in fp32, [16][kernel_padded(n_in)], zeros where there is nothing. */
static void decode_panel(const kernel_weight *w, int panel, float *rows)
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

/* Lays 16 rows of n_dwords dwords, stride apart, into [n_dwords][16]. n_dwords % 8 == 0. */
static void interleave_rows(const uint32_t *rows, size_t stride, int n_dwords, void *out)
{
    __m256i tile[LANES], *to = out;
    for (int j = 0; j < n_dwords; j += LANES)
        for (int half = 0; half < HALVES; half++) {
            const uint32_t *from = rows + (size_t)(LANES * half) * stride + j;
            for (int o = 0; o < LANES; o++)
                tile[o] = _mm256_loadu_si256((const __m256i *)(from + (size_t)o * stride));
            transpose8(tile);
            for (int i = 0; i < LANES; i++)
                _mm256_store_si256(to + HALVES * (j + i) + half, tile[i]);
        }
}

/* rows: as decode_panel leaves them; overwritten. */
static void rows_panel_float(float *rows, size_t padded, const input_range *r,
                             slant_compute compute, void *out)
{
    int n_dwords = r->length;
    if (compute == SLANT_COMPUTE_BF16) {
        n_dwords = r->length / 2;
        for (int o = 0; o < KERNEL_PANEL; o++) {
            float *row = rows + (size_t)o * padded + r->first;
            for (int i = 0; i < r->length; i += 2 * LANES)
                _mm256_storeu_si256(
                    (__m256i *)((uint16_t *)row + i),
                    to_bf16(_mm256_loadu_ps(row + i), _mm256_loadu_ps(row + i + LANES)));
        }
    }
    interleave_rows((uint32_t *)rows + r->first, padded, n_dwords, out);
}

/* 16 floats rounded to words or to bytes plus 128. */
static inline void store_row_weights(__m256 first, __m256 second, weight_form form, int8_t *out)
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(first), _mm256_cvtps_epi32(second));
    words = _mm256_permute4x64_epi64(words, 0xD8);
    if (form != FORM_UNSIGNED) {
        _mm256_storeu_si256((__m256i *)out, words);
        return;
    }
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)out, _mm_xor_si128(bytes, _mm_set1_epi8((char)0x80)));
}

/* row [n] rotated and made integers with one scale, which is returned, in place of row's first
 * bytes. */
static float row_group(float *row, int n, weight_form form)
{
    __m256 largest = _mm256_setzero_ps(), v[ROTATION_BLOCK / LANES];
    for (int i = 0; i < n; i += ROTATION_BLOCK) {
        for (int j = 0; j < ROTATION_BLOCK / LANES; j++)
            v[j] = _mm256_loadu_ps(row + i + j * LANES);
        rotate_block_avx2(v);
        for (int j = 0; j < ROTATION_BLOCK / LANES; j++) {
            largest = _mm256_max_ps(largest, abs_avx2(v[j]));
            _mm256_storeu_ps(row + i + j * LANES, v[j]);
        }
    }
    float absmax = max_lanes(largest), most = largest_of(form);
    __m256 inverse = _mm256_set1_ps(absmax < LEAST_ABSMAX ? 0.0f : most / absmax);
    for (int i = 0; i < n; i += 2 * LANES)
        store_row_weights(_mm256_mul_ps(_mm256_loadu_ps(row + i), inverse),
                          _mm256_mul_ps(_mm256_loadu_ps(row + i + LANES), inverse), form,
                          (int8_t *)row + (size_t)i * bytes_of(form));
    return absmax / most / ROTATION_BLOCK;
}

static void rows_panel_scaled(float *rows, size_t padded, const input_range *r, weight_form form,
                              int8_t *out, float *scales)
{
    for (int g = 0; g < r->n_groups; g++) {
        int first = g * r->group, n = range_group_length(r, g);
        for (int o = 0; o < KERNEL_PANEL; o++) {
            float *row = rows + (size_t)o * padded + r->first + first;
            scales[g * KERNEL_PANEL + o] = row_group(row, n, form);
        }
        interleave_rows((uint32_t *)rows + r->first + first, padded, n * (int)bytes_of(form) / 4,
                        out + (size_t)(first * KERNEL_PANEL) * bytes_of(form));
    }
}

/* ---- panels ---- */

static void expand_panel_float(const kernel_weight *w, int panel, kernel_panels *out, int slot,
                               float *scratch)
{
    input_range r = panels_range(out);
    char *data = (char *)out->data + (size_t)slot * kernel_panel_bytes(out->compute, r.length, 1);
    if (w->type == DTYPE_NF4) {
        nf4_panel_float(w, panel, &r, out->compute, data);
    } else {
        decode_panel(w, panel, scratch);
        rows_panel_float(scratch, (size_t)kernel_padded(w->n_in), &r, out->compute, data);
    }
}

static void expand_panel_scaled(const kernel_weight *w, int panel, kernel_panels *out, int slot,
                                float *scratch, weight_form form)
{
    input_range r = panels_range(out);
    size_t panel_bytes = (size_t)(r.length * KERNEL_PANEL) * bytes_of(form);
    int8_t *data = (int8_t *)out->data + (size_t)slot * panel_bytes;
    float *scales = out->scales + (size_t)slot * (size_t)r.n_groups * KERNEL_PANEL;
    if (w->type == DTYPE_NF4) {
        nf4_panel_scaled(w, panel, &r, form, data, scales);
    } else {
        decode_panel(w, panel, scratch);
        rows_panel_scaled(scratch, (size_t)kernel_padded(w->n_in), &r, form, data, scales);
    }
}

/* form_of_int8: how INT8 weights are held. */
static void expand(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                   void *scratch, weight_form form_of_int8)
{
    weight_form form = out->compute == SLANT_COMPUTE_INT16 ? FORM_INT16 : form_of_int8;
    out->n_in = w->n_in;
    out->n_panels = n_panels;
    for (int p = 0; p < n_panels; p++)
        if (kernel_is_scaled(out->compute))
            expand_panel_scaled(w, first_panel + p, out, p, scratch, form);
        else
            expand_panel_float(w, first_panel + p, out, p, scratch);
}

void expand_int16_avx2(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                       void *scratch)
{
    expand(w, first_panel, n_panels, out, scratch, FORM_WORDS);
}

void expand_unsigned_avx2(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                          void *scratch)
{
    expand(w, first_panel, n_panels, out, scratch, FORM_UNSIGNED);
}
