/* Which thread expands which panels and runs them against which tokens. The products themselves are
 * src/kernels' business. */
#include "model/linear.h"

#include "base/thread.h"
#include "model/plan.h"

#include <string.h>

/* A block of expanded panels should stay in the second-level cache while all tokens pass it. */
enum { BLOCK_BYTES = 768 * 1024 };

/* Long inputs are taken in portions, so that a block has many outputs for the tokens that it reads.
 */
enum { PORTION_INPUTS = 2048 };

static int portion_groups(int n_in)
{
    int groups = PORTION_INPUTS / kernel_group(n_in);
    return groups < 1 ? 1 : groups;
}

static int block_panels(const workspace *w, int n_in, slant_compute compute)
{
    int portion = portion_groups(n_in) * kernel_group(n_in);
    size_t one = w->kernels->panel_bytes(compute, portion < n_in ? portion : n_in, 1);
    size_t fit = one == 0 ? 1 : BLOCK_BYTES / one;
    return fit < 1 ? 1 : fit > LINEAR_MAX_BLOCK_PANELS ? LINEAR_MAX_BLOCK_PANELS : (int)fit;
}

static int panels_of(const kernel_weight *w)
{
    return (w->n_out + KERNEL_PANEL - 1) / KERNEL_PANEL;
}

/* Of a block of the base's weights, or of the whole of A, in one precision. */
static size_t block_bytes(const workspace *w, const layer_precision *l, int n_in, int rank)
{
    int panels_of_a = (rank + KERNEL_PANEL - 1) / KERNEL_PANEL;
    size_t one = w->kernels->panel_bytes(l->compute, n_in, 1);
    size_t a = w->kernels->panel_bytes(l->compute, n_in, panels_of_a);
    size_t low_a = w->kernels->panel_bytes(l->lora_compute, n_in, panels_of_a);
    return plan_larger(plan_larger(one, BLOCK_BYTES), plan_larger(a, low_a));
}

size_t linear_panel_bytes(const workspace *w, int n_in, int rank)
{
    return plan_larger(block_bytes(w, &w->fine, n_in, rank),
                       block_bytes(w, &w->coarse, n_in, rank));
}

size_t linear_low_panel_bytes(const workspace *w, int rank)
{
    return plan_larger(
        w->kernels->panel_bytes(w->fine.lora_compute, rank, LINEAR_MAX_BLOCK_PANELS),
        w->kernels->panel_bytes(w->coarse.lora_compute, rank, LINEAR_MAX_BLOCK_PANELS));
}

void linear_low_rank(const workspace *w, thread_scratch *scratch, const lora *adapter,
                     const acts *x, int x_row0, int n_tokens, acts *low, int low_row0)
{
    if (adapter->rank == 0)
        return;
    int n_panels = panels_of(&adapter->a);
    size_t width = (size_t)n_panels * KERNEL_PANEL;
    acts rows = *low;
    rows.n_in = adapter->rank;
    kernel_panels panels = {
        .compute = x->compute, .data = scratch->panels, .scales = scratch->panel_scales};
    w->kernels->expand(&adapter->a, 0, n_panels, &panels, scratch->expand);
    for (int t = 0; t < n_tokens; t += LINEAR_LOW_ROWS) {
        int rows_here = n_tokens - t < LINEAR_LOW_ROWS ? n_tokens - t : LINEAR_LOW_ROWS;
        w->kernels->matmul(x, x_row0 + t, rows_here, &panels, scratch->row, width, false,
                           scratch->matmul);
        for (size_t i = 0; i < (size_t)rows_here * width; i++)
            scratch->row[i] *= adapter->scale;
        w->kernels->quantise(scratch->row, width, rows_here, &rows, low_row0 + t);
    }
}

static void start_from_bias(const linear_block *block, const linear_job *job, float *out,
                            bool accumulate)
{
    int first = block->first_panel * KERNEL_PANEL;
    const float *bias = block->layer->bias + first;
    int n = block->n_panels * KERNEL_PANEL, real = block->layer->w.n_out - first;
    if (real > n)
        real = n;
    for (int t = 0; t < job->n_tokens; t++, out += job->out_stride)
        if (accumulate)
            for (int i = 0; i < real; i++)
                out[i] += bias[i];
        else
            memcpy(out, bias, (size_t)real * sizeof *out);
}

/* Whether the adapter's product is taken in one go with the base's. */
static bool adapter_joins(const workspace *w, const lora *adapter)
{
    return w->kernels->matmul_both != NULL && w->now.lora_compute == w->now.compute &&
           kernel_n_groups(adapter->rank) == 1;
}

void linear_expand(const workspace *w, thread_scratch *scratch, linear_block *block)
{
    const linear *l = block->layer;
    block->w.compute = w->now.compute;
    block->b.compute = w->now.lora_compute;
    if (l->adapter.rank > 0 && block->w.first_group == 0)
        w->kernels->expand(&l->adapter.b, block->first_panel, block->n_panels, &block->b,
                           scratch->expand);
    w->kernels->expand(&l->w, block->first_panel, block->n_panels, &block->w, scratch->expand);
}

void linear_multiply(const workspace *w, thread_scratch *scratch, const linear_block *block,
                     const linear_job *job, float *out)
{
    const linear *l = block->layer;
    bool is_first = block->w.first_group == 0, accumulate = job->accumulate || !is_first;
    if (is_first && l->bias != NULL) {
        start_from_bias(block, job, out, accumulate);
        accumulate = true;
    }
    if (is_first && l->adapter.rank > 0) {
        acts low = *job->low;
        low.n_in = l->adapter.rank;
        kernel_addend addend = {&low, job->low_row0, &block->b};
        if (adapter_joins(w, &l->adapter)) {
            w->kernels->matmul_both(job->x, job->x_row0, job->n_tokens, &block->w, &addend, out,
                                    job->out_stride, accumulate, scratch->matmul);
            return;
        }
        w->kernels->matmul(&low, job->low_row0, job->n_tokens, &block->b, out, job->out_stride,
                           accumulate, scratch->matmul);
        accumulate = true;
    }
    w->kernels->matmul(job->x, job->x_row0, job->n_tokens, &block->w, out, job->out_stride,
                       accumulate, scratch->matmul);
}

static void run_block(const workspace *w, thread_scratch *scratch, const linear_job *job,
                      int first_panel, int n_panels)
{
    int n_groups = kernel_n_groups(job->layer->w.n_in);
    int portion = portion_groups(job->layer->w.n_in);
    linear_block block = {.layer = job->layer,
                          .first_panel = first_panel,
                          .n_panels = n_panels,
                          .w = {.data = scratch->panels, .scales = scratch->panel_scales},
                          .b = {.data = scratch->low_panels, .scales = scratch->low_scales}};
    for (int group = 0; group < n_groups; group += portion) {
        block.w.first_group = group;
        block.w.n_groups = n_groups - group < portion ? n_groups - group : portion;
        linear_expand(w, scratch, &block);
        linear_multiply(w, scratch, &block, job, job->out + (size_t)first_panel * KERNEL_PANEL);
    }
}

typedef struct linear_team {
    const workspace *w;
    const linear_job *jobs;
    int n_jobs, n_panels;
} linear_team;

static void linear_share(void *context, int thread, int n_threads)
{
    const linear_team *team = context;
    int first, end, passed = 0;
    thread_share(team->n_panels, 1, thread, n_threads, &first, &end);
    for (int j = 0; j < team->n_jobs; j++) {
        const linear_job *job = &team->jobs[j];
        int n_panels = panels_of(&job->layer->w);
        int from = first - passed > 0 ? first - passed : 0;
        int to = end - passed < n_panels ? end - passed : n_panels;
        int block = block_panels(team->w, job->layer->w.n_in, team->w->now.compute);
        for (int panel = from; panel < to; panel += block)
            run_block(team->w, &team->w->threads[thread], job, panel,
                      to - panel < block ? to - panel : block);
        passed += n_panels;
    }
}

void linear_forward(workspace *w, const linear_job *jobs, int n_jobs)
{
    linear_team team = {w, jobs, n_jobs, 0};
    for (int j = 0; j < n_jobs; j++)
        team.n_panels += panels_of(&jobs[j].layer->w);
    thread_run(w->n_threads, linear_share, &team);
}
