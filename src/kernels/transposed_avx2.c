/* Panels of a transposed weight with AVX2. A panel holds 16 inputs of w, each over all outputs:
 * fp32 [n_out][16], bf16 [n_out / 2][16][2], and INT8 from NF4 as words [n_out / 2][16][2] or as
 * bytes plus 128 [n_out / 4][16][4]; gradients_internal.h has the arithmetic of INT8. */
#include "kernels/expand_avx2.h"
#include "kernels/gradients_internal.h"
#include "kernels/transposed.h"

#include <math.h>
#include <string.h>

enum {
    SPAN = ROTATION_BLOCK, /* outputs that are rotated together */
    SPANS = KERNEL_GROUP_MAX / SPAN,
    QUARTERS = BLOCK / KERNEL_PANEL,
    RUNS = BLOCK_CODES / RUN_CODES
};

/* The panels of the result that take their inputs from one block of w: quarters first … end - 1 of
 * it, whose panels start at `panel` of the result. */
typedef struct block_part {
    int block, first, end, panel;
} block_part;

static block_part part_of(int block, int first_panel, int end_panel)
{
    int from = block * QUARTERS > first_panel ? block * QUARTERS : first_panel;
    int to = (block + 1) * QUARTERS < end_panel ? (block + 1) * QUARTERS : end_panel;
    return (block_part){block, from - block * QUARTERS, to - block * QUARTERS, from - first_panel};
}

/* --- fp32 and bf16 ------------------------------------------------------------------------------
 */

/* Eight inputs of two outputs, the first one's line at `line`. */
static inline void store_pair(__m256 first, __m256 second, slant_compute compute,
                              const panel_writer *w, char *line)
{
    if (compute == SLANT_COMPUTE_BF16) {
        _mm256_store_si256((__m256i *)line, pair_bf16(first, second));
    } else {
        _mm256_store_ps((float *)line, first);
        _mm256_store_ps((float *)(line + w->line_bytes), second);
    }
}

/* The 16 values that an output's codes of one block choose from. */
typedef struct output_values {
    __m256 low, high;
    const uint8_t *codes; /* the output's dword of run 0 */
} output_values;

static inline output_values values_of(const float *map, float absmax, const uint8_t *codes, int o)
{
    __m256 by = _mm256_set1_ps(absmax);
    return (output_values){_mm256_mul_ps(_mm256_loadu_ps(map), by),
                           _mm256_mul_ps(_mm256_loadu_ps(map + LANES), by), codes + 4 * o};
}

/* Its eight inputs of one run. */
static inline __m256 run_values(const output_values *v, int run)
{
    const __m256i shifts = _mm256_setr_epi32(0, 8, 16, 24, 4, 12, 20, 28);
    int32_t dword;
    memcpy(&dword, v->codes + run * RUN_CODES, sizeof dword);
    return look_up_float(_mm256_srlv_epi32(_mm256_set1_epi32(dword), shifts), v->low, v->high);
}

/* Outputs o and o + 1 of a panel of outputs, which is the range's from o0 on. */
static void nf4_pair(const output_values v[2], const block_part *part, slant_compute compute,
                     const panel_writer *w, int o)
{
    for (int q = part->first; q < part->end; q++)
        for (int half = 0; half < HALVES; half++) {
            __m256 first = run_values(&v[0], 2 * q + half),
                   second = run_values(&v[1], 2 * q + half);
            char *line = line_at(w, part->panel + q - part->first, o) + HALF_BYTES * half;
            store_pair(first, second, compute, w, line);
        }
}

static void nf4_outputs(const kernel_weight *weight, int o_panel, int o0, const block_part *part,
                        slant_compute compute, const panel_writer *w)
{
    float absmax[KERNEL_PANEL];
    read_absmax(weight, o_panel, part->block, absmax);
    const uint8_t *codes = codes_of(weight, o_panel, part->block);
    for (int o = 0; o < KERNEL_PANEL; o += 2) {
        const output_values v[2] = {values_of(weight->code_map, absmax[o], codes, o),
                                    values_of(weight->code_map, absmax[o + 1], codes, o + 1)};
        nf4_pair(v, part, compute, w, o0 + o);
    }
}

/* One row of a weight of another type in fp32: where it lies, or decoded. */
typedef struct plain_row {
    const float *values; /* from input `column` on; NULL: no such output */
    const uint16_t *dropped;
} plain_row;

/* The inputs that panels first … + n_panels need: whole blocks of 64, as far as there are any. */
typedef struct input_span {
    int column, n;
} input_span;

static input_span span_of(const kernel_weight *w, int first_panel, int n_panels)
{
    int first = first_panel * KERNEL_PANEL / BLOCK * BLOCK;
    int end = ((first_panel + n_panels) * KERNEL_PANEL + BLOCK - 1) / BLOCK * BLOCK;
    return (input_span){first, (end < w->n_in ? end : w->n_in) - first};
}

static plain_row row_of(const kernel_weight *w, const dropout_bits *dropped, int o, input_span span,
                        float *scratch)
{
    plain_row row = {.values = scratch};
    if (o >= w->n_out)
        return (plain_row){0};
    if (dropped != NULL)
        row.dropped = dropped->rows + (size_t)o * dropped->stride;
    if (w->type == DTYPE_F32)
        row.values =
            (const float *)(const void *)w->data + (size_t)o * (size_t)w->n_in + span.column;
    else
        weight_decode_span(w, o, span.column, span.n, scratch);
    return row;
}

/* Eight of its inputs from `input` on: zeros where there is none, or it is dropped. */
static inline __m256 eight_of(const plain_row *row, input_span span, int input)
{
    int at = input - span.column;
    if (row->values == NULL)
        return _mm256_setzero_ps();
    __m256 v = load_first(row->values + at, span.n - at);
    if (row->dropped == NULL || at >= span.n)
        return v;
    return _mm256_and_ps(v, kept_of((unsigned)row->dropped[input / 16] >> input % 16));
}

static void plain_outputs(const kernel_weight *weight, const dropout_bits *dropped,
                          const input_range *r, int first_panel, int n_panels,
                          slant_compute compute, const panel_writer *w, float *scratch)
{
    input_span span = span_of(weight, first_panel, n_panels);
    float *second_row = scratch + (size_t)n_panels * KERNEL_PANEL + 2 * BLOCK;
    for (int o = 0; o < r->length; o += 2) {
        plain_row rows[2] = {row_of(weight, dropped, r->first + o, span, scratch),
                             row_of(weight, dropped, r->first + o + 1, span, second_row)};
        for (int i = 0; i < n_panels * HALVES; i++) {
            int input = first_panel * KERNEL_PANEL + i * LANES;
            __m256 first = eight_of(&rows[0], span, input);
            __m256 second = eight_of(&rows[1], span, input);
            char *line = line_at(w, i / HALVES, o) + HALF_BYTES * (i % HALVES);
            store_pair(first, second, compute, w, line);
        }
    }
}

static void expand_float(const kernel_weight *weight, const dropout_bits *dropped, int first_panel,
                         int n_panels, kernel_panels *out, void *scratch)
{
    input_range r = panels_range(out);
    panel_writer w = writer_of(out, r.length);
    int end_panel = first_panel + n_panels, n_blocks = weight->n_in / BLOCK, o = 0;
    if (weight->type != DTYPE_NF4) {
        plain_outputs(weight, dropped, &r, first_panel, n_panels, out->compute, &w, scratch);
        return;
    }
    for (; o < r.length && r.first + o < weight->n_out; o += KERNEL_PANEL)
        for (int b = first_panel / QUARTERS; b * QUARTERS < end_panel && b < n_blocks; b++) {
            block_part part = part_of(b, first_panel, end_panel);
            nf4_outputs(weight, (r.first + o) / KERNEL_PANEL, o, &part, out->compute, &w);
        }
    zero_lines(&w, n_panels, o, r.length);
}

/* --- INT8 ---------------------------------------------------------------------------------------
 */

/* An order of 16 inputs: 0 … 3, 8 … 11, 4 … 7, 12 … 15. Two outputs' words, interleaved lane by
 * lane, then give eight inputs in order, and the other eight. */

/* SPAN outputs against one block: words[q][o] holds output o's inputs of quarter q. */
typedef struct turned_span {
    __m256i words[QUARTERS][SPAN];
    __m256 sums[QUARTERS][HALVES]; /* the largest |word| of each input */
    float largest;                 /* |absmax| of these outputs */
} turned_span;

/* The low and the high bytes of an output's 16 values as integers by `inverse`, in both lanes. */
static inline void byte_tables(const float *map, float inverse, __m256i *low, __m256i *high)
{
    __m256 by = _mm256_set1_ps(inverse);
    __m256i first = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(map), by));
    __m256i second = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(map + LANES), by));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(first, second), 0xD8);
    __m256i bytes = _mm256_and_si256(words, _mm256_set1_epi16(0xFF));
    *low = _mm256_permute4x64_epi64(_mm256_packus_epi16(bytes, bytes), 0x88);
    bytes = _mm256_srli_epi16(words, 8);
    *high = _mm256_permute4x64_epi64(_mm256_packus_epi16(bytes, bytes), 0x88);
}

/* nibbles: inputs 0 … 3 of each run, or 4 … 7. Runs 0, 1 and 4, 5 into *even, the others into *odd.
 */
static inline void look_up_words(__m256i nibbles, __m256i low, __m256i high, __m256i *even,
                                 __m256i *odd)
{
    __m256i low_bytes = _mm256_shuffle_epi8(low, nibbles);
    __m256i high_bytes = _mm256_shuffle_epi8(high, nibbles);
    *even = _mm256_unpacklo_epi8(low_bytes, high_bytes);
    *odd = _mm256_unpackhi_epi8(low_bytes, high_bytes);
}

/* One output's 64 inputs. codes: its dword of each run. */
static inline void output_words(__m256i codes, const float *map, float inverse, turned_span *t,
                                int o)
{
    const __m256i mask = _mm256_set1_epi8(0x0F);
    __m256i low, high, first[2], last[2];
    byte_tables(map, inverse, &low, &high);
    look_up_words(_mm256_and_si256(codes, mask), low, high, &first[0], &first[1]);
    look_up_words(_mm256_and_si256(_mm256_srli_epi16(codes, 4), mask), low, high, &last[0],
                  &last[1]);
    for (int i = 0; i < 2; i++) {
        t->words[i][o] = _mm256_permute2x128_si256(first[i], last[i], 0x20);
        t->words[2 + i][o] = _mm256_permute2x128_si256(first[i], last[i], 0x31);
    }
}

static void panel_words(const uint8_t *codes, const float *map, const float *inverse,
                        turned_span *t, int o0)
{
    __m256i dwords[RUNS];
    for (int half = 0; half < HALVES; half++) {
        for (int run = 0; run < RUNS; run++)
            dwords[run] =
                _mm256_loadu_si256((const __m256i *)(codes + run * RUN_CODES + half * HALF_BYTES));
        transpose8(dwords);
        for (int o = 0; o < LANES; o++)
            output_words(dwords[o], map, inverse[half * LANES + o], t, o0 + half * LANES + o);
    }
}

/* Outputs first … first + SPAN, as integers against their largest |absmax|. */
static void read_span(const kernel_weight *w, int first, int block, float code_max, turned_span *t)
{
    float absmax[SPAN] = {0};
    t->largest = 0;
    for (int o = 0; o < SPAN && first + o < w->n_out; o += KERNEL_PANEL)
        read_absmax(w, (first + o) / KERNEL_PANEL, block, absmax + o);
    for (int o = 0; o < SPAN; o++)
        t->largest = fmaxf(t->largest, fabsf(absmax[o]));
    float inverse = t->largest < LEAST_ABSMAX ? 0.0f : NF4_CODE_ONE / (t->largest * code_max);
    for (int o = 0; o < SPAN; o++)
        absmax[o] *= inverse;
    for (int o = 0; o < SPAN; o += KERNEL_PANEL) {
        if (first + o < w->n_out)
            panel_words(codes_of(w, (first + o) / KERNEL_PANEL, block), w->code_map, absmax + o, t,
                        o);
        else
            for (int q = 0; q < QUARTERS; q++)
                memset(t->words[q] + o, 0, KERNEL_PANEL * sizeof **t->words);
    }
}

/* Eight registers, `stride` apart, against each other. */
static inline void rotate_eight(__m256i *words, int stride, __m256i *largest)
{
    __m256i v[8];
    for (int i = 0; i < 8; i++)
        v[i] = words[i * stride];
    for (int apart = 1; apart < 8; apart *= 2)
        for (int i = 0; i < 8; i++)
            if (!(i & apart))
                add_subtract(&v[i], &v[i + apart]);
    for (int i = 0; i < 8; i++) {
        *largest = _mm256_max_epi16(*largest, _mm256_abs_epi16(v[i]));
        words[i * stride] = v[i];
    }
}

/* Over the span's outputs; sums [HALVES] are those of inputs 0 … 7 and 8 … 15. */
static void rotate_span(__m256i words[SPAN], __m256 sums[HALVES])
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i passing = zero, largest = zero;
    for (int i = 0; i < SPAN; i += 8)
        rotate_eight(words + i, 1, &passing);
    for (int i = 0; i < 8; i++)
        rotate_eight(words + i, 8, &largest);
    sums[0] = _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(largest, zero));
    sums[1] = _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(largest, zero));
}

/* The span's words scaled, as weights of the panel; out at its first output. */
static void store_span(const __m256i words[SPAN], __m256i ratio, weight_form form, int8_t *out)
{
    size_t four_outputs = 4 * KERNEL_PANEL * bytes_of(form);
    for (int o = 0; o < SPAN; o += 4, out += four_outputs) {
        __m256i a = _mm256_mulhrs_epi16(words[o], ratio);
        __m256i b = _mm256_mulhrs_epi16(words[o + 1], ratio);
        __m256i c = _mm256_mulhrs_epi16(words[o + 2], ratio);
        __m256i d = _mm256_mulhrs_epi16(words[o + 3], ratio);
        store_weights(_mm256_unpacklo_epi16(a, b), _mm256_unpacklo_epi16(c, d), form, out);
        store_weights(_mm256_unpackhi_epi16(a, b), _mm256_unpackhi_epi16(c, d), form,
                      out + HALF_BYTES);
    }
}

/* One panel's group of n_spans. */
static void store_group(const turned_span *spans, int n_spans, int q, float code_max,
                        weight_form form, int8_t *out, float *scales)
{
    const __m256 least = _mm256_set1_ps(NF4_CODE_ONE);
    const __m256 to_scale = _mm256_set1_ps(code_max / (127.0f * NF4_CODE_ONE * ROTATION_BLOCK));
    __m256 inverse[HALVES];
    for (int half = 0; half < HALVES; half++) {
        __m256 largest = _mm256_setzero_ps();
        for (int s = 0; s < n_spans; s++) {
            __m256 sum = _mm256_max_ps(spans[s].sums[q][half], least);
            largest = _mm256_max_ps(largest, _mm256_mul_ps(sum, _mm256_set1_ps(spans[s].largest)));
        }
        __m256 some = _mm256_cmp_ps(largest, _mm256_set1_ps(LEAST_ABSMAX), _CMP_GE_OQ);
        inverse[half] = _mm256_and_ps(some, _mm256_div_ps(_mm256_set1_ps(NF4_RATIO_ONE), largest));
        _mm256_storeu_ps(scales + half * LANES, _mm256_mul_ps(largest, to_scale));
    }
    for (int s = 0; s < n_spans; s++) {
        __m256 own = _mm256_set1_ps(spans[s].largest);
        __m256i ratio = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(own, inverse[0])),
                                           _mm256_cvtps_epi32(_mm256_mul_ps(own, inverse[1])));
        store_span(spans[s].words[q], ratio, form,
                   out + (size_t)(s * SPAN * KERNEL_PANEL) * bytes_of(form));
    }
}

static void expand_int8(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                        weight_form form)
{
    turned_span spans[SPANS];
    input_range r = panels_range(out);
    int end_panel = first_panel + n_panels, n_blocks = w->n_in / BLOCK;
    float code_max = 0;
    for (int c = 0; c < 16; c++)
        code_max = fmaxf(code_max, fabsf(w->code_map[c]));
    for (int b = first_panel / QUARTERS; b * QUARTERS < end_panel && b < n_blocks; b++) {
        block_part part = part_of(b, first_panel, end_panel);
        for (int g = 0; g < r.n_groups; g++) {
            int n_spans = range_group_length(&r, g) / SPAN;
            for (int s = 0; s < n_spans; s++) {
                read_span(w, r.first + g * r.group + s * SPAN, b, code_max, &spans[s]);
                for (int q = part.first; q < part.end; q++)
                    rotate_span(spans[s].words[q], spans[s].sums[q]);
            }
            for (int q = part.first, panel = part.panel; q < part.end; q++, panel++) {
                size_t place = (size_t)panel * (size_t)r.length + (size_t)(g * r.group);
                store_group(spans, n_spans, q, code_max, form,
                            (int8_t *)out->data + place * KERNEL_PANEL * bytes_of(form),
                            out->scales + (panel * r.n_groups + g) * KERNEL_PANEL);
            }
        }
    }
}

/* --- both ---------------------------------------------------------------------------------------
 */

static void expand(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                   int n_panels, kernel_panels *out, void *scratch, weight_form form)
{
    out->n_in = w->n_out;
    out->n_panels = n_panels;
    if (out->compute == SLANT_COMPUTE_INT8)
        expand_int8(w, first_panel, n_panels, out, form);
    else
        expand_float(w, dropped, first_panel, n_panels, out, scratch);
}

void expand_transposed_avx2(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                            int n_panels, kernel_panels *out, void *scratch)
{
    expand(w, dropped, first_panel, n_panels, out, scratch, FORM_WORDS);
}

void expand_transposed_avxvnni(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                               int n_panels, kernel_panels *out, void *scratch)
{
    expand(w, dropped, first_panel, n_panels, out, scratch, FORM_UNSIGNED);
}
