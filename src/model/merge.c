#include "model/merge.h"

#include "base/mem.h"
#include "base/thread.h"
#include "model/plain.h"
#include "model/plan.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rows that a thread takes at a time: 64 rows of any length are whole blocks of NF4. */
enum { CHUNK_ROWS = 64 };

/* What one thread needs for itself. */
typedef struct merge_scratch {
    float *delta; /* [widest]: a row of B A */
    float *back;  /* [CHUNK_ROWS][widest]: rows as they were rounded */
} merge_scratch;

struct merger {
    const model *m;
    merge_form form;
    int n_threads;
    merged_weight out;
    kernel_weight own; /* what out.w leads to, unless the base's own weight is it */
    merge_error error;
    double square_error, square_weight; /* sums over all weights so far */

    /* The weight at hand. */
    const linear *l;
    int n_chunks;
    nf4_flat base; /* where it is NF4: the base's own values, flat */
    float *values; /* [n_out][n_in]: W' */
    float *a, *b;  /* [rank][n_in], [n_out][rank] */
    uint8_t *base_codes, *base_absmax_codes;
    float *base_absmax;
    void *rows; /* [n_out][n_in] as BF16 or F32 */
    uint8_t *codes, *absmax_codes;
    uint8_t *panel_codes, *panel_absmax_codes;
    float *absmax, *nested_absmax;
    double *chunk_errors, *chunk_weights; /* [n_chunks] */
    merge_scratch *threads;               /* [n_threads] */
    void *pages;
    size_t pages_bytes;
};

/* The largest of each measure over all linear layers. */
typedef struct merge_sizes {
    size_t n_values, n_in, n_out, rank_in, rank_out;
    size_t panel_bytes, n_panel_absmax; /* of those that NF4 panels can hold */
    size_t n_straddling;                /* n_values of those that they cannot */
} merge_sizes;

static merge_sizes measure(const model *m)
{
    merge_sizes s = {0};
    for (int i = 0; i < m->config.n_layers * LINEAR_COUNT; i++) {
        const linear *l = &m->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT];
        size_t n_out = (size_t)l->w.n_out, n_in = (size_t)l->w.n_in, rank = (size_t)l->adapter.rank;
        s.n_values = plan_larger(s.n_values, n_out * n_in);
        s.n_in = plan_larger(s.n_in, n_in);
        s.n_out = plan_larger(s.n_out, n_out);
        s.rank_in = plan_larger(s.rank_in, rank * n_in);
        s.rank_out = plan_larger(s.rank_out, rank * n_out);
        if (n_in % NF4_BLOCK != 0) {
            s.n_straddling = plan_larger(s.n_straddling, n_out * n_in);
            continue;
        }
        s.panel_bytes = plan_larger(s.panel_bytes, nf4_panel_code_bytes(l->w.n_out, l->w.n_in));
        s.n_panel_absmax = plan_larger(s.n_panel_absmax, nf4_panel_n_absmax(l->w.n_out, l->w.n_in));
    }
    return s;
}

static bool any_nf4(const model *m)
{
    for (int i = 0; i < m->config.n_layers * LINEAR_COUNT; i++)
        if (m->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT].w.type == DTYPE_NF4)
            return true;
    return false;
}

static void plan(planner *p, merger *g)
{
    merge_sizes s = measure(g->m);
    size_t n_blocks = (size_t)nf4_n_blocks((int64_t)s.n_values);
    size_t n_nested = (size_t)nf4_n_nested((int64_t)s.n_values);
    size_t n_chunks = (s.n_out + CHUNK_ROWS - 1) / CHUNK_ROWS;
    g->values = plan_piece(p, s.n_values, sizeof *g->values);
    g->a = plan_piece(p, s.rank_in, sizeof *g->a);
    g->b = plan_piece(p, s.rank_out, sizeof *g->b);
    if (any_nf4(g->m)) {
        g->base_codes = plan_piece(p, (s.n_values + 1) / 2, 1);
        g->base_absmax_codes = plan_piece(p, n_blocks, 1);
        g->base_absmax = plan_piece(p, n_blocks, sizeof *g->base_absmax);
    }
    if (g->form == MERGE_BF16)
        g->rows = plan_piece(p, s.n_values, sizeof(uint16_t));
    if (g->form == MERGE_NF4_PANELS)
        g->rows = plan_piece(p, s.n_straddling, sizeof(float));
    if (g->form != MERGE_BF16) {
        g->codes = plan_piece(p, (s.n_values + 1) / 2, 1);
        g->absmax_codes = plan_piece(p, n_blocks, 1);
        g->absmax = plan_piece(p, n_blocks, sizeof *g->absmax);
        g->nested_absmax = plan_piece(p, n_nested, sizeof *g->nested_absmax);
        g->out.flat_state = plan_piece(p, MERGE_STATE_BYTES, 1);
    }
    if (g->form == MERGE_NF4_PANELS) {
        g->panel_codes = plan_piece(p, s.panel_bytes, 1);
        g->panel_absmax_codes = plan_piece(p, s.n_panel_absmax, 1);
    }
    g->chunk_errors = plan_piece(p, n_chunks, sizeof *g->chunk_errors);
    g->chunk_weights = plan_piece(p, n_chunks, sizeof *g->chunk_weights);
    for (int t = 0; t < g->n_threads; t++) {
        g->threads[t].delta = plan_piece(p, s.n_in, sizeof(float));
        g->threads[t].back = plan_piece(p, CHUNK_ROWS * s.n_in, sizeof(float));
    }
}

slant_status merger_open(const model *m, merge_form form, int n_threads, merger **out,
                         slant_error *err)
{
    *out = NULL;
    merger *g = mem_calloc(1, sizeof *g);
    if (g == NULL)
        goto out_of_memory;
    g->m = m;
    g->form = form;
    g->n_threads = n_threads;
    g->threads = mem_calloc((size_t)n_threads, sizeof *g->threads);
    if (g->threads == NULL)
        goto out_of_memory;
    planner p = {0};
    plan(&p, g);
    g->pages_bytes = p.used;
    g->pages = p.overflow ? NULL : mem_alloc_pages(p.used);
    if (g->pages == NULL)
        goto out_of_memory;
    p = (planner){.base = g->pages};
    plan(&p, g);
    *out = g;
    return SLANT_OK;

out_of_memory:
    merger_close(g);
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory for merging", m->path);
}

void merger_close(merger *g)
{
    if (g == NULL)
        return;
    mem_free_pages(g->pages, g->pages_bytes);
    mem_free(g->threads);
    mem_free(g);
}

merge_form merger_form(const merger *g)
{
    return g->form;
}

/* NF4 that no adapter changes goes over as it is: quantising it again would move it. */
static bool passes_through(const merger *g, const linear *l)
{
    return g->form != MERGE_BF16 && l->adapter.rank == 0 && l->w.type == DTYPE_NF4;
}

static void plan_panels(merger *g, const linear *l)
{
    g->own = (kernel_weight){.n_out = l->w.n_out,
                             .n_in = l->w.n_in,
                             .type = DTYPE_NF4,
                             .data = g->panel_codes,
                             .absmax_codes = g->panel_absmax_codes,
                             .nested_absmax = g->nested_absmax,
                             .nested_map = nf4_dynamic_map,
                             .code_map = nf4_codes};
}

static void plan_flat(merger *g, const linear *l)
{
    bool passes = passes_through(g, l), is_nested = !passes || l->w.absmax_codes != NULL;
    g->out.flat = (nf4_flat){.n_values = (int64_t)l->w.n_out * l->w.n_in,
                             .codes = g->codes,
                             .absmax = is_nested ? NULL : g->absmax,
                             .absmax_codes = is_nested ? g->absmax_codes : NULL,
                             .nested_absmax = !is_nested ? NULL : g->nested_absmax,
                             .nested_map = passes ? l->w.nested_map : nf4_dynamic_map,
                             .code_map = passes ? l->w.code_map : nf4_codes};
}

const merged_weight *merger_plan(merger *g, const linear *l)
{
    g->out.w = passes_through(g, l) ? &l->w : &g->own;
    if (g->form == MERGE_NF4_FLAT)
        plan_flat(g, l);
    else if (g->form == MERGE_NF4_PANELS && l->w.n_in % NF4_BLOCK == 0)
        plan_panels(g, l);
    else
        g->own = (kernel_weight){.n_out = l->w.n_out,
                                 .n_in = l->w.n_in,
                                 .type = g->form == MERGE_BF16 ? DTYPE_BF16 : DTYPE_F32,
                                 .data = g->rows};
    return &g->out;
}

/* g->base: the layer's own NF4 values, flat, in the scratch. */
static void unpack_base(merger *g, uint8_t *codes, uint8_t *absmax_codes, float *absmax)
{
    const kernel_weight *w = &g->l->w;
    bool is_nested = w->absmax_codes != NULL;
    nf4_unpack_panels(w->data, w->absmax_codes, w->absmax, w->n_out, w->n_in, codes,
                      is_nested ? absmax_codes : NULL, is_nested ? NULL : absmax);
    g->base = (nf4_flat){.n_values = (int64_t)w->n_out * w->n_in,
                         .codes = codes,
                         .absmax = is_nested ? NULL : absmax,
                         .absmax_codes = is_nested ? absmax_codes : NULL,
                         .nested_absmax = w->nested_absmax,
                         .nested_map = w->nested_map,
                         .code_map = w->code_map,
                         .nested_offset = w->nested_offset};
}

static void decode_rows(const merger *g, int first, int n_rows)
{
    const kernel_weight *w = &g->l->w;
    size_t n_in = (size_t)w->n_in;
    float *to = g->values + (size_t)first * n_in;
    if (w->type == DTYPE_NF4) {
        nf4_decode(&g->base, (int64_t)first * w->n_in, (int64_t)n_rows * w->n_in, to);
        return;
    }
    size_t row_bytes = plain_row_bytes(w->type, w->n_in);
    for (int i = 0; i < n_rows; i++)
        quant_get(w->type)->decode_row((const uint8_t *)w->data + (size_t)(first + i) * row_bytes,
                                       to + (size_t)i * n_in, n_in);
}

/* values += scale · (B A) for one row; the sum over the rank first, as PEFT takes it. */
static void add_delta(const merger *g, int row, float *delta)
{
    const lora *adapter = &g->l->adapter;
    size_t n_in = (size_t)g->l->w.n_in, rank = (size_t)adapter->rank;
    float *to = g->values + (size_t)row * n_in;
    const float *b = g->b + (size_t)row * rank;
    memset(delta, 0, n_in * sizeof *delta);
    for (size_t k = 0; k < rank; k++) {
        const float *a = g->a + k * n_in, factor = b[k];
        for (size_t i = 0; i < n_in; i++)
            delta[i] += factor * a[i];
    }
    for (size_t i = 0; i < n_in; i++)
        to[i] += adapter->scale * delta[i];
}

/* Rows as they are written; BF16 at once, NF4 but for its double quantisation. */
static void round_rows(const merger *g, int first, int n_rows)
{
    size_t n_in = (size_t)g->l->w.n_in, start = (size_t)first * n_in;
    const float *from = g->values + start;
    if (g->form == MERGE_BF16)
        quant_get(DTYPE_BF16)->encode_row(from, (uint16_t *)g->rows + start, (size_t)n_rows * n_in);
    else
        nf4_encode_plain(from, (int64_t)((size_t)n_rows * n_in), g->codes + start / 2,
                         g->absmax + start / NF4_BLOCK);
}

static void merge_chunk(merger *g, const merge_scratch *s, int first, int n_rows)
{
    decode_rows(g, first, n_rows);
    for (int i = 0; g->l->adapter.rank > 0 && i < n_rows; i++)
        add_delta(g, first + i, s->delta);
    round_rows(g, first, n_rows);
}

/* The values that the rounded rows stand for, beside those that they were. */
static void weigh_chunk(merger *g, const merge_scratch *s, int first, int n_rows)
{
    size_t n_in = (size_t)g->l->w.n_in, start = (size_t)first * n_in, n = (size_t)n_rows * n_in;
    const float *values = g->values + start;
    float *back = s->back;
    double error = 0, weight = 0;
    if (g->form == MERGE_BF16)
        quant_get(DTYPE_BF16)->decode_row((const uint16_t *)g->rows + start, back, n);
    else
        nf4_decode(&g->out.flat, (int64_t)start, (int64_t)n, back);
    for (size_t i = 0; i < n; i++) {
        double apart = (double)back[i] - (double)values[i];
        error += apart * apart;
        weight += (double)values[i] * (double)values[i];
    }
    if (g->form == MERGE_NF4_PANELS && g->own.type == DTYPE_F32)
        memcpy((float *)g->rows + start, back, n * sizeof *back);
    g->chunk_errors[first / CHUNK_ROWS] = error;
    g->chunk_weights[first / CHUNK_ROWS] = weight;
}

typedef void (*chunk_body)(merger *g, const merge_scratch *s, int first, int n_rows);

typedef struct chunk_team {
    merger *g;
    chunk_body body;
} chunk_team;

static void chunk_share(void *context, int thread, int n_threads)
{
    const chunk_team *team = context;
    merger *g = team->g;
    int n_out = g->l->w.n_out, first, end;
    thread_share(g->n_chunks, 1, thread, n_threads, &first, &end);
    for (int chunk = first; chunk < end; chunk++) {
        int row = chunk * CHUNK_ROWS, left = n_out - row;
        team->body(g, &g->threads[thread], row, left < CHUNK_ROWS ? left : CHUNK_ROWS);
    }
}

static void run_chunks(merger *g, chunk_body body)
{
    chunk_team team = {g, body};
    thread_run(g->n_threads, chunk_share, &team);
}

static void write_state(merger *g)
{
    const kernel_weight *w = &g->l->w;
    char *state = g->out.flat_state;
    buf text = {0};
    buf_printf(&text,
               "{\"quant_type\":\"nf4\",\"blocksize\":%d,\"dtype\":\"bfloat16\",\"shape\":[%d,%d]",
               NF4_BLOCK, w->n_out, w->n_in);
    if (g->out.flat.absmax_codes != NULL) {
        buf_printf(&text,
                   ",\"nested_blocksize\":%d,\"nested_dtype\":\"float32\",\"nested_offset\":",
                   NF4_NESTED_BLOCK);
        buf_double(&text, (double)g->out.flat.nested_offset);
    }
    buf_char(&text, '}');
    memset(state, ' ', MERGE_STATE_BYTES);
    if (!text.failed && text.size_bytes <= MERGE_STATE_BYTES)
        memcpy(state, text.data, text.size_bytes);
    buf_free(&text);
}

/* Double quantisation over the whole weight, and the layout that is asked for. */
static void finish_nf4(merger *g)
{
    const kernel_weight *w = &g->l->w;
    nf4_flat *flat = &g->out.flat;
    plan_flat(g, g->l);
    nf4_encode_absmax(g->absmax, nf4_n_blocks(flat->n_values), g->absmax_codes, g->nested_absmax,
                      &flat->nested_offset);
    if (g->form == MERGE_NF4_PANELS && g->own.type == DTYPE_NF4) {
        nf4_pack_panels(flat, w->n_out, w->n_in, g->panel_codes, g->panel_absmax_codes, NULL);
        g->own.nested_offset = flat->nested_offset;
    }
}

static void pass_through(merger *g)
{
    if (g->form != MERGE_NF4_FLAT)
        return;
    unpack_base(g, g->codes, g->absmax_codes, g->absmax);
    g->out.flat.nested_offset = g->base.nested_offset;
    if (g->base.absmax_codes != NULL)
        memcpy(g->nested_absmax, g->base.nested_absmax,
               (size_t)nf4_n_nested(g->base.n_values) * sizeof *g->nested_absmax);
    write_state(g);
}

static void decode_factors(merger *g)
{
    const lora *adapter = &g->l->adapter;
    if (adapter->rank == 0)
        return;
    g->error.n_changed++;
    quant_get(adapter->a.type)
        ->decode_row(adapter->a.data, g->a, (size_t)adapter->rank * (size_t)g->l->w.n_in);
    quant_get(adapter->b.type)
        ->decode_row(adapter->b.data, g->b, (size_t)adapter->rank * (size_t)g->l->w.n_out);
}

/* Chunk by chunk, so that the sums do not depend on threads. */
static void count_error(merger *g)
{
    double error = 0, weight = 0;
    for (int chunk = 0; chunk < g->n_chunks; chunk++) {
        error += g->chunk_errors[chunk];
        weight += g->chunk_weights[chunk];
    }
    g->square_error += error;
    g->square_weight += weight;
    double relative = weight > 0 ? sqrt(error / weight) : 0;
    if (relative <= g->error.worst)
        return;
    g->error.worst = relative;
    for (int i = 0; i < g->m->config.n_layers * LINEAR_COUNT; i++)
        if (&g->m->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT] == g->l) {
            g->error.worst_layer = i / LINEAR_COUNT;
            g->error.worst_which = i % LINEAR_COUNT;
        }
}

void merger_make(merger *g, const linear *l)
{
    g->l = l;
    g->n_chunks = (l->w.n_out + CHUNK_ROWS - 1) / CHUNK_ROWS;
    (void)merger_plan(g, l);
    if (passes_through(g, l)) {
        pass_through(g);
        return;
    }
    if (l->w.type == DTYPE_NF4)
        unpack_base(g, g->base_codes, g->base_absmax_codes, g->base_absmax);
    decode_factors(g);
    run_chunks(g, merge_chunk);
    if (g->form != MERGE_BF16)
        finish_nf4(g);
    run_chunks(g, weigh_chunk);
    count_error(g);
    if (g->form == MERGE_NF4_FLAT)
        write_state(g);
}

merge_error merger_error(const merger *g)
{
    merge_error error = g->error;
    error.relative = g->square_weight > 0 ? sqrt(g->square_error / g->square_weight) : 0;
    return error;
}
