#include "model/pass.h"

#include "base/thread.h"
#include "model/linear.h"
#include "model/tape.h"

#include <string.h>

typedef struct rows_team {
    pass *p;
    pass_rows_body body;
    const void *context;
} rows_team;

static void rows_share(void *context, int thread, int n_threads)
{
    const rows_team *team = context;
    int first, end;
    thread_share(team->p->n_rows, 1, thread, n_threads, &first, &end);
    if (first < end)
        team->body(team->p, team->context, &team->p->w->threads[thread], first, end);
}

void pass_rows(pass *p, pass_rows_body body, const void *context)
{
    rows_team team = {p, body, context};
    thread_run(p->w->n_threads, rows_share, &team);
}

void pass_keep_pooled(pass *p)
{
    workspace *w = p->w;
    for (int s = 0; s < p->n_sequences; s++) {
        size_t from = (size_t)(p->bounds[s] + p->pooled[s]);
        memmove(w->hidden + (size_t)s * w->hidden_stride, w->hidden + from * w->hidden_stride,
                w->hidden_stride * sizeof *w->hidden);
    }
    p->n_rows = p->n_sequences;
}

void pass_input(const pass *p, const module_input *in, int row, int n_rows, acts *out, int out_row0)
{
    const kernel_table *k = p->w->kernels;
    const float *x = in->x + (size_t)row * in->stride;
    if (in->norm != NULL)
        k->rmsnorm(x, in->stride, in->norm, p->m->config.rms_norm_eps, n_rows, out, out_row0);
    else if (in->up != NULL)
        k->swiglu(x, in->up + (size_t)row * in->stride, in->stride, n_rows, out, out_row0, 0,
                  kernel_padded(out->n_in));
    else
        k->quantise(x, in->stride, n_rows, out, out_row0);
}

/* For several modules that read the same input. */
static void low_rank(pass *p, thread_scratch *scratch, const linear *linears, const int *which,
                     int n_which, const module_input *in, int in_row, int row, int n_rows)
{
    if (p->tape != NULL) {
        tape_low_rank(p, scratch, linears, which, n_which, in, in_row, row, n_rows);
        return;
    }
    for (int i = 0; i < n_which; i++)
        linear_low_rank(p->w, scratch, &linears[which[i]].adapter, in->rows, in_row, n_rows,
                        &p->w->now.low[which[i]], row);
}

void pass_low_rank(pass *p, thread_scratch *scratch, const linear *linears, int which,
                   const module_input *in, int in_row, int row, int n_rows)
{
    low_rank(p, scratch, linears, &which, 1, in, in_row, row, n_rows);
}

typedef struct norm_context {
    module_input in;
    const linear *linears;
    const int *which;
    int n_which;
} norm_context;

static void norm_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const norm_context *norm = context;
    pass_input(p, &norm->in, first, end - first, norm->in.rows, first);
    low_rank(p, scratch, norm->linears, norm->which, norm->n_which, &norm->in, first, first,
             end - first);
}

void pass_norm(pass *p, const float *weight, const linear *linears, const int *which, int n_which)
{
    workspace *w = p->w;
    module_input in = {
        .x = w->hidden, .norm = weight, .stride = w->hidden_stride, .rows = &w->now.normed};
    norm_context context = {in, linears, which, n_which};
    pass_rows(p, norm_rows, &context);
}
