/* Products on AMX tiles: C [16 tokens][16 outputs] += A [16 tokens][64 bytes] · B [64 bytes][16
 * outputs]. The rows of an A tile are rows of activations, those of a B tile lines of a panel, both
 * as they lie in memory. Four C tiles, a block of 32 tokens × 32 outputs, share two A and two B.
 *
 * The tile unit works beside the vector ports: while it multiplies one block they scale and add up
 * the integer sums of the block before. What limits it is the first-level cache, which every line
 * of A, B, sums and fp32 results passes: so two blocks, 64 tokens against the same two panels, go
 * through the inputs together, one int8 group at a time, and what they share stays near. */
#include "kernels/amx.h"
#include "kernels/tables.h"

#define SIDE 32 /* tokens and outputs of a block */
#define BLOCKS 2

/* Integer sums of one block and where they are to be scaled and added. */
typedef struct pending_block {
    const int32_t *sums;      /* [4][16][16]: C tiles 0 … 3 */
    const float *x_scales;    /* [32] */
    const float *w_scales[2]; /* [16] of each panel */
    const float *from;        /* [32][32], rows from_stride apart */
    float *to;
    size_t from_stride, to_stride;
} pending_block;

/* The block's next n rows, i being how many are done: to = from + sum · weight scale · activation
 * scale. Pointers move along, since gcc would else keep the 64 of them in memory; the empty
 * statement keeps it from moving the rows away from their tile product. */
static inline __attribute__((always_inline)) void scale_rows(pending_block *b, __m512 w0, __m512 w1,
                                                             int i, int n)
{
#pragma GCC unroll 8
    for (int end = i + n; i < end; i++) {
        const int32_t *sums = b->sums + (i / 16 * 512 + i % 16 * 16);
        __m512 x_scale = _mm512_set1_ps(b->x_scales[i]);
        __m512 s0 = _mm512_cvtepi32_ps(_mm512_load_si512(sums));
        __m512 s1 = _mm512_cvtepi32_ps(_mm512_load_si512(sums + 256));
        s0 = _mm512_fmadd_ps(s0, _mm512_mul_ps(w0, x_scale), _mm512_loadu_ps(b->from));
        s1 = _mm512_fmadd_ps(s1, _mm512_mul_ps(w1, x_scale), _mm512_loadu_ps(b->from + 16));
        _mm512_storeu_ps(b->to, s0);
        _mm512_storeu_ps(b->to + 16, s1);
        b->from += b->from_stride;
        b->to += b->to_stride;
        __asm__ volatile("" : "+r"(b->from), "+r"(b->to) : : "memory");
    }
}

/* One block's operands for one group. */
typedef struct block_operands {
    const int8_t *x[2]; /* upper and lower 16 tokens */
    size_t x_stride;
    const int8_t *w[2]; /* two panels */
} block_operands;

/* One step: 64 inputs into all four C tiles. after(c) follows the product into tile c. */
#define STEP(s, after)                                                                             \
    do {                                                                                           \
        _tile_loadd(4, o->x[0] + 64 * (s), o->x_stride);                                           \
        _tile_loadd(6, o->w[0] + 1024 * (s), 64);                                                  \
        _tile_dpbssd(0, 4, 6);                                                                     \
        after(0);                                                                                  \
        _tile_loadd(7, o->w[1] + 1024 * (s), 64);                                                  \
        _tile_dpbssd(1, 4, 7);                                                                     \
        after(1);                                                                                  \
        _tile_loadd(5, o->x[1] + 64 * (s), o->x_stride);                                           \
        _tile_dpbssd(2, 5, 6);                                                                     \
        after(2);                                                                                  \
        _tile_dpbssd(3, 5, 7);                                                                     \
        after(3);                                                                                  \
    } while (0)

/* The first n_scaled steps of a group, with the scaling of `before` laid between the products. */
static inline __attribute__((always_inline)) void first_steps(const block_operands *o, int n_scaled,
                                                              pending_block before)
{
    const int rows = SIDE / (4 * n_scaled); /* after each product; what is left at the end */
    __m512 w0 = _mm512_loadu_ps(before.w_scales[0]), w1 = _mm512_loadu_ps(before.w_scales[1]);
#define SCALE(c) scale_rows(&before, w0, w1, (4 * s + (c)) * rows, rows)
#pragma GCC unroll 4
    for (int s = 0; s < n_scaled; s++)
        STEP(s, SCALE);
    scale_rows(&before, w0, w1, 4 * n_scaled * rows, SIDE - 4 * n_scaled * rows);
}

/* One group of a block into sums, while `before` gets its scales. */
static void multiply_block(const block_operands *o, int n_steps, int32_t *sums,
                           pending_block before)
{
    int s = n_steps < 4 ? n_steps : 4;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (s == 4)
        first_steps(o, 4, before);
    else if (s == 3)
        first_steps(o, 3, before);
    else if (s == 2)
        first_steps(o, 2, before);
    else
        first_steps(o, 1, before);
#define NOTHING(c) (void)0
    for (; s < n_steps; s++)
        STEP(s, NOTHING);
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

#define MAX_GROUPS 128 /* in one go, an addend counted; a longer product is taken in portions */

/* What a call keeps near: KERNEL_MATMUL_SCRATCH bytes. */
typedef struct amx_scratch {
    float acc[BLOCKS * SIDE][SIDE];
    int32_t sums[2][SIDE * SIDE];              /* the block at work, the block before */
    float x_scales[MAX_GROUPS][BLOCKS * SIDE]; /* of the strip's tokens, group by group */
    float nothing[SIDE];                       /* zeros */
    float nowhere[SIDE];
} amx_scratch;

_Static_assert(sizeof(amx_scratch) <= KERNEL_MATMUL_SCRATCH, "the scratch is the caller's");

/* Up to two blocks, one above the other. */
typedef struct strip {
    const acts *x;
    const kernel_panels *w;
    const kernel_addend *addend; /* NULL: none */
    input_range range;
    size_t token;           /* row of x, */
    size_t addend_token;    /* of the addend's */
    int panel;              /* of w */
    int n_tokens, n_panels; /* 64, 32 or below 32; 2 or 1 */
    float *out;             /* [n_tokens][16 · n_panels] */
    size_t out_stride;
    bool accumulate;
} strip;

static int n_blocks(const strip *s)
{
    return s->n_tokens > SIDE ? 2 : 1;
}

/* Whether out has all 32 × 32 results of the strip's blocks: it has for all of them or for none. */
static bool is_whole(const strip *s)
{
    return s->n_tokens >= SIDE && s->n_panels == 2;
}

/* Between out and acc, for blocks that out has only a part of. */
static void copy_part(const strip *s, amx_scratch *m, bool to_out)
{
    size_t bytes = (size_t)s->n_panels * KERNEL_PANEL * sizeof(float);
    for (int i = 0; i < s->n_tokens; i++) {
        float *out = s->out + (size_t)i * s->out_stride;
        memcpy(to_out ? out : m->acc[i], to_out ? m->acc[i] : out, bytes);
    }
}

/* An addend is one more group, -1. Scales of the tokens lie group by group from it on. */
static int first_group(const strip *s)
{
    return s->addend != NULL ? -1 : 0;
}

static void read_scales(const strip *s, amx_scratch *m)
{
    size_t n_groups = (size_t)kernel_n_groups(s->x->n_in);
    const float *from = s->x->scales + s->token * n_groups + (size_t)s->range.first_group;
    float(*scales)[BLOCKS * SIDE] = m->x_scales - first_group(s);
    for (int i = 0; i < s->n_tokens; i++) {
        for (int g = 0; g < s->range.n_groups; g++)
            scales[g][i] = from[(size_t)i * n_groups + (size_t)g];
        if (s->addend != NULL)
            scales[-1][i] = s->addend->x->scales[s->addend_token + (size_t)i];
    }
}

/* Group g, inputs first … of length that a panel holds. */
static block_operands operands_of(const strip *s, int g, int row)
{
    const acts *x = g < 0 ? s->addend->x : s->x;
    const kernel_panels *w = g < 0 ? s->addend->w : s->w;
    size_t token = (g < 0 ? s->addend_token : s->token) + (size_t)(row * SIDE);
    size_t length = (size_t)(g < 0 ? kernel_padded(x->n_in) : s->range.length);
    size_t first = g < 0 ? 0 : (size_t)g * (size_t)s->range.group;
    const int8_t *rows =
        (const int8_t *)x->data + token * x->stride + first + (g < 0 ? 0 : (size_t)s->range.first);
    const int8_t *panels =
        (const int8_t *)w->data + ((size_t)s->panel * length + first) * KERNEL_PANEL;
    bool has_lower = s->n_tokens > row * SIDE + 16;
    return (block_operands){
        .x = {rows, has_lower ? rows + 16 * x->stride : rows},
        .x_stride = x->stride,
        .w = {panels, s->n_panels == 2 ? panels + length * KERNEL_PANEL : panels}};
}

static int group_length(const strip *s, int g)
{
    return g < 0 ? kernel_padded(s->addend->x->n_in) : range_group_length(&s->range, g);
}

/* Where group g of a block adds its sums: from zero or out first, in acc between, into out last. */
static pending_block pending_of(const strip *s, amx_scratch *m, int g, int row, const int32_t *sums)
{
    size_t n_groups = g < 0 ? 1 : (size_t)s->range.n_groups;
    const float *w_scales = (g < 0 ? s->addend->w : s->w)->scales +
                            ((size_t)s->panel * n_groups + (size_t)(g < 0 ? 0 : g)) * KERNEL_PANEL;
    float *out = s->out + (size_t)(row * SIDE) * s->out_stride;
    bool is_first = g == first_group(s);
    bool from_out = is_first && s->accumulate && is_whole(s);
    bool from_nothing = is_first && !s->accumulate;
    bool to_out = g == s->range.n_groups - 1 && is_whole(s);
    return (pending_block){
        .sums = sums,
        .x_scales = m->x_scales[g - first_group(s)] + row * SIDE,
        .w_scales = {w_scales, s->n_panels == 2 ? w_scales + n_groups * KERNEL_PANEL : w_scales},
        .from = from_nothing ? m->nothing
                : from_out   ? out
                             : m->acc[row * SIDE],
        .from_stride = from_nothing ? 0
                       : from_out   ? s->out_stride
                                    : SIDE,
        .to = to_out ? out : m->acc[row * SIDE],
        .to_stride = to_out ? s->out_stride : SIDE,
    };
}

/* What is pending when a strip begins, and what it leaves pending. */
static pending_block nothing_pending(amx_scratch *m)
{
    return (pending_block){.sums = m->sums[0],
                           .x_scales = m->nothing,
                           .w_scales = {m->nothing, m->nothing},
                           .from = m->nothing,
                           .to = m->nowhere};
}

static void finish(pending_block b)
{
    scale_rows(&b, _mm512_loadu_ps(b.w_scales[0]), _mm512_loadu_ps(b.w_scales[1]), 0, SIDE);
}

/* Asks for share i of n of the lines of out that a whole block's results will be written to, in
 * time: out is larger than the second-level cache, and its rows lie too far apart for the processor
 * to foresee them. */
static inline __attribute__((always_inline)) void prefetch_out(const strip *s, int row, int i,
                                                               int n)
{
    int lines = 2 * SIDE, each = (lines + n - 1) / n;
    const float *out = s->out + (size_t)(row * SIDE) * s->out_stride;
    for (int l = i * each; l < (i + 1) * each && l < lines; l++)
        __builtin_prefetch(out + (size_t)(l / 2) * s->out_stride + l % 2 * 16, 1);
}

static pending_block multiply_strip(const strip *s, amx_scratch *m, pending_block before)
{
    if (!is_whole(s)) {
        finish(before); /* it may need acc */
        before = nothing_pending(m);
        if (s->accumulate)
            copy_part(s, m, false);
    }
    for (int g = first_group(s); g < s->range.n_groups; g++)
        for (int row = 0; row < n_blocks(s); row++) {
            block_operands o = operands_of(s, g, row);
            if (is_whole(s) && g >= 0)
                prefetch_out(s, row, g, s->range.n_groups);
            int32_t *sums = before.sums == m->sums[0] ? m->sums[1] : m->sums[0];
            multiply_block(&o, group_length(s, g) / 64, sums, before);
            before = pending_of(s, m, g, row, sums);
        }
    if (is_whole(s))
        return before;
    finish(before);
    copy_part(s, m, true);
    return nothing_pending(m);
}

#define LOAD_SUM(c) _tile_loadd(c, out + (c) / 2 * 16 * out_stride + (c) % 2 * 16, row_bytes)
#define STORE_SUM(c) _tile_stored(c, out + (c) / 2 * 16 * out_stride + (c) % 2 * 16, row_bytes)

/* Adds length inputs to the four C tiles: rows of x from (row, column), a pair of panels of w.
 * ahead: the block's row, whose lines of out are asked for meanwhile; -1: none. */
static inline __attribute__((always_inline)) void
add_products_bf16(const strip *s, const acts *x, size_t row, size_t column, const kernel_panels *w,
                  size_t length, bool has_lower, int ahead)
{
    size_t x_stride = x->stride * sizeof(uint16_t);
    const uint16_t *x0 = (const uint16_t *)x->data + row * x->stride + column;
    const uint16_t *x1 = has_lower ? x0 + 16 * x->stride : x0;
    const uint16_t *w0 = (const uint16_t *)w->data + (size_t)s->panel * length * KERNEL_PANEL;
    const uint16_t *w1 = s->n_panels == 2 ? w0 + length * KERNEL_PANEL : w0;
    for (size_t k = 0; k < length; k += 32) {
        _tile_loadd(4, x0 + k, x_stride);
        _tile_loadd(6, w0 + k * KERNEL_PANEL, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (ahead >= 0)
            prefetch_out(s, ahead, (int)(k / 32), (int)(length / 32));
        _tile_loadd(7, w1 + k * KERNEL_PANEL, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x1 + k, x_stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

/* A block in bf16: all inputs in one go, since its sums need no scales. */
static void multiply_block_bf16(const strip *s, int row, float *out, size_t out_stride)
{
    bool has_lower = s->n_tokens > row * SIDE + 16;
    size_t row_bytes = out_stride * sizeof *out, below = (size_t)(row * SIDE);
    const kernel_addend *addend = s->addend;
    amx_publish(out);
    if (s->accumulate) {
        LOAD_SUM(0);
        LOAD_SUM(1);
        LOAD_SUM(2);
        LOAD_SUM(3);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    if (addend != NULL)
        add_products_bf16(s, addend->x, s->addend_token + below, 0, addend->w,
                          (size_t)kernel_padded(addend->x->n_in), has_lower, -1);
    add_products_bf16(s, s->x, s->token + below, (size_t)s->range.first, s->w,
                      (size_t)s->range.length, has_lower, is_whole(s) && !s->accumulate ? row : -1);
    STORE_SUM(0);
    STORE_SUM(1);
    STORE_SUM(2);
    STORE_SUM(3);
}

/* Whole blocks go straight to out, others by way of acc. */
static void multiply_strip_bf16(const strip *s, amx_scratch *m)
{
    if (!is_whole(s) && s->accumulate)
        copy_part(s, m, false);
    for (int row = 0; row < n_blocks(s); row++)
        if (is_whole(s))
            multiply_block_bf16(s, row, s->out + (size_t)(row * SIDE) * s->out_stride,
                                s->out_stride);
        else
            multiply_block_bf16(s, row, m->acc[row * SIDE], SIDE);
    if (!is_whole(s))
        copy_part(s, m, true);
}

/* All panels for the strip's tokens. */
static void multiply_panels(strip *s, float *out, amx_scratch *m)
{
    bool is_int8 = s->x->compute == SLANT_COMPUTE_INT8;
    pending_block before = nothing_pending(m);
    if (is_int8)
        read_scales(s, m);
    for (s->panel = 0; s->panel < s->w->n_panels; s->panel += 2) {
        s->n_panels = s->w->n_panels - s->panel < 2 ? 1 : 2;
        s->out = out + (size_t)s->panel * KERNEL_PANEL;
        if (is_int8)
            before = multiply_strip(s, m, before);
        else
            multiply_strip_bf16(s, m);
    }
    finish(before);
}

/* All tokens, for one portion of the inputs. */
static void multiply_range(strip *s, int token0, int n_tokens, float *out, amx_scratch *m)
{
    for (int t = 0, rows = 0; t < n_tokens; t += s->n_tokens) {
        int left = n_tokens - t;
        s->n_tokens = left >= BLOCKS * SIDE ? BLOCKS * SIDE : left >= SIDE ? SIDE : left;
        s->token = (size_t)(token0 + t);
        s->addend_token = (size_t)(s->addend != NULL ? s->addend->token0 + t : 0);
        if (rows != (left < SIDE ? left : SIDE))
            amx_configure(rows = left < SIDE ? left : SIDE);
        multiply_panels(s, out + (size_t)t * s->out_stride, m);
    }
}

void matmul_amx(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                size_t out_stride, bool accumulate, void *scratch)
{
    matmul_both_amx(x, token0, n_tokens, w, NULL, out, out_stride, accumulate, scratch);
}

void matmul_both_amx(const acts *x, int token0, int n_tokens, const kernel_panels *w,
                     const kernel_addend *addend, float *out, size_t out_stride, bool accumulate,
                     void *scratch)
{
    if (w->compute == SLANT_COMPUTE_F32 || w->compute == SLANT_COMPUTE_INT16) {
        if (addend != NULL)
            matmul_avx512vnni(addend->x, addend->token0, n_tokens, addend->w, out, out_stride,
                              accumulate, scratch);
        matmul_avx512vnni(x, token0, n_tokens, w, out, out_stride, accumulate || addend != NULL,
                          scratch);
        return;
    }
    amx_scratch *m = scratch;
    strip s = {.x = x,
               .w = w,
               .addend = addend,
               .range = panels_range(w),
               .out_stride = out_stride,
               .accumulate = accumulate};
    memset(m->nothing, 0, sizeof m->nothing);
    multiply_range(&s, token0, n_tokens, out, m);
    _tile_release();
}
