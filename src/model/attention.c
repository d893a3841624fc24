#include "model/attention.h"

#include "base/thread.h"
#include "model/linear.h"
#include "model/tape.h"

#include <stdatomic.h>

static linear_job qkv_job(pass *p, const layer *l, int which, size_t column)
{
    workspace *w = p->w;
    return (linear_job){.layer = &l->linears[which],
                        .x = &w->now.normed,
                        .low = &w->now.low[which],
                        .n_tokens = p->n_rows,
                        .out = w->qkv + column,
                        .out_stride = w->qkv_stride};
}

/* Qwen3 normalises each head of q and k before rotation. The scale of a head is taken in fp32. */
static void norm_heads(float *x, int n_heads, int head_dim, const float *weight, float eps)
{
    for (int h = 0; h < n_heads; h++, x += head_dim) {
        float sum = 0;
        for (int i = 0; i < head_dim; i++)
            sum += x[i] * x[i];
        float scale = 1.0f / __builtin_sqrtf(sum / (float)head_dim + eps);
        for (int i = 0; i < head_dim; i++)
            x[i] = x[i] * scale * weight[i];
    }
}

typedef struct rotation {
    size_t column;
    int n_heads;
    const float *norm;
} rotation;

static void rotate_span(pass *p, const rotation *r, int row, int n_rows, int position)
{
    const model_config *c = &p->m->config;
    workspace *w = p->w;
    float *x = w->qkv + (size_t)row * w->qkv_stride + r->column;
    size_t half = (size_t)c->head_dim / 2;
    if (r->norm != NULL)
        for (int t = 0; t < n_rows; t++)
            norm_heads(x + (size_t)t * w->qkv_stride, r->n_heads, c->head_dim, r->norm,
                       c->rms_norm_eps);
    w->kernels->rope(x, w->qkv_stride, n_rows, r->n_heads, c->head_dim,
                     w->cosines + (size_t)position * half, w->sines + (size_t)position * half);
}

/* Rows are all tokens, or one pooled token a sequence: either way a sequence's positions. */
static void rotate_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)scratch;
    if (p->n_rows != p->n_tokens) {
        for (int s = first; s < end; s++)
            rotate_span(p, context, s, 1, p->pooled[s]);
        return;
    }
    for (int s = 0; s < p->n_sequences; s++) {
        int from = p->bounds[s] > first ? p->bounds[s] : first;
        int to = p->bounds[s + 1] < end ? p->bounds[s + 1] : end;
        if (from < to)
            rotate_span(p, context, from, to - from, from - p->bounds[s]);
    }
}

void attention_rotate_queries(pass *p, const layer *l)
{
    rotation q = {0, p->m->config.n_heads, l->q_norm};
    pass_rows(p, rotate_rows, &q);
}

void attention_rotate_keys(pass *p, const layer *l)
{
    rotation k = {p->w->k_column, p->m->config.n_kv_heads, l->k_norm};
    pass_rows(p, rotate_rows, &k);
}

/* Queries of one unit of work: enough to pay for preparing the keys, few enough to share out. */
enum { QUERY_BLOCK = 256 };

typedef struct attention_team {
    pass *p;
    int window;
    bool pooled_only;
    atomic_int next;
    int n_units;
} attention_team;

static int query_blocks(const pass *p, int sequence, bool pooled_only)
{
    int length = p->bounds[sequence + 1] - p->bounds[sequence];
    return pooled_only ? 1 : (length + QUERY_BLOCK - 1) / QUERY_BLOCK;
}

static void attend_block(const attention_team *team, void *scratch, int sequence, int kv_head,
                         int block)
{
    const pass *p = team->p;
    const model_config *c = &p->m->config;
    const workspace *w = p->w;
    int length = p->bounds[sequence + 1] - p->bounds[sequence];
    int first = team->pooled_only ? p->pooled[sequence] : block * QUERY_BLOCK;
    int n_queries = team->pooled_only              ? 1
                    : length - first < QUERY_BLOCK ? length - first
                                                   : QUERY_BLOCK;
    size_t row = team->pooled_only ? (size_t)sequence : (size_t)(p->bounds[sequence] + first);
    size_t key_row = (size_t)p->bounds[sequence];
    int sharing = c->n_heads / c->n_kv_heads;
    size_t q_column = (size_t)kv_head * (size_t)sharing * (size_t)c->head_dim;
    size_t kv_column = (size_t)kv_head * (size_t)c->head_dim;
    attention_args args = {
        .q = w->qkv + row * w->qkv_stride + q_column,
        .k = w->qkv + key_row * w->qkv_stride + w->k_column + kv_column,
        .v = w->qkv + key_row * w->qkv_stride + w->v_column + kv_column,
        .q_stride = w->qkv_stride,
        .kv_stride = w->qkv_stride,
        .first_query = first,
        .n_queries = n_queries,
        .n_keys = first + n_queries,
        .window = team->window,
        .head_dim = c->head_dim,
        .n_heads = sharing,
        .scale = 1.0f / __builtin_sqrtf((float)c->head_dim),
        .out = w->attended + row * w->attended_stride + q_column,
        .out_stride = w->attended_stride,
        .scratch = scratch,
        .compute = w->now.compute,
    };
    w->kernels->attention(&args);
}

/* Units are numbered from the costliest: late blocks of queries see the most keys. Who takes which
 * does not change any result. */
static void attention_share(void *context, int thread, int n_threads)
{
    (void)n_threads;
    attention_team *team = context;
    const pass *p = team->p;
    int n_kv = p->m->config.n_kv_heads;
    void *scratch = p->w->threads[thread].attention;
    int unit, passed = 0, sequence = 0;
    while ((unit = atomic_fetch_add(&team->next, 1)) < team->n_units) {
        int blocks = query_blocks(p, sequence, team->pooled_only);
        while (unit >= passed + blocks * n_kv) {
            passed += blocks * n_kv;
            blocks = query_blocks(p, ++sequence, team->pooled_only);
        }
        int within = unit - passed;
        attend_block(team, scratch, sequence, within % n_kv, blocks - 1 - within / n_kv);
    }
}

static void attend(pass *p, int window, bool pooled_only)
{
    attention_team team = {.p = p, .window = window, .pooled_only = pooled_only};
    for (int s = 0; s < p->n_sequences; s++)
        team.n_units += query_blocks(p, s, pooled_only) * p->m->config.n_kv_heads;
    atomic_init(&team.next, 0);
    thread_run(p->w->n_threads, attention_share, &team);
}

static void prepare_output(pass *p, const void *context, thread_scratch *scratch, int first,
                           int end)
{
    const layer *l = context;
    workspace *w = p->w;
    module_input in = {.x = w->attended, .stride = w->attended_stride, .rows = &w->now.attended_in};
    pass_input(p, &in, first, end - first, in.rows, first);
    tape_keep_attended(p, first, end);
    pass_low_rank(p, scratch, l->linears, LINEAR_O, &in, first, first, end - first);
}

static void project_output(pass *p, const layer *l)
{
    workspace *w = p->w;
    pass_rows(p, prepare_output, l);
    linear_job job = {.layer = &l->linears[LINEAR_O],
                      .x = &w->now.attended_in,
                      .low = &w->now.low[LINEAR_O],
                      .n_tokens = p->n_rows,
                      .out = w->hidden,
                      .out_stride = w->hidden_stride,
                      .accumulate = true};
    linear_forward(w, &job, 1);
}

void attention_forward(pass *p, const layer *l, int window, bool is_last)
{
    static const int reads_norm[] = {LINEAR_Q, LINEAR_K, LINEAR_V};
    workspace *w = p->w;
    workspace_use_fine(w);
    linear_job jobs[] = {qkv_job(p, l, LINEAR_K, w->k_column), qkv_job(p, l, LINEAR_V, w->v_column),
                         qkv_job(p, l, LINEAR_Q, 0)};
    pass_norm(p, l->input_norm, l->linears, reads_norm, 3);
    linear_forward(w, jobs, is_last ? 2 : 3);
    tape_keep_qkv(p, is_last ? w->k_column : 0, w->qkv_stride);
    attention_rotate_keys(p, l);
    tape_round_rows(p, w->qkv, w->qkv_stride, w->k_column, w->qkv_stride);
    if (is_last) {
        pass_keep_pooled(p);
        pass_norm(p, l->input_norm, l->linears, reads_norm, 1);
        linear_job pooled_q = qkv_job(p, l, LINEAR_Q, 0);
        linear_forward(w, &pooled_q, 1);
        tape_keep_qkv(p, 0, w->k_column);
    } else { /* pooled rows stay fine: for so few, expanding weights to int8 would take longer */
        workspace_use_own(w);
    }
    attention_rotate_queries(p, l);
    tape_round_rows(p, w->qkv, w->qkv_stride, 0, w->k_column);
    attend(p, window, is_last);
    tape_round_rows(p, w->attended, w->attended_stride, 0, w->attended_stride);
    project_output(p, l);
}
