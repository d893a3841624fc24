/* How the AVX2 products walk a call: portions of at most 256 inputs of one panel stay in the
 * first-level cache while the tokens of a strip pass them, in tiles of 6 tokens × 16 outputs whose
 * twelve sums are in registers. Sums live in `out` between portions. */
#ifndef SLANT_KERNELS_TILE_AVX2_H
#define SLANT_KERNELS_TILE_AVX2_H

#include "kernels/avx2.h"

#define TILE_TOKENS 6
#define STRIP_TOKENS 24
#define STRIP_INPUTS KERNEL_GROUP_MAX

/* One portion of one tile. */
typedef struct tile {
    const char *x; /* first token's row, at the portion's first input */
    size_t x_stride_bytes;
    const char *w;         /* the panel, at the portion's first input */
    size_t w_row_bytes;    /* attention: between rows of 16 */
    const float *x_scales; /* INT8: the portion's group, tokens x_groups apart */
    const int32_t *x_sums;
    size_t x_groups;
    const float *w_scales; /* INT8: [16] */
    int n;                 /* inputs */
    float *out;
    size_t out_stride;
    bool accumulate;
} tile;

typedef void (*tile_kernel)(const tile *t);

/* A product of one compute. */
typedef struct tile_product {
    const tile_kernel *kernels; /* [TILE_TOKENS]: by tokens − 1 */
    int x_bytes, w_bytes;       /* of an activation and of a weight */
    /* Where an activation's own form is not the one that the product reads: writes n inputs of a
     * token so that each has wide_bytes. */
    void (*widen)(const void *x, int n, void *out);
    int wide_bytes;
} tile_product;

/* Instances of an always-inline tile function f(const tile *, int tokens). */
#define TILE_FUNCTION static inline __attribute__((always_inline)) void
#define TILE_INSTANCE(f, tokens)                                                                   \
    static void f##_##tokens(const tile *t)                                                        \
    {                                                                                              \
        f(t, tokens);                                                                              \
    }
#define TILE_KERNELS(f)                                                                            \
    TILE_INSTANCE(f, 1)                                                                            \
    TILE_INSTANCE(f, 2)                                                                            \
    TILE_INSTANCE(f, 3)                                                                            \
    TILE_INSTANCE(f, 4)                                                                            \
    TILE_INSTANCE(f, 5)                                                                            \
    TILE_INSTANCE(f, 6)                                                                            \
    static const tile_kernel f##_kernels[TILE_TOKENS] = {f##_1, f##_2, f##_3, f##_4, f##_5, f##_6};

/* A strip of tokens and one group of inputs. */
typedef struct strip {
    const char *x; /* first token's row, at the group's first input */
    size_t x_stride_bytes;
    size_t first_token;
    int n_tokens, group, n_inputs;
} strip;

/* The strip's activations where they lie. */
static inline strip strip_of(const tile_product *product, const acts *x, const input_range *r,
                             size_t first_token, int n_tokens, int group)
{
    size_t at = first_token * x->stride + (size_t)(r->first + group * r->group);
    return (strip){.x = (const char *)x->data + at * (size_t)product->x_bytes,
                   .x_stride_bytes = x->stride * (size_t)product->x_bytes,
                   .first_token = first_token,
                   .n_tokens = n_tokens,
                   .group = group,
                   .n_inputs = range_group_length(r, group)};
}

/* Rewrites them into scratch, where each has wide_bytes. */
static inline void widen_strip(const tile_product *product, strip *s, char *scratch)
{
    size_t stride = STRIP_INPUTS * (size_t)product->wide_bytes;
    for (int t = 0; t < s->n_tokens; t++)
        product->widen(s->x + (size_t)t * s->x_stride_bytes, s->n_inputs,
                       scratch + (size_t)t * stride);
    s->x = scratch;
    s->x_stride_bytes = stride;
}

/* Asks for what comes next while this strip is computed: a row's share of a strip is too short for
 * the processor to see the next one coming. */
static inline void prefetch_strip(const strip *s, int x_bytes)
{
    for (int t = 0; t < s->n_tokens; t++)
        for (int i = 0; i < s->n_inputs * x_bytes; i += 64)
            _mm_prefetch(s->x + (size_t)t * s->x_stride_bytes + i, _MM_HINT_T1);
}

/* The strip against one panel; out at its first token and the panel's first output. */
static inline void run_strip(const tile_product *product, const strip *s, const acts *x,
                             const kernel_panels *w, const input_range *r, int panel, float *out,
                             size_t out_stride, bool accumulate)
{
    size_t n_groups = (size_t)kernel_n_groups(x->n_in);
    size_t first_input = (size_t)panel * (size_t)r->length + (size_t)(s->group * r->group);
    size_t group_at = (size_t)panel * (size_t)r->n_groups + (size_t)s->group;
    tile t = {
        .x_stride_bytes = s->x_stride_bytes,
        .w = (const char *)w->data + first_input * KERNEL_PANEL * (size_t)product->w_bytes,
        .x_groups = n_groups,
        .w_scales = w->scales ? w->scales + group_at * KERNEL_PANEL : NULL,
        .n = s->n_inputs,
        .out_stride = out_stride,
        .accumulate = accumulate || s->group > 0,
    };
    for (int i = 0; i < s->n_tokens; i += TILE_TOKENS) {
        int tokens = s->n_tokens - i < TILE_TOKENS ? s->n_tokens - i : TILE_TOKENS;
        size_t at = (s->first_token + (size_t)i) * n_groups + (size_t)(r->first_group + s->group);
        t.x = s->x + (size_t)i * s->x_stride_bytes;
        t.x_scales = x->scales ? x->scales + at : NULL;
        t.x_sums = x->sums ? x->sums + at : NULL;
        t.out = out + (size_t)i * out_stride;
        product->kernels[tokens - 1](&t);
    }
}

static inline void run_tiles(const tile_product *product, const acts *x, int token0, int n_tokens,
                             const kernel_panels *w, float *out, size_t out_stride, bool accumulate,
                             void *scratch)
{
    input_range r = panels_range(w);
    for (int t = 0; t < n_tokens; t += STRIP_TOKENS) {
        int n = n_tokens - t < STRIP_TOKENS ? n_tokens - t : STRIP_TOKENS;
        for (int g = 0; g < r.n_groups; g++) {
            strip s = strip_of(product, x, &r, (size_t)(token0 + t), n, g);
            if (product->widen)
                widen_strip(product, &s, scratch);
            if (g + 1 < r.n_groups) {
                strip next = strip_of(product, x, &r, (size_t)(token0 + t), n, g + 1);
                prefetch_strip(&next, product->x_bytes);
            }
            for (int p = 0; p < w->n_panels; p++)
                run_strip(product, &s, x, w, &r, p,
                          out + (size_t)t * out_stride + (size_t)(p * KERNEL_PANEL), out_stride,
                          accumulate);
        }
    }
}

/* gcc keeps arrays of registers in memory, so a tile's sums have names, s<token><half>, and the
 * loops over tokens are macros. `tokens` is a constant wherever these stand, so that what a smaller
 * tile lacks vanishes. */
#define TILE_SUMS(type, zero)                                                                      \
    type s00 = zero, s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00;                        \
    type s30 = s00, s31 = s00, s40 = s00, s41 = s00, s50 = s00, s51 = s00

/* DO(i) for each token; DO(sum, i, half) for each sum. */
#define FOR_TOKENS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define FOR_SUMS_OF(i, DO)                                                                         \
    if (i < tokens) {                                                                              \
        DO(s##i##0, i, 0)                                                                          \
        DO(s##i##1, i, 1)                                                                          \
    }
#define FOR_SUMS(DO)                                                                               \
    FOR_SUMS_OF(0, DO)                                                                             \
    FOR_SUMS_OF(1, DO)                                                                             \
    FOR_SUMS_OF(2, DO) FOR_SUMS_OF(3, DO) FOR_SUMS_OF(4, DO) FOR_SUMS_OF(5, DO)

/* Sums of integers. They are not __m256i, which gcc takes for four 64-bit lanes: it would keep both
 * readings of every sum, and have too few registers. */
typedef int32_t int_lanes __attribute__((vector_size(32)));

/* The dword of token i at x, in all lanes. */
#define TILE_X(i) _mm256_set1_epi32(*(const int32_t *)(x + (size_t)(i) * t->x_stride_bytes))

/* Sums in fp32 from out, where it accumulates, and back. */
#define TILE_OUT(i, half) (t->out + (size_t)(i) * t->out_stride + (half) * LANES)
#define TILE_FETCH(sum, i, half) sum = _mm256_loadu_ps(TILE_OUT(i, half));
#define TILE_STORE(sum, i, half) _mm256_storeu_ps(TILE_OUT(i, half), sum);

#define TILE_MULTIPLY_F32(i)                                                                       \
    if (i < tokens) {                                                                              \
        __m256 value = _mm256_castsi256_ps(TILE_X(i));                                             \
        s##i##0 = _mm256_fmadd_ps(value, w0, s##i##0);                                             \
        s##i##1 = _mm256_fmadd_ps(value, w1, s##i##1);                                             \
    }

/* A tile in fp32 whose weights are rows of 16 or more, row_bytes apart. */
TILE_FUNCTION tile_rows_f32(const tile *t, int tokens, size_t row_bytes)
{
    TILE_SUMS(__m256, _mm256_setzero_ps());
    const char *x = t->x, *row = t->w;
    if (t->accumulate) {
        FOR_SUMS(TILE_FETCH)
    }
    for (int k = 0; k < t->n; k++, x += 4, row += row_bytes) {
        __m256 w0 = _mm256_load_ps((const float *)row);
        __m256 w1 = _mm256_load_ps((const float *)(row + 32));
        FOR_TOKENS(TILE_MULTIPLY_F32)
    }
    FOR_SUMS(TILE_STORE)
}

/* out (+)= sum · (weight scale · activation scale), for one INT8 group. Stores might change what t
 * points to for all that the compiler knows, so the loads come first. */
#define TILE_SCALE(i)                                                                              \
    if (i < tokens) {                                                                              \
        __m256 x_scale = _mm256_broadcast_ss(x_scales + (i) * x_groups);                           \
        __m256 scale0 = _mm256_mul_ps(w_scale0, x_scale);                                          \
        __m256 scale1 = _mm256_mul_ps(w_scale1, x_scale);                                          \
        __m256 sum0 = _mm256_cvtepi32_ps((__m256i)s##i##0);                                        \
        __m256 sum1 = _mm256_cvtepi32_ps((__m256i)s##i##1);                                        \
        float *row = out + (i) * out_stride;                                                       \
        __m256 before0 = accumulate ? _mm256_loadu_ps(row) : _mm256_setzero_ps();                  \
        __m256 before1 = accumulate ? _mm256_loadu_ps(row + LANES) : _mm256_setzero_ps();          \
        _mm256_storeu_ps(row, _mm256_fmadd_ps(sum0, scale0, before0));                             \
        _mm256_storeu_ps(row + LANES, _mm256_fmadd_ps(sum1, scale1, before1));                     \
    }
#define TILE_SCALE_SUMS                                                                            \
    do {                                                                                           \
        const float *x_scales = t->x_scales;                                                       \
        size_t x_groups = t->x_groups, out_stride = t->out_stride;                                 \
        bool accumulate = t->accumulate;                                                           \
        float *out = t->out;                                                                       \
        __m256 w_scale0 = _mm256_loadu_ps(t->w_scales);                                            \
        __m256 w_scale1 = _mm256_loadu_ps(t->w_scales + LANES);                                    \
        FOR_TOKENS(TILE_SCALE)                                                                     \
    } while (0)

#endif
