#include "model/pass.h"

#include "base/thread.h"
#include "model/linear.h"

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

typedef struct norm_context {
    const float *weight;
    const linear *linears;
    const int *which;
    int n_which;
} norm_context;

static void norm_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const norm_context *norm = context;
    workspace *w = p->w;
    w->kernels->rmsnorm(w->hidden + (size_t)first * w->hidden_stride, w->hidden_stride,
                        norm->weight, p->m->config.rms_norm_eps, end - first, &w->normed, first);
    for (int i = 0; i < norm->n_which; i++) {
        int which = norm->which[i];
        linear_low_rank(w, scratch, &norm->linears[which].adapter, &w->normed, first, end - first,
                        &w->low[which], first);
    }
}

void pass_norm(pass *p, const float *weight, const linear *linears, const int *which, int n_which)
{
    norm_context context = {weight, linears, which, n_which};
    pass_rows(p, norm_rows, &context);
}
