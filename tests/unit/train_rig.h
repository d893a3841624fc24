/* A small model under training: parameters, workspace and tape, and a batch for them. */
#ifndef SLANT_TESTS_TRAIN_RIG_H
#define SLANT_TESTS_TRAIN_RIG_H

#include "formats/safetensors.h"
#include "model/backward.h"
#include "quant/quant.h"
#include "train/loss.h"
#include "train/parameters.h"
#include "train_model.h"

#define GOLDEN SLANT_SOURCE_DIR "/tests/golden/train/"

static const int rig_lengths[] = {7, 1, 70, 13, 33};
enum { N_SEQUENCES = 5, N_TOKENS = 124, LONGEST = 70 };

static slant_error err;

typedef struct rig {
    const train_case *c;
    model base;
    lora_module modules[8 * LINEAR_COUNT];
    parameters *params;
    workspace *w;
    tape *t;
    int32_t ids[N_TOKENS];
    int bounds[N_SEQUENCES + 1], pooled[N_SEQUENCES], labels[N_SEQUENCES];
    uint32_t samples[N_SEQUENCES];
    float logits[N_SEQUENCES * TRAIN_LABELS], d_logits[N_SEQUENCES * TRAIN_LABELS];
} rig;

typedef struct rig_options {
    slant_compute compute;
    int n_threads;
    tape_checkpointing checkpointing;
    size_t memory_limit;
    tape_dropout dropout;
    bool half;
    const kernel_table *kernels;
} rig_options;

static inline lora_module module_of(const train_case *c, int i, int which)
{
    if (!(c->targets >> which & 1) || i < c->first_adapted || i >= c->end_adapted)
        return (lora_module){0, 0};
    int rank = which == LINEAR_Q && c->q_rank > 0 ? c->q_rank : TRAIN_RANK;
    int alpha = which == LINEAR_UP && c->up_alpha > 0 ? c->up_alpha : TRAIN_ALPHA;
    float root = c->rslora ? sqrtf((float)rank) : (float)rank;
    return (lora_module){rank, (float)alpha / root};
}

static inline void fill_batch(rig *r)
{
    for (int s = 0; s < N_SEQUENCES; s++) {
        r->bounds[s + 1] = r->bounds[s] + rig_lengths[s];
        train_article(s, rig_lengths[s], r->ids + r->bounds[s]);
        r->pooled[s] = rig_lengths[s] - 1;
        r->labels[s] = train_label(s);
        r->samples[s] = (uint32_t)s + 100;
    }
}

static inline void open_rig(rig *r, const train_case *c, const rig_options *o)
{
    memset(r, 0, sizeof *r);
    r->c = c;
    train_base(&r->base, c);
    for (int i = 0; i < c->n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++)
            r->modules[i * LINEAR_COUNT + which] = module_of(c, i, which);
    assert_int_equal(parameters_open(&r->base, r->modules, o->half, &r->params, &err), SLANT_OK);
    for (int i = 0; i < r->params->n; i++) {
        const parameter *p = &r->params->list[i];
        train_fill(r->params->values + p->first, p->name, p->rows, p->columns);
    }
    parameters_publish(r->params);
    fill_batch(r);
    const kernel_table *kernels = o->kernels ? o->kernels : kernel_table_named("scalar");
    bool narrow = o->compute != SLANT_COMPUTE_F32 && kernels->bf16_is_fast && !o->half;
    slant_compute low = narrow ? SLANT_COMPUTE_BF16 : SLANT_COMPUTE_F32;
    assert_int_equal(workspace_open_lora(&r->params->trained, kernels, o->compute, low,
                                         o->n_threads > 0 ? o->n_threads : 1, N_TOKENS, LONGEST,
                                         &r->w, &err),
                     SLANT_OK);
    tape_options options = {.checkpointing = o->checkpointing,
                            .memory_limit = o->memory_limit,
                            .dropout = o->dropout,
                            .half = o->half,
                            .max_sequences = N_SEQUENCES};
    if (tape_open(&r->params->trained, r->w, &options, &r->t, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    parameters_attach(r->params, r->t);
}

static inline void close_rig(rig *r)
{
    tape_close(r->t);
    workspace_close(r->w);
    parameters_close(r->params);
    arena_free(&r->base.memory);
}

static inline double distance(const float *a, const float *b, size_t n, double *norm)
{
    double apart = 0, length = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        apart += d * d;
        length += (double)b[i] * (double)b[i];
    }
    *norm = sqrt(length);
    return sqrt(apart);
}

static inline void assert_near(const char *what, const float *got, const float *want, size_t n,
                               double tolerance)
{
    double norm, apart = distance(got, want, n, &norm);
    if (!(apart <= tolerance * norm))
        fail_msg("%s: apart by %.3g of a norm of %.3g", what, apart, norm);
}

static inline const float *golden(const safetensors *st, const char *name, size_t n)
{
    const tensor_view *view = safetensors_find(st, name);
    if (view == NULL || view->size_bytes != n * sizeof(float))
        fail_msg("%s is not in the golden file, or not of %zu values", name, n);
    return (const float *)(const void *)view->data;
}

#endif
