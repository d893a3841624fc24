#include "model/mlp.h"

#include "base/thread.h"
#include "model/linear.h"
#include "model/plan.h"
#include "model/tape.h"

/* Rows for which a unit of gate and up is made at a time, and bytes of its panels at most. */
enum { MLP_UNIT_ROWS = 64, MLP_UNIT_BYTES = 1024 * 1024 };

/* The wide middle exists for WORKSPACE_MLP_ROWS rows at a time, so that memory does not grow with
 * rows × intermediate_size. */
typedef struct mlp_rows {
    pass *p;
    const layer *l;
    int first_row, n_rows;
} mlp_rows;

static linear_job wide_job(const mlp_rows *rows, int which, float *out)
{
    workspace *w = rows->p->w;
    return (linear_job){.layer = &rows->l->linears[which],
                        .x = &w->now.normed,
                        .low = &w->now.low[which],
                        .x_row0 = rows->first_row,
                        .low_row0 = rows->first_row,
                        .n_tokens = rows->n_rows,
                        .out = out,
                        .out_stride = 2 * w->wide_stride};
}

static void activate_share(void *context, int thread, int n_threads)
{
    const mlp_rows *rows = context;
    workspace *w = rows->p->w;
    int first, end;
    thread_share(rows->n_rows, 1, thread, n_threads, &first, &end);
    if (first == end)
        return;
    size_t stride = 2 * w->wide_stride;
    const float *gate = w->gate_up, *up = gate + w->wide_stride;
    module_input in = {.x = gate, .up = up, .stride = stride, .rows = &w->now.wide};
    int row = rows->first_row + first;
    pass_input(rows->p, &in, first, end - first, in.rows, first);
    tape_keep_wide(rows->p, gate + (size_t)first * stride, up + (size_t)first * stride, stride, row,
                   end - first);
    pass_low_rank(rows->p, &w->threads[thread], rows->l->linears, LINEAR_DOWN, &in, first, row,
                  end - first);
}

/* gate, up and what the activation makes of them, for the portion's rows; gate and up stay whole
 * for the tape. */
static void widen_recorded(mlp_rows *rows)
{
    workspace *w = rows->p->w;
    linear_job wide[] = {wide_job(rows, LINEAR_GATE, w->gate_up),
                         wide_job(rows, LINEAR_UP, w->gate_up + w->wide_stride)};
    linear_forward(w, wide, 2);
    thread_run(w->n_threads, activate_share, rows);
}

/* Some columns of gate and up, expanded side by side. */
typedef struct mlp_unit {
    linear_block gate, up;
    int first, end, width; /* columns; how many of gate lie before those of up */
} mlp_unit;

/* Whole groups, so that the activation can be rounded; else as many as leave both layers'
 * panels in the second-level cache. */
static int unit_columns(const workspace *w, const layer_precision *l, const model_config *c)
{
    int columns = kernel_group(c->intermediate_size);
    if (kernel_is_scaled(l->compute))
        return columns;
    while (columns > KERNEL_K_ALIGN &&
           w->kernels->panel_bytes(l->compute, c->hidden_size, 2 * columns / KERNEL_PANEL) >
               MLP_UNIT_BYTES)
        columns -= KERNEL_K_ALIGN;
    return columns;
}

static size_t unit_bytes(const workspace *w, const layer_precision *l, const model_config *c)
{
    int n_panels = 2 * unit_columns(w, l, c) / KERNEL_PANEL;
    return w->kernels->panel_bytes(l->compute, c->hidden_size, n_panels);
}

size_t mlp_panel_bytes(const workspace *w, const model *m)
{
    return plan_larger(unit_bytes(w, &w->fine, &m->config), unit_bytes(w, &w->coarse, &m->config));
}

size_t mlp_columns_bytes(const model *m)
{
    return (size_t)(2 * MLP_UNIT_ROWS * kernel_group(m->config.intermediate_size)) * sizeof(float);
}

/* Gate's panels, then up's, in the thread's memory for a block. */
static void expand_unit(const workspace *w, thread_scratch *s, const layer *l, mlp_unit *unit)
{
    const linear *gate = &l->linears[LINEAR_GATE], *up = &l->linears[LINEAR_UP];
    int first = unit->first / KERNEL_PANEL, most = unit->width / KERNEL_PANEL;
    int left = (gate->w.n_out + KERNEL_PANEL - 1) / KERNEL_PANEL - first;
    linear_block block = {.first_panel = first, .n_panels = left < most ? left : most};
    block.w = (kernel_panels){.data = s->panels, .scales = s->panel_scales};
    block.b = (kernel_panels){.data = s->low_panels, .scales = s->low_scales};
    unit->gate = unit->up = block;
    unit->gate.layer = gate;
    unit->up.layer = up;
    int rank = gate->adapter.rank, n_values = most * KERNEL_PANEL;
    unit->up.w.data =
        (char *)s->panels + w->kernels->panel_bytes(w->now.compute, gate->w.n_in, most);
    unit->up.w.scales += n_values * kernel_n_groups(gate->w.n_in);
    if (rank > 0) {
        unit->up.b.data =
            (char *)s->low_panels + w->kernels->panel_bytes(w->now.lora_compute, rank, most);
        unit->up.b.scales += n_values * kernel_n_groups(rank);
    }
    linear_expand(w, s, &unit->gate);
    linear_expand(w, s, &unit->up);
}

/* gate and up for a few rows, which stay in cache until the activation has read them. */
static void run_unit(const mlp_rows *rows, thread_scratch *s, const mlp_unit *unit)
{
    workspace *w = rows->p->w;
    linear_job gate = wide_job(rows, LINEAR_GATE, NULL), up = wide_job(rows, LINEAR_UP, NULL);
    size_t stride = 2 * (size_t)unit->width;
    gate.out_stride = up.out_stride = stride;
    for (int row = 0; row < rows->n_rows; row += MLP_UNIT_ROWS) {
        int left = rows->n_rows - row;
        gate.n_tokens = up.n_tokens = left < MLP_UNIT_ROWS ? left : MLP_UNIT_ROWS;
        gate.x_row0 = gate.low_row0 = up.x_row0 = up.low_row0 = rows->first_row + row;
        linear_multiply(w, s, &unit->gate, &gate, s->gate_up);
        linear_multiply(w, s, &unit->up, &up, s->gate_up + unit->width);
        w->kernels->swiglu(s->gate_up, s->gate_up + unit->width, stride, gate.n_tokens,
                           &w->now.wide, row, unit->first, unit->end);
    }
}

static void units_share(void *context, int thread, int n_threads)
{
    const mlp_rows *rows = context;
    workspace *w = rows->p->w;
    const model_config *c = &rows->p->m->config;
    int width = unit_columns(w, &w->now, c), padded = kernel_padded(c->intermediate_size);
    int first, end;
    thread_share((padded + width - 1) / width, 1, thread, n_threads, &first, &end);
    for (int i = first; i < end; i++) {
        int from = i * width, to = from + width < padded ? from + width : padded;
        mlp_unit unit = {.first = from, .end = to, .width = width};
        expand_unit(w, &w->threads[thread], rows->l, &unit);
        run_unit(rows, &w->threads[thread], &unit);
    }
}

static void low_rank_share(void *context, int thread, int n_threads)
{
    const mlp_rows *rows = context;
    workspace *w = rows->p->w;
    int first, end;
    thread_share(rows->n_rows, 1, thread, n_threads, &first, &end);
    module_input in = {.rows = &w->now.wide};
    if (first < end)
        pass_low_rank(rows->p, &w->threads[thread], rows->l->linears, LINEAR_DOWN, &in, first,
                      rows->first_row + first, end - first);
}

static void widen(mlp_rows *rows)
{
    workspace *w = rows->p->w;
    if (rows->p->tape != NULL) {
        widen_recorded(rows);
        return;
    }
    thread_run(w->n_threads, units_share, rows);
    if (rows->l->linears[LINEAR_DOWN].adapter.rank > 0)
        thread_run(w->n_threads, low_rank_share, rows);
}

static void narrow(mlp_rows *rows)
{
    workspace *w = rows->p->w;
    linear_job down = {.layer = &rows->l->linears[LINEAR_DOWN],
                       .x = &w->now.wide,
                       .low = &w->now.low[LINEAR_DOWN],
                       .low_row0 = rows->first_row,
                       .n_tokens = rows->n_rows,
                       .out = w->hidden + (size_t)rows->first_row * w->hidden_stride,
                       .out_stride = w->hidden_stride,
                       .accumulate = true};
    linear_forward(w, &down, 1);
}

static void run(pass *p, const layer *l, bool to_hidden)
{
    static const int reads_norm[] = {LINEAR_GATE, LINEAR_UP};
    tape_keep_middle(p);
    pass_norm(p, l->post_norm, l->linears, reads_norm, 2);
    for (int row = 0; row < p->n_rows; row += WORKSPACE_MLP_ROWS) {
        int left = p->n_rows - row;
        mlp_rows rows = {p, l, row, left < WORKSPACE_MLP_ROWS ? left : WORKSPACE_MLP_ROWS};
        widen(&rows);
        if (to_hidden)
            narrow(&rows);
    }
}

void mlp_forward(pass *p, const layer *l)
{
    run(p, l, true);
}

void mlp_recompute(pass *p, const layer *l)
{
    run(p, l, false);
}
