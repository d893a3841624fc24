#include "api/bench_work.h"

#include "api/engine.h"
#include "base/progress.h"
#include "model/forward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_RUNS = 200, SHORT_LEAST = 20, SHORT_SPREAD = 41 };

/* --- texts ------------------------------------------------------------------------------------ */

/* A linear congruential generator: the same ids on every machine. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

slant_status bench_texts_make(const model *m, int length, bench_texts *out, slant_error *err)
{
    uint64_t state = 1;
    *out = (bench_texts){.n_texts = length == 0 ? BENCH_SHORT_TEXTS : 1};
    out->starts = mem_calloc((size_t)out->n_texts + 1, sizeof *out->starts);
    if (out->starts == NULL)
        goto out_of_memory;
    for (int i = 0; i < out->n_texts; i++) {
        int n = length == 0 ? SHORT_LEAST + (int)(next_random(&state) % SHORT_SPREAD) : length;
        out->longest = n > out->longest ? n : out->longest;
        out->starts[i + 1] = out->starts[i] + n;
    }
    out->n_tokens = out->starts[out->n_texts];
    out->ids = mem_alloc((size_t)out->n_tokens, sizeof *out->ids);
    if (out->ids == NULL)
        goto out_of_memory;
    for (int64_t i = 0; i < out->n_tokens; i++)
        out->ids[i] = (int32_t)(next_random(&state) % (uint32_t)m->config.vocab_size);
    return SLANT_OK;

out_of_memory:
    bench_texts_free(out);
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for %d tokens", length);
}

void bench_texts_free(bench_texts *texts)
{
    mem_free(texts->starts);
    mem_free(texts->ids);
    *texts = (bench_texts){0};
}

double bench_texts_operations(const model *m, const bench_texts *texts)
{
    double all = 0, pooled = 0;
    for (int i = 0; i < m->config.n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++) {
            const kernel_weight *w = &m->layers[i].linears[which].w;
            double operations = 2.0 * w->n_out * w->n_in;
            bool of_all = i < m->config.n_layers - 1 || which == LINEAR_K || which == LINEAR_V;
            *(of_all ? &all : &pooled) += operations;
        }
    return all * (double)texts->n_tokens + pooled * texts->n_texts;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Lets the kernel forget the highest resident size so far. */
static void reset_peak_rss(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file == NULL)
        return;
    fputs("5", file);
    fclose(file);
}

static int64_t peak_rss_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    int64_t kilobytes = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %" SCNd64, &kilobytes) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kilobytes * 1024;
}

/* --- time ------------------------------------------------------------------------------------- */

/* Articles first … end of the texts as one pass. */
typedef struct bench_batch {
    int first, end;
    int *bounds; /* [end − first + 1] */
    int *pooled; /* [end − first] */
    float *logits;
} bench_batch;

static int pass_end(const bench_texts *texts, int first)
{
    int end = first + 1;
    while (end < texts->n_texts && end - first < PASS_SEQUENCES &&
           texts->starts[end + 1] - texts->starts[first] <= PASS_TOKENS)
        end++;
    return end;
}

static slant_status run_pass(const bench_setting *s, workspace *w, const bench_texts *texts,
                             const bench_batch *batch, slant_error *err)
{
    int n = batch->end - batch->first, start = texts->starts[batch->first];
    for (int i = 0; i <= n; i++)
        batch->bounds[i] = texts->starts[batch->first + i] - start;
    for (int i = 0; i < n; i++)
        batch->pooled[i] = batch->bounds[i + 1] - batch->bounds[i] - 1;
    return forward(s->m, w, texts->ids + start, batch->bounds, n, batch->pooled, batch->logits,
                   err);
}

static slant_status run_once(const bench_setting *s, workspace *w, const bench_texts *texts,
                             bench_batch *batch, double *seconds, slant_error *err)
{
    double started = progress_now();
    slant_status status = SLANT_OK;
    for (batch->first = 0; status == SLANT_OK && batch->first < texts->n_texts;
         batch->first = batch->end) {
        batch->end = pass_end(texts, batch->first);
        status = run_pass(s, w, texts, batch, err);
    }
    *seconds = progress_now() - started;
    if (status == SLANT_OK && s->should_stop != NULL && s->should_stop(s->context))
        status = status_fail(err, SLANT_ERR_CANCELLED, "stopped while measuring");
    return status;
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A first run warms up; where it alone takes the time that there is, it is what counts. */
static slant_status time_runs(const bench_setting *s, workspace *w, const bench_texts *texts,
                              bench_batch *batch, bench_timing *out, slant_error *err)
{
    double seconds[MAX_RUNS], spent;
    slant_status status = run_once(s, w, texts, batch, &seconds[0], err);
    int n = 0;
    if (status != SLANT_OK)
        return status;
    spent = seconds[0];
    while (status == SLANT_OK && n < MAX_RUNS && spent + spent / (n + 1) <= s->seconds) {
        status = run_once(s, w, texts, batch, &seconds[n], err);
        spent += seconds[n++];
    }
    n = n == 0 ? 1 : n;
    qsort(seconds, (size_t)n, sizeof *seconds, compare_seconds);
    out->n_runs = n;
    out->best_s = seconds[0];
    out->median_s = seconds[n / 2];
    return status;
}

slant_status bench_work_run(const bench_setting *s, const bench_texts *texts, bench_timing *out,
                            slant_error *err)
{
    size_t n_labels = (size_t)s->m->config.n_labels, n = (size_t)texts->n_texts;
    int most = (int)(texts->n_tokens < PASS_TOKENS ? texts->n_tokens : PASS_TOKENS);
    most = texts->longest > most ? texts->longest : most;
    bench_batch batch = {.bounds = mem_alloc(n + 1, sizeof *batch.bounds),
                         .pooled = mem_alloc(n, sizeof *batch.pooled),
                         .logits = mem_alloc(n * n_labels, sizeof *batch.logits)};
    workspace *w = NULL;
    slant_status status = SLANT_OK;
    *out = (bench_timing){0};
    reset_peak_rss();
    if (batch.bounds == NULL || batch.pooled == NULL || batch.logits == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory for %zu texts", n);
    if (status == SLANT_OK)
        status = workspace_open(s->m, s->kernels, s->compute, s->n_threads, most, texts->longest,
                                &w, err);
    if (status == SLANT_OK)
        status = time_runs(s, w, texts, &batch, out, err);
    if (status == SLANT_OK) {
        out->workspace_bytes = w->pages_bytes;
        out->peak_rss_bytes = peak_rss_bytes();
    }
    workspace_close(w);
    mem_free(batch.bounds);
    mem_free(batch.pooled);
    mem_free(batch.logits);
    return status;
}
