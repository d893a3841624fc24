/* Plans a forward pass: every buffer is a piece of one allocation. */
#include "model/workspace.h"

#include "base/mem.h"
#include "model/linear.h"
#include "model/mlp.h"
#include "model/plan.h"

#include <math.h>
#include <string.h>

static int highest_rank(const model *m, int which)
{
    int rank = 0;
    for (int i = 0; i < m->config.n_layers; i++)
        if (m->layers[i].linears[which].adapter.rank > rank)
            rank = m->layers[i].linears[which].adapter.rank;
    return rank;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static void plan_precision(planner *p, layer_precision *l, const workspace *w, const model *m)
{
    const model_config *c = &m->config;
    plan_acts(p, &l->normed, l->compute, w->max_tokens, c->hidden_size);
    plan_acts(p, &l->attended_in, l->compute, w->max_tokens, c->n_heads * c->head_dim);
    plan_acts(p, &l->wide, l->compute, WORKSPACE_MLP_ROWS, c->intermediate_size);
    for (int which = 0; which < LINEAR_COUNT; which++) {
        int rank = highest_rank(m, which);
        if (rank > 0)
            plan_acts(p, &l->low[which], l->lora_compute, w->max_tokens, rank);
    }
}

static void plan(planner *p, workspace *w, const model *m)
{
    const model_config *c = &m->config;
    size_t rows = (size_t)w->max_tokens;
    int q_out = c->n_heads * c->head_dim, kv_out = c->n_kv_heads * c->head_dim;

    w->hidden_stride = plan_to_panel((size_t)c->hidden_size);
    w->hidden = plan_piece(p, rows * w->hidden_stride, sizeof(float));
    w->k_column = plan_to_panel((size_t)q_out);
    w->v_column = w->k_column + plan_to_panel((size_t)kv_out);
    w->qkv_stride = w->v_column + plan_to_panel((size_t)kv_out);
    w->qkv = plan_piece(p, rows * w->qkv_stride, sizeof(float));
    w->attended_stride = (size_t)q_out;
    w->attended = plan_piece(p, rows * w->attended_stride, sizeof(float));
    w->wide_stride = plan_to_panel((size_t)c->intermediate_size);
    if (w->records)
        w->gate_up = plan_piece(p, (size_t)WORKSPACE_MLP_ROWS * 2 * w->wide_stride, sizeof(float));

    plan_precision(p, &w->coarse, w, m);
    if (w->n_fine > 0)
        plan_precision(p, &w->fine, w, m);
    plan_acts(p, &w->final, SLANT_COMPUTE_F32, w->max_tokens, c->hidden_size);
    int widest_rank = 0;
    for (int which = 0; which < LINEAR_COUNT; which++)
        widest_rank = max_int(widest_rank, highest_rank(m, which));

    size_t half = (size_t)c->head_dim / 2;
    w->cosines = plan_piece(p, (size_t)w->max_sequence * half, sizeof(float));
    w->sines = plan_piece(p, (size_t)w->max_sequence * half, sizeof(float));

    int widest =
        max_int(max_int(c->hidden_size, q_out), max_int(c->intermediate_size, widest_rank));
    for (int t = 0; t < w->n_threads; t++) {
        thread_scratch *s = &w->threads[t];
        s->panels = plan_piece(
            p, plan_larger(linear_panel_bytes(w, widest, widest_rank), mlp_panel_bytes(w, m)), 1);
        s->gate_up = plan_piece(p, mlp_columns_bytes(m), 1);
        s->panel_scales =
            plan_piece(p,
                       (size_t)max_int(LINEAR_MAX_BLOCK_PANELS, widest_rank / KERNEL_PANEL + 1) *
                           KERNEL_PANEL * (size_t)kernel_n_groups(widest),
                       sizeof(float));
        s->low_panels = plan_piece(p, linear_low_panel_bytes(w, widest_rank), 1);
        s->low_scales = plan_piece(p,
                                   (size_t)(LINEAR_MAX_BLOCK_PANELS * KERNEL_PANEL) *
                                       (size_t)kernel_n_groups(max_int(widest_rank, 1)),
                                   sizeof(float));
        s->expand = plan_piece(p, kernel_expand_scratch_bytes(widest), 1);
        s->matmul = plan_piece(p, KERNEL_MATMUL_SCRATCH, 1);
        s->attention = plan_piece(
            p, attention_scratch_bytes(w->max_sequence, c->head_dim, c->n_heads / c->n_kv_heads),
            1);
        s->row = plan_piece(p,
                            plan_to_panel((size_t)widest_rank) * LINEAR_LOW_ROWS +
                                plan_to_panel((size_t)max_int(c->hidden_size, c->head_dim)),
                            sizeof(float));
        s->embedding_row = plan_piece(p, model_embed_scratch_bytes(m), 1);
    }
}

/* cos and sin of position · inv_freq, the product in fp32 as transformers takes it. */
static void fill_rotations(workspace *w, const model_config *c)
{
    int half = c->head_dim / 2;
    float *inv_freq = w->threads[0].row;
    model_config_inv_freq(c, inv_freq);
    for (int position = 0; position < w->max_sequence; position++)
        for (int i = 0; i < half; i++) {
            float angle = (float)position * inv_freq[i];
            size_t at = (size_t)position * (size_t)half + (size_t)i;
            w->cosines[at] = (float)cos((double)angle);
            w->sines[at] = (float)sin((double)angle);
        }
}

/* The first layers carry most of int8's error to the answer, and of the later ones q, k and v,
 * which the softmax sharpens and which are a tenth of a layer: so these three of all layers, and
 * all products of the first 3/8 (half where bf16, coarser than INT16, adds an error of its own),
 * are computed in the best that the processor is quick at. docs/SPEED.md has the errors of other
 * shares. */
static int fine_layers(slant_compute compute, slant_compute fine, int n_layers)
{
    if (compute != SLANT_COMPUTE_INT8)
        return 0;
    return fine == SLANT_COMPUTE_BF16 ? (n_layers + 1) / 2 : (3 * n_layers + 7) / 8;
}

slant_compute workspace_fine_compute(const kernel_table *kernels)
{
    if (kernels->bf16_is_fast)
        return SLANT_COMPUTE_BF16;
    return kernels->auto_compute == SLANT_COMPUTE_F32 ? SLANT_COMPUTE_F32 : SLANT_COMPUTE_INT16;
}

/* lora_compute NULL: low-rank products are computed as the others are, but for bf16 in fp32 where
 * bf16 is slow, and for int8 as in the fine layers: their few sums cost little and weigh much. */
static void choose_precisions(workspace *w, const model *m, const slant_compute *lora_compute)
{
    slant_compute narrow = w->kernels->bf16_is_fast ? SLANT_COMPUTE_BF16 : SLANT_COMPUTE_F32;
    w->coarse.compute = w->compute;
    w->fine.compute = workspace_fine_compute(w->kernels);
    w->n_fine = fine_layers(w->compute, w->fine.compute, m->config.n_layers);
    w->coarse.lora_compute = w->compute == SLANT_COMPUTE_BF16   ? narrow
                             : w->compute == SLANT_COMPUTE_INT8 ? w->fine.compute
                                                                : w->compute;
    w->fine.lora_compute = w->fine.compute;
    if (lora_compute != NULL)
        w->coarse.lora_compute = w->fine.lora_compute = *lora_compute;
}

void workspace_enter_layer(workspace *w, int i)
{
    w->layer = i;
    workspace_use_own(w);
}

void workspace_use_own(workspace *w)
{
    w->now = w->layer < w->n_fine ? w->fine : w->coarse;
}

void workspace_use_fine(workspace *w)
{
    if (w->n_fine > 0)
        w->now = w->fine;
}

static slant_status open_with(const model *m, const kernel_table *kernels, slant_compute compute,
                              const slant_compute *lora_compute, int n_threads, int max_tokens,
                              int max_sequence, workspace **out, slant_error *err)
{
    *out = NULL;
    workspace *w = mem_calloc(1, sizeof *w);
    if (w == NULL)
        goto out_of_memory;
    w->kernels = kernels;
    w->compute = compute;
    w->n_threads = n_threads;
    w->max_tokens = max_tokens;
    w->max_sequence = max_sequence;
    w->threads = mem_calloc((size_t)n_threads, sizeof *w->threads);
    if (w->threads == NULL)
        goto out_of_memory;

    w->records = lora_compute != NULL;
    choose_precisions(w, m, lora_compute);
    planner p = {0};
    plan(&p, w, m);
    w->pages_bytes = p.used;
    w->pages = p.overflow ? NULL : mem_alloc_pages(p.used);
    if (w->pages == NULL)
        goto out_of_memory;
    p = (planner){.base = w->pages};
    plan(&p, w, m);
    fill_rotations(w, &m->config);
    workspace_enter_layer(w, 0);
    *out = w;
    return SLANT_OK;

out_of_memory:
    workspace_close(w);
    return status_fail(err, SLANT_ERR_MEMORY,
                       "out of memory for a pass of %d tokens, the longest article having %d",
                       max_tokens, max_sequence);
}

slant_status workspace_open(const model *m, const kernel_table *kernels, slant_compute compute,
                            int n_threads, int max_tokens, int max_sequence, workspace **out,
                            slant_error *err)
{
    return open_with(m, kernels, compute, NULL, n_threads, max_tokens, max_sequence, out, err);
}

slant_status workspace_open_lora(const model *m, const kernel_table *kernels, slant_compute compute,
                                 slant_compute lora_compute, int n_threads, int max_tokens,
                                 int max_sequence, workspace **out, slant_error *err)
{
    return open_with(m, kernels, compute, &lora_compute, n_threads, max_tokens, max_sequence, out,
                     err);
}

void workspace_close(workspace *w)
{
    if (w == NULL)
        return;
    mem_free_pages(w->pages, w->pages_bytes);
    mem_free(w->threads);
    mem_free(w);
}
