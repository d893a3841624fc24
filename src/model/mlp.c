#include "model/mlp.h"

#include "base/thread.h"
#include "model/linear.h"

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
                        .x = &w->normed,
                        .low = &w->low[which],
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
    const float *gate = w->gate_up + (size_t)first * 2 * w->wide_stride;
    w->kernels->swiglu(gate, gate + w->wide_stride, 2 * w->wide_stride, end - first, &w->wide,
                       first);
    linear_low_rank(w, &w->threads[thread], &rows->l->linears[LINEAR_DOWN].adapter, &w->wide, first,
                    end - first, &w->low[LINEAR_DOWN], first);
}

static void run_rows(mlp_rows *rows)
{
    workspace *w = rows->p->w;
    linear_job wide[] = {wide_job(rows, LINEAR_GATE, w->gate_up),
                         wide_job(rows, LINEAR_UP, w->gate_up + w->wide_stride)};
    linear_forward(w, wide, 2);
    thread_run(w->n_threads, activate_share, rows);
    linear_job down = {.layer = &rows->l->linears[LINEAR_DOWN],
                       .x = &w->wide,
                       .low = &w->low[LINEAR_DOWN],
                       .n_tokens = rows->n_rows,
                       .out = w->hidden + (size_t)rows->first_row * w->hidden_stride,
                       .out_stride = w->hidden_stride,
                       .accumulate = true};
    linear_forward(w, &down, 1);
}

void mlp_forward(pass *p, const layer *l)
{
    static const int reads_norm[] = {LINEAR_GATE, LINEAR_UP};
    pass_norm(p, l->post_norm, l->linears, reads_norm, 2);
    for (int row = 0; row < p->n_rows; row += WORKSPACE_MLP_ROWS) {
        int left = p->n_rows - row;
        mlp_rows rows = {p, l, row, left < WORKSPACE_MLP_ROWS ? left : WORKSPACE_MLP_ROWS};
        run_rows(&rows);
    }
}
