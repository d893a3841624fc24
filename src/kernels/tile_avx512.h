/* How the AVX-512 products without AMX walk a call: in tiles of 6 tokens × 4 panels, whose 24 sums
 * are in registers. A strip of tokens passes all panels, four at a time, portion by portion of the
 * inputs: four panels' portion, the strip's and the sums between portions fit the first-level
 * cache. Those sums are kept close together, since rows of `out` that are a power of two apart
 * would share cache sets. */
#ifndef SLANT_KERNELS_TILE_AVX512_H
#define SLANT_KERNELS_TILE_AVX512_H

#include "kernels/avx512.h"

#include <string.h>

#define TILE_TOKENS 6
#define TILE_PANELS 4
#define STRIP_TOKENS 48
#define STRIP_PORTIONS 128 /* in one go */

/* One portion of one tile: to = from + product. */
typedef struct tile {
    const char *x; /* first token's row, at the portion's first input */
    size_t x_stride_bytes;
    const char *w; /* first panel, at the portion's first input */
    size_t w_stride_bytes;
    int n;             /* inputs, a multiple of 64 */
    const float *from; /* [tokens][16 · panels], rows from_stride apart */
    float *to;         /* the same */
    size_t from_stride, to_stride;
    const float *x_scales; /* INT8, INT16: [tokens] */
    const int32_t *x_sums; /* INT8: [tokens], −128 · Σx */
    const float *w_scales; /* INT8, INT16: [16], panels w_scale_stride apart */
    size_t w_scale_stride;
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

/* A strip's sums between portions. */
typedef struct tile_sums {
    alignas(64) float sums[STRIP_TOKENS][TILE_PANELS * KERNEL_PANEL];
    float nothing[TILE_PANELS * KERNEL_PANEL]; /* zeros */
} tile_sums;

/* INT8, INT16: what a strip's tokens need, group by group. KERNEL_MATMUL_SCRATCH bytes. */
typedef struct tile_scratch {
    tile_sums sums;
    float x_scales[STRIP_PORTIONS][STRIP_TOKENS];
    int32_t x_sums[STRIP_PORTIONS][STRIP_TOKENS];
} tile_scratch;

_Static_assert(sizeof(tile_scratch) <= KERNEL_MATMUL_SCRATCH, "the scratch is the caller's");

/* A call of a product and how it is cut. */
typedef struct tile_walk {
    const tile_kernel (*kernels)[TILE_PANELS];
    int x_bytes, w_bytes; /* per input of one token and of one panel */
    int portion;          /* inputs at a time; where there are scales, one group */
    const acts *x;
    int token0;
    const kernel_panels *w;
    input_range range;
    float *out;
    size_t out_stride;
    bool accumulate;
    tile_sums *sums;
    tile_scratch *scales; /* INT8, INT16 */
} tile_walk;

/* Tokens first … first + n_tokens of the call, portions begin … end - 1 of the inputs. */
typedef struct tile_strip {
    int first, n_tokens;
    int begin, end;
    int panel, n_panels;
} tile_strip;

static inline void read_scales(const tile_walk *c, const tile_strip *s)
{
    size_t n_groups = (size_t)kernel_n_groups(c->x->n_in);
    size_t at = (size_t)(c->token0 + s->first) * n_groups + (size_t)c->range.first_group;
    for (int t = 0; t < s->n_tokens; t++, at += n_groups)
        for (int i = s->begin; i < s->end; i++) {
            c->scales->x_scales[i - s->begin][t] = c->x->scales[at + (size_t)i];
            if (c->w->compute == SLANT_COMPUTE_INT8)
                c->scales->x_sums[i - s->begin][t] = -128 * c->x->sums[at + (size_t)i];
        }
}

/* Portion i for the tile of `tokens` at token t of the strip. */
static inline void run_tile(const tile_walk *c, const tile_strip *s, int i, int t, int tokens)
{
    const input_range *r = &c->range;
    size_t token = (size_t)(c->token0 + s->first + t), length = (size_t)r->length;
    size_t first = (size_t)i * (size_t)c->portion, panel = (size_t)s->panel;
    int left = r->length - i * c->portion;
    float *out = c->out + (size_t)(s->first + t) * c->out_stride + panel * KERNEL_PANEL;
    bool is_first = i == s->begin, is_last = i == s->end - 1, from_out = c->accumulate || i > 0;
    tile one = {
        .x = (const char *)c->x->data +
             (token * c->x->stride + (size_t)r->first + first) * (size_t)c->x_bytes,
        .x_stride_bytes = c->x->stride * (size_t)c->x_bytes,
        .w = (const char *)c->w->data + (panel * length + first) * (size_t)c->w_bytes,
        .w_stride_bytes = length * (size_t)c->w_bytes,
        .n = left < c->portion ? left : c->portion,
        .from = !is_first  ? c->sums->sums[t]
                : from_out ? out
                           : c->sums->nothing,
        .from_stride = !is_first  ? TILE_PANELS * KERNEL_PANEL
                       : from_out ? c->out_stride
                                  : 0,
        .to = is_last ? out : c->sums->sums[t],
        .to_stride = is_last ? c->out_stride : TILE_PANELS * KERNEL_PANEL,
    };
    if (c->scales) {
        one.x_scales = c->scales->x_scales[i - s->begin] + t;
        one.x_sums = c->scales->x_sums[i - s->begin] + t;
        one.w_scales = c->w->scales + (s->panel * r->n_groups + i) * KERNEL_PANEL;
        one.w_scale_stride = (size_t)r->n_groups * KERNEL_PANEL;
    }
    c->kernels[tokens - 1][s->n_panels - 1](&one);
}

/* Tiles of the strip as equal as may be: a tile of few tokens has too few sums to hide how long an
 * instruction takes. */
static inline void run_portion(const tile_walk *c, const tile_strip *s, int i)
{
    int n_tiles = (s->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
    for (int k = 0; k < n_tiles; k++) {
        int t = s->n_tokens * k / n_tiles;
        run_tile(c, s, i, t, s->n_tokens * (k + 1) / n_tiles - t);
    }
}

static inline void run_strip(const tile_walk *c, tile_strip *s)
{
    if (c->scales)
        read_scales(c, s);
    for (s->panel = 0; s->panel < c->w->n_panels; s->panel += TILE_PANELS) {
        int left = c->w->n_panels - s->panel;
        s->n_panels = left < TILE_PANELS ? left : TILE_PANELS;
        for (int i = s->begin; i < s->end; i++)
            run_portion(c, s, i);
    }
}

static inline void run_tiles(tile_walk *c, int n_tokens)
{
    c->range = panels_range(c->w);
    if (c->scales)
        c->portion = c->range.group;
    memset(c->sums->nothing, 0, sizeof c->sums->nothing);
    int n_portions = (c->range.length + c->portion - 1) / c->portion;
    for (int i = 0; i < n_portions; i += STRIP_PORTIONS)
        for (int t = 0; t < n_tokens; t += STRIP_TOKENS) {
            tile_strip s = {
                .first = t,
                .n_tokens = n_tokens - t < STRIP_TOKENS ? n_tokens - t : STRIP_TOKENS,
                .begin = i,
                .end = n_portions - i < STRIP_PORTIONS ? n_portions : i + STRIP_PORTIONS,
            };
            run_strip(c, &s);
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

/* Where a loop over inputs stands: rows of tokens 0 and 3, and of panels 0 and 2, from which the
 * others are one or two strides away. */
#define TILE_START                                                                                 \
    size_t x_stride = t->x_stride_bytes, w_stride = t->w_stride_bytes;                             \
    const char *x = t->x, *x3 = x + 3 * x_stride, *w = t->w, *w2_row = w + 2 * w_stride
/* k bytes on. The empty statement claims to change everything: gcc would else calculate the rows'
 * addresses beforehand, and keep them in memory. */
#define TILE_ADVANCE(x_bytes, w_bytes)                                                             \
    do {                                                                                           \
        x += x_bytes, x3 += x_bytes, w += w_bytes, w2_row += w_bytes;                              \
        __asm__("" : "+r"(x), "+r"(x3), "+r"(w), "+r"(w2_row), "+r"(x_stride), "+r"(w_stride));    \
    } while (0)

/* w<panel>: 64 bytes of each panel, `at` bytes on. */
#define TILE_LOAD_PANEL_AT(j, at)                                                                  \
    if (j < panels)                                                                                \
        w##j = _mm512_load_si512(((j) < 2 ? w : w2_row) + (size_t)((j) % 2) * w_stride + (at));
#define TILE_LOAD_PANEL(j) TILE_LOAD_PANEL_AT(j, 0)

/* The dword of token i, `at` bytes on; in all lanes. */
#define TILE_DWORD(i, at)                                                                          \
    (*(const int32_t *)(((i) < 3 ? x : x3) + (size_t)((i) % 3) * x_stride + (at)))
#define TILE_X(i) _mm512_set1_epi32(TILE_DWORD(i, 0))

/* Sums in fp32 from where they were, and to where they go. */
#define TILE_FETCH(sum, i, j) sum = _mm512_loadu_ps(t->from + (i) * t->from_stride + (j) * LANES);
#define TILE_STORE(sum, i, j) _mm512_storeu_ps(t->to + (i) * t->to_stride + (j) * LANES, sum);

/* to = from + sum · (weight scale · activation scale), for one group. A store might change
 * what t points to for all that gcc knows, so all of it is read beforehand. */
#define TILE_SCALE_SUM(sum, i, j)                                                                  \
    _mm512_storeu_ps(to + (j) * LANES, _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)sum),           \
                                                       _mm512_mul_ps(w_scale##j, x_scale),         \
                                                       _mm512_loadu_ps(from + (j) * LANES)));
#define TILE_SCALE_TOKEN(i)                                                                        \
    if (i < tokens) {                                                                              \
        __m512 x_scale = _mm512_set1_ps(x_scales[i]);                                              \
        FOR_PANELS_OF(i, TILE_SCALE_SUM)                                                           \
        from += from_stride, to += to_stride;                                                      \
    }
#define TILE_LOAD_SCALE(j)                                                                         \
    if (j < panels)                                                                                \
        w_scale##j = _mm512_loadu_ps(t->w_scales + (j) * t->w_scale_stride);
#define TILE_SCALE_SUMS                                                                            \
    do {                                                                                           \
        const float *from = t->from, *x_scales = t->x_scales;                                      \
        float *to = t->to;                                                                         \
        size_t from_stride = t->from_stride, to_stride = t->to_stride;                             \
        __m512 w_scale0, w_scale1, w_scale2, w_scale3;                                             \
        FOR_PANELS(TILE_LOAD_SCALE)                                                                \
        FOR_TOKENS(TILE_SCALE_TOKEN)                                                               \
    } while (0)

#endif
