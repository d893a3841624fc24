/* Expansion for the AVX-512 tables: fp32, bf16 and INT16 panels, and int8 weights for each kind of
 * product. */
#include "kernels/expand_avx512.h"
#include "kernels/tables.h"

/* 64 bytes of codes: eight inputs of 16 outputs in fp32. */
static inline void nf4_run_float(const uint8_t *codes, __m512 map, __m512 absmax, __m512 v[8])
{
    __m512i c = _mm512_loadu_si512(codes);
    for (int b = 0; b < 4; b++) {
        __m512i low = _mm512_srli_epi32(c, (unsigned)(8 * b));
        __m512i high = _mm512_srli_epi32(c, (unsigned)(8 * b + 4));
        v[b] = _mm512_mul_ps(_mm512_permutexvar_ps(low, map), absmax);
        v[4 + b] = _mm512_mul_ps(_mm512_permutexvar_ps(high, map), absmax);
    }
}

static void nf4_panel_float(const kernel_weight *w, int panel, const input_range *r,
                            slant_compute compute, char *out)
{
    __m512 map = _mm512_loadu_ps(w->code_map), v[8];
    absmax_reader reader = absmax_start(w, panel);
    size_t first = (size_t)panel * (size_t)(w->n_in / BLOCK) + (size_t)(r->first / BLOCK);
    const uint8_t *codes = w->data + first * BLOCK_CODES;
    for (int b = 0; b < r->length / BLOCK; b++) {
        __m512 absmax = absmax_of(&reader, r->first / BLOCK + b);
        for (int run = 0; run < BLOCK_CODES; run += 64, codes += 64) {
            nf4_run_float(codes, map, absmax, v);
            if (compute == SLANT_COMPUTE_BF16)
                for (int i = 0; i < 8; i += 2, out += 64)
                    _mm512_store_si512(out, pair_bf16(v[i], v[i + 1]));
            else
                for (int i = 0; i < 8; i++, out += 64)
                    _mm512_store_ps(out, v[i]);
        }
    }
}

static void rows_panel_float(float *rows, size_t padded, const input_range *r,
                             slant_compute compute, void *out)
{
    int n_dwords = r->length;
    if (compute == SLANT_COMPUTE_BF16) {
        n_dwords = r->length / 2;
        for (int o = 0; o < KERNEL_PANEL; o++) {
            float *row = rows + (size_t)o * padded + r->first;
            for (int i = 0; i < r->length; i += LANES)
                _mm256_storeu_si256((__m256i *)((uint16_t *)row + i),
                                    to_bf16(_mm512_loadu_ps(row + i)));
        }
    }
    interleave_rows((uint32_t *)rows + r->first, padded, n_dwords, out);
}

static void expand_float(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                         void *scratch)
{
    input_range r = panels_range(out);
    size_t panel_bytes = kernel_panel_bytes(out->compute, r.length, 1);
    for (int p = 0; p < n_panels; p++) {
        char *data = (char *)out->data + (size_t)p * panel_bytes;
        if (w->type == DTYPE_NF4) {
            nf4_panel_float(w, first_panel + p, &r, out->compute, data);
        } else {
            decode_panel(w, first_panel + p, scratch);
            rows_panel_float(scratch, (size_t)kernel_padded(w->n_in), &r, out->compute, data);
        }
    }
}

static void expand(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                   void *scratch, __m512i flip)
{
    out->n_in = w->n_in;
    out->n_panels = n_panels;
    if (kernel_is_scaled(out->compute))
        expand_scaled_avx512(w, first_panel, n_panels, out, scratch, flip);
    else
        expand_float(w, first_panel, n_panels, out, scratch);
}

void expand_signed_avx512(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                          void *scratch)
{
    expand(w, first_panel, n_panels, out, scratch, _mm512_setzero_si512());
}

void expand_unsigned_avx512(const kernel_weight *w, int first_panel, int n_panels,
                            kernel_panels *out, void *scratch)
{
    expand(w, first_panel, n_panels, out, scratch, _mm512_set1_epi8((char)0x80));
}

/* int8 [n / 4][16][4] to int16 [n / 2][16][2]. from may be the upper half of to's memory. */
static void widen(const int8_t *from, size_t n_bytes, int16_t *to)
{
    /* The two first and the two last bytes of each dword into the upper halves of its words. */
    const __m512i first = _mm512_broadcast_i32x4(
        _mm_setr_epi32((int)0x01800080u, (int)0x05800480u, (int)0x09800880u, (int)0x0D800C80u));
    const __m512i second = _mm512_or_si512(first, _mm512_set1_epi32(0x02000200));
    for (size_t i = 0; i < n_bytes; i += 64) {
        __m512i four = _mm512_load_si512(from + i);
        __m512i low = _mm512_srai_epi16(_mm512_shuffle_epi8(four, first), 8);
        __m512i high = _mm512_srai_epi16(_mm512_shuffle_epi8(four, second), 8);
        _mm512_store_si512(to + i, low);
        _mm512_store_si512(to + i + 32, high);
    }
}

void expand_int16_avx512(const kernel_weight *w, int first_panel, int n_panels, kernel_panels *out,
                         void *scratch)
{
    if (out->compute != SLANT_COMPUTE_INT8) {
        expand_signed_avx512(w, first_panel, n_panels, out, scratch);
        return;
    }
    kernel_panels bytes = *out;
    bytes.n_in = w->n_in;
    input_range r = panels_range(&bytes);
    size_t n_bytes = (size_t)n_panels * (size_t)r.length * KERNEL_PANEL;
    bytes.data = (char *)out->data + n_bytes;
    expand_signed_avx512(w, first_panel, n_panels, &bytes, scratch);
    widen(bytes.data, n_bytes, out->data);
    out->n_in = bytes.n_in;
    out->n_panels = n_panels;
}
