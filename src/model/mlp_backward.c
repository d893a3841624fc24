/* The derivative of the SwiGLU block, portion by portion of the rows as the forward pass. */
#include "model/mlp.h"

#include "base/thread.h"
#include "model/linear_backward.h"

typedef struct mlp_portion {
    pass *p;
    const layer *l;
    int first_row, n_rows;
} mlp_portion;

static void share_rows(const mlp_portion *portion, int thread, int n_threads, int *first, int *end)
{
    thread_share(portion->n_rows, 1, thread, n_threads, first, end);
}

static bool adapts(const layer *l, int which)
{
    return l->linears[which].adapter.rank > 0;
}

/* What down_proj read, from gate and up as they were kept. */
static void input_of_down(void *context, int thread, int n_threads)
{
    const mlp_portion *portion = context;
    tape *t = portion->p->tape;
    const tape_layer *slot = &t->layers[t->layer];
    size_t n = (size_t)portion->p->m->config.intermediate_size;
    float *gate = t->threads[thread].rows, *up = gate + t->threads[thread].row_width;
    int first, end;
    share_rows(portion, thread, n_threads, &first, &end);
    for (int r = first; r < end; r++) {
        tape_load(t, &slot->gate, portion->first_row + r, n, gate);
        tape_load(t, &slot->up, portion->first_row + r, n, up);
        portion->p->w->kernels->swiglu(gate, up, n, 1, &t->wide_input, r, 0, kernel_padded((int)n));
    }
}

/* The derivatives of gate and up from that of the activation. */
static void activation_backward(void *context, int thread, int n_threads)
{
    const mlp_portion *portion = context;
    tape *t = portion->p->tape;
    const workspace *w = portion->p->w;
    const tape_layer *slot = &t->layers[t->layer];
    tape_scratch *s = &t->threads[thread];
    size_t n = (size_t)portion->p->m->config.intermediate_size;
    float *gate = s->rows, *up = gate + s->row_width, *d_gate = up + s->row_width;
    float *d_up = d_gate + s->row_width;
    int first, end;
    share_rows(portion, thread, n_threads, &first, &end);
    for (int r = first; r < end; r++) {
        tape_load(t, &slot->gate, portion->first_row + r, n, gate);
        tape_load(t, &slot->up, portion->first_row + r, n, up);
        t->kernels->swiglu_backward(gate, up, t->d_wide + (size_t)r * w->wide_stride, (int)n,
                                    d_gate, d_up);
        tape_take_dy(t, d_gate, n, 1, &t->dy_wide[0], r);
        tape_take_dy(t, d_up, n, 1, &t->dy_wide[1], r);
    }
}

/* What gate_proj and up_proj read. */
static void input_of_wide(void *context, int thread, int n_threads)
{
    const mlp_portion *portion = context;
    tape *t = portion->p->tape;
    const model_config *c = &portion->p->m->config;
    float *middle = t->threads[thread].rows;
    int first, end;
    t->input.n_in = c->hidden_size;
    share_rows(portion, thread, n_threads, &first, &end);
    for (int r = first; r < end; r++) {
        tape_load(t, &t->layers[t->layer].middle, portion->first_row + r, (size_t)c->hidden_size,
                  middle);
        portion->p->w->kernels->rmsnorm(middle, 0, portion->l->post_norm, c->rms_norm_eps, 1,
                                        &t->input, r);
    }
}

static void norm_backward(void *context, int thread, int n_threads)
{
    const mlp_portion *portion = context;
    tape *t = portion->p->tape;
    const model_config *c = &portion->p->m->config;
    size_t stride = portion->p->w->hidden_stride;
    float *middle = t->threads[thread].rows;
    int first, end;
    share_rows(portion, thread, n_threads, &first, &end);
    for (int r = first; r < end; r++) {
        tape_load(t, &t->layers[t->layer].middle, portion->first_row + r, (size_t)c->hidden_size,
                  middle);
        t->kernels->rmsnorm_backward(middle, portion->l->post_norm, c->rms_norm_eps,
                                     t->d_normed + (size_t)r * stride, c->hidden_size,
                                     t->d_hidden + (size_t)(portion->first_row + r) * stride);
    }
}

static void through_down(mlp_portion *portion)
{
    pass *p = portion->p;
    tape *t = p->tape;
    if (adapts(portion->l, LINEAR_DOWN))
        thread_run(p->w->n_threads, input_of_down, portion);
    linear_backward_job down = {.which = LINEAR_DOWN,
                                .dy = &t->dy_hidden,
                                .dy_row0 = portion->first_row,
                                .x = &t->wide_input};
    linear_backward(p, &down, 1, portion->first_row, portion->n_rows,
                    tape_passes(t, TAPE_DOWN) ? t->d_wide : NULL, p->w->wide_stride);
}

static void through_gate_up(mlp_portion *portion)
{
    pass *p = portion->p;
    tape *t = p->tape;
    thread_run(p->w->n_threads, activation_backward, portion);
    if (adapts(portion->l, LINEAR_GATE) || adapts(portion->l, LINEAR_UP))
        thread_run(p->w->n_threads, input_of_wide, portion);
    linear_backward_job jobs[] = {
        {.which = LINEAR_GATE, .dy = &t->dy_wide[0], .x = &t->input},
        {.which = LINEAR_UP, .dy = &t->dy_wide[1], .x = &t->input},
    };
    bool passes = tape_passes(t, TAPE_GATE_UP);
    linear_backward(p, jobs, 2, portion->first_row, portion->n_rows, passes ? t->d_normed : NULL,
                    p->w->hidden_stride);
    if (passes)
        thread_run(p->w->n_threads, norm_backward, portion);
}

static void dy_rows(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)context;
    (void)scratch;
    const workspace *w = p->w;
    tape_take_dy(p->tape, p->tape->d_hidden + (size_t)first * w->hidden_stride, w->hidden_stride,
                 end - first, &p->tape->dy_hidden, first);
}

void mlp_backward(pass *p, const layer *l)
{
    pass_rows(p, dy_rows, NULL);
    for (int row = 0; row < p->n_rows; row += WORKSPACE_MLP_ROWS) {
        int left = p->n_rows - row;
        mlp_portion portion = {p, l, row, left < WORKSPACE_MLP_ROWS ? left : WORKSPACE_MLP_ROWS};
        through_down(&portion);
        if (tape_reaches(p->tape, TAPE_GATE_UP))
            through_gate_up(&portion);
    }
}
