/* The derivative of one layer's self-attention with its projections, norm and rotation. */
#include "model/attention.h"

#include "base/thread.h"
#include "model/attention_core_backward.h"
#include "model/linear_backward.h"

#include <stdatomic.h>
#include <string.h>

static bool adapts(const layer *l, int which)
{
    return l->linears[which].adapter.rank > 0;
}

static tape_layer *slot_of(const pass *p)
{
    return &p->tape->layers[p->tape->layer];
}

/* o_proj: d_hidden, the derivative of its output, to d_attended. */
static void output_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    tape *t = p->tape;
    const workspace *w = p->w;
    const layer *l = context;
    float *row = tape_scratch_of(p, scratch)->rows;
    tape_take_dy(t, t->d_hidden + (size_t)first * w->hidden_stride, w->hidden_stride, end - first,
                 &t->dy_hidden, first);
    if (!adapts(l, LINEAR_O))
        return;
    for (int r = first; r < end; r++) {
        tape_load(t, &slot_of(p)->attended, r, w->attended_stride, row);
        w->kernels->quantise(row, 0, 1, &t->input, r);
    }
}

static void through_output(pass *p, const layer *l)
{
    tape *t = p->tape;
    t->input.n_in = l->linears[LINEAR_O].w.n_in;
    pass_rows(p, output_rows, l);
    linear_backward_job o = {.which = LINEAR_O, .dy = &t->dy_hidden, .x = &t->input};
    linear_backward(p, &o, 1, 0, p->n_rows, tape_passes(t, TAPE_O) ? t->d_attended : NULL,
                    t->d_attended_stride);
}

/* w->qkv as attention saw it: columns of the rows that are alive, from what was kept. */
typedef struct qkv_columns {
    size_t first, end;
} qkv_columns;

static void restore_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const qkv_columns *columns = context;
    const workspace *w = p->w;
    float *row = tape_scratch_of(p, scratch)->rows;
    for (int r = first; r < end; r++) {
        tape_load(p->tape, &slot_of(p)->qkv, r, columns->end, row);
        memcpy(w->qkv + (size_t)r * w->qkv_stride + columns->first, row + columns->first,
               (columns->end - columns->first) * sizeof *row);
    }
}

static void restore_qkv(pass *p, const layer *l, int n_alive)
{
    qkv_columns q = {0, p->w->k_column}, kv = {p->w->k_column, p->w->qkv_stride};
    p->n_rows = n_alive;
    pass_rows(p, restore_rows, &q);
    attention_rotate_queries(p, l);
    p->n_rows = p->n_tokens;
    pass_rows(p, restore_rows, &kv);
    attention_rotate_keys(p, l);
}

typedef struct core_team {
    pass *p;
    int window;
    bool pooled_only;
    atomic_int next;
} core_team;

/* One sequence and one key head: its sums belong to this unit alone. */
static void core_unit(const core_team *team, int thread, int sequence, int kv_head)
{
    pass *p = team->p;
    tape *t = p->tape;
    const workspace *w = p->w;
    const model_config *c = &p->m->config;
    size_t sharing = (size_t)(c->n_heads / c->n_kv_heads), dim = (size_t)c->head_dim;
    size_t q_column = (size_t)kv_head * sharing * dim, kv_column = (size_t)kv_head * dim;
    size_t key_row = (size_t)p->bounds[sequence] * w->qkv_stride;
    size_t row = (size_t)(team->pooled_only ? sequence : p->bounds[sequence]);
    int length = p->bounds[sequence + 1] - p->bounds[sequence];
    attention_backward_args args = {
        .kernels = w->kernels,
        .gradients = t->kernels,
        .compute = t->compute,
        .q = w->qkv + row * w->qkv_stride + q_column,
        .k = w->qkv + key_row + w->k_column + kv_column,
        .v = w->qkv + key_row + w->v_column + kv_column,
        .d_out = t->d_attended + row * t->d_attended_stride + q_column,
        .stride = w->qkv_stride,
        .d_out_stride = t->d_attended_stride,
        .first_query = team->pooled_only ? p->pooled[sequence] : 0,
        .n_queries = team->pooled_only ? 1 : length,
        .n_keys = length,
        .window = team->window,
        .head_dim = c->head_dim,
        .n_heads = (int)sharing,
        .scale = 1.0f / __builtin_sqrtf((float)c->head_dim),
        .d_q = t->d_qkv + row * w->qkv_stride + q_column,
        .d_k = t->d_qkv + key_row + w->k_column + kv_column,
        .d_v = t->d_qkv + key_row + w->v_column + kv_column,
        .scratch = t->threads[thread].attention,
        .expand = t->threads[thread].expand,
        .matmul = w->threads[thread].matmul,
    };
    attention_core_backward(&args);
}

static void core_share(void *context, int thread, int n_threads)
{
    (void)n_threads;
    core_team *team = context;
    int n_kv = team->p->m->config.n_kv_heads, n_units = team->p->n_sequences * n_kv, unit;
    while ((unit = atomic_fetch_add(&team->next, 1)) < n_units)
        core_unit(team, thread, unit / n_kv, unit % n_kv);
}

/* The heads' rotation, and their norm where the layer has one, backwards, in place in d_qkv. */
typedef struct head_group {
    size_t column;
    int n_heads;
    const float *norm;
} head_group;

static void unrotate(pass *p, const head_group *g, int row)
{
    const workspace *w = p->w;
    const model_config *c = &p->m->config;
    int token = tape_token(p, row), half = c->head_dim / 2;
    size_t position = (size_t)(token - p->bounds[p->tape->row_sequence[token]]);
    w->kernels->rope(p->tape->d_qkv + (size_t)row * w->qkv_stride + g->column, w->qkv_stride, 1,
                     g->n_heads, c->head_dim, w->cosines + position * (size_t)half,
                     p->tape->minus_sines + position * (size_t)half);
}

static void heads_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const head_group *g = context;
    const model_config *c = &p->m->config;
    tape *t = p->tape;
    tape_scratch *s = tape_scratch_of(p, scratch);
    float *x = s->rows, *dx = x + s->row_width;
    size_t width = (size_t)g->n_heads * (size_t)c->head_dim;
    for (int r = first; r < end; r++) {
        float *d = t->d_qkv + (size_t)r * p->w->qkv_stride + g->column;
        unrotate(p, g, r);
        if (g->norm == NULL)
            continue;
        tape_load(t, &slot_of(p)->qkv, r, g->column + width, x);
        memset(dx, 0, width * sizeof *dx);
        for (size_t i = 0; i < width; i += (size_t)c->head_dim)
            t->kernels->rmsnorm_backward(x + g->column + i, g->norm, c->rms_norm_eps, d + i,
                                         c->head_dim, dx + i);
        memcpy(d, dx, width * sizeof *dx);
    }
}

/* d_qkv's columns of module i (q, k, v) as the derivative that its projection takes. */
static void dy_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)scratch;
    const workspace *w = p->w;
    int i = *(const int *)context;
    size_t column = i == 0 ? 0 : i == 1 ? w->k_column : w->v_column;
    tape_take_dy(p->tape, p->tape->d_qkv + (size_t)first * w->qkv_stride + column, w->qkv_stride,
                 end - first, &p->tape->dy_qkv[i], first);
}

static void through_heads(pass *p, const layer *l, int n_alive)
{
    const model_config *c = &p->m->config;
    head_group q = {0, c->n_heads, l->q_norm}, k = {p->w->k_column, c->n_kv_heads, l->k_norm};
    const int numbers[] = {0, 1, 2};
    p->n_rows = n_alive;
    tape_round_rows(p, p->tape->d_qkv, p->w->qkv_stride, 0, p->w->k_column);
    pass_rows(p, heads_rows, &q);
    pass_rows(p, dy_rows, &numbers[0]);
    p->n_rows = p->n_tokens;
    tape_round_rows(p, p->tape->d_qkv, p->w->qkv_stride, p->w->k_column, p->w->qkv_stride);
    pass_rows(p, heads_rows, &k);
    pass_rows(p, dy_rows, &numbers[1]);
    pass_rows(p, dy_rows, &numbers[2]);
}

/* What q_proj, k_proj and v_proj read, for the rows that are alive. */
static void input_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const layer *l = context;
    const model_config *c = &p->m->config;
    float *hidden = tape_scratch_of(p, scratch)->rows;
    for (int r = first; r < end; r++) {
        tape_load(p->tape, &slot_of(p)->hidden, tape_token(p, r), (size_t)c->hidden_size, hidden);
        p->w->kernels->rmsnorm(hidden, 0, l->input_norm, c->rms_norm_eps, 1, &p->tape->input, r);
    }
}

static void prepare_input(pass *p, const layer *l)
{
    p->tape->input.n_in = p->m->config.hidden_size;
    if (adapts(l, LINEAR_Q) || adapts(l, LINEAR_K) || adapts(l, LINEAR_V))
        pass_rows(p, input_rows, l);
}

/* In the last layer q exists for the pooled tokens alone: their dx joins their tokens' rows. */
static void through_pooled_query(pass *p, const layer *l, bool passes)
{
    tape *t = p->tape;
    workspace *w = p->w;
    linear_backward_job q = {.which = LINEAR_Q, .dy = &t->dy_qkv[0], .x = &t->input};
    p->n_rows = p->n_sequences;
    prepare_input(p, l);
    linear_backward(p, &q, 1, 0, p->n_rows, passes ? w->hidden : NULL, w->hidden_stride);
    for (int s = 0; s < p->n_sequences && passes; s++)
        w->kernels->add(t->d_normed + (size_t)tape_token(p, s) * w->hidden_stride,
                        w->hidden + (size_t)s * w->hidden_stride, (size_t)p->m->config.hidden_size);
    p->n_rows = p->n_tokens;
}

static void through_projections(pass *p, const layer *l, bool is_last, bool passes)
{
    tape *t = p->tape;
    linear_backward_job jobs[] = {
        {.which = LINEAR_K, .dy = &t->dy_qkv[1], .x = &t->input},
        {.which = LINEAR_V, .dy = &t->dy_qkv[2], .x = &t->input},
        {.which = LINEAR_Q, .dy = &t->dy_qkv[0], .x = &t->input},
    };
    prepare_input(p, l);
    linear_backward(p, jobs, is_last ? 2 : 3, 0, p->n_rows, passes ? t->d_normed : NULL,
                    p->w->hidden_stride);
    if (is_last)
        through_pooled_query(p, l, passes);
}

static void norm_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const layer *l = context;
    const model_config *c = &p->m->config;
    tape *t = p->tape;
    size_t stride = p->w->hidden_stride;
    float *hidden = tape_scratch_of(p, scratch)->rows;
    for (int r = first; r < end; r++) {
        tape_load(t, &slot_of(p)->hidden, r, (size_t)c->hidden_size, hidden);
        t->kernels->rmsnorm_backward(hidden, l->input_norm, c->rms_norm_eps,
                                     t->d_normed + (size_t)r * stride, c->hidden_size,
                                     t->d_hidden + (size_t)r * stride);
    }
}

/* Row s of d_hidden goes to its sequence's pooled token; nothing came back to the others. Rows only
 * move down, the last first. */
static void spread_pooled(pass *p)
{
    float *d = p->tape->d_hidden;
    size_t stride = p->w->hidden_stride;
    int end = p->n_tokens;
    for (int s = p->n_sequences - 1; s >= 0; s--) {
        int token = p->bounds[s] + p->pooled[s];
        memmove(d + (size_t)token * stride, d + (size_t)s * stride, stride * sizeof *d);
        memset(d + (size_t)(token + 1) * stride, 0, (size_t)(end - token - 1) * stride * sizeof *d);
        end = token;
    }
    memset(d, 0, (size_t)end * stride * sizeof *d);
}

void attention_backward(pass *p, const layer *l, int window, bool is_last)
{
    tape *t = p->tape;
    int n_alive = p->n_rows;
    through_output(p, l);
    if (!tape_reaches(t, TAPE_QKV))
        return;
    tape_round_rows(p, t->d_attended, t->d_attended_stride, 0, t->d_attended_stride);
    restore_qkv(p, l, n_alive);
    core_team team = {.p = p, .window = window, .pooled_only = is_last};
    atomic_init(&team.next, 0);
    thread_run(p->w->n_threads, core_share, &team);
    through_heads(p, l, n_alive);
    if (is_last)
        spread_pooled(p);
    bool passes = tape_passes(t, TAPE_QKV);
    through_projections(p, l, is_last, passes);
    if (passes)
        pass_rows(p, norm_rows, l);
}
