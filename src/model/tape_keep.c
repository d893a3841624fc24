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
static dropout_row dropout_row_of(const pass *p, int which, int row)
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

static char *row_of(const acts *x, int row)
{
    size_t element = x->compute == SLANT_COMPUTE_F32 ? 4 : 2;
    return (char *)x->data + (size_t)row * x->stride * element;
}

static void keep_low(const pass *p, int which, int row, int n_rows)
{
    const acts *from = &p->w->now.low[which], *to = &slot_of(p)->low[which];
    size_t element = from->compute == SLANT_COMPUTE_F32 ? 4 : 2;
    size_t n = (size_t)kernel_padded(p->m->layers[p->tape->layer].linears[which].adapter.rank);
    for (int r = row; r < row + n_rows; r++)
        memcpy(row_of(to, r), row_of(from, r), n * element);
}

/* Rows of a module's input as A shall read them: x's rows x_row … with the module's dropout. */
typedef struct low_input {
    const acts *x;
    int x_row;
} low_input;

static low_input drop(const pass *p, tape_scratch *s, int which, low_input in, int row, int n_rows)
{
    const tape *t = p->tape;
    const dropout_bits *dropped = &slot_of(p)->dropped[which];
    if (t->dropout.p <= 0)
        return in;
    s->dropped.n_in = in.x->n_in;
    for (int r = 0; r < n_rows; r++) {
        dropout_row random = dropout_row_of(p, which, row + r);
        uint16_t *bits = dropped->rows + (size_t)(row + r) * dropped->stride;
        t->kernels->dropout(&random, in.x->n_in, bits);
        t->kernels->copy_kept(bits, row_of(in.x, in.x_row + r), in.x->compute, in.x->n_in,
                              row_of(&s->dropped, r));
    }
    return (low_input){&s->dropped, 0};
}

static void low_rank_of(pass *p, thread_scratch *scratch, const linear *l, int which, low_input in,
                        int row, int n_rows)
{
    workspace *w = p->w;
    const tape *t = p->tape;
    lora scaled = l->adapter;
    scaled.scale = tape_adapter_scale(t, &l->adapter);
    in = drop(p, tape_scratch_of(p, scratch), which, in, row, n_rows);
    linear_low_rank(w, scratch, &scaled, in.x, in.x_row, n_rows, &w->now.low[which], row);
    if (t->half)
        tape_round(t, (float *)w->now.low[which].data + (size_t)row * w->now.low[which].stride,
                   (size_t)n_rows * w->now.low[which].stride);
    if (t->recording)
        keep_low(p, which, row, n_rows);
}

/* A few rows that all modules share, in A's own compute: as the base's product reads them where
 * that is the same, else made anew. */
static low_input input_of_low(const pass *p, tape_scratch *s, const module_input *in, int in_row,
                              int n_rows)
{
    const tape *t = p->tape;
    bool remade = t->half || (t->dropout.p > 0 && in->rows->compute != s->plain.compute);
    if (!remade)
        return (low_input){in->rows, in_row};
    s->plain.n_in = in->rows->n_in;
    pass_input(p, in, in_row, n_rows, &s->plain, 0);
    if (t->half)
        tape_round(t, s->plain.data, (size_t)n_rows * s->plain.stride);
    return (low_input){&s->plain, 0};
}

void tape_low_rank(pass *p, thread_scratch *scratch, const linear *linears, const int *which,
                   int n_which, const module_input *in, int in_row, int row, int n_rows)
{
    bool adapted = false;
    for (int i = 0; i < n_which; i++)
        adapted = adapted || linears[which[i]].adapter.rank > 0;
    for (int r = 0; r < n_rows && adapted; r += LINEAR_LOW_ROWS) {
        int n = n_rows - r < LINEAR_LOW_ROWS ? n_rows - r : LINEAR_LOW_ROWS;
        low_input x = input_of_low(p, tape_scratch_of(p, scratch), in, in_row + r, n);
        for (int i = 0; i < n_which; i++)
            if (linears[which[i]].adapter.rank > 0)
                low_rank_of(p, scratch, &linears[which[i]], which[i], x, row + r, n);
    }
}
