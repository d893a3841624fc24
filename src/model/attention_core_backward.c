/* With P = softmax(scale · Q Kᵀ) computed again block by block of queries (Dao et al. 2022):
 *   dV = Pᵀ dO,  dP = dO Vᵀ,  dS = scale · P∘(dP − rowsum(P∘dP)),  dQ = dS K,  dK = dSᵀ Q.
 * A block sees all its keys at once, so a row's softmax needs no running state. All products are
 * the kernel table's; what they read is gathered into panels first. */
#include "model/attention_core_backward.h"

#include "model/plan.h"

#include <string.h>

/* Queries per block, at positions that are multiples of it where all queries are asked for. */
enum { BLOCK = 64 };

typedef struct core {
    const attention_backward_args *a;
    int key_panels, dim_panels; /* panels of 16 keys, of 16 dimensions */
    size_t dim_width;           /* head_dim in whole panels */
    size_t key_width;           /* n_keys likewise */
    float *rows;                /* [n_keys or BLOCK][head_dim]: gathered rows */
    void *k_panels, *v_panels;  /* outputs keys, inputs dimensions */
    void *k_turned;             /* outputs dimensions, inputs keys */
    void *block_panels;         /* outputs dimensions, inputs the block's queries */
    acts block;                 /* [BLOCK][head_dim]: Q or dO of the block */
    acts d_scores;              /* [BLOCK][n_keys] */
    acts turned;                /* [n_keys][BLOCK]: P or dS of the block, by keys */
    float *p, *ds;              /* [BLOCK][key_width] */
    float *out;                 /* [BLOCK][dim_width] */
    float *d_k, *d_v;           /* [key_width][dim_width] */
} core;

static void plan_core(planner *p, core *c, slant_compute compute, int n_keys, int head_dim)
{
    size_t element = compute == SLANT_COMPUTE_F32 ? sizeof(float) : 2;
    size_t keys = (size_t)kernel_padded(n_keys), dims = (size_t)kernel_padded(head_dim);
    c->dim_width = plan_to_panel((size_t)head_dim);
    c->key_width = plan_to_panel((size_t)n_keys);
    c->dim_panels = (int)(c->dim_width / KERNEL_PANEL);
    c->key_panels = (int)(c->key_width / KERNEL_PANEL);
    c->rows = plan_piece(p, (keys > BLOCK ? keys : BLOCK) * (size_t)head_dim, sizeof(float));
    c->k_panels = plan_piece(p, c->key_width * dims, element);
    c->v_panels = plan_piece(p, c->key_width * dims, element);
    c->k_turned = plan_piece(p, keys * c->dim_width, element);
    c->block_panels = plan_piece(p, BLOCK * c->dim_width, element);
    plan_acts(p, &c->block, compute, BLOCK, head_dim);
    plan_acts(p, &c->d_scores, compute, BLOCK, n_keys);
    plan_acts(p, &c->turned, compute, (int)c->key_width, BLOCK);
    c->p = plan_piece(p, BLOCK * c->key_width, sizeof(float));
    c->ds = plan_piece(p, BLOCK * c->key_width, sizeof(float));
    c->out = plan_piece(p, BLOCK * c->dim_width, sizeof(float));
    c->d_k = plan_piece(p, c->key_width * c->dim_width, sizeof(float));
    c->d_v = plan_piece(p, c->key_width * c->dim_width, sizeof(float));
}

size_t attention_core_bytes(slant_compute compute, int n_keys, int head_dim)
{
    planner p = {0};
    core c;
    plan_core(&p, &c, compute, n_keys, head_dim);
    return p.overflow ? SIZE_MAX : p.used;
}

static void gather(const core *c, const float *from, size_t stride, int n_rows)
{
    size_t n = (size_t)c->a->head_dim;
    for (int r = 0; r < n_rows; r++)
        memcpy(c->rows + (size_t)r * n, from + (size_t)r * stride, n * sizeof *from);
}

static kernel_weight gathered(const core *c, int n_rows)
{
    return (kernel_weight){.n_out = n_rows,
                           .n_in = c->a->head_dim,
                           .type = DTYPE_F32,
                           .data = (const uint8_t *)c->rows};
}

static void multiply(const core *c, const acts *x, int row, int n_rows, kernel_panels panels,
                     float *out, size_t out_stride, bool accumulate)
{
    panels.compute = c->a->compute;
    c->a->kernels->matmul(x, row, n_rows, &panels, out, out_stride, accumulate, c->a->matmul);
}

static char *panel_at(const core *c, void *panels, int n_in, int panel)
{
    return (char *)panels + (size_t)panel * c->a->kernels->panel_bytes(c->a->compute, n_in, 1);
}

static void prepare_keys(const core *c)
{
    const attention_backward_args *a = c->a;
    kernel_panels out = {.compute = a->compute, .data = c->k_panels};
    gather(c, a->k, a->stride, a->n_keys);
    kernel_weight rows = gathered(c, a->n_keys);
    a->kernels->expand(&rows, 0, c->key_panels, &out, a->expand);
    out = (kernel_panels){.compute = a->compute, .data = c->k_turned};
    a->gradients->expand_transposed(&rows, NULL, 0, c->dim_panels, &out, a->expand);
    gather(c, a->v, a->stride, a->n_keys);
    out = (kernel_panels){.compute = a->compute, .data = c->v_panels};
    a->kernels->expand(&rows, 0, c->key_panels, &out, a->expand);
    memset(c->d_k, 0, c->key_width * c->dim_width * sizeof(float));
    memset(c->d_v, 0, c->key_width * c->dim_width * sizeof(float));
}

/* The keys that a block of queries sees: whole panels from first_key, which is a multiple of BLOCK.
 */
typedef struct block_span {
    int query, n_queries; /* rows */
    int position;         /* of the first one */
    int first_key, n_keys;
} block_span;

static block_span span_of(const attention_backward_args *a, int query, int n_queries)
{
    block_span s = {query, n_queries, a->first_query + query, 0, 0};
    if (a->window > 0 && s.position >= a->window)
        s.first_key = (s.position - a->window + 1) / BLOCK * BLOCK;
    s.n_keys = s.position + n_queries - s.first_key;
    return s;
}

/* block's rows against 16 keys a panel: out [n_queries][key_width]. */
static void against_keys(const core *c, const block_span *s, const float *rows, size_t stride,
                         void *panels, float *out)
{
    const attention_backward_args *a = c->a;
    acts block = c->block;
    a->kernels->quantise(rows, stride, s->n_queries, &block, 0);
    kernel_panels keys = {.n_in = a->head_dim,
                          .n_panels = (s->n_keys + KERNEL_PANEL - 1) / KERNEL_PANEL,
                          .data = panel_at(c, panels, a->head_dim, s->first_key / KERNEL_PANEL)};
    multiply(c, &block, 0, s->n_queries, keys, out, c->key_width, false);
}

static void softmax_rows(const core *c, const block_span *s)
{
    const attention_backward_args *a = c->a;
    int width = (s->n_keys + KERNEL_PANEL - 1) / KERNEL_PANEL * KERNEL_PANEL;
    for (int i = 0; i < s->n_queries; i++) {
        int end = s->position + i + 1 - s->first_key, first = 0;
        if (a->window > 0 && s->position + i - a->window + 1 > s->first_key)
            first = s->position + i - a->window + 1 - s->first_key;
        float *p = c->p + (size_t)i * c->key_width, *ds = c->ds + (size_t)i * c->key_width;
        a->gradients->softmax(p, a->scale, first, end, width, p);
        a->gradients->softmax_backward(p, ds, a->scale, first, end, width, ds);
    }
}

/* dQ: one panel of dimensions at a time, since the block's keys are a part of the panel's inputs.
 */
static void query_gradient(const core *c, const block_span *s, float *d_q)
{
    const attention_backward_args *a = c->a;
    size_t element = a->compute == SLANT_COMPUTE_F32 ? sizeof(float) : 2;
    acts d_scores = c->d_scores;
    d_scores.n_in = s->n_keys;
    a->kernels->quantise(c->ds, c->key_width, s->n_queries, &d_scores, 0);
    for (int panel = 0; panel < c->dim_panels; panel++) {
        char *inputs = panel_at(c, c->k_turned, a->n_keys, panel) +
                       (size_t)s->first_key * KERNEL_PANEL * element;
        kernel_panels keys = {.n_in = s->n_keys, .n_panels = 1, .data = inputs};
        multiply(c, &d_scores, 0, s->n_queries, keys, c->out + panel * KERNEL_PANEL, c->dim_width,
                 false);
    }
    for (int i = 0; i < s->n_queries; i++)
        memcpy(d_q + (size_t)i * a->stride, c->out + (size_t)i * c->dim_width,
               (size_t)a->head_dim * sizeof(float));
}

/* sums += scoresᵀ · rows: dK from dS and Q, dV from P and dO. */
static void key_gradient(const core *c, const block_span *s, const float *scores, const float *rows,
                         size_t stride, float *sums)
{
    const attention_backward_args *a = c->a;
    acts turned = c->turned;
    turned.n_in = s->n_queries;
    a->gradients->transpose(scores, c->key_width, s->n_queries, s->n_keys, &turned, 0);
    gather(c, rows, stride, s->n_queries);
    kernel_weight block = gathered(c, s->n_queries);
    kernel_panels queries = {.compute = a->compute, .data = c->block_panels};
    a->gradients->expand_transposed(&block, NULL, 0, c->dim_panels, &queries, a->expand);
    multiply(c, &turned, 0, s->n_keys, queries, sums + (size_t)s->first_key * c->dim_width,
             c->dim_width, true);
}

static void run_block(const core *c, int head, int query, int n_queries)
{
    const attention_backward_args *a = c->a;
    block_span s = span_of(a, query, n_queries);
    size_t column = (size_t)head * (size_t)a->head_dim;
    const float *q = a->q + (size_t)query * a->stride + column;
    const float *d_out = a->d_out + (size_t)query * a->d_out_stride + column;
    against_keys(c, &s, q, a->stride, c->k_panels, c->p);
    against_keys(c, &s, d_out, a->d_out_stride, c->v_panels, c->ds);
    softmax_rows(c, &s);
    query_gradient(c, &s, a->d_q + (size_t)query * a->stride + column);
    key_gradient(c, &s, c->ds, q, a->stride, c->d_k);
    key_gradient(c, &s, c->p, d_out, a->d_out_stride, c->d_v);
}

void attention_core_backward(const attention_backward_args *a)
{
    core c = {.a = a};
    planner p = {.base = a->scratch};
    plan_core(&p, &c, a->compute, a->n_keys, a->head_dim);
    prepare_keys(&c);
    for (int head = 0; head < a->n_heads; head++)
        for (int query = 0; query < a->n_queries; query += BLOCK) {
            int left = a->n_queries - query;
            run_block(&c, head, query, left < BLOCK ? left : BLOCK);
        }
    for (int key = 0; key < a->n_keys; key++) {
        size_t n = (size_t)a->head_dim * sizeof(float), row = (size_t)key * c.dim_width;
        memcpy(a->d_k + (size_t)key * a->stride, c.d_k + row, n);
        memcpy(a->d_v + (size_t)key * a->stride, c.d_v + row, n);
    }
}
