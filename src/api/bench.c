/* slant_bench: the steps of a measurement, in the time that there is, and the document about them.
 */
#include "api/bench_machine.h"
#include "api/bench_work.h"
#include "api/compute.h"
#include "api/default_model.h"
#include "base/progress.h"
#include "base/thread.h"

#include <slant_bench.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SECONDS 30.0
#define DEFAULT_LENGTHS "short,128,512,1024,4096,8192"
#define SHORT_NAME "short"
#define SCALING_LENGTH 512

/* A longer article's attention costs more a token: what a run may take is guessed with this. */
#define GROWTH 1.4

/* Opening is timed again where it takes no longer than this. */
#define REOPEN_SECONDS 0.5
#define N_REOPENS 4

enum { MAX_LENGTHS = 32, MAX_COMPUTES = 3 };

typedef struct bench {
    slant_bench_options o;
    bench_machine machine;
    const kernel_table *kernels;
    int n_threads;
    double deadline; /* of the work, by progress_now */

    model *opened;
    model m; /* opened, but for a head that is not there */
    double first_open_s, open_s;

    int lengths[MAX_LENGTHS]; /* in tokens; 0: the short texts */
    int n_lengths;
    slant_compute computes[MAX_COMPUTES];
    int n_computes;
    double token_seconds[MAX_COMPUTES]; /* of the last work done under each; 0: none yet */
    int scaling_length;
    double scaling_seconds[MAX_COMPUTES]; /* with all threads; 0: not measured */

    int n_steps, n_done;
    document d;
    buf skipped; /* items of that list */
} bench;

/* --- what is asked for ------------------------------------------------------------------------ */

/* Calls take for each of the names between commas. */
static slant_status each_name(bench *b, const char *names,
                              slant_status (*take)(bench *b, const char *name, slant_error *err),
                              slant_error *err)
{
    slant_status status = SLANT_OK;
    while (status == SLANT_OK && *names != '\0') {
        char name[32];
        size_t n = strcspn(names, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, names);
        status = take(b, name, err);
        names += n + (names[n] == ',');
    }
    return status;
}

static slant_status take_length(bench *b, const char *name, slant_error *err)
{
    int64_t limit = b->m.config.max_position_embeddings;
    char *end;
    long length = strtol(name, &end, 10);
    if (strcmp(name, SHORT_NAME) == 0)
        length = 0;
    else if (*end != '\0' || length < 1)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "lengths: '%s': expected '" SHORT_NAME "' or a number of tokens", name);
    else if (length > limit && b->o.lengths != NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "lengths: %ld tokens are more than the model's %lld positions", length,
                           (long long)limit);
    else if (length > limit)
        return SLANT_OK;
    if (b->n_lengths == MAX_LENGTHS)
        return status_fail(err, SLANT_ERR_ARGUMENT, "lengths: more than %d", MAX_LENGTHS);
    b->lengths[b->n_lengths++] = (int)length;
    return SLANT_OK;
}

static slant_status add_compute(bench *b, slant_compute compute)
{
    compute = compute_choose(compute, b->kernels);
    for (int i = 0; i < b->n_computes; i++)
        if (b->computes[i] == compute)
            return SLANT_OK;
    b->computes[b->n_computes++] = compute;
    return SLANT_OK;
}

static slant_status take_compute(bench *b, const char *name, slant_error *err)
{
    for (slant_compute c = SLANT_COMPUTE_AUTO; c <= SLANT_COMPUTE_F32; c++)
        if (strcmp(name, kernel_compute_name(c)) == 0)
            return add_compute(b, c);
    return status_fail(err, SLANT_ERR_ARGUMENT,
                       "computes: '%s': expected auto, int8, int16, bf16 or fp32", name);
}

static slant_status choose_computes(bench *b, slant_error *err)
{
    if (b->o.computes != NULL)
        return each_name(b, b->o.computes, take_compute, err);
    return add_compute(b, SLANT_COMPUTE_AUTO);
}

/* The length at which threads are compared: the one that is nearest to SCALING_LENGTH. */
static int nearest_length(const bench *b)
{
    int nearest = b->lengths[0];
    for (int i = 1; i < b->n_lengths; i++)
        if (abs(b->lengths[i] - SCALING_LENGTH) < abs(nearest - SCALING_LENGTH))
            nearest = b->lengths[i];
    return nearest;
}

static slant_status choose_work(bench *b, slant_error *err)
{
    const char *lengths = b->o.lengths == NULL ? DEFAULT_LENGTHS : b->o.lengths;
    slant_status status = each_name(b, lengths, take_length, err);
    if (status == SLANT_OK)
        status = choose_computes(b, err);
    if (status == SLANT_OK && (b->n_lengths == 0 || b->n_computes == 0))
        status = status_fail(err, SLANT_ERR_ARGUMENT, "no length or no compute is named");
    if (status != SLANT_OK)
        return status;
    b->scaling_length = nearest_length(b);
    return SLANT_OK;
}

/* 1, 2, 4 … and all: how many threads come before n; 0: none. */
static int fewer_threads(int n)
{
    int fewer = 1;
    while (fewer * 2 < n)
        fewer *= 2;
    return n > 1 ? fewer : 0;
}

static int count_steps(const bench *b)
{
    int per_compute = b->n_lengths;
    for (int n = fewer_threads(b->n_threads); n > 0; n = fewer_threads(n))
        per_compute++;
    return 1 + b->n_computes * per_compute;
}

static slant_status step(bench *b, const char *what, slant_error *err)
{
    if (b->o.report != NULL)
        b->o.report(b->o.context, what, (double)b->n_done / b->n_steps);
    b->n_done++;
    if (b->o.should_stop != NULL && b->o.should_stop(b->o.context))
        return status_fail(err, SLANT_ERR_CANCELLED, "stopped before %s", what);
    return SLANT_OK;
}

/* --- the model -------------------------------------------------------------------------------- */

static slant_status open_once(bench *b, const char *path, const char *adapter, double *seconds,
                              slant_error *err)
{
    model_open_options open = {.adapter = adapter,
                               .checkpoint = b->o.checkpoint,
                               .dtype = b->o.dtype,
                               .n_threads = b->n_threads,
                               .base_only = true};
    double started = progress_now();
    slant_status status = model_open(path, &open, &b->opened, err);
    *seconds = progress_now() - started;
    return status;
}

/* The first time as the system's caches have it, then, where that is quick, the best of a few. */
static slant_status open_model(bench *b, const char *path, slant_error *err)
{
    arena names = {0};
    const char *adapter = b->o.adapter, *own = NULL;
    slant_status status = path == NULL ? default_model_find(&path, &own, &names, err) : SLANT_OK;
    if (adapter == NULL)
        adapter = own;
    if (status == SLANT_OK)
        status = open_once(b, path, adapter, &b->first_open_s, err);
    b->open_s = b->first_open_s;
    int n_reopens = b->first_open_s < REOPEN_SECONDS ? N_REOPENS : 0;
    for (int i = 0; status == SLANT_OK && i < n_reopens; i++) {
        double seconds;
        model_close(b->opened);
        b->opened = NULL;
        status = open_once(b, path, adapter, &seconds, err);
        b->open_s = seconds < b->open_s ? seconds : b->open_s;
    }
    arena_free(&names);
    if (status != SLANT_OK)
        return status;
    b->m = *b->opened;
    if (b->m.score == NULL)
        b->m.config.n_labels = 0; /* speed needs no answer */
    return SLANT_OK;
}

static void write_model(bench *b)
{
    const model *m = &b->m;
    document *d = &b->d;
    int64_t n_weights = 0;
    for (int i = 0; i < m->config.n_layers * LINEAR_COUNT; i++) {
        const kernel_weight *w = &m->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT].w;
        n_weights += (int64_t)w->n_out * w->n_in;
    }
    document_open(d, "model", '{');
    document_string(d, "path", m->path);
    document_string(d, "adapter", m->adapter.path);
    document_string(d, "architecture", model_arch_name(m->config.arch));
    document_string(d, "weights", dtype_get(m->linear_type)->name);
    document_int(d, "layers", m->config.n_layers);
    document_int(d, "linear_weights", n_weights);
    document_int(d, "max_position_embeddings", m->config.max_position_embeddings);
    document_number(d, "first_open_ms", 1e3 * b->first_open_s);
    document_number(d, "open_ms", 1e3 * b->open_s);
    document_close(d, '}');
}

/* --- the work --------------------------------------------------------------------------------- */

static void write_work(bench *b, const bench_texts *texts, int length, slant_compute compute,
                       const bench_timing *t)
{
    document *d = &b->d;
    double peak = bench_machine_peak(&b->machine, b->kernels->name, compute, b->n_threads);
    document_open(d, NULL, '{');
    document_int(d, "length", length);
    document_int(d, "texts", texts->n_texts);
    document_int(d, "tokens", texts->n_tokens);
    document_string(d, "compute", kernel_compute_name(compute));
    document_int(d, "runs", t->n_runs);
    document_number(d, "seconds", t->median_s);
    document_number(d, "best_seconds", t->best_s);
    document_number(d, "tokens_per_s", (double)texts->n_tokens / t->median_s);
    document_number(d, "texts_per_s", texts->n_texts / t->median_s);
    document_number(d, "share_of_peak", bench_texts_operations(&b->m, texts) / t->median_s / peak);
    document_int(d, "workspace_bytes", (int64_t)t->workspace_bytes);
    document_int(d, "peak_rss_bytes", t->peak_rss_bytes);
    document_close(d, '}');
}

static void skip(bench *b, int length, slant_compute compute, double expected_s)
{
    buf_printf(&b->skipped, "%s{\"length\":%d,\"compute\":\"%s\",\"expected_seconds\":%.1f}",
               b->skipped.size_bytes > 0 ? "," : "", length, kernel_compute_name(compute),
               expected_s);
}

static void name_work(int length, slant_compute compute, int n_threads, char *out, size_t out_bytes)
{
    char what[64];
    if (length == 0)
        snprintf(what, sizeof what, "%d short texts", BENCH_SHORT_TEXTS);
    else
        snprintf(what, sizeof what, "%d tokens", length);
    snprintf(out, out_bytes, "%s, %s, %d thread%s", what, kernel_compute_name(compute), n_threads,
             n_threads == 1 ? "" : "s");
}

static slant_status time_work(bench *b, const bench_texts *texts, int length, int c, int n_threads,
                              bench_timing *timing, slant_error *err)
{
    char what[96];
    double left = b->deadline - progress_now();
    name_work(length, b->computes[c], n_threads, what, sizeof what);
    slant_status status = step(b, what, err);
    if (status != SLANT_OK)
        return status;
    bench_setting setting = {.m = &b->m,
                             .kernels = b->kernels,
                             .compute = b->computes[c],
                             .n_threads = n_threads,
                             .seconds = left / (b->n_steps - b->n_done + 1),
                             .should_stop = b->o.should_stop,
                             .context = b->o.context};
    return bench_work_run(&setting, texts, timing, err);
}

static slant_status measure_one(bench *b, const bench_texts *texts, int length, int c,
                                slant_error *err)
{
    bench_timing timing;
    double expected = b->token_seconds[c] * (double)texts->n_tokens * GROWTH;
    if (expected > 0 && expected > b->deadline - progress_now()) {
        skip(b, length, b->computes[c], expected);
        b->n_done++;
        return SLANT_OK;
    }
    slant_status status = time_work(b, texts, length, c, b->n_threads, &timing, err);
    if (status != SLANT_OK)
        return status;
    b->token_seconds[c] = timing.median_s / (double)texts->n_tokens;
    if (length == b->scaling_length)
        b->scaling_seconds[c] = timing.median_s;
    write_work(b, texts, length, b->computes[c], &timing);
    return SLANT_OK;
}

static slant_status measure_work(bench *b, slant_error *err)
{
    slant_status status = SLANT_OK;
    document_open(&b->d, "work", '[');
    for (int i = 0; status == SLANT_OK && i < b->n_lengths; i++) {
        bench_texts texts;
        status = bench_texts_make(&b->m, b->lengths[i], &texts, err);
        for (int c = 0; status == SLANT_OK && c < b->n_computes; c++)
            status = measure_one(b, &texts, b->lengths[i], c, err);
        bench_texts_free(&texts);
    }
    document_close(&b->d, ']');
    document_open(&b->d, "skipped", '[');
    if (b->skipped.size_bytes > 0)
        document_json(&b->d, NULL, b->skipped.data);
    document_close(&b->d, ']');
    return status;
}

static void write_scaling(bench *b, const bench_texts *texts, int c, int n_threads, double seconds)
{
    document_open(&b->d, NULL, '{');
    document_int(&b->d, "length", b->scaling_length);
    document_string(&b->d, "compute", kernel_compute_name(b->computes[c]));
    document_int(&b->d, "threads", n_threads);
    document_number(&b->d, "tokens_per_s", (double)texts->n_tokens / seconds);
    document_close(&b->d, '}');
}

/* The work at scaling_length with fewer threads, beside what all of them needed. */
static slant_status measure_threads(bench *b, slant_error *err)
{
    bench_texts texts;
    slant_status status = bench_texts_make(&b->m, b->scaling_length, &texts, err);
    document_open(&b->d, "scaling", '[');
    for (int c = 0; status == SLANT_OK && c < b->n_computes; c++) {
        if (b->scaling_seconds[c] <= 0)
            continue;
        write_scaling(b, &texts, c, b->n_threads, b->scaling_seconds[c]);
        for (int n = fewer_threads(b->n_threads); status == SLANT_OK && n > 0;
             n = fewer_threads(n)) {
            bench_timing timing;
            status = time_work(b, &texts, b->scaling_length, c, n, &timing, err);
            if (status == SLANT_OK)
                write_scaling(b, &texts, c, n, timing.median_s);
        }
    }
    document_close(&b->d, ']');
    bench_texts_free(&texts);
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */

static slant_status measure_model(bench *b, slant_error *err)
{
    b->deadline = progress_now() + (b->o.seconds > 0 ? b->o.seconds : DEFAULT_SECONDS);
    write_model(b);
    slant_status status = measure_work(b, err);
    if (status == SLANT_OK)
        status = measure_threads(b, err);
    return status;
}

static slant_status run(bench *b, const char *path, slant_error *err)
{
    slant_status status = kernel_check_environment(err);
    b->kernels = kernel_table_best();
    b->n_steps = 1;
    if (status == SLANT_OK && !b->o.machine_only) {
        status = open_model(b, path, err);
        if (status == SLANT_OK)
            status = choose_work(b, err);
        if (status == SLANT_OK)
            b->n_steps = count_steps(b);
    }
    if (status == SLANT_OK)
        status = step(b, "peaks of the instruction sets", err);
    if (status != SLANT_OK)
        return status;
    document_open(&b->d, NULL, '{');
    document_string(&b->d, "slant", SLANT_VERSION);
    bench_machine_write(&b->machine, &b->d);
    if (!b->o.machine_only)
        status = measure_model(b, err);
    document_close(&b->d, '}');
    if (status == SLANT_OK && (b->d.out.failed || b->skipped.failed))
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    return status;
}

slant_status slant_bench(const char *path, const slant_bench_options *options, char **json,
                         slant_error *err)
{
    *json = NULL;
    bench *b = mem_calloc(1, sizeof *b);
    if (b == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (options != NULL)
        b->o = *options;
    b->n_threads = b->o.n_threads > 0 ? b->o.n_threads : thread_available();
    b->machine.n_threads = b->n_threads;
    slant_status status = run(b, path, err);
    if (status == SLANT_OK)
        *json = b->d.out.data;
    else
        buf_free(&b->d.out);
    model_close(b->opened);
    buf_free(&b->skipped);
    mem_free(b);
    return status;
}
