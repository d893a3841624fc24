/* slant_evaluate: labelled files to figures. Every file that can be read twice is looked through
 * first, so that a bad row is refused at once and not after hours; then batch by batch through a
 * session, of which the confusion of labels, the log loss and some counts are kept. */
#include <slant_eval.h>

#include "api/engine.h"
#include "api/labelled.h"
#include "api/scores.h"
#include "base/progress.h"
#include "data/rows.h"
#include "eval/metrics.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* A batch is what about a second's work is, within these bounds of text. */
#define BATCH_SECONDS 1.0
#define BATCH_MIN_BYTES ((size_t)16 << 10)
#define BATCH_MAX_BYTES ((size_t)1 << 20)
#define BATCH_MAX_ITEMS 512

typedef struct evaluation {
    slant_evaluation shown;    /* first: what the caller gets */
    slant_file_figures *files; /* [n_files], the same that shown has */
    arena memory;
} evaluation;

typedef struct evaluator {
    const slant_engine *engine;
    const slant_evaluate_options *options;
    slant_reader_options reader_options;
    labelled_rule rule;
    slant_session *session;
    evaluation *result;
    labelled_batch batch;
    float *scores;         /* [BATCH_MAX_ITEMS][n_labels] */
    slant_result *results; /* [BATCH_MAX_ITEMS] */
    size_t batch_bytes;
    int64_t n_rows; /* usable, of all paths; negative: unknown */
    int64_t n_done;
} evaluator;

/* What is being counted of one path. */
typedef struct counting {
    slant_file_figures *shown;
    int64_t *confusion; /* [n_labels][n_labels] */
    double loss;        /* summed */
    bad_rows bad;
} counting;

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while evaluating");
}

static slant_status check_asked(const evaluator *e, size_t n_paths, slant_error *err)
{
    if (n_paths == 0)
        return status_fail(err, SLANT_ERR_ARGUMENT, "no file to evaluate on");
    const slant_engine *engine = e->engine;
    slant_function function = scores_function(SLANT_FUNCTION_DEFAULT, &engine->m->config);
    if (function != SLANT_FUNCTION_SOFTMAX || engine->info.n_labels < 2)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: expected a classifier with one label an article out of two or "
                           "more, found one for %s",
                           engine->info.model_path,
                           function == SLANT_FUNCTION_NONE ? "regression" : "several labels");
    if (e->options->session.function != SLANT_FUNCTION_DEFAULT)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "an evaluation rests on probabilities and takes no other function");
    return SLANT_OK;
}

static slant_status make_result(evaluator *e, const char *const *paths, size_t n_paths,
                                slant_error *err)
{
    evaluation *result = e->result = mem_calloc(1, sizeof *result);
    if (result == NULL)
        return out_of_memory(err);
    slant_file_figures *files = arena_alloc(&result->memory, n_paths, sizeof *files);
    if (files == NULL)
        return out_of_memory(err);
    result->files = files;
    result->shown =
        (slant_evaluation){.n_labels = e->rule.n_labels, .n_files = n_paths, .files = files};
    for (size_t i = 0; i < n_paths; i++)
        if ((files[i].path = arena_strdup(&result->memory, paths[i])) == NULL)
            return out_of_memory(err);
    return SLANT_OK;
}

static slant_status prepare(evaluator *e, const char *const *paths, size_t n_paths,
                            slant_error *err)
{
    int n_labels = e->engine->info.n_labels;
    slant_status status = make_result(e, paths, n_paths, err);
    if (status != SLANT_OK)
        return status;
    const char **names = arena_alloc(&e->result->memory, (size_t)n_labels, sizeof *names);
    e->scores = mem_alloc((size_t)BATCH_MAX_ITEMS * (size_t)n_labels, sizeof *e->scores);
    e->results = mem_alloc(BATCH_MAX_ITEMS, sizeof *e->results);
    if (names == NULL || e->scores == NULL || e->results == NULL)
        return out_of_memory(err);
    for (int i = 0; i < n_labels; i++)
        if ((names[i] = arena_strdup(&e->result->memory, slant_engine_label(e->engine, i))) == NULL)
            return out_of_memory(err);
    e->rule.names = names;
    return slant_session_open(e->engine, &e->options->session, &e->session, err);
}

static bool stop_asked(const evaluator *e)
{
    return e->options->should_stop != NULL && e->options->should_stop(e->options->context);
}

static slant_status stopped(slant_error *err)
{
    return status_fail(err, SLANT_ERR_CANCELLED, "stopped");
}

typedef struct looking_through {
    evaluator *e;
    bad_rows *bad;
} looking_through;

static slant_status look_at(void *context, const slant_record *record, slant_error *err)
{
    looking_through *l = context;
    int label;
    slant_status status = labelled_check(&l->e->rule, record, l->bad, &label, err);
    l->e->n_rows += label >= 0;
    return status;
}

/* Counts a path's usable rows; refuses those that are not. */
static slant_status look_through(evaluator *e, const char *path, bad_rows *bad, slant_error *err)
{
    const slant_rows_watch watch = {.should_stop = e->options->should_stop,
                                    .context = e->options->context};
    looking_through l = {e, bad};
    int64_t n_seen, n_before = e->n_rows;
    slant_status status =
        rows_each(&path, 1, &e->reader_options, &watch, look_at, &l, &n_seen, err);
    if (status == SLANT_OK && !e->options->skip_bad_rows)
        status = bad_rows_refuse(bad, err);
    if (status == SLANT_OK && e->n_rows == n_before)
        status = status_fail(err, SLANT_ERR_FORMAT, "%s holds no labelled article%s%s", path,
                             bad->n > 0 ? ": " : "", bad->n > 0 ? bad->named[0] : "");
    return status;
}

static bool can_be_read_twice(const char *path)
{
    struct stat info;
    if (strcmp(path, "-") == 0)
        return false;
    return stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode);
}

static slant_status look_through_all(evaluator *e, const char *const *paths, size_t n_paths,
                                     slant_error *err)
{
    bool all = true;
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < n_paths; i++) {
        bad_rows bad = {0};
        if (can_be_read_twice(paths[i]))
            status = look_through(e, paths[i], &bad, err);
        else
            all = false;
        bad_rows_free(&bad);
    }
    if (!all)
        e->n_rows = -1;
    return status;
}

static void count_answer(const evaluator *e, counting *c, int truth, const slant_result *answer,
                         const float *scores)
{
    slant_file_figures *f = c->shown;
    f->n_articles++;
    f->n_truncated += answer->truncated;
    f->tokens += answer->tokens;
    f->tokens_read += answer->tokens_read;
    c->confusion[truth * e->rule.n_labels + answer->label]++;
    c->loss += metrics_log_loss((double)scores[truth]);
}

static slant_status count_batch(evaluator *e, counting *c, slant_error *err)
{
    const labelled_batch *b = &e->batch;
    for (size_t i = 0; i < b->n; i++) {
        const slant_result *answer = &e->results[i];
        if (answer->status == SLANT_OK) {
            count_answer(e, c, b->items[i].label, answer, e->scores + i * (size_t)e->rule.n_labels);
            continue;
        }
        slant_record place = labelled_place(b, i);
        slant_status status = bad_rows_add(&c->bad, &place, answer->message, err);
        if (status != SLANT_OK)
            return status;
    }
    e->n_done += (int64_t)b->n;
    return SLANT_OK;
}

/* The next batch is to take about BATCH_SECONDS, by what this one took. */
static void adapt_batch(evaluator *e, double seconds)
{
    double factor = BATCH_SECONDS / fmax(seconds, 1e-3);
    double bytes = (double)e->batch_bytes * fmin(factor, 4);
    e->batch_bytes = (size_t)fmin(fmax(bytes, BATCH_MIN_BYTES), BATCH_MAX_BYTES);
}

static slant_status answer_batch(evaluator *e, counting *c, slant_error *err)
{
    double before = progress_now();
    slant_status status =
        slant_classify(e->session, e->batch.texts, e->batch.n, e->scores, e->results, err);
    adapt_batch(e, progress_now() - before);
    if (status == SLANT_OK)
        status = count_batch(e, c, err);
    if (status == SLANT_OK && !e->options->skip_bad_rows)
        status = bad_rows_refuse(&c->bad, err);
    return status;
}

static void tell_progress(const evaluator *e)
{
    double share = e->n_rows > 0                   ? (double)e->n_done / (double)e->n_rows
                   : e->result->shown.n_files == 1 ? e->batch.share
                                                   : -1;
    if (e->options->progress != NULL)
        e->options->progress(e->options->context, e->n_done, fmin(share, 1));
}

static slant_status answer_path(evaluator *e, counting *c, slant_error *err)
{
    slant_reader *reader;
    slant_status status = slant_reader_open(&c->shown->path, 1, &e->reader_options, &reader, err);
    e->batch.end = false;
    while (status == SLANT_OK && !e->batch.end) {
        status = labelled_fill(&e->batch, reader, &e->rule, e->batch_bytes, BATCH_MAX_ITEMS,
                               &c->bad, err);
        if (status == SLANT_OK)
            status = answer_batch(e, c, err);
        if (status != SLANT_OK)
            break;
        tell_progress(e);
        if (stop_asked(e) && !e->batch.end)
            status = stopped(err);
    }
    slant_reader_close(reader);
    if (status == SLANT_OK && c->shown->n_articles == 0)
        status = status_fail(err, SLANT_ERR_FORMAT, "%s holds no labelled article", c->shown->path);
    return status;
}

static slant_average average_of(const metrics_scores *scores)
{
    return (slant_average){scores->precision, scores->recall, scores->f1};
}

static slant_status keep_labels(evaluator *e, counting *c, slant_error *err)
{
    int n_labels = e->rule.n_labels;
    slant_label_figures *labels = arena_alloc(&e->result->memory, (size_t)n_labels, sizeof *labels);
    if (labels == NULL)
        return out_of_memory(err);
    for (int i = 0; i < n_labels; i++) {
        metrics_label m = metrics_of_label(c->confusion, n_labels, i);
        labels[i] = (slant_label_figures){e->rule.names[i], m.scores.precision, m.scores.recall,
                                          m.scores.f1,      m.support,          m.predicted};
    }
    c->shown->labels = labels;
    return SLANT_OK;
}

static slant_status keep_figures(evaluator *e, counting *c, slant_error *err)
{
    slant_file_figures *f = c->shown;
    metrics_summary m = metrics_summarise(c->confusion, e->rule.n_labels);
    f->accuracy = m.accuracy;
    f->log_loss = c->loss / (double)f->n_articles;
    f->macro = average_of(&m.macro);
    f->micro = average_of(&m.micro);
    f->weighted = average_of(&m.weighted);
    f->confusion = c->confusion;
    slant_status status = keep_labels(e, c, err);
    return status == SLANT_OK ? bad_rows_show(&c->bad, &e->result->memory, &f->bad, err) : status;
}

static slant_status evaluate_path(evaluator *e, slant_file_figures *figures, slant_error *err)
{
    size_t n_labels = (size_t)e->rule.n_labels;
    counting c = {.shown = figures};
    c.confusion = arena_alloc(&e->result->memory, n_labels * n_labels, sizeof *c.confusion);
    slant_status status = c.confusion == NULL ? out_of_memory(err) : answer_path(e, &c, err);
    if (status == SLANT_OK)
        status = keep_figures(e, &c, err);
    bad_rows_free(&c.bad);
    return status;
}

static slant_status evaluate_all(evaluator *e, const char *const *paths, size_t n_paths,
                                 slant_error *err)
{
    slant_status status = check_asked(e, n_paths, err);
    if (status == SLANT_OK)
        status = prepare(e, paths, n_paths, err);
    if (status == SLANT_OK)
        status = look_through_all(e, paths, n_paths, err);
    for (size_t i = 0; status == SLANT_OK && i < n_paths; i++)
        status = evaluate_path(e, &e->result->files[i], err);
    return status;
}

/* What the adapter was trained with stands in for what is not asked for. */
static slant_reader_options reader_options(const slant_engine *engine,
                                           const slant_evaluate_options *options)
{
    slant_reader_options reader = options->reader;
    if (reader.label_field == NULL)
        reader.label_field = "label";
    if (reader.title_field == NULL)
        reader.title_field = engine->info.title_field;
    return reader;
}

slant_status slant_evaluate(const slant_engine *engine, const char *const *paths, size_t n_paths,
                            const slant_evaluate_options *options, slant_evaluation **out,
                            slant_error *err)
{
    static const slant_evaluate_options defaults = {0};
    const slant_evaluate_options *given = options == NULL ? &defaults : options;
    evaluator e = {
        .engine = engine,
        .options = given,
        .reader_options = reader_options(engine, given),
        .rule = {.n_labels = engine->info.n_labels, .lossy = given->session.lossy},
        .batch_bytes = BATCH_MIN_BYTES,
    };
    *out = NULL;
    slant_status status = evaluate_all(&e, paths, n_paths, err);
    slant_session_close(e.session);
    labelled_free(&e.batch);
    mem_free(e.scores);
    mem_free(e.results);
    if (status == SLANT_OK)
        *out = &e.result->shown;
    else if (e.result != NULL)
        slant_evaluation_close(&e.result->shown);
    return status;
}

void slant_evaluation_close(slant_evaluation *shown)
{
    if (shown == NULL)
        return;
    evaluation *e = (evaluation *)shown;
    arena_free(&e->memory);
    mem_free(e);
}
