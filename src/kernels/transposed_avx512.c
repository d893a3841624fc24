/* Panels of a transposed weight with AVX-512. A panel holds 16 inputs of w, each over all outputs:
 * fp32 [n_out][16], bf16 [n_out / 2][16][2]. NF4 comes straight from the packed nibbles: each
 * output of a block has only 16 values, so they are multiplied and rounded once per block and
 * looked up. */
#include "kernels/expand_avx512.h"
#include "kernels/gradients_internal.h"
#include "kernels/transposed.h"
#include "kernels/transposed_avx512.h"

/* Finite values in the upper halves of lanes, rounded to bf16. */
static inline __m512i round_finite(__m512 v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
}

/* The 16 values of two outputs as 32 words: those of the first, then those of the second. */
static inline __m512i two_tables(__m512 map, float absmax0, float absmax1)
{
    __m512i low = _mm512_srli_epi32(round_finite(_mm512_mul_ps(map, _mm512_set1_ps(absmax0))), 16);
    __m512i high = _mm512_srli_epi32(round_finite(_mm512_mul_ps(map, _mm512_set1_ps(absmax1))), 16);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)),
                              _mm512_cvtepi32_epi16(high), 1);
}

/* One block of 64 inputs of a panel of 16 outputs, in bf16: lines o0 … o0 + 15 of the result's
 * panels first … end - 1, whose codes start at `codes` for panel `first_code`. */
typedef struct nf4_block {
    const uint8_t *codes; /* of the block */
    float absmax[KERNEL_PANEL];
    int first_quarter, end_quarter; /* which 16 inputs of the 64 are wanted */
    int panel;                      /* of the result, for first_quarter */
    int o0;
} nf4_block;

static inline void block_bf16(const nf4_block *b, __m512 map, const panel_writer *w)
{
    const two_outputs at = two_outputs_start();
    for (int o = 0; o < KERNEL_PANEL; o += 2) {
        __m512i tables = two_tables(map, b->absmax[o], b->absmax[o + 1]);
        for (int q = b->first_quarter; q < b->end_quarter; q++)
            _mm512_store_si512(
                line_at(w, b->panel + q - b->first_quarter, b->o0 + o),
                _mm512_permutexvar_epi16(two_outputs_codes(&at, b->codes + q * 128, o), tables));
    }
}

static inline void block_f32(const nf4_block *b, __m512 map, const panel_writer *w)
{
    const __m512i lane = _mm512_set_epi32(16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i shift =
        _mm512_set_epi32(28, 20, 12, 4, 24, 16, 8, 0, 28, 20, 12, 4, 24, 16, 8, 0);
    for (int o = 0; o < KERNEL_PANEL; o++) {
        __m512 absmax = _mm512_set1_ps(b->absmax[o]);
        __m512i index = _mm512_add_epi32(lane, _mm512_set1_epi32(o));
        for (int q = b->first_quarter; q < b->end_quarter; q++) {
            __m512i first = _mm512_loadu_si512(b->codes + q * 128);
            __m512i last = _mm512_loadu_si512(b->codes + q * 128 + 64);
            __m512i held = _mm512_srlv_epi32(_mm512_permutex2var_epi32(first, index, last), shift);
            _mm512_store_ps(line_at(w, b->panel + q - b->first_quarter, b->o0 + o),
                            _mm512_mul_ps(_mm512_permutexvar_ps(held, map), absmax));
        }
    }
}

/* Blocks of 64 inputs that the panels touch, for one panel of outputs. */
static void nf4_outputs(const kernel_weight *weight, int o_panel, int o0, int first_panel,
                        int n_panels, slant_compute compute, const panel_writer *w)
{
    __m512 map = _mm512_loadu_ps(weight->code_map);
    absmax_reader reader = absmax_start(weight, o_panel);
    size_t n_blocks = (size_t)(weight->n_in / BLOCK);
    const uint8_t *codes = weight->data + (size_t)o_panel * n_blocks * BLOCK_CODES;
    int end_panel = first_panel + n_panels;
    for (int block = first_panel / 4; block * 4 < end_panel && block < (int)n_blocks; block++) {
        int from = block * 4 > first_panel ? block * 4 : first_panel;
        int to = block * 4 + 4 < end_panel ? block * 4 + 4 : end_panel;
        nf4_block b = {.codes = codes + (size_t)block * BLOCK_CODES,
                       .first_quarter = from - block * 4,
                       .end_quarter = to - block * 4,
                       .panel = from - first_panel,
                       .o0 = o0};
        _mm512_storeu_ps(b.absmax, absmax_of(&reader, block));
        if (compute == SLANT_COMPUTE_BF16)
            block_bf16(&b, map, w);
        else
            block_f32(&b, map, w);
    }
}

/* Two rows of fp32 or bf16 values as one line of pairs; lanes that are not there count as zero. */
static inline void pair_lines(const char *const row[2], const __mmask16 lanes[2], dtype type,
                              int column, char *line)
{
    __m512i pairs;
    if (type == DTYPE_F32) {
        __m512 low = _mm512_maskz_loadu_ps(lanes[0], (const float *)row[0] + column);
        __m512 high = _mm512_maskz_loadu_ps(lanes[1], (const float *)row[1] + column);
        pairs = pair_bf16(low, high);
    } else {
        __m256i low = _mm256_maskz_loadu_epi16(lanes[0], (const uint16_t *)row[0] + column);
        __m256i high = _mm256_maskz_loadu_epi16(lanes[1], (const uint16_t *)row[1] + column);
        pairs = _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                                _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    }
    _mm512_store_si512(line, pairs);
}

static inline void copy_line(const char *row, __mmask16 lanes, dtype type, int column, char *line)
{
    __m512 v;
    if (type == DTYPE_F32) {
        v = _mm512_maskz_loadu_ps(lanes, (const float *)row + column);
    } else {
        __m256i halves = _mm256_maskz_loadu_epi16(lanes, (const uint16_t *)row + column);
        v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
    _mm512_store_ps(line, v);
}

/* Rows of some type, two at a time: as they lie where they are fp32 or bf16, else decoded. Where
 * there is no second one it has no lanes either. */
typedef struct row_pair {
    const char *row[2];
    const uint16_t *dropped[2]; /* NULL: nothing is */
    int n_rows;
    dtype type;
    int column; /* that the rows' first value is of */
} row_pair;

static row_pair rows_at(const kernel_weight *w, const dropout_bits *dropped, int o, int first_panel,
                        int n_panels, float *scratch)
{
    row_pair rows = {.type = w->type, .n_rows = w->n_out - o < 2 ? 1 : 2};
    if (w->type == DTYPE_F32 || w->type == DTYPE_BF16) {
        size_t row_bytes = (size_t)w->n_in * (w->type == DTYPE_F32 ? 4 : 2);
        for (int i = 0; i < rows.n_rows; i++) {
            rows.row[i] = (const char *)w->data + (size_t)(o + i) * row_bytes;
            if (dropped != NULL)
                rows.dropped[i] = dropped->rows + (size_t)(o + i) * dropped->stride;
        }
        return rows;
    }
    int first = first_panel * KERNEL_PANEL;
    rows.column = first / 64 * 64;
    int end = (first + n_panels * KERNEL_PANEL + 63) / 64 * 64;
    int n = (end < w->n_in ? end : w->n_in) - rows.column;
    rows.type = DTYPE_F32;
    for (int i = 0; i < rows.n_rows; i++) {
        float *row = scratch + (size_t)i * ((size_t)n_panels * KERNEL_PANEL + 128);
        weight_decode_span(w, o + i, rows.column, n, row);
        rows.row[i] = (const char *)row;
    }
    return rows;
}

static inline __mmask16 lanes_of(const row_pair *rows, int i, int panel, int n)
{
    if (i >= rows->n_rows)
        return 0;
    __mmask16 lanes = first_lanes(n);
    return rows->dropped[i] == NULL ? lanes : (__mmask16)(lanes & ~rows->dropped[i][panel]);
}

static void plain_outputs(const kernel_weight *weight, const dropout_bits *dropped,
                          const input_range *r, int first_panel, int n_panels,
                          slant_compute compute, const panel_writer *w, float *scratch)
{
    for (int o = 0; o < r->length && r->first + o < weight->n_out; o += 2) {
        row_pair rows = rows_at(weight, dropped, r->first + o, first_panel, n_panels, scratch);
        for (int p = 0; p < n_panels; p++) {
            int column = (first_panel + p) * KERNEL_PANEL, left = weight->n_in - column;
            int n = left < 0 ? 0 : left, at = column - rows.column;
            const __mmask16 lanes[2] = {lanes_of(&rows, 0, first_panel + p, n),
                                        lanes_of(&rows, 1, first_panel + p, n)};
            if (compute == SLANT_COMPUTE_BF16) {
                pair_lines(rows.row, lanes, rows.type, at, line_at(w, p, o));
            } else {
                copy_line(rows.row[0], lanes[0], rows.type, at, line_at(w, p, o));
                copy_line(rows.row[1], lanes[1], rows.type, at, line_at(w, p, o + 1));
            }
        }
    }
}

void expand_transposed_avx512(const kernel_weight *weight, const dropout_bits *dropped,
                              int first_panel, int n_panels, kernel_panels *out, void *scratch)
{
    if (out->compute == SLANT_COMPUTE_INT8) { /* as words, like the AVX2 table's */
        expand_transposed_avx2(weight, dropped, first_panel, n_panels, out, scratch);
        return;
    }
    out->n_in = weight->n_out;
    out->n_panels = n_panels;
    input_range r = panels_range(out);
    panel_writer w = writer_of(out, r.length);
    int there = weight->n_out - r.first < r.length ? weight->n_out - r.first : r.length;
    if (weight->type != DTYPE_NF4) {
        plain_outputs(weight, dropped, &r, first_panel, n_panels, out->compute, &w, scratch);
        zero_lines(&w, n_panels, (there + 1) / 2 * 2, r.length);
        return;
    }
    for (int o = 0; o < there; o += KERNEL_PANEL)
        nf4_outputs(weight, (r.first + o) / KERNEL_PANEL, o, first_panel, n_panels, out->compute,
                    &w);
    zero_lines(&w, n_panels, (there + KERNEL_PANEL - 1) / KERNEL_PANEL * KERNEL_PANEL, r.length);
}
