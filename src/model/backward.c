#include "model/backward.h"

#include "model/attention.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/mlp.h"

#include <assert.h>
#include <string.h>

static bool is_last(const tape *t)
{
    return t->layer == t->m->config.n_layers - 1;
}

static void keep_input(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)scratch;
    size_t stride = p->w->hidden_stride;
    memcpy((float *)context + (size_t)first * stride, p->w->hidden + (size_t)first * stride,
           (size_t)(end - first) * stride * sizeof(float));
}

static void restore_input(pass *p, const void *context, thread_scratch *scratch, int first, int end)
{
    (void)scratch;
    size_t stride = p->w->hidden_stride;
    memcpy(p->w->hidden + (size_t)first * stride, (const float *)context + (size_t)first * stride,
           (size_t)(end - first) * stride * sizeof(float));
}

static void start(tape *t, const train_batch *batch, slant_error *err)
{
    t->samples = batch->samples;
    t->pass = (pass){.m = t->m,
                     .w = t->w,
                     .ids = batch->ids,
                     .bounds = batch->bounds,
                     .pooled = batch->pooled,
                     .n_sequences = batch->n_sequences,
                     .n_tokens = batch->bounds[batch->n_sequences],
                     .n_rows = batch->bounds[batch->n_sequences],
                     .tape = t,
                     .err = err};
    for (int s = 0; s < batch->n_sequences; s++)
        for (int token = batch->bounds[s]; token < batch->bounds[s + 1]; token++)
            t->row_sequence[token] = s;
}

slant_status forward_record(tape *t, const train_batch *batch, float *logits, slant_error *err)
{
    return forward_record_kept(t, batch, NULL, logits, err);
}

slant_status forward_record_kept(tape *t, const train_batch *batch, const kept_hidden *below,
                                 float *logits, slant_error *err)
{
    assert(below == NULL || below->layer <= t->first_layer);
    const model *m = t->m;
    pass *p = &t->pass;
    start(t, batch, err);
    p->kept = below;
    slant_status status = forward_start(p, &t->layer);
    if (status != SLANT_OK)
        return status;
    for (; t->layer < m->config.n_layers; t->layer++) {
        forward_keep(p, t->layer);
        tape_layer *slot = &t->layers[t->layer];
        t->recording = t->layer >= t->first_layer && !slot->recomputed;
        if (slot->recomputed)
            pass_rows(p, keep_input, slot->input);
        tape_keep_hidden(p);
        workspace_enter_layer(p->w, t->layer);
        attention_forward(p, &m->layers[t->layer], m->config.layer_window[t->layer], is_last(t));
        mlp_forward(p, &m->layers[t->layer]);
    }
    head_forward(p, logits);
    tape_round(t, logits, (size_t)(p->n_sequences * m->config.n_labels));
    return SLANT_OK;
}

static void recompute(pass *p)
{
    tape *t = p->tape;
    const layer *l = &t->m->layers[t->layer];
    t->recording = true;
    pass_rows(p, restore_input, t->layers[t->layer].input);
    tape_keep_hidden(p);
    workspace_enter_layer(p->w, t->layer);
    attention_forward(p, l, t->m->config.layer_window[t->layer], false);
    mlp_recompute(p, l);
}

void backward(tape *t, const float *d_logits)
{
    const model *m = t->m;
    pass *p = &t->pass;
    p->n_rows = p->n_sequences;
    head_backward(p, d_logits);
    for (t->layer = m->config.n_layers - 1; t->layer >= t->first_layer; t->layer--) {
        const layer *l = &m->layers[t->layer];
        if (t->layers[t->layer].recomputed)
            recompute(p);
        mlp_backward(p, l);
        if (tape_reaches(t, TAPE_O))
            attention_backward(p, l, m->config.layer_window[t->layer], is_last(t));
    }
}
