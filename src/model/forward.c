#include "model/forward.h"

#include "model/attention.h"
#include "model/head.h"
#include "model/mlp.h"

#include <string.h>

static void embed_share(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)context;
    workspace *w = p->w;
    for (int t = first; t < end; t++) {
        slant_error err;
        slant_status status = model_embed(p->m, p->ids[t], w->hidden + (size_t)t * w->hidden_stride,
                                          scratch->embedding_row, &err);
        if (status != SLANT_OK) {
            if (!atomic_exchange(&p->failed, true))
                p->status = status_fail(p->err, status, "%s", err.message);
            return;
        }
    }
}

/* One row of each of two places, one in the stream and one kept, or the other way. */
static void move_row(const pass *p, float *hidden, float *kept)
{
    size_t size_bytes = (size_t)p->m->config.hidden_size * sizeof(float);
    if (p->kept->is_there)
        memcpy(hidden, kept, size_bytes);
    else
        memcpy(kept, hidden, size_bytes);
}

static void move_share(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    const workspace *w = p->w;
    (void)context, (void)scratch;
    for (int s = 0; s < p->n_sequences; s++) {
        int from = p->bounds[s] > first ? p->bounds[s] : first;
        int to = p->bounds[s + 1] < end ? p->bounds[s + 1] : end;
        for (int t = from; t < to; t++)
            move_row(p, w->hidden + (size_t)t * w->hidden_stride,
                     p->kept->rows[s] +
                         (size_t)(t - p->bounds[s]) * (size_t)p->m->config.hidden_size);
    }
}

slant_status forward_start(pass *p, int *first)
{
    bool is_there = p->kept != NULL && p->kept->is_there;
    *first = is_there ? p->kept->layer : 0;
    pass_rows(p, is_there ? move_share : embed_share, NULL);
    return p->status;
}

void forward_keep(pass *p, int at)
{
    if (p->kept != NULL && !p->kept->is_there && p->kept->layer == at)
        pass_rows(p, move_share, NULL);
}

slant_status forward(const model *m, workspace *w, const int32_t *ids, const int *bounds,
                     int n_sequences, const int *pooled, float *logits, slant_error *err)
{
    return forward_kept(m, w, ids, bounds, n_sequences, pooled, NULL, logits, err);
}

slant_status forward_kept(const model *m, workspace *w, const int32_t *ids, const int *bounds,
                          int n_sequences, const int *pooled, const kept_hidden *below,
                          float *logits, slant_error *err)
{
    int first;
    pass p = {.m = m,
              .w = w,
              .ids = ids,
              .bounds = bounds,
              .pooled = pooled,
              .n_sequences = n_sequences,
              .n_tokens = bounds[n_sequences],
              .n_rows = bounds[n_sequences],
              .kept = below,
              .err = err};

    slant_status status = forward_start(&p, &first);
    if (status != SLANT_OK)
        return status;
    for (int i = first; i < m->config.n_layers; i++) {
        forward_keep(&p, i);
        workspace_enter_layer(w, i);
        attention_forward(&p, &m->layers[i], m->config.layer_window[i],
                          i == m->config.n_layers - 1);
        mlp_forward(&p, &m->layers[i]);
    }
    head_forward(&p, logits);
    return SLANT_OK;
}
