#include "model/forward.h"

#include "model/attention.h"
#include "model/head.h"
#include "model/mlp.h"

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

slant_status forward_embed(pass *p)
{
    pass_rows(p, embed_share, NULL);
    return p->status;
}

slant_status forward(const model *m, workspace *w, const int32_t *ids, const int *bounds,
                     int n_sequences, const int *pooled, float *logits, slant_error *err)
{
    pass p = {.m = m,
              .w = w,
              .ids = ids,
              .bounds = bounds,
              .pooled = pooled,
              .n_sequences = n_sequences,
              .n_tokens = bounds[n_sequences],
              .n_rows = bounds[n_sequences],
              .err = err};

    slant_status status = forward_embed(&p);
    if (status != SLANT_OK)
        return status;
    for (int i = 0; i < m->config.n_layers; i++) {
        workspace_enter_layer(w, i);
        attention_forward(&p, &m->layers[i], m->config.layer_window[i],
                          i == m->config.n_layers - 1);
        mlp_forward(&p, &m->layers[i]);
    }
    head_forward(&p, logits);
    return SLANT_OK;
}
