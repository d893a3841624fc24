/* What the forward pass leaves for the backward pass, and its low-rank products under dropout. */
#include "model/tape.h"

#include "base/thread.h"
#include "model/linear.h"

#include <string.h>

static bool records(const pass *p)
{
    return p->tape != NULL && p->tape->recording;
}

static tape_layer *slot_of(const pass *p)
{
    return &p->tape->layers[p->tape->layer];
}

static void *kept_at(const kept *k, int row, size_t column)
{
    size_t element = k->type == DTYPE_F32 ? 4 : 2;
    return (char *)k->data + ((size_t)row * k->stride + column) * element;
}

/* n_columns of rows row … row + n_rows; from's row 0 is row. */
static void store(const tape *t, const kept *k, int row, int n_rows, size_t column,
                  size_t n_columns, const float *from, size_t stride)
{
    for (int r = 0; r < n_rows; r++)
        t->kernels->narrow(from + (size_t)r * stride, k->type, kept_at(k, row + r, column),
                           n_columns);
}

void tape_load(const tape *t, const kept *k, int row, size_t n, float *out)
{
    t->kernels->widen(kept_at(k, row, 0), k->type, out, n);
}

void tape_round(const tape *t, float *x, size_t n)
{
    uint16_t halves[256];
    for (size_t i = 0; t->half && i < n; i += 256) {
        size_t here = n - i < 256 ? n - i : 256;
        t->kernels->narrow(x + i, DTYPE_F16, halves, here);
        t->kernels->widen(halves, DTYPE_F16, x + i, here);
    }
}

typedef struct round_columns {
    float *rows;
    size_t stride, first, end;
} round_columns;

static void round_share(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const round_columns *c = context;
    (void)scratch;
    for (int r = first; r < end; r++)
        tape_round(p->tape, c->rows + (size_t)r * c->stride + c->first, c->end - c->first);
}

void tape_round_rows(pass *p, float *rows, size_t stride, size_t first_column, size_t end_column)
{
    round_columns columns = {rows, stride, first_column, end_column};
    if (p->tape != NULL && p->tape->half)
        pass_rows(p, round_share, &columns);
}

int tape_token(const pass *p, int row)
{
    return p->n_rows == p->n_tokens ? row : p->bounds[row] + p->pooled[row];
}

tape_scratch *tape_scratch_of(const pass *p, const thread_scratch *scratch)
{
    return &p->tape->threads[scratch - p->w->threads];
}

static void keep_hidden_rows(pass *p, const void *context, thread_scratch *scratch, int first,
                             int end)
{
    (void)scratch;
    const kept *k = context;
    const workspace *w = p->w;
    store(p->tape, k, first, end - first, 0, (size_t)p->m->config.hidden_size,
          w->hidden + (size_t)first * w->hidden_stride, w->hidden_stride);
}

void tape_keep_hidden(pass *p)
{
    if (records(p))
        pass_rows(p, keep_hidden_rows, &slot_of(p)->hidden);
}

void tape_keep_middle(pass *p)
{
    if (records(p))
        pass_rows(p, keep_hidden_rows, &slot_of(p)->middle);
}

typedef struct column_range {
    size_t first, end;
} column_range;

static void keep_qkv_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)scratch;
    const column_range *columns = context;
    const workspace *w = p->w;
    store(p->tape, &slot_of(p)->qkv, first, end - first, columns->first,
          columns->end - columns->first, w->qkv + (size_t)first * w->qkv_stride + columns->first,
          w->qkv_stride);
}

void tape_keep_qkv(pass *p, size_t first_column, size_t end_column)
{
    column_range columns = {first_column, end_column};
    if (records(p))
        pass_rows(p, keep_qkv_rows, &columns);
}

void tape_keep_attended(pass *p, int first, int end)
{
    const workspace *w = p->w;
    if (records(p) && slot_of(p)->attended.data != NULL)
        store(p->tape, &slot_of(p)->attended, first, end - first, 0, w->attended_stride,
              w->attended + (size_t)first * w->attended_stride, w->attended_stride);
}

void tape_keep_wide(pass *p, const float *gate, const float *up, size_t stride, int row, int n_rows)
{
    if (!records(p))
        return;
    size_t n = (size_t)p->m->config.intermediate_size;
    store(p->tape, &slot_of(p)->gate, row, n_rows, 0, n, gate, stride);
    store(p->tape, &slot_of(p)->up, row, n_rows, 0, n, up, stride);
}

/* A counter for each element of each row of each module's input: the module, the article's number
 * in the run and the token's position in it, so that neither threads nor packing matter. */
dropout_row tape_dropout_row(const pass *p, int which, int row)
{
    const tape *t = p->tape;
    int token = tape_token(p, row), sequence = t->row_sequence[token];
    return (dropout_row){
        .key = {(uint32_t)t->dropout.seed, (uint32_t)(t->dropout.seed >> 32)},
        .counter = {0, (uint32_t)(token - p->bounds[sequence]),
                    (uint32_t)(t->layer * LINEAR_COUNT + which), t->samples[sequence]},
        .threshold = (uint32_t)(t->dropout.p * 65536.0f + 0.5f),
    };
}

float tape_adapter_scale(const tape *t, const lora *adapter)
{
    return adapter->scale / (1.0f - t->dropout.p);
}

static void drop_row(const pass *p, int which, int row, acts *x, int x_row)
{
    dropout_row drop = tape_dropout_row(p, which, row);
    size_t element = x->compute == SLANT_COMPUTE_F32 ? 4 : 2;
    p->tape->kernels->drop(&drop, 0, x->n_in, x->compute,
                           (char *)x->data + (size_t)x_row * x->stride * element);
}

/* As linear_low_rank, from rows of the input with some elements dropped, or rounded to half. */
static void remade_low_rank(pass *p, thread_scratch *scratch, const linear *l, int which,
                            const module_input *in, int in_row, int row, int n_rows)
{
    workspace *w = p->w;
    const tape *t = p->tape;
    acts dropped = tape_scratch_of(p, scratch)->dropped;
    lora scaled = l->adapter;
    scaled.scale = tape_adapter_scale(p->tape, &l->adapter);
    dropped.n_in = l->w.n_in;
    for (int r = 0; r < n_rows; r += LINEAR_LOW_ROWS) {
        int n = n_rows - r < LINEAR_LOW_ROWS ? n_rows - r : LINEAR_LOW_ROWS;
        pass_input(p, in, in_row + r, n, &dropped, 0);
        if (t->half)
            tape_round(t, dropped.data, (size_t)n * dropped.stride);
        for (int i = 0; i < n && t->dropout.p > 0; i++)
            drop_row(p, which, row + r + i, &dropped, i);
        linear_low_rank(w, scratch, &scaled, &dropped, 0, n, &w->now.low[which], row + r);
        if (t->half)
            tape_round(t, (float *)w->now.low[which].data + (size_t)(row + r) * w->now.low[which].stride,
                       (size_t)n * w->now.low[which].stride);
    }
}

void tape_low_rank(pass *p, thread_scratch *scratch, const linear *l, int which,
                   const module_input *in, int in_row, int row, int n_rows)
{
    if (l->adapter.rank == 0)
        return;
    if (p->tape->dropout.p > 0 || p->tape->half)
        remade_low_rank(p, scratch, l, which, in, in_row, row, n_rows);
    else
        linear_low_rank(p->w, scratch, &l->adapter, in->rows, in_row, n_rows, &p->w->now.low[which],
                        row);
    if (!p->tape->recording)
        return;
    const acts *from = &p->w->now.low[which], *to = &slot_of(p)->low[which];
    size_t element = from->compute == SLANT_COMPUTE_F32 ? 4 : 2;
    for (int r = row; r < row + n_rows; r++)
        memcpy((char *)to->data + (size_t)r * to->stride * element,
               (const char *)from->data + (size_t)r * from->stride * element,
               (size_t)kernel_padded(l->adapter.rank) * element);
}
