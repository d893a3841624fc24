/* dx = dy·W + dropout(scale · dy·B·A), dB = dyᵀ·(scale · A x), dA = (scale · dy·B)ᵀ·x, where x is
 * the module's input after dropout. W is expanded panel by panel in transposed order, as it is
 * held: no matrix of it exists. Every sum is over tokens or outputs in an order that the shapes
 * alone fix: threads share columns, never the terms of one sum. */
#include "model/linear_backward.h"

#include "base/thread.h"

#include <string.h>

typedef struct group {
    pass *p;
    const linear_backward_job *jobs;
    int n_jobs, first_row, n_rows;
    float *dx;
    size_t dx_stride;
} group;

enum { COLUMNS = TAPE_GRADIENT_PANELS * KERNEL_PANEL };

/* Rows of an adapter's dx before what was dropped is left out: few, so that they stay near. */
enum { KEPT_ROWS = 128 };

/* As in linear.c: long sums are taken in portions, so that a block has many columns for the rows
 * that it reads. */
enum { PORTION_OUTPUTS = 2048 };

static int portion_groups(int n_out)
{
    int groups = PORTION_OUTPUTS / kernel_group(n_out);
    return groups < 1 ? 1 : groups;
}

static int panels_to(int n)
{
    return (n + KERNEL_PANEL - 1) / KERNEL_PANEL;
}

static int n_chunks(const group *g)
{
    return (g->n_rows + TAPE_GRADIENT_ROWS - 1) / TAPE_GRADIENT_ROWS;
}

static int chunk_rows(const group *g, int chunk)
{
    int left = g->n_rows - chunk * TAPE_GRADIENT_ROWS;
    return left < TAPE_GRADIENT_ROWS ? left : TAPE_GRADIENT_ROWS;
}

static const linear *layer_of(const group *g, int job)
{
    return &g->p->m->layers[g->p->tape->layer].linears[g->jobs[job].which];
}

/* Of the product through the module's weight. */
static slant_compute through_compute(const group *g, int job)
{
    const tape *t = g->p->tape;
    bool is_nf4 = layer_of(g, job)->w.type == DTYPE_NF4;
    return t->through_int8 && is_nf4 ? SLANT_COMPUTE_INT8 : t->compute;
}

static dtype element_type(slant_compute compute)
{
    return compute == SLANT_COMPUTE_F32 ? DTYPE_F32 : DTYPE_BF16;
}

static void multiply(const group *g, thread_scratch *scratch, const acts *x, int row, int n_rows,
                     const kernel_panels *panels, float *out, size_t out_stride, bool accumulate)
{
    g->p->w->kernels->matmul(x, row, n_rows, panels, out, out_stride, accumulate, scratch->matmul);
}

static kernel_panels expand_transposed(const group *g, const tape_scratch *s,
                                       const kernel_weight *w, const dropout_bits *dropped,
                                       int first_panel, int n_panels, void *memory)
{
    const tape *t = g->p->tape;
    kernel_panels panels = {.compute = t->compute, .data = memory};
    t->kernels->expand_transposed(w, dropped, first_panel, n_panels, &panels, s->expand);
    return panels;
}

/* What was dropped of the job's module input, rows from `row` of the group on. */
static dropout_bits dropped_from(const group *g, int job, int row)
{
    const tape *t = g->p->tape;
    dropout_bits dropped = t->layers[t->layer].dropped[g->jobs[job].which];
    if (dropped.rows != NULL)
        dropped.rows += (size_t)(g->first_row + row) * dropped.stride;
    return dropped;
}

/* A portion of rows of an acts as the transposed side of a product over those rows. */
static kernel_weight rows_as_weight(const acts *x, int row, int n_rows)
{
    size_t element = kernel_element_bytes(x->compute);
    return (kernel_weight){.n_out = n_rows,
                           .n_in = (int)x->stride,
                           .type = element_type(x->compute),
                           .data = (const uint8_t *)x->data + (size_t)row * x->stride * element};
}

/* 1. scale · dy·B of the thread's rows, for each adapted module. */
static void project_dy(group *g, int job, thread_scratch *scratch, int first, int end)
{
    tape *t = g->p->tape;
    const lora *adapter = &layer_of(g, job)->adapter;
    const linear_backward_job *j = &g->jobs[job];
    size_t width = (size_t)panels_to(adapter->rank) * KERNEL_PANEL;
    tape_scratch *s = tape_scratch_of(g->p, scratch);
    float *rows = t->low_rows[job] + (size_t)first * width;
    for (int panel = 0; panel < panels_to(adapter->rank); panel++) {
        kernel_panels b = expand_transposed(g, s, &adapter->b, NULL, panel, 1, s->panels);
        multiply(g, scratch, &j->dy->plain, j->dy_row0 + first, end - first, &b,
                 rows + panel * KERNEL_PANEL, width, false);
    }
    float scale = tape_adapter_scale(t, adapter);
    tape_round(t, rows, (size_t)(end - first) * width);
    for (size_t i = 0; i < (size_t)(end - first) * width; i++)
        rows[i] *= scale;
    acts low = t->d_low[job];
    low.n_in = adapter->rank;
    g->p->w->kernels->quantise(rows, width, end - first, &low, first);
}

static void project_share(void *context, int thread, int n_threads)
{
    group *g = context;
    int first, end;
    thread_share(g->n_rows, 1, thread, n_threads, &first, &end);
    for (int job = 0; job < g->n_jobs && first < end; job++)
        if (layer_of(g, job)->adapter.rank > 0)
            project_dy(g, job, &g->p->w->threads[thread], first, end);
}

/* 2. The low-rank rows by columns, in chunks of tokens: d_low and low, each the left side of a
 * product over tokens. */
static void turn_low(group *g, int job, int chunk, tape_scratch *s)
{
    tape *t = g->p->tape;
    int rank = layer_of(g, job)->adapter.rank, n = chunk_rows(g, chunk);
    int row = chunk * TAPE_GRADIENT_ROWS;
    size_t width = (size_t)panels_to(rank) * KERNEL_PANEL;
    acts columns = t->d_low_columns[job];
    t->kernels->transpose(t->low_rows[job] + (size_t)row * width, width, n, rank, &columns,
                          chunk * rank);
    const acts *low = &t->layers[t->layer].low[g->jobs[job].which];
    size_t element = kernel_element_bytes(low->compute);
    for (int r = 0; r < n; r++)
        t->kernels->widen(
            (const char *)low->data + (size_t)(g->first_row + row + r) * low->stride * element,
            element_type(low->compute), s->products + (size_t)r * width, (size_t)rank);
    columns = t->low_columns[job];
    t->kernels->transpose(s->products, width, n, rank, &columns, chunk * rank);
}

/* Only bf16 needs what is turned: in fp32 rows are multiplied where they are. */
static void turn_share(void *context, int thread, int n_threads)
{
    group *g = context;
    for (int unit = thread; unit < g->n_jobs * n_chunks(g); unit += n_threads) {
        int job = unit / n_chunks(g);
        if (layer_of(g, job)->adapter.rank > 0)
            turn_low(g, job, unit % n_chunks(g), &g->p->tape->threads[thread]);
    }
}

/* products [rank][COLUMNS] = Σ over all tokens of columns[r][token] · panels of the tokens' rows,
 * which `panels_of` gives chunk by chunk. */
typedef kernel_panels (*chunk_panels)(const group *g, int job, int chunk, int panel, int n_panels,
                                      tape_scratch *s);

static void sum_over_tokens(const group *g, int job, const acts *columns, int panel, int n_panels,
                            chunk_panels panels_of, thread_scratch *scratch)
{
    int rank = layer_of(g, job)->adapter.rank;
    tape_scratch *s = tape_scratch_of(g->p, scratch);
    for (int chunk = 0; chunk < n_chunks(g); chunk++) {
        acts left = *columns;
        left.n_in = chunk_rows(g, chunk);
        kernel_panels right = panels_of(g, job, chunk, panel, n_panels, s);
        multiply(g, scratch, &left, chunk * rank, rank, &right, s->products, COLUMNS, chunk > 0);
    }
    tape_round(g->p->tape, s->products, (size_t)rank * COLUMNS);
}

/* 3a. dA for some columns. */
static kernel_panels input_panels(const group *g, int job, int chunk, int panel, int n_panels,
                                  tape_scratch *s)
{
    const linear_backward_job *j = &g->jobs[job];
    int row = chunk * TAPE_GRADIENT_ROWS;
    kernel_weight rows = rows_as_weight(j->x, j->x_row0 + row, chunk_rows(g, chunk));
    dropout_bits dropped = dropped_from(g, job, row);
    return expand_transposed(g, s, &rows, dropped.rows == NULL ? NULL : &dropped, panel, n_panels,
                             s->column_panels);
}

/* products [rank][COLUMNS] = Σ over all tokens of left[token][r] · x's row. */
static void sum_rows(const group *g, int job, const float *left, size_t left_stride, const acts *x,
                     int x_row, const dropout_bits *dropped, int panel, int n_panels,
                     float *products)
{
    const tape *t = g->p->tape;
    int rank = layer_of(g, job)->adapter.rank;
    memset(products, 0, (size_t)rank * COLUMNS * sizeof *products);
    t->kernels->outer(left, left_stride, rank, (const float *)x->data + (size_t)x_row * x->stride,
                      x->stride, dropped, g->n_rows, panel * KERNEL_PANEL, n_panels * KERNEL_PANEL,
                      products, COLUMNS);
    tape_round(t, products, (size_t)rank * COLUMNS);
}

static void gradient_of_a(group *g, int job, int panel, int n_panels, thread_scratch *scratch)
{
    tape *t = g->p->tape;
    const lora *adapter = &layer_of(g, job)->adapter;
    const linear_backward_job *j = &g->jobs[job];
    float *gradient = t->gradients[t->layer * LINEAR_COUNT + j->which].a;
    dropout_bits dropped = dropped_from(g, job, 0);
    if (t->compute == SLANT_COMPUTE_F32)
        sum_rows(g, job, t->low_rows[job], (size_t)panels_to(adapter->rank) * KERNEL_PANEL, j->x,
                 j->x_row0, dropped.rows == NULL ? NULL : &dropped, panel, n_panels,
                 tape_scratch_of(g->p, scratch)->products);
    else
        sum_over_tokens(g, job, &t->d_low_columns[job], panel, n_panels, input_panels, scratch);
    int first = panel * KERNEL_PANEL, n_in = adapter->a.n_in;
    int n = n_in - first < n_panels * KERNEL_PANEL ? n_in - first : n_panels * KERNEL_PANEL;
    const float *products = tape_scratch_of(g->p, scratch)->products;
    for (int r = 0; r < adapter->rank; r++)
        g->p->w->kernels->add(gradient + (size_t)r * (size_t)n_in + (size_t)first,
                              products + (size_t)r * COLUMNS, (size_t)n);
}

/* 3b. The adapter's part of some columns of dx. */
static void add_low_rank(group *g, int job, int panel, int n_panels, thread_scratch *scratch)
{
    tape *t = g->p->tape;
    tape_scratch *s = tape_scratch_of(g->p, scratch);
    const lora *adapter = &layer_of(g, job)->adapter;
    acts low = t->d_low[job];
    low.n_in = adapter->rank;
    int first = panel * KERNEL_PANEL, width = n_panels * KERNEL_PANEL;
    dropout_bits dropped = dropped_from(g, job, 0);
    if (t->compute == SLANT_COMPUTE_F32 && adapter->a.type == DTYPE_F32) {
        int left = adapter->a.n_in - first;
        t->kernels->spread(low.data, low.stride, adapter->rank, (const float *)adapter->a.data,
                           (size_t)adapter->a.n_in, dropped.rows == NULL ? NULL : &dropped,
                           g->n_rows, first, left < width ? left : width, g->dx + first,
                           g->dx_stride);
        return;
    }
    kernel_panels a = expand_transposed(g, s, &adapter->a, NULL, panel, n_panels, s->column_panels);
    if (dropped.rows == NULL) {
        multiply(g, scratch, &low, 0, g->n_rows, &a, g->dx + first, g->dx_stride, true);
        return;
    }
    for (int row = 0; row < g->n_rows; row += KEPT_ROWS) {
        int n = g->n_rows - row < KEPT_ROWS ? g->n_rows - row : KEPT_ROWS;
        multiply(g, scratch, &low, row, n, &a, s->products, (size_t)width, false);
        for (int r = 0; r < n; r++)
            t->kernels->add_kept(dropped.rows + (size_t)(row + r) * dropped.stride + panel,
                                 s->products + (size_t)r * (size_t)width, width,
                                 g->dx + (size_t)(row + r) * g->dx_stride + first);
    }
}

/* 3. Columns of x: dx through W of all modules, portion by portion of their outputs, then what the
 * adapters add. */
static void through_weight(group *g, int job, thread_scratch *scratch, int panel, int n_panels)
{
    const tape *t = g->p->tape;
    const tape_scratch *s = tape_scratch_of(g->p, scratch);
    const linear_backward_job *j = &g->jobs[job];
    const kernel_weight *w = &layer_of(g, job)->w;
    slant_compute compute = through_compute(g, job);
    const acts *dy = compute == t->compute ? &j->dy->plain : &j->dy->int8;
    int n_groups = kernel_n_groups(w->n_out), portion = portion_groups(w->n_out);
    for (int first = 0; first < n_groups; first += portion) {
        kernel_panels panels = {.compute = compute,
                                .first_group = first,
                                .n_groups = n_groups - first < portion ? n_groups - first : portion,
                                .data = s->panels,
                                .scales = s->panel_scales};
        t->kernels->expand_transposed(w, NULL, panel, n_panels, &panels, s->expand);
        multiply(g, scratch, dy, j->dy_row0, g->n_rows, &panels, g->dx + panel * KERNEL_PANEL,
                 g->dx_stride, job > 0 || first > 0);
    }
}

static void run_columns(group *g, thread_scratch *scratch, int panel, int n_panels)
{
    for (int job = 0; job < g->n_jobs && g->dx != NULL; job++)
        through_weight(g, job, scratch, panel, n_panels);
    for (int job = 0; job < g->n_jobs; job++) {
        if (layer_of(g, job)->adapter.rank == 0)
            continue;
        for (int done = 0; done < n_panels; done += TAPE_GRADIENT_PANELS) {
            int n = n_panels - done < TAPE_GRADIENT_PANELS ? n_panels - done : TAPE_GRADIENT_PANELS;
            if (g->dx != NULL)
                add_low_rank(g, job, panel + done, n, scratch);
            gradient_of_a(g, job, panel + done, n, scratch);
        }
    }
}

/* Bytes of the largest panel of any of the modules' weights. */
static size_t largest_panel(const group *g)
{
    size_t largest = 1;
    for (int job = 0; job < g->n_jobs; job++) {
        int n_out = layer_of(g, job)->w.n_out,
            portion = portion_groups(n_out) * kernel_group(n_out);
        size_t bytes = g->p->w->kernels->panel_bytes(through_compute(g, job),
                                                     portion < n_out ? portion : n_out, 1);
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

/* As many panels as fit the thread's block, in whole NF4 blocks of 64 where that can be. */
static int block_panels(const group *g)
{
    const tape *t = g->p->tape;
    int fit = (int)(t->threads[0].panels_bytes / largest_panel(g));
    if (fit > LINEAR_MAX_BLOCK_PANELS)
        fit = LINEAR_MAX_BLOCK_PANELS;
    return fit > TAPE_GRADIENT_PANELS ? fit / TAPE_GRADIENT_PANELS * TAPE_GRADIENT_PANELS : fit;
}

static void columns_share(void *context, int thread, int n_threads)
{
    group *g = context;
    int first, end, block = block_panels(g);
    thread_share(panels_to(layer_of(g, 0)->w.n_in), 1, thread, n_threads, &first, &end);
    for (int panel = first; panel < end; panel += block)
        run_columns(g, &g->p->w->threads[thread], panel, end - panel < block ? end - panel : block);
}

/* 4. dB for some outputs. */
static kernel_panels output_panels(const group *g, int job, int chunk, int panel, int n_panels,
                                   tape_scratch *s)
{
    const linear_backward_job *j = &g->jobs[job];
    kernel_weight rows = rows_as_weight(&j->dy->plain, j->dy_row0 + chunk * TAPE_GRADIENT_ROWS,
                                        chunk_rows(g, chunk));
    return expand_transposed(g, s, &rows, NULL, panel, n_panels, s->column_panels);
}

static void gradient_of_b(group *g, int job, int panel, int n_panels, thread_scratch *scratch)
{
    tape *t = g->p->tape;
    const lora *adapter = &layer_of(g, job)->adapter;
    const linear_backward_job *j = &g->jobs[job];
    float *gradient = t->gradients[t->layer * LINEAR_COUNT + j->which].b;
    const acts *low = &t->layers[t->layer].low[j->which];
    if (t->compute == SLANT_COMPUTE_F32)
        sum_rows(g, job, (const float *)low->data + (size_t)g->first_row * low->stride, low->stride,
                 &j->dy->plain, j->dy_row0, NULL, panel, n_panels,
                 tape_scratch_of(g->p, scratch)->products);
    else
        sum_over_tokens(g, job, &t->low_columns[job], panel, n_panels, output_panels, scratch);
    const float *products = tape_scratch_of(g->p, scratch)->products;
    int first = panel * KERNEL_PANEL;
    for (int o = 0; o < n_panels * KERNEL_PANEL && first + o < adapter->b.n_out; o++) {
        float *row = gradient + (size_t)(first + o) * (size_t)adapter->rank;
        for (int r = 0; r < adapter->rank; r++)
            row[r] += products[r * COLUMNS + o];
    }
}

static void outputs_share(void *context, int thread, int n_threads)
{
    group *g = context;
    for (int job = 0; job < g->n_jobs; job++) {
        if (layer_of(g, job)->adapter.rank == 0)
            continue;
        int first, end;
        thread_share(panels_to(layer_of(g, job)->w.n_out), 1, thread, n_threads, &first, &end);
        for (int panel = first; panel < end; panel += TAPE_GRADIENT_PANELS) {
            int left = end - panel;
            gradient_of_b(g, job, panel, left < TAPE_GRADIENT_PANELS ? left : TAPE_GRADIENT_PANELS,
                          &g->p->w->threads[thread]);
        }
    }
}

void linear_backward(pass *p, const linear_backward_job *jobs, int n_jobs, int first_row,
                     int n_rows, float *dx, size_t dx_stride)
{
    group g = {p, jobs, n_jobs, first_row, n_rows, dx, dx_stride};
    bool adapted = false;
    for (int job = 0; job < n_jobs; job++)
        adapted = adapted || layer_of(&g, job)->adapter.rank > 0;
    if (adapted) {
        thread_run(p->w->n_threads, project_share, &g);
        if (p->tape->compute != SLANT_COMPUTE_F32)
            thread_run(p->w->n_threads, turn_share, &g);
    }
    if (adapted || dx != NULL)
        thread_run(p->w->n_threads, columns_share, &g);
    if (adapted)
        thread_run(p->w->n_threads, outputs_share, &g);
}
