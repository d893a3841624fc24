#include "model/head.h"

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
