/* INT8 panels of a transposed NF4 weight, for AMX and for AVX-512 with VNNI: a panel holds 16
 * inputs of w, each over all outputs, [n_out / 4][16][4]; plus 128 for VNNI.
 *
 * Outputs are rotated 64 at a time, while absmax differs from output to output; so an output's 16
 * values are first brought to what these 64 have in common, once for all the inputs that look them
 * up. gradients_internal.h has the arithmetic. */
#include "kernels/expand_avx512.h"
#include "kernels/gradients_internal.h"
#include "kernels/transposed_avx512.h"

enum {
    SPAN = ROTATION_BLOCK, /* outputs that are taken at a time */
    SPAN_PANELS = SPAN / KERNEL_PANEL,
    SPAN_PAIRS = SPAN / 2,
    SPANS = KERNEL_GROUP_MAX / SPAN
};

/* SPAN outputs against one block of 64 inputs. */
typedef struct output_span {
    const uint8_t *codes[SPAN_PANELS]; /* of the block; NULL: no such outputs */
    alignas(64) float absmax[SPAN];    /* 0 where there is no output */
    float largest;                     /* |absmax| */
    __m512i tables[SPAN_PAIRS];        /* of two outputs each, as two_word_tables makes them */
} output_span;

/* Columns of one matrix: input block `block` of w, outputs of group g of the range. */
typedef struct group_source {
    const kernel_weight *w;
    __m512 map;
    __m512i flip; /* XORed into every weight */
    float code_max;
    int block;
    int n_spans;
    output_span spans[SPANS];
} group_source;

static void read_span(const kernel_weight *w, int first_output, int block, output_span *s)
{
    __m512 largest = _mm512_setzero_ps();
    size_t n_blocks = (size_t)(w->n_in / BLOCK);
    for (int p = 0; p < SPAN_PANELS; p++) {
        int panel = first_output / KERNEL_PANEL + p;
        bool there = panel * KERNEL_PANEL < w->n_out;
        __m512 absmax = _mm512_setzero_ps();
        s->codes[p] = NULL;
        if (there) {
            absmax_reader reader = absmax_start(w, panel);
            absmax = absmax_of(&reader, block);
            s->codes[p] = w->data + ((size_t)panel * n_blocks + (size_t)block) * BLOCK_CODES;
        }
        largest = _mm512_max_ps(largest, _mm512_abs_ps(absmax));
        _mm512_store_ps(s->absmax + p * KERNEL_PANEL, absmax);
    }
    s->largest = _mm512_reduce_max_ps(largest);
}

/* The 16 values of two outputs, as integers by `inverse`, in 32 words. */
static inline __m512i two_word_tables(__m512 map, const float *absmax, float inverse)
{
    __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(map, _mm512_set1_ps(absmax[0] * inverse)));
    __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(map, _mm512_set1_ps(absmax[1] * inverse)));
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)),
                              _mm512_cvtepi32_epi16(high), 1);
}

static void make_tables(const group_source *g, output_span *s)
{
    float inverse = s->largest < LEAST_ABSMAX ? 0.0f : NF4_CODE_ONE / (s->largest * g->code_max);
    for (int i = 0; i < SPAN_PAIRS; i++)
        s->tables[i] = two_word_tables(g->map, s->absmax + 2 * i, inverse);
}

/* Outputs 2 · i and 2 · i + 1 of the span for 16 inputs, quarter q of the block. */
static inline __m512i pair_of(const output_span *s, const two_outputs *at, int i, int q)
{
    const uint8_t *codes = s->codes[i / (KERNEL_PANEL / 2)];
    if (codes == NULL)
        return _mm512_setzero_si512();
    return _mm512_permutexvar_epi16(two_outputs_codes(at, codes + q * 128, 2 * i % KERNEL_PANEL),
                                    s->tables[i]);
}

/* A span's outputs after the rotation: words[i] holds outputs 4 · (i / 2) + i % 2 and two further
 * on, so that nf4_scale_words gives four in a row. */
typedef struct turned_span {
    __m512i words[SPAN_PAIRS];
} turned_span;

/* Four registers of pairs, with outputs 2 and 4 apart. gcc keeps arrays in memory, so registers
 * have names. */
#define TURN_FOUR(r)                                                                               \
    __m512i v##r##0 = pair_of(s, at, from + 4 * (r), q);                                           \
    __m512i v##r##1 = pair_of(s, at, from + 4 * (r) + 1, q);                                       \
    __m512i v##r##2 = pair_of(s, at, from + 4 * (r) + 2, q);                                       \
    __m512i v##r##3 = pair_of(s, at, from + 4 * (r) + 3, q);                                       \
    add_subtract(&v##r##0, &v##r##1);                                                              \
    add_subtract(&v##r##2, &v##r##3);                                                              \
    add_subtract(&v##r##0, &v##r##2);                                                              \
    add_subtract(&v##r##1, &v##r##3)
/* Outputs 8 and 16 apart, then 1 apart: the words of a dword, half of which change places first. */
#define TURN_PART(p)                                                                               \
    add_subtract(&v0##p, &v1##p);                                                                  \
    add_subtract(&v2##p, &v3##p);                                                                  \
    add_subtract(&v0##p, &v2##p);                                                                  \
    add_subtract(&v1##p, &v3##p)
#define TURN_WORDS(r)                                                                              \
    exchange_words(&v##r##0, &v##r##1);                                                            \
    add_subtract(&v##r##0, &v##r##1);                                                              \
    exchange_words(&v##r##2, &v##r##3);                                                            \
    add_subtract(&v##r##2, &v##r##3)
#define TURN_STORE(r)                                                                              \
    words[4 * (r)] = v##r##0, words[4 * (r) + 1] = v##r##1;                                        \
    words[4 * (r) + 2] = v##r##2, words[4 * (r) + 3] = v##r##3

/* Half a span, pairs from … from + 15, all stages but the one between the halves. */
static inline void turn_half(const output_span *s, const two_outputs *at, int from, int q,
                             __m512i *words)
{
    TURN_FOUR(0);
    TURN_FOUR(1);
    TURN_FOUR(2);
    TURN_FOUR(3);
    TURN_PART(0);
    TURN_PART(1);
    TURN_PART(2);
    TURN_PART(3);
    TURN_WORDS(0);
    TURN_WORDS(1);
    TURN_WORDS(2);
    TURN_WORDS(3);
    TURN_STORE(0);
    TURN_STORE(1);
    TURN_STORE(2);
    TURN_STORE(3);
}

/* Gives each input's largest |sum|. */
static inline __m512 turn_span(const output_span *s, const two_outputs *at, int q, turned_span *t)
{
    enum { HALF = SPAN_PAIRS / 2 };
    turn_half(s, at, 0, q, t->words);
    turn_half(s, at, HALF, q, t->words + HALF);
    __m512i largest = _mm512_setzero_si512();
    for (int i = 0; i < HALF; i++)
        largest = nf4_join(&t->words[i], &t->words[HALF + i], t->words[HALF + i], largest);
    largest = _mm512_max_epi16(largest, _mm512_rol_epi32(largest, 16));
    return _mm512_cvtepi32_ps(_mm512_and_si512(largest, _mm512_set1_epi32(0xFFFF)));
}

static void store_group(const group_source *g, const two_outputs *at, int q, int8_t *out,
                        float *scales)
{
    turned_span turned[SPANS];
    const __m512 least = _mm512_set1_ps(NF4_CODE_ONE);
    const __m512i flip = g->flip;
    __m512 largest = _mm512_setzero_ps();
    for (int s = 0; s < g->n_spans; s++) {
        __m512 sum = _mm512_max_ps(turn_span(&g->spans[s], at, q, &turned[s]), least);
        largest = _mm512_max_ps(largest, _mm512_mul_ps(sum, _mm512_set1_ps(g->spans[s].largest)));
    }
    __mmask16 some = _mm512_cmp_ps_mask(largest, _mm512_set1_ps(LEAST_ABSMAX), _CMP_GE_OQ);
    __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(NF4_RATIO_ONE), largest);
    for (int s = 0; s < g->n_spans; s++) {
        __m512i ratio =
            _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_set1_ps(g->spans[s].largest), inverse));
        ratio = _mm512_mask_blend_epi16(0xAAAAAAAAu, ratio, _mm512_slli_epi32(ratio, 16));
        for (int i = 0; i < SPAN_PAIRS; i += 2, out += 4 * KERNEL_PANEL)
            _mm512_store_si512(
                out, _mm512_xor_si512(
                         nf4_scale_words(turned[s].words[i], turned[s].words[i + 1], ratio), flip));
    }
    const float to_scale = g->code_max / (127.0f * NF4_CODE_ONE * ROTATION_BLOCK);
    _mm512_storeu_ps(scales, _mm512_mul_ps(largest, _mm512_set1_ps(to_scale)));
}

/* The panels of one block of inputs for one group: quarters first … end - 1, whose panels start at
 * `panel` of the result. */
static void write_group(const group_source *g, const input_range *r, int group, int first, int end,
                        int panel, kernel_panels *out)
{
    two_outputs at = two_outputs_start();
    for (int q = first; q < end; q++, panel++) {
        size_t place = (size_t)panel * (size_t)r->length + (size_t)(group * r->group);
        store_group(g, &at, q, (int8_t *)out->data + place * KERNEL_PANEL,
                    out->scales + (panel * r->n_groups + group) * KERNEL_PANEL);
    }
}

static void expand_int8(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                        __m512i flip)
{
    out->n_in = w->n_out;
    out->n_panels = n_panels;
    input_range r = panels_range(out);
    int end_panel = first_panel + n_panels, n_blocks = w->n_in / BLOCK;
    group_source g = {.w = w, .map = _mm512_loadu_ps(w->code_map), .flip = flip};
    g.code_max = _mm512_reduce_max_ps(_mm512_abs_ps(g.map));
    for (g.block = first_panel / 4; g.block * 4 < end_panel && g.block < n_blocks; g.block++) {
        int from = g.block * 4 > first_panel ? g.block * 4 : first_panel;
        int to = g.block * 4 + 4 < end_panel ? g.block * 4 + 4 : end_panel;
        for (int group = 0; group < r.n_groups; group++) {
            int first_output = r.first + group * r.group;
            g.n_spans = range_group_length(&r, group) / SPAN;
            for (int s = 0; s < g.n_spans; s++) {
                read_span(w, first_output + s * SPAN, g.block, &g.spans[s]);
                make_tables(&g, &g.spans[s]);
            }
            write_group(&g, &r, group, from - g.block * 4, to - g.block * 4, from - first_panel,
                        out);
        }
    }
}

void expand_transposed_avx512vnni(const kernel_weight *w, const dropout_bits *dropped,
                                  int first_panel, int n_panels, kernel_panels *out, void *scratch)
{
    if (out->compute == SLANT_COMPUTE_INT8)
        expand_int8(w, first_panel, n_panels, out, _mm512_set1_epi8((char)0x80));
    else
        expand_transposed_avx512(w, dropped, first_panel, n_panels, out, scratch);
}

void expand_transposed_amx(const kernel_weight *w, const dropout_bits *dropped, int first_panel,
                           int n_panels, kernel_panels *out, void *scratch)
{
    if (out->compute == SLANT_COMPUTE_INT8)
        expand_int8(w, first_panel, n_panels, out, _mm512_setzero_si512());
    else
        expand_transposed_avx512(w, dropped, first_panel, n_panels, out, scratch);
}
