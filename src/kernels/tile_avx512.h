/* How the AVX-512 products without tiles walk a call: portions of four panels' inputs stay in
 * the first-level cache while the tokens of a strip pass them, in tiles of 6 tokens × 4 panels
 * whose 24 sums are in registers. Sums live in `out` between portions. */
#ifndef SLANT_KERNELS_TILE_AVX512_H
#define SLANT_KERNELS_TILE_AVX512_H

#include "kernels/avx512.h"

#define TILE_TOKENS 6
#define TILE_PANELS 4
#define STRIP_TOKENS 48

/* One portion of one tile. */
typedef struct tile {
    const char *x; /* first token's row, at the portion's first input */
    size_t x_stride_bytes;
    const char *w; /* first panel, at the portion's first input */
    size_t w_stride_bytes;
    const float *x_scales; /* INT8: the portion's group, tokens n_groups apart */
    const int32_t *x_sums;
    size_t x_groups;
    const float *w_scales; /* INT8: panels w_scale_stride apart */
    size_t w_scale_stride;
    int n; /* inputs */
    float *out;
    size_t out_stride;
    bool accumulate;
} tile;

typedef void (*tile_kernel)(const tile *t);

/* kernels[tokens - 1][panels - 1] */
typedef tile_kernel tile_kernels[TILE_TOKENS][TILE_PANELS];

/* Instances of an always-inline tile function f(const tile *, int tokens, int panels). */
#define TILE_INSTANCE(f, tokens, panels)                                                           \
    static void f##_##tokens##x##panels(const tile *t)                                             \
    {                                                                                              \
        f(t, tokens, panels);                                                                      \
    }
#define TILE_ROW(f, tokens)                                                                        \
    TILE_INSTANCE(f, tokens, 1)                                                                    \
    TILE_INSTANCE(f, tokens, 2) TILE_INSTANCE(f, tokens, 3) TILE_INSTANCE(f, tokens, 4)
#define TILE_NAMES(f, tokens)                                                                      \
    {f##_##tokens##x1, f##_##tokens##x2, f##_##tokens##x3, f##_##tokens##x4}
#define TILE_KERNELS(f)                                                                            \
    TILE_ROW(f, 1)                                                                                 \
    TILE_ROW(f, 2)                                                                                 \
    TILE_ROW(f, 3)                                                                                 \
    TILE_ROW(f, 4)                                                                                 \
    TILE_ROW(f, 5)                                                                                 \
    TILE_ROW(f, 6)                                                                                 \
    static const tile_kernels f##_kernels = {                                                      \
        TILE_NAMES(f, 1), TILE_NAMES(f, 2), TILE_NAMES(f, 3),                                      \
        TILE_NAMES(f, 4), TILE_NAMES(f, 5), TILE_NAMES(f, 6)};

/* A call of a product and how it is cut. */
typedef struct tile_walk {
    const tile_kernel (*kernels)[TILE_PANELS];
    int x_bytes, w_bytes; /* per input of one token and of one panel */
    int portion;          /* inputs at a time; INT8: one group */
    const acts *x;
    int token0;
    const kernel_panels *w;
    input_range range;
    float *out;
    size_t out_stride;
    bool accumulate;
} tile_walk;

/* Inputs of portion i for the tile of `tokens` × `panels` at token t and panel p. */
static inline void run_tile(const tile_walk *c, int i, int t, int tokens, int p, int panels)
{
    const input_range *r = &c->range;
    size_t n_groups = (size_t)kernel_n_groups(c->x->n_in), token = (size_t)(c->token0 + t);
    size_t first = (size_t)i * (size_t)c->portion, length = (size_t)r->length;
    int left = r->length - i * c->portion;
    tile one = {
        .x = (const char *)c->x->data +
             (token * c->x->stride + (size_t)r->first + first) * (size_t)c->x_bytes,
        .x_stride_bytes = c->x->stride * (size_t)c->x_bytes,
        .w = (const char *)c->w->data + ((size_t)p * length + first) * (size_t)c->w_bytes,
        .w_stride_bytes = length * (size_t)c->w_bytes,
        .n = left < c->portion ? left : c->portion,
        .out = c->out + (size_t)t * c->out_stride + (size_t)p * KERNEL_PANEL,
        .out_stride = c->out_stride,
        .accumulate = c->accumulate || i > 0,
    };
    if (c->w->compute == SLANT_COMPUTE_INT8) {
        size_t at = token * n_groups + (size_t)(r->first_group + i);
        one.x_scales = c->x->scales + at;
        one.x_sums = c->x->sums + at;
        one.x_groups = n_groups;
        one.w_scales = c->w->scales + (p * r->n_groups + i) * KERNEL_PANEL;
        one.w_scale_stride = (size_t)r->n_groups * KERNEL_PANEL;
    }
    c->kernels[tokens - 1][panels - 1](&one);
}

/* All inputs for the strip of tokens first … end - 1 and the panels at p. */
static inline void run_strip(const tile_walk *c, int first, int end, int p, int panels)
{
    for (int i = 0; i * c->portion < c->range.length; i++)
        for (int t = first; t < end; t += TILE_TOKENS)
            run_tile(c, i, t, end - t < TILE_TOKENS ? end - t : TILE_TOKENS, p, panels);
}

static inline void run_tiles(tile_walk *c, int n_tokens)
{
    c->range = panels_range(c->w);
    if (c->w->compute == SLANT_COMPUTE_INT8)
        c->portion = c->range.group;
    for (int p = 0; p < c->w->n_panels; p += TILE_PANELS) {
        int panels = c->w->n_panels - p < TILE_PANELS ? c->w->n_panels - p : TILE_PANELS;
        for (int t = 0; t < n_tokens; t += STRIP_TOKENS)
            run_strip(c, t, n_tokens - t < STRIP_TOKENS ? n_tokens : t + STRIP_TOKENS, p, panels);
    }
}

#define TILE_FUNCTION static inline __attribute__((always_inline)) void

/* Sums of integers. They are not __m512i, which gcc takes for eight 64-bit lanes: it would keep
 * both readings of every sum, and have too few registers. */
typedef int32_t int_lanes __attribute__((vector_size(64)));

/* gcc keeps arrays of registers in memory, so a tile's sums have names, s<token><panel>, and the
 * loops over tokens and panels are macros. `tokens` and `panels` are constants wherever these
 * stand, so that what a smaller tile lacks vanishes. */
#define TILE_SUMS(type, zero)                                                                      \
    type s00 = zero, s01 = s00, s02 = s00, s03 = s00, s10 = s00, s11 = s00, s12 = s00, s13 = s00;  \
    type s20 = s00, s21 = s00, s22 = s00, s23 = s00, s30 = s00, s31 = s00, s32 = s00, s33 = s00;   \
    type s40 = s00, s41 = s00, s42 = s00, s43 = s00, s50 = s00, s51 = s00, s52 = s00, s53 = s00

#define FOR_TOKENS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define FOR_PANELS(DO) DO(0) DO(1) DO(2) DO(3)
/* DO(sum, token, panel) */
#define FOR_PANELS_OF(i, DO)                                                                       \
    if (i < tokens && 0 < panels)                                                                  \
        DO(s##i##0, i, 0)                                                                          \
    if (i < tokens && 1 < panels)                                                                  \
        DO(s##i##1, i, 1)                                                                          \
    if (i < tokens && 2 < panels)                                                                  \
        DO(s##i##2, i, 2)                                                                          \
    if (i < tokens && 3 < panels)                                                                  \
    DO(s##i##3, i, 3)
#define FOR_SUMS(DO)                                                                               \
    FOR_PANELS_OF(0, DO)                                                                           \
    FOR_PANELS_OF(1, DO)                                                                           \
    FOR_PANELS_OF(2, DO) FOR_PANELS_OF(3, DO) FOR_PANELS_OF(4, DO) FOR_PANELS_OF(5, DO)

/* w<panel>: the next 64 bytes of each panel. */
#define TILE_LOAD_PANEL(j)                                                                         \
    if (j < panels)                                                                                \
        w##j = _mm512_load_si512(panel + (size_t)(j) * t->w_stride_bytes);

/* The dword of token i at x, in all lanes. */
#define TILE_X(i) _mm512_set1_epi32(*(const int32_t *)(x + (size_t)(i) * t->x_stride_bytes))

/* Sums in fp32 from out, where it accumulates, and back. */
#define TILE_OUT(i, j) (t->out + (size_t)(i) * t->out_stride + (j) * LANES)
#define TILE_FETCH(sum, i, j) sum = _mm512_loadu_ps(TILE_OUT(i, j));
#define TILE_STORE(sum, i, j) _mm512_storeu_ps(TILE_OUT(i, j), sum);

/* out (+)= sum · weight scale · activation scale, for one INT8 group. */
static inline void tile_scale(const tile *t, int_lanes sum, int i, int j)
{
    __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(t->w_scales + (size_t)j * t->w_scale_stride),
                                 _mm512_set1_ps(t->x_scales[(size_t)i * t->x_groups]));
    __m512 before = t->accumulate ? _mm512_loadu_ps(TILE_OUT(i, j)) : _mm512_setzero_ps();
    _mm512_storeu_ps(TILE_OUT(i, j),
                     _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)sum), scale, before));
}
#define TILE_SCALE(sum, i, j) tile_scale(t, sum, i, j);

#endif
