/* Products on AMX tiles: C [16 tokens][16 outputs] += A [16 tokens][64 bytes] · B [64 bytes][16
 * outputs]. The rows of an A tile are rows of activations, those of a B tile lines of a panel, both
 * as they lie in memory. Four C tiles, a block of 32 tokens × 32 outputs, share two A and two B.
 *
 * The first-level cache sets the order: a block reads a line from memory for every line that it
 * multiplies, so a square of 64 × 64 goes through the inputs one int8 group at a time, and its two
 * sides and its fp32 sums stay near. The tile unit works beside the vector ports: while it
 * multiplies one block they scale and add up the integer sums of the block before. */
#include "kernels/amx.h"
#include "kernels/tables.h"

#define SIDE 32   /* tokens and outputs of a block */
#define SQUARE 64 /* tokens and outputs of a square */
#define BLOCKS ((SQUARE / SIDE) * (SQUARE / SIDE))

/* Integer sums of one block and where they are to be scaled and added. */
typedef struct pending_block {
    const int32_t *sums;      /* [4][16][16]: C tiles 0 … 3 */
    const float *x_scales;    /* [32] */
    const float *w_scales[2]; /* [16] of each panel */
    const float *from;        /* [32][32], rows from_stride apart */
    float *to;
    size_t from_stride, to_stride;
} pending_block;

/* Rows first … first + n - 1: to = from + sum · weight scale · activation scale. */
static inline __attribute__((always_inline)) void scale_rows(const pending_block *b, int first,
                                                             int n)
{
    __m512 w0 = _mm512_loadu_ps(b->w_scales[0]), w1 = _mm512_loadu_ps(b->w_scales[1]);
    for (int i = first; i < first + n; i++) {
        const int32_t *sums = b->sums + (i / 16 * 512 + i % 16 * 16);
        const float *from = b->from + (size_t)i * b->from_stride;
        float *to = b->to + (size_t)i * b->to_stride;
        __m512 x_scale = _mm512_set1_ps(b->x_scales[i]);
        __m512 s0 = _mm512_cvtepi32_ps(_mm512_load_si512(sums));
        __m512 s1 = _mm512_cvtepi32_ps(_mm512_load_si512(sums + 256));
        s0 = _mm512_fmadd_ps(s0, _mm512_mul_ps(w0, x_scale), _mm512_loadu_ps(from));
        s1 = _mm512_fmadd_ps(s1, _mm512_mul_ps(w1, x_scale), _mm512_loadu_ps(from + 16));
        _mm512_storeu_ps(to, s0);
        _mm512_storeu_ps(to + 16, s1);
    }
}

/* One block's operands for one group. */
typedef struct block_operands {
    const int8_t *x[2]; /* upper and lower 16 tokens */
    size_t x_stride;
    const int8_t *w[2]; /* two panels */
} block_operands;

/* One group of a block into sums, with the scaling of `before` laid between the tile products. */
static inline __attribute__((always_inline)) void
multiply_steps(const block_operands *o, int n_steps, int32_t *sums, const pending_block *before)
{
    const int rows = SIDE / (4 * n_steps); /* after each product; what is left at the end */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int s = 0; s < n_steps; s++) {
        int done = 4 * s * rows;
        _tile_loadd(4, o->x[0] + 64 * s, o->x_stride);
        _tile_loadd(6, o->w[0] + 1024 * s, 64);
        _tile_dpbssd(0, 4, 6);
        scale_rows(before, done, rows);
        _tile_loadd(7, o->w[1] + 1024 * s, 64);
        _tile_dpbssd(1, 4, 7);
        scale_rows(before, done + rows, rows);
        _tile_loadd(5, o->x[1] + 64 * s, o->x_stride);
        _tile_dpbssd(2, 5, 6);
        scale_rows(before, done + 2 * rows, rows);
        _tile_dpbssd(3, 5, 7);
        scale_rows(before, done + 3 * rows, rows);
    }
    scale_rows(before, 4 * n_steps * rows, SIDE - 4 * n_steps * rows);
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

static void multiply_block(const block_operands *o, int n_steps, int32_t *sums,
                           const pending_block *before)
{
    if (n_steps == 4)
        multiply_steps(o, 4, sums, before);
    else if (n_steps == 3)
        multiply_steps(o, 3, sums, before);
    else if (n_steps == 2)
        multiply_steps(o, 2, sums, before);
    else
        multiply_steps(o, 1, sums, before);
}

/* What a call keeps near: KERNEL_MATMUL_SCRATCH bytes. */
typedef struct amx_scratch {
    float acc[BLOCKS][SIDE * SIDE];
    int32_t sums[2][SIDE * SIDE]; /* the block at work, the block before */
    float x_scales[2][SQUARE];    /* of the group at work, of the one before */
    float nothing[SIDE];          /* zeros to add to */
    float nowhere[SIDE];          /* for what is not wanted */
} amx_scratch;

_Static_assert(sizeof(amx_scratch) <= KERNEL_MATMUL_SCRATCH, "the scratch is the caller's");

typedef struct square {
    const acts *x;
    const kernel_panels *w;
    input_range range;
    size_t token;           /* row of x */
    int panel;              /* of w */
    int n_tokens, n_panels; /* up to 64 and 4; n_tokens is a multiple of 32, or below 32 */
    float *out;             /* [n_tokens][16 · n_panels] */
    size_t out_stride;
    bool accumulate;
} square;

static bool has_block(const square *s, int row, int column)
{
    return s->n_tokens > row * SIDE && s->n_panels > column * 2;
}

static bool is_whole(const square *s, int row, int column)
{
    return s->n_tokens >= (row + 1) * SIDE && s->n_panels >= (column + 1) * 2;
}

/* Between out and acc, for the blocks that out has only a part of. */
static void copy_parts(const square *s, amx_scratch *m, bool to_out)
{
    for (int b = 0; b < BLOCKS; b++) {
        int row = b / 2, column = b % 2;
        if (!has_block(s, row, column) || is_whole(s, row, column))
            continue;
        int n_rows = s->n_tokens - row * SIDE < SIDE ? s->n_tokens - row * SIDE : SIDE;
        int n_outputs = s->n_panels - column * 2 < 2 ? KERNEL_PANEL : SIDE;
        for (int i = 0; i < n_rows; i++) {
            float *out = s->out + (size_t)(row * SIDE + i) * s->out_stride + column * SIDE;
            float *acc = m->acc[b] + i * SIDE;
            memcpy(to_out ? out : acc, to_out ? acc : out, (size_t)n_outputs * sizeof *out);
        }
    }
}

static void read_scales(const square *s, int g, float scales[SQUARE])
{
    size_t n_groups = (size_t)kernel_n_groups(s->x->n_in);
    const float *from = s->x->scales + s->token * n_groups + (size_t)(s->range.first_group + g);
    for (int i = 0; i < s->n_tokens; i++)
        scales[i] = from[(size_t)i * n_groups];
}

static block_operands operands_of(const square *s, int g, int row, int column)
{
    size_t first = (size_t)g * (size_t)s->range.group, length = (size_t)s->range.length;
    const int8_t *x = (const int8_t *)s->x->data +
                      (s->token + (size_t)(row * SIDE)) * s->x->stride + (size_t)s->range.first +
                      first;
    const int8_t *w = (const int8_t *)s->w->data +
                      ((size_t)(s->panel + 2 * column) * length + first) * KERNEL_PANEL;
    bool has_lower = s->n_tokens > row * SIDE + 16, has_second = s->n_panels > 2 * column + 1;
    return (block_operands){.x = {x, has_lower ? x + 16 * s->x->stride : x},
                            .x_stride = s->x->stride,
                            .w = {w, has_second ? w + length * KERNEL_PANEL : w}};
}

/* Where group g of a block adds its sums: from zero or out first, in acc between, into out last. */
static pending_block pending_of(const square *s, amx_scratch *m, int g, int row, int column,
                                const int32_t *sums)
{
    size_t n_groups = (size_t)s->range.n_groups;
    const float *w_scales =
        s->w->scales + ((size_t)(s->panel + 2 * column) * n_groups + (size_t)g) * KERNEL_PANEL;
    bool has_second = s->n_panels > 2 * column + 1, whole = is_whole(s, row, column);
    float *acc = m->acc[row * 2 + column];
    float *out = s->out + (size_t)(row * SIDE) * s->out_stride + column * SIDE;
    pending_block b = {
        .sums = sums,
        .x_scales = m->x_scales[g & 1] + row * SIDE,
        .w_scales = {w_scales, has_second ? w_scales + n_groups * KERNEL_PANEL : w_scales},
        .from = acc,
        .from_stride = SIDE,
        .to = acc,
        .to_stride = SIDE,
    };
    if (g == 0 && !s->accumulate) {
        b.from = m->nothing;
        b.from_stride = 0;
    } else if (g == 0 && whole) {
        b.from = out;
        b.from_stride = s->out_stride;
    }
    if (g == s->range.n_groups - 1 && whole) {
        b.to = out;
        b.to_stride = s->out_stride;
    }
    return b;
}

static void multiply_square(const square *s, amx_scratch *m)
{
    /* Back and forth, so that each block shares a side with the one before. */
    static const struct {
        int row, column;
    } path[BLOCKS] = {{0, 0}, {0, 1}, {1, 1}, {1, 0}};
    pending_block before = {.sums = m->sums[1],
                            .x_scales = m->x_scales[1],
                            .w_scales = {m->nothing, m->nothing},
                            .from = m->nothing,
                            .to = m->nowhere};
    int turn = 0;
    if (s->accumulate)
        copy_parts(s, m, false);
    for (int g = 0; g < s->range.n_groups; g++) {
        int n_steps = range_group_length(&s->range, g) / 64;
        read_scales(s, g, m->x_scales[g & 1]);
        for (int i = 0; i < BLOCKS; i++) {
            int row = path[i].row, column = path[i].column;
            if (!has_block(s, row, column))
                continue;
            block_operands o = operands_of(s, g, row, column);
            int32_t *sums = m->sums[turn ^= 1];
            multiply_block(&o, n_steps, sums, &before);
            before = pending_of(s, m, g, row, column, sums);
        }
    }
    scale_rows(&before, 0, SIDE);
    copy_parts(s, m, true);
}

/* A block in bf16: all inputs in one go, since its sums need no scales. */
static void multiply_block_bf16(const square *s, amx_scratch *m, int row, int column)
{
    bool has_lower = s->n_tokens > row * SIDE + 16, has_second = s->n_panels > 2 * column + 1;
    bool whole = is_whole(s, row, column);
    size_t length = (size_t)s->range.length, x_stride = s->x->stride * 2;
    const uint16_t *x0 = (const uint16_t *)s->x->data +
                         (s->token + (size_t)(row * SIDE)) * s->x->stride + (size_t)s->range.first;
    const uint16_t *x1 = has_lower ? x0 + 16 * s->x->stride : x0;
    const uint16_t *w0 =
        (const uint16_t *)s->w->data + (size_t)(s->panel + 2 * column) * length * KERNEL_PANEL;
    const uint16_t *w1 = has_second ? w0 + length * KERNEL_PANEL : w0;
    float *out = whole ? s->out + (size_t)(row * SIDE) * s->out_stride + column * SIDE
                       : m->acc[row * 2 + column];
    size_t out_stride = whole ? s->out_stride : SIDE, row_bytes = out_stride * sizeof *out;
    if (s->accumulate) {
        _tile_loadd(0, out, row_bytes);
        _tile_loadd(1, out + 16, row_bytes);
        _tile_loadd(2, out + 16 * out_stride, row_bytes);
        _tile_loadd(3, out + 16 * out_stride + 16, row_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t k = 0; k < length; k += 32) {
        _tile_loadd(4, x0 + k, x_stride);
        _tile_loadd(6, w0 + k * KERNEL_PANEL, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w1 + k * KERNEL_PANEL, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x1 + k, x_stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, row_bytes);
    _tile_stored(1, out + 16, row_bytes);
    _tile_stored(2, out + 16 * out_stride, row_bytes);
    _tile_stored(3, out + 16 * out_stride + 16, row_bytes);
}

static void multiply_square_bf16(const square *s, amx_scratch *m)
{
    if (s->accumulate)
        copy_parts(s, m, false);
    for (int b = 0; b < BLOCKS; b++)
        if (has_block(s, b / 2, b % 2))
            multiply_block_bf16(s, m, b / 2, b % 2);
    copy_parts(s, m, true);
}

void matmul_amx(const acts *x, int token0, int n_tokens, const kernel_panels *w, float *out,
                size_t out_stride, bool accumulate, void *scratch)
{
    if (w->compute == SLANT_COMPUTE_F32) {
        matmul_float_avx512(x, token0, n_tokens, w, out, out_stride, accumulate);
        return;
    }
    amx_scratch *m = scratch;
    memset(m->nothing, 0, sizeof m->nothing);
    square s = {.x = x,
                .w = w,
                .range = panels_range(w),
                .out_stride = out_stride,
                .accumulate = accumulate};
    for (int t = 0, rows = 0; t < n_tokens; t += s.n_tokens) {
        int left = n_tokens - t;
        s.n_tokens = left >= SQUARE ? SQUARE : left >= SIDE ? SIDE : left;
        s.token = (size_t)(token0 + t);
        if (rows != (left < SIDE ? left : SIDE))
            amx_configure(rows = left < SIDE ? left : SIDE);
        for (int p = 0; p < w->n_panels; p += 4) {
            s.panel = p;
            s.n_panels = w->n_panels - p < 4 ? w->n_panels - p : 4;
            s.out = out + (size_t)t * out_stride + (size_t)p * KERNEL_PANEL;
            if (w->compute == SLANT_COMPUTE_INT8)
                multiply_square(&s, m);
            else
                multiply_square_bf16(&s, m);
        }
    }
    _tile_release();
}
