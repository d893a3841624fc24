/* slant_merge: base + adapter written as one model, and the answers of both compared. */
#include "api/engine.h"
#include "api/scores.h"
#include "base/folder.h"
#include "base/thread.h"
#include "model/bind.h"
#include "model/hf_folder.h"
#include "model/sidecar.h"
#include "model/slant_file.h"

#include <slant_data.h>
#include <slant_model.h>

#include <math.h>
#include <string.h>

/* Articles that are answered at a time. */
enum { BATCH = 32 };

/* What is answered where no articles are given. */
static const char fixed_text[] =
    "The committee voted on Tuesday to send the budget to the full chamber. Supporters said that "
    "it would lower taxes for working families and hire more officers at the border; opponents "
    "called it a gift to the wealthy that cuts clinics and schools. Neither side expected the "
    "governor to sign it without changes.";

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while merging");
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The logits of articles, in order; those that could not be answered have none. */
typedef struct answers {
    float *logits; /* [n][n_labels] */
    bool *good;    /* [n] */
    size_t n, cap;
} answers;

typedef struct answering {
    const slant_engine *engine;
    const slant_merge_options *options;
    slant_session *session;
    answers *out;
    slant_text texts[BATCH];
    size_t n_texts;
    arena memory; /* of texts */
    slant_error *err;
} answering;

static void free_answers(answers *a)
{
    mem_free(a->logits);
    mem_free(a->good);
}

static bool reserve(answers *a, size_t more, size_t n_labels)
{
    size_t cap = a->cap;
    float *logits = mem_with_room(a->logits, &cap, a->n + more, n_labels * sizeof *logits);
    if (logits == NULL)
        return false;
    a->logits = logits;
    bool *good = mem_with_room(a->good, &a->cap, a->n + more, sizeof *good);
    if (good == NULL)
        return false;
    a->good = good;
    return true;
}

static slant_status answer_batch(answering *w)
{
    size_t n_labels = (size_t)w->engine->info.n_labels;
    slant_result results[BATCH];
    const slant_merge_options *o = w->options;
    if (o->should_stop != NULL && o->should_stop(o->context))
        return status_fail(w->err, SLANT_ERR_CANCELLED, "stopped");
    if (!reserve(w->out, w->n_texts, n_labels))
        return out_of_memory(w->err);
    slant_status status = slant_classify(w->session, w->texts, w->n_texts,
                                         w->out->logits + w->out->n * n_labels, results, w->err);
    for (size_t i = 0; status == SLANT_OK && i < w->n_texts; i++)
        w->out->good[w->out->n++] = results[i].status == SLANT_OK;
    w->n_texts = 0;
    arena_free(&w->memory);
    return status;
}

static slant_status add_record(answering *w, const slant_record *record)
{
    slant_text *text = &w->texts[w->n_texts];
    bool readable = record->status == SLANT_OK;
    *text = (slant_text){.text = readable ? record->text : "",
                         .text_bytes = readable ? record->text_bytes : 0,
                         .title = readable ? record->title : NULL,
                         .title_bytes = readable ? record->title_bytes : 0};
    text->text = arena_strndup(&w->memory, text->text, text->text_bytes);
    if (text->title != NULL)
        text->title = arena_strndup(&w->memory, text->title, text->title_bytes);
    if (text->text == NULL || (readable && record->title != NULL && text->title == NULL))
        return out_of_memory(w->err);
    return ++w->n_texts == BATCH ? answer_batch(w) : SLANT_OK;
}

static slant_status answer_files(answering *w)
{
    const slant_merge_options *o = w->options;
    const char *title = o->title_field != NULL ? o->title_field : w->engine->info.title_field;
    slant_reader_options reading = {.text_field = o->text_field, .title_field = title};
    slant_reader *reader;
    slant_record record = {0};
    slant_status status = slant_reader_open(o->articles, o->n_articles, &reading, &reader, w->err);
    while (status == SLANT_OK && !record.end) {
        status = slant_reader_next(reader, &record, w->err);
        if (status == SLANT_OK && !record.end)
            status = add_record(w, &record);
    }
    slant_reader_close(reader);
    if (status == SLANT_OK && w->n_texts > 0)
        status = answer_batch(w);
    bool any = false;
    for (size_t i = 0; i < w->out->n; i++)
        any = any || w->out->good[i];
    if (status == SLANT_OK && !any)
        status = status_fail(w->err, SLANT_ERR_FORMAT, "%s: no article that can be answered",
                             o->articles[0]);
    return status;
}

static slant_status answer_fixed(answering *w)
{
    slant_record record = {.text = fixed_text, .text_bytes = sizeof fixed_text - 1};
    slant_status status = add_record(w, &record);
    return status == SLANT_OK ? answer_batch(w) : status;
}

/* A model without a tokenizer cannot read: its weights alone are then told of. */
static slant_status answer_all(const slant_engine *engine, const slant_merge_options *options,
                               answers *out, slant_error *err)
{
    answering w = {.engine = engine, .options = options, .out = out, .err = err};
    if (engine->m->tokenizer == NULL && options->n_articles == 0)
        return SLANT_OK;
    slant_session_options session = {.n_threads = options->n_threads,
                                     .function = SLANT_FUNCTION_NONE};
    slant_status status = slant_session_open(engine, &session, &w.session, err);
    if (status == SLANT_OK)
        status = options->n_articles > 0 ? answer_files(&w) : answer_fixed(&w);
    slant_session_close(w.session);
    arena_free(&w.memory);
    return status;
}

/* Adds |Δ| of n values to a mean (a sum as yet) and a maximum. */
static void compare_values(const float *a, const float *b, int n, double *sum, double *max)
{
    for (int i = 0; i < n; i++) {
        double apart = fabs((double)a[i] - (double)b[i]);
        *sum += apart;
        *max = apart > *max ? apart : *max;
    }
}

/* Logits become scores in place. */
static void compare(const slant_engine *engine, answers *before, answers *after,
                    slant_merge_report *report)
{
    int n_labels = engine->info.n_labels;
    slant_function function = scores_function(SLANT_FUNCTION_DEFAULT, &engine->m->config);
    for (size_t i = 0; i < before->n && i < after->n; i++) {
        float *a = before->logits + i * (size_t)n_labels, *b = after->logits + i * (size_t)n_labels;
        if (!before->good[i] || !after->good[i]) {
            report->n_failed++;
            continue;
        }
        report->n_articles++;
        compare_values(a, b, n_labels, &report->mean_logit, &report->max_logit);
        scores_apply(function, engine->info.temperature, a, n_labels);
        scores_apply(function, engine->info.temperature, b, n_labels);
        compare_values(a, b, n_labels, &report->mean_probability, &report->max_probability);
        report->n_same_label += scores_best(a, n_labels) == scores_best(b, n_labels);
    }
    double n_values = (double)report->n_articles * n_labels;
    if (n_values > 0) {
        report->mean_logit /= n_values;
        report->mean_probability /= n_values;
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool is_slant_name(const char *path)
{
    const char *ending = strrchr(file_base_name(path), '.');
    return ending != NULL && strcmp(ending, ".slant") == 0;
}

static slant_status write_folder(const model *m, merger *g, const char *remembered, const char *out,
                                 slant_error *err)
{
    char *partial = folder_partial_name(out);
    slant_status status = partial == NULL ? out_of_memory(err) : folder_begin(partial, err);
    if (status == SLANT_OK) {
        status = hf_folder_write(m, g, remembered, partial, err);
        if (status == SLANT_OK)
            status = folder_commit(partial, out, err);
        else
            (void)folder_remove(partial, NULL); /* what went wrong first is what counts */
    }
    mem_free(partial);
    return status;
}

static void report_weights(const merger *g, slant_merge_report *report)
{
    merge_error error = merger_error(g);
    report->n_merged = error.n_changed;
    report->weight_error = error.relative;
    report->worst_weight_error = error.worst;
    if (error.worst > 0)
        bind_module_name(error.worst_layer, error.worst_which, report->worst_weight);
}

static slant_status write_model(const model *m, const slant_merge_options *o, const char *out,
                                slant_merge_report *report, slant_error *err)
{
    bool is_file = is_slant_name(out), is_nf4 = o->dtype == SLANT_DTYPE_NF4;
    merge_form form = !is_nf4 ? MERGE_BF16 : is_file ? MERGE_NF4_PANELS : MERGE_NF4_FLAT;
    int n_threads = o->n_threads > 0 ? o->n_threads : thread_available();
    buf remembered = {0}; /* the merged model's slant.json */
    merger *g = NULL;
    slant_status status = sidecar_merged(m->adapter.path, m->base_digest, &remembered, err);
    if (status == SLANT_OK)
        status = merger_open(m, form, n_threads, &g, err);
    if (status == SLANT_OK)
        status = is_file ? slant_file_write_merged(m, g, remembered.data, out, err)
                         : write_folder(m, g, remembered.data, out, err);
    if (status == SLANT_OK)
        report_weights(g, report);
    merger_close(g);
    buf_free(&remembered);
    return status;
}

static slant_status check(const char *out, const slant_merge_options *o, slant_error *err)
{
    if (o->dtype == SLANT_DTYPE_F32)
        return status_fail(err, SLANT_ERR_ARGUMENT, "a merged model is bf16 or nf4");
    if (!is_slant_name(out) && file_exists(out))
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "%s is there already; a merged model becomes a new folder", out);
    return SLANT_OK;
}

/* Base and adapter, answered first and then written. */
static slant_status merge_from(const char *base, const char *adapter, const char *out,
                               const slant_merge_options *o, slant_compute compute, answers *before,
                               slant_merge_report *report, slant_error *err)
{
    slant_engine *engine;
    slant_engine_options open = {.adapter = adapter,
                                 .checkpoint = o->checkpoint,
                                 .labels = o->labels,
                                 .dtype = o->load_in_4bit ? SLANT_DTYPE_NF4 : SLANT_DTYPE_AUTO,
                                 .compute = compute,
                                 .n_threads = o->n_threads,
                                 .n_layers = o->n_layers};
    slant_status status = slant_engine_open(base, &open, &engine, err);
    if (status == SLANT_OK && engine->m->adapter.path == NULL)
        status = status_fail(err, SLANT_ERR_ARGUMENT, "%s: no adapter to merge is given",
                             engine->m->path);
    if (status == SLANT_OK && before != NULL)
        status = answer_all(engine, o, before, err);
    if (status == SLANT_OK)
        status = write_model(engine->m, o, out, report, err);
    slant_engine_close(engine);
    return status;
}

/* What was written, opened again: base and merged model are never in memory together. */
static slant_status compare_with(const char *out, const slant_merge_options *o,
                                 slant_compute compute, answers *before, slant_merge_report *report,
                                 slant_error *err)
{
    slant_engine *engine;
    answers after = {0};
    slant_engine_options open = {.compute = compute, .n_threads = o->n_threads};
    slant_status status = slant_engine_open(out, &open, &engine, err);
    if (status == SLANT_OK)
        status = answer_all(engine, o, &after, err);
    if (status == SLANT_OK)
        compare(engine, before, &after, report);
    free_answers(&after);
    slant_engine_close(engine);
    return status;
}

slant_status slant_merge(const char *base, const char *adapter, const char *out,
                         const slant_merge_options *options, slant_merge_report *report,
                         slant_error *err)
{
    static const slant_merge_options defaults;
    const slant_merge_options *o = options == NULL ? &defaults : options;
    slant_merge_report own = {0};
    answers before = {0};
    slant_compute compute = o->compute == SLANT_COMPUTE_AUTO ? SLANT_COMPUTE_F32 : o->compute;
    slant_status status = check(out, o, err);
    if (status == SLANT_OK)
        status =
            merge_from(base, adapter, out, o, compute, report == NULL ? NULL : &before, &own, err);
    if (status == SLANT_OK && report != NULL)
        status = compare_with(out, o, compute, &before, &own, err);
    if (status == SLANT_OK && report != NULL)
        *report = own;
    free_answers(&before);
    return status;
}
