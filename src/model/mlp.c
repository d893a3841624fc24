#include "model/mlp.h"

#include "base/thread.h"
#include "model/linear.h"
#include "model/tape.h"

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

/* gate, up and what the activation makes of them, for the portion's rows. */
static void widen(mlp_rows *rows)
{
    workspace *w = rows->p->w;
    linear_job wide[] = {wide_job(rows, LINEAR_GATE, w->gate_up),
                         wide_job(rows, LINEAR_UP, w->gate_up + w->wide_stride)};
    linear_forward(w, wide, 2);
    thread_run(w->n_threads, activate_share, rows);
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
