#include "model/head.h"

#include "model/tape.h"

#include <string.h>

int head_pooled(const int32_t *ids, int n_ids, int64_t pad_token_id)
{
    int at = n_ids - 1;
    if (pad_token_id < 0)
        return at;
    while (at > 0 && ids[at] == pad_token_id)
        at--;
    return at;
}

/* A handful of dot products a sequence: double sums cost nothing and leave the head's rounding out
 * of every comparison. */
void head_forward(pass *p, float *logits)
{
    const model_config *c = &p->m->config;
    workspace *w = p->w;
    w->kernels->rmsnorm(w->hidden, w->hidden_stride, p->m->final_norm, c->rms_norm_eps, p->n_rows,
                        &w->final, 0);
    if (p->tape != NULL)
        tape_round(p->tape, w->final.data, (size_t)p->n_rows * w->final.stride);
    for (int s = 0; s < p->n_sequences; s++) {
        const float *x = (const float *)w->final.data + (size_t)s * w->final.stride;
        for (int label = 0; label < c->n_labels; label++) {
            const float *weight = p->m->score + (size_t)label * (size_t)c->hidden_size;
            double sum = 0;
            for (int i = 0; i < c->hidden_size; i++)
                sum += (double)x[i] * (double)weight[i];
            logits[s * c->n_labels + label] = (float)sum;
        }
    }
}

/* d_final = d_logits · score, and what the final norm makes of it, for one sequence. */
static void head_backward_row(pass *p, const float *d_logits, int s)
{
    const model_config *c = &p->m->config;
    tape *t = p->tape;
    size_t n = (size_t)c->hidden_size, row = (size_t)s * p->w->hidden_stride;
    const float *final = (const float *)p->w->final.data + (size_t)s * p->w->final.stride;
    float *d_final = t->threads[0].rows;
    memset(d_final, 0, n * sizeof *d_final);
    for (int label = 0; label < c->n_labels; label++) {
        const float *weight = p->m->score + (size_t)label * n;
        float *gradient = t->score_gradient + (size_t)label * n, d = d_logits[label];
        tape_round(t, &d, 1);
        for (size_t i = 0; i < n; i++) {
            d_final[i] += d * weight[i];
            gradient[i] += d * final[i];
        }
    }
    tape_round(t, d_final, n);
    memset(t->d_hidden + row, 0, p->w->hidden_stride * sizeof(float));
    t->kernels->rmsnorm_backward(p->w->hidden + row, p->m->final_norm, c->rms_norm_eps, d_final,
                                 c->hidden_size, t->d_hidden + row);
}

void head_backward(pass *p, const float *d_logits)
{
    for (int s = 0; s < p->n_sequences; s++)
        head_backward_row(p, d_logits + s * p->m->config.n_labels, s);
}
