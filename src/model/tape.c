/* Plans the tape, and opens and closes it. */
#include "model/tape.h"

#include "base/mem.h"
#include "model/attention_core_backward.h"
#include "model/plan.h"

#include <assert.h>
#include <string.h>

/* A block of transposed panels should stay in the second-level cache while all tokens pass it. */
enum { BLOCK_BYTES = 768 * 1024 };

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int stage_of(int which)
{
    return which <= LINEAR_V    ? TAPE_QKV
           : which == LINEAR_O  ? TAPE_O
           : which <= LINEAR_UP ? TAPE_GATE_UP
                                : TAPE_DOWN;
}

/* Sets first_layer and first_stage: linear modules come in the order of stages. */
static void find_lowest(tape *t)
{
    const model *m = t->m;
    for (t->first_layer = 0; t->first_layer < m->config.n_layers; t->first_layer++)
        for (int which = 0; which < LINEAR_COUNT; which++)
            if (m->layers[t->first_layer].linears[which].adapter.rank > 0) {
                t->first_stage = stage_of(which);
                return;
            }
}

static int highest_rank(const model *m)
{
    int rank = 0;
    for (int i = 0; i < m->config.n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++)
            rank = max_int(rank, m->layers[i].linears[which].adapter.rank);
    return rank;
}

static void plan_kept(planner *p, kept *k, dtype type, int n_rows, size_t n_columns)
{
    k->type = type;
    k->stride = (n_columns + 31) / 32 * 32;
    k->data = plan_piece(p, (size_t)n_rows * k->stride, type == DTYPE_F32 ? 4 : 2);
}

static void plan_dropped(planner *p, dropout_bits *dropped, int n_rows, int n_in)
{
    dropped->stride = ((size_t)n_in + 15) / 16;
    dropped->rows = plan_piece(p, (size_t)n_rows * dropped->stride, sizeof *dropped->rows);
}

static void plan_layer(planner *p, tape *t, tape_layer *slot, int index)
{
    const model_config *c = &t->m->config;
    const workspace *w = t->w;
    bool is_last = index == c->n_layers - 1;
    int rows = w->max_tokens, alive = is_last ? t->max_sequences : rows;
    plan_kept(p, &slot->hidden, t->kept_type, rows, (size_t)c->hidden_size);
    plan_kept(p, &slot->middle, t->kept_type, alive, (size_t)c->hidden_size);
    plan_kept(p, &slot->qkv, t->kept_half_type, rows, w->qkv_stride);
    plan_kept(p, &slot->gate, t->kept_type, alive, (size_t)c->intermediate_size);
    plan_kept(p, &slot->up, t->kept_type, alive, (size_t)c->intermediate_size);
    if (t->m->layers[index].linears[LINEAR_O].adapter.rank > 0)
        plan_kept(p, &slot->attended, t->kept_half_type, alive, w->attended_stride);
    for (int which = 0; which < LINEAR_COUNT; which++) {
        const linear *l = &t->m->layers[index].linears[which];
        if (l->adapter.rank > 0)
            plan_acts(p, &slot->low[which], w->now.lora_compute, rows, l->adapter.rank);
        if (l->adapter.rank > 0 && t->dropout.p > 0)
            plan_dropped(p, &slot->dropped[which], rows, l->w.n_in);
    }
}

/* Recomputed layers share the memory of one slot, but each knows its own matrices in it: which
 * there are depends on its adapters. */
static void plan_layers(planner *p, tape *t)
{
    size_t start = p->used, end = start;
    for (int i = 0; i < t->n_recomputed; i++) {
        tape_layer *slot = &t->layers[t->first_layer + i];
        slot->recomputed = true;
        p->used = start;
        plan_layer(p, t, slot, t->first_layer + i);
        end = p->used > end ? p->used : end;
    }
    p->used = end;
    for (int i = 0; i < t->n_recomputed; i++)
        t->layers[t->first_layer + i].input =
            plan_piece(p, (size_t)t->w->max_tokens * t->w->hidden_stride, sizeof(float));
    for (int i = t->first_layer + t->n_recomputed; i < t->m->config.n_layers; i++)
        plan_layer(p, t, &t->layers[i], i);
}

static void plan_group(planner *p, tape *t, int rank)
{
    int tokens = t->w->max_tokens;
    int chunks = (tokens + TAPE_GRADIENT_ROWS - 1) / TAPE_GRADIENT_ROWS;
    for (int i = 0; i < TAPE_GROUP; i++) {
        t->low_rows[i] = plan_piece(p, (size_t)tokens * plan_to_panel((size_t)rank), sizeof(float));
        plan_acts(p, &t->d_low[i], t->compute, tokens, rank);
        if (t->compute == SLANT_COMPUTE_F32)
            continue;
        plan_acts(p, &t->d_low_columns[i], t->compute, chunks * rank, TAPE_GRADIENT_ROWS);
        plan_acts(p, &t->low_columns[i], t->compute, chunks * rank, TAPE_GRADIENT_ROWS);
    }
}

static void plan_dy(planner *p, const tape *t, tape_dy *dy, int n_tokens, int n)
{
    plan_acts(p, &dy->plain, t->compute, n_tokens, n);
    if (t->through_int8)
        plan_acts(p, &dy->int8, SLANT_COMPUTE_INT8, n_tokens, n);
}

static void plan_thread(planner *p, const tape *t, tape_scratch *s, int widest, int rank)
{
    const model_config *c = &t->m->config;
    const workspace *w = t->w;
    size_t one = w->kernels->panel_bytes(t->compute, widest, 1);
    size_t width = (size_t)TAPE_GRADIENT_PANELS * KERNEL_PANEL;
    s->panels_bytes = one > BLOCK_BYTES ? one : BLOCK_BYTES;
    s->panels = plan_piece(p, s->panels_bytes, 1);
    s->panel_scales =
        plan_piece(p, (size_t)(LINEAR_MAX_BLOCK_PANELS * KERNEL_PANEL * kernel_n_groups(widest)),
                   sizeof(float));
    s->column_panels = plan_piece(
        p, w->kernels->panel_bytes(t->compute, TAPE_GRADIENT_ROWS, TAPE_GRADIENT_PANELS), 1);
    size_t rank_width = plan_to_panel((size_t)rank);
    s->products = plan_piece(p, TAPE_GRADIENT_ROWS * (rank_width > width ? rank_width : width),
                             sizeof(float));
    s->row_width = plan_to_panel((size_t)widest);
    s->rows = plan_piece(p, TAPE_SCRATCH_ROWS * s->row_width, sizeof(float));
    size_t expand = gradient_scratch_bytes(LINEAR_MAX_BLOCK_PANELS);
    size_t rows = kernel_expand_scratch_bytes(c->head_dim);
    s->expand = plan_piece(p, rows > expand ? rows : expand, 1);
    plan_acts(p, &s->plain, w->now.lora_compute, LINEAR_LOW_ROWS, widest);
    plan_acts(p, &s->dropped, w->now.lora_compute, LINEAR_LOW_ROWS, widest);
    s->attention = plan_piece(p, attention_core_bytes(t->compute, w->max_sequence, c->head_dim), 1);
}

static void plan(planner *p, tape *t)
{
    const model_config *c = &t->m->config;
    workspace *w = t->w;
    int tokens = w->max_tokens, rank = highest_rank(t->m);
    int q_out = c->n_heads * c->head_dim, kv_out = c->n_kv_heads * c->head_dim;
    size_t rows = (size_t)tokens;

    plan_layers(p, t);
    t->d_hidden = plan_piece(p, rows * w->hidden_stride, sizeof(float));
    t->d_attended_stride = plan_to_panel((size_t)q_out);
    size_t narrow =
        w->hidden_stride > t->d_attended_stride ? w->hidden_stride : t->d_attended_stride;
    t->d_normed = t->d_attended = plan_piece(p, rows * narrow, sizeof(float));
    t->d_qkv = plan_piece(p, rows * w->qkv_stride, sizeof(float));
    t->d_wide = w->gate_up;
    plan_dy(p, t, &t->dy_hidden, tokens, c->hidden_size);
    plan_dy(p, t, &t->dy_qkv[0], tokens, q_out);
    plan_dy(p, t, &t->dy_qkv[1], tokens, kv_out);
    plan_dy(p, t, &t->dy_qkv[2], tokens, kv_out);
    for (int i = 0; i < 2; i++)
        plan_dy(p, t, &t->dy_wide[i], WORKSPACE_MLP_ROWS, c->intermediate_size);
    plan_acts(p, &t->input, t->compute, tokens, max_int(c->hidden_size, q_out));
    plan_acts(p, &t->wide_input, t->compute, WORKSPACE_MLP_ROWS, c->intermediate_size);
    if (rank > 0)
        plan_group(p, t, rank);
    t->minus_sines =
        plan_piece(p, (size_t)w->max_sequence * (size_t)c->head_dim / 2, sizeof(float));
    t->row_sequence = plan_piece(p, rows, sizeof *t->row_sequence);
    int widest = max_int(max_int(c->hidden_size, c->intermediate_size), (int)w->qkv_stride);
    for (int i = 0; i < w->n_threads; i++)
        plan_thread(p, t, &t->threads[i], widest, rank);
}

static size_t planned_bytes(tape *t, int n_recomputed)
{
    planner p = {0};
    t->n_recomputed = n_recomputed;
    plan(&p, t);
    return p.overflow ? SIZE_MAX : p.used;
}

/* Which layers are recomputed: the lowest, and never the last one, which keeps little anyway. */
static slant_status choose_recomputed(tape *t, const tape_options *options, slant_error *err)
{
    int most = t->m->config.n_layers - 1 - t->first_layer;
    if (most < 0)
        most = 0;
    t->n_recomputed = options->checkpointing == TAPE_KEEP_INPUTS ? most : 0;
    if (options->checkpointing != TAPE_KEEP_FITTING)
        return SLANT_OK;
    size_t least = planned_bytes(t, most);
    if (least > options->memory_limit)
        return status_fail(err, SLANT_ERR_MEMORY,
                           "the memory limit leaves %zu MiB for activations and gradients, but "
                           "%zu MiB are the least for batches of %d tokens",
                           options->memory_limit >> 20, (least >> 20) + 1, t->w->max_tokens);
    int n = 0;
    while (n < most && planned_bytes(t, n) > options->memory_limit)
        n++;
    t->n_recomputed = n;
    return SLANT_OK;
}

static void reset_layers(tape *t)
{
    memset(t->layers, 0, (size_t)t->m->config.n_layers * sizeof *t->layers);
}

slant_status tape_open(const model *m, workspace *w, const tape_options *options, tape **out,
                       slant_error *err)
{
    *out = NULL;
    slant_status status = SLANT_ERR_MEMORY;
    size_t n_layers = (size_t)m->config.n_layers;
    tape *t = mem_calloc(1, sizeof *t);
    if (t == NULL)
        goto out_of_memory;
    t->m = m;
    t->w = w;
    t->kernels = gradient_table_for(w->kernels);
    t->through_int8 = kernel_is_scaled(w->compute);
    t->compute = w->compute == SLANT_COMPUTE_F32 || (t->through_int8 && !w->kernels->bf16_is_fast)
                     ? SLANT_COMPUTE_F32
                     : SLANT_COMPUTE_BF16;
    t->kept_type = w->compute == SLANT_COMPUTE_F32 ? DTYPE_F32 : DTYPE_BF16;
    t->half = options->half;
    t->kept_half_type = t->half ? DTYPE_F16 : t->kept_type;
    t->dropout = options->dropout;
    t->max_sequences = options->max_sequences;
    find_lowest(t);
    assert(!t->half || w->now.lora_compute == SLANT_COMPUTE_F32); /* bf16 cannot hold a half */
    if (highest_rank(m) > TAPE_MAX_RANK) {
        status = status_fail(err, SLANT_ERR_UNSUPPORTED, "rank %d: the highest is %d",
                             highest_rank(m), TAPE_MAX_RANK);
        tape_close(t);
        return status;
    }
    t->layers = mem_calloc(n_layers, sizeof *t->layers);
    t->gradients = mem_calloc(n_layers * LINEAR_COUNT, sizeof *t->gradients);
    t->threads = mem_calloc((size_t)w->n_threads, sizeof *t->threads);
    if (t->layers == NULL || t->gradients == NULL || t->threads == NULL)
        goto out_of_memory;
    status = choose_recomputed(t, options, err);
    if (status != SLANT_OK) {
        tape_close(t);
        return status;
    }
    reset_layers(t);
    t->pages_bytes = planned_bytes(t, t->n_recomputed);
    t->pages = t->pages_bytes == SIZE_MAX ? NULL : mem_alloc_pages(t->pages_bytes);
    if (t->pages == NULL)
        goto out_of_memory;
    reset_layers(t);
    planner p = {.base = t->pages};
    plan(&p, t);
    for (size_t i = 0; i < (size_t)w->max_sequence * (size_t)m->config.head_dim / 2; i++)
        t->minus_sines[i] = -w->sines[i];
    *out = t;
    return SLANT_OK;

out_of_memory:
    tape_close(t);
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for training on batches of %d tokens",
                       w->max_tokens);
}

void tape_close(tape *t)
{
    if (t == NULL)
        return;
    mem_free_pages(t->pages, t->pages_bytes);
    mem_free(t->layers);
    mem_free(t->gradients);
    mem_free(t->threads);
    mem_free(t);
}

void tape_take_dy(const tape *t, const float *dy, size_t stride, int n_rows, tape_dy *out, int row0)
{
    t->w->kernels->quantise(dy, stride, n_rows, &out->plain, row0);
    if (t->through_int8)
        t->w->kernels->quantise(dy, stride, n_rows, &out->int8, row0);
}

bool tape_reaches(const tape *t, tape_stage stage)
{
    return t->layer > t->first_layer || (t->layer == t->first_layer && stage >= t->first_stage);
}

bool tape_passes(const tape *t, tape_stage stage)
{
    return t->layer > t->first_layer || (t->layer == t->first_layer && stage > t->first_stage);
}
