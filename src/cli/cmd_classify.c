/* slant classify: articles in, answers out, in input order. The main path is classify_all: open,
 * skip what an earlier run answered, then batch by batch until the input ends. */
#include "cli/classify.h"

#include "cli/batch.h"
#include "cli/cli.h"
#include "cli/foundation.h"
#include "cli/inputs.h"
#include "cli/interrupt.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/progress.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A batch is what about a second's work is, within these bounds of text. */
#define BATCH_SECONDS 1.0
#define BATCH_MIN_BYTES (8 << 10)
#define BATCH_MAX_BYTES (1 << 20)
#define BATCH_MAX_ITEMS 512

#define ERRORS_TOLD 5 /* one by one; the rest is counted */

static const char probe_text[] =
    "The committee met on Tuesday to hear both sides. Supporters said that the bill would lower "
    "prices for working families; opponents called it a costly mistake that would burden small "
    "businesses. A vote is expected before the end of the month.";

typedef struct classifier {
    const classify_args *args;
    slant_engine *engine;
    slant_session *session;
    slant_reader *reader; /* NULL: the article is the command line's */
    output out;
    answer_style style;
    progress bar;
    batch articles;
    float *scores;         /* [scores_cap][n_labels] */
    slant_result *results; /* [scores_cap] */
    size_t scores_cap;
    buf rows, identity;
    journal_counts counts;
    size_t batch_bytes;
    double started;
    journal_counts earlier; /* what an earlier run answered */
} classifier;

static slant_status open_session(classifier *c, slant_error *err)
{
    const classify_args *args = c->args;
    slant_status status = model_options_open(&args->model, args->quiet, &c->engine, err);
    if (status != SLANT_OK)
        return status;
    slant_session_options options = {
        .n_threads = args->model.threads,
        .function = (slant_function)args->function,
        .raw = args->raw,
        .lossy = args->articles.lossy,
    };
    reading_options_apply(&args->reading, &options);
    return slant_session_open(c->engine, &options, &c->session, err);
}

/* Block characters, unless a locale was set that lacks them. */
static bool terminal_has_unicode(void)
{
    const char *locale = setlocale(LC_CTYPE, "");
    bool is_plain = locale == NULL || strcmp(locale, "C") == 0 || strcmp(locale, "POSIX") == 0;
    return is_plain || strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static bool terminal_has_color(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no_color == NULL || *no_color == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static slant_status choose_style(classifier *c, slant_error *err)
{
    int n_labels = slant_engine_get_info(c->engine)->n_labels;
    c->style = (answer_style){
        .engine = c->engine,
        .n_labels = n_labels,
        .top_k = c->args->top_k,
        .abstain = c->args->abstain,
        .color = c->args->output == NULL && terminal_has_color(),
        .unicode = terminal_has_unicode(),
        .order = mem_alloc((size_t)n_labels, sizeof(int)),
    };
    return c->style.order != NULL ? SLANT_OK : status_fail(err, SLANT_ERR_MEMORY, "out of memory");
}

static slant_status make_room(classifier *c, size_t n, slant_error *err)
{
    if (n <= c->scores_cap)
        return SLANT_OK;
    size_t n_scores;
    if (!mem_mul(n, (size_t)c->style.n_labels, &n_scores))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    float *scores = mem_realloc(c->scores, n_scores, sizeof *scores);
    if (scores != NULL)
        c->scores = scores;
    slant_result *results = mem_realloc(c->results, n, sizeof *results);
    if (results != NULL)
        c->results = results;
    if (scores == NULL || results == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    c->scores_cap = n;
    return SLANT_OK;
}

/* The settings and a fixed sentence's scores stand in the journal, so that no other model goes on
 * with what this one began. */
static slant_status open_output(classifier *c, slant_error *err)
{
    const classify_args *args = c->args;
    json_t *settings = NULL;
    slant_status status = SLANT_OK;
    if (args->resume) {
        slant_text probe = {.text = probe_text, .text_bytes = sizeof probe_text - 1};
        status = make_room(c, 1, err);
        if (status == SLANT_OK)
            status = slant_classify(c->session, &probe, 1, c->scores, c->results, err);
        if (status != SLANT_OK)
            return status;
        settings = classify_settings(args, c->engine, c->scores);
        if (settings == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    }
    status = output_open(&c->out, args->output, args->resume, settings, err);
    json_decref(settings);
    c->counts = c->earlier = *output_counts(&c->out);
    return status;
}

static slant_status open_reader(classifier *c, slant_error *err)
{
    const classify_args *args = c->args;
    if (args->text != NULL)
        return SLANT_OK;
    slant_reader_options options =
        input_options_reader(&args->articles, slant_engine_get_info(c->engine)->title_field);
    if (args->n_files == 0 && isatty(STDIN_FILENO) && !args->quiet)
        cli_say("reading an article from the terminal; Ctrl-D ends it");
    size_t n_files = args->n_files;
    const char *const *files = inputs_or_standard(args->files, &n_files);
    return slant_reader_open(files, n_files, &options, &c->reader, err);
}

static slant_status next_articles(classifier *c, size_t max_bytes, size_t max_items,
                                  slant_error *err)
{
    if (c->reader != NULL)
        return batch_fill(&c->articles, c->reader, max_bytes, max_items, err);
    if (c->articles.end) {
        c->articles.n_items = c->articles.n_texts = 0;
        return SLANT_OK;
    }
    return batch_take_text(&c->articles, c->args->text, err);
}

static slant_status identify_articles(classifier *c, slant_error *err)
{
    buf_clear(&c->identity);
    for (size_t i = 0; i < c->articles.n_items; i++)
        batch_identity(&c->articles, i, &c->identity);
    return c->identity.failed ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
}

/* Reads past the articles that an earlier run answered, and makes sure that they are the same. */
static slant_status skip_answered(classifier *c, slant_error *err)
{
    char digest[FILE_DIGEST_CHARS] = "";
    int64_t skipped = 0;
    const journal_entry *entry;
    for (size_t i = 0; (entry = output_entry(&c->out, i)) != NULL; i++) {
        size_t n_items = (size_t)(entry->counts.rows - skipped);
        slant_status status = next_articles(c, SIZE_MAX, n_items, err);
        if (status == SLANT_OK)
            status = identify_articles(c, err);
        if (status == SLANT_OK)
            status = journal_chain(digest, c->identity.data, c->identity.size_bytes, err);
        if (status != SLANT_OK)
            return status;
        if (c->articles.n_items < n_items || strcmp(digest, entry->input) != 0)
            return status_fail(
                err, SLANT_ERR_MISMATCH,
                "%s holds answers for other articles than these: they differ between "
                "article %" PRId64 " and article %" PRId64,
                c->out.path, skipped + 1, entry->counts.rows);
        skipped = entry->counts.rows;
    }
    if (skipped > 0 && !c->args->quiet)
        cli_say("%s: going on after %" PRId64 " articles", c->out.path, skipped);
    progress_skip(&c->bar, skipped, skipped > 0 ? c->articles.share : 0);
    return SLANT_OK;
}

static void count_answer(classifier *c, const answer *a)
{
    c->counts.rows++;
    if (a->error != NULL) {
        c->counts.failed++;
        bool in_table = c->args->format == &answer_table && c->args->output == NULL;
        if (c->counts.failed <= ERRORS_TOLD && !in_table) {
            progress_hide(&c->bar);
            cli_say("%s", a->error);
        }
        return;
    }
    c->counts.tokens += a->result->tokens;
    c->counts.tokens_read += a->result->tokens_read;
    c->counts.cut += a->result->truncated;
}

/* "FILE: row ROW: why" of an article that the model could not answer. */
static const char *explain_failure(classifier *c, const answer *a, buf *words)
{
    buf_clear(words);
    if (c->reader == NULL)
        buf_printf(words, "--text: %s", a->result->message);
    else
        buf_printf(words, "%s: row %" PRId64 ": %s", a->file, a->row, a->result->message);
    return words->failed ? a->result->message : words->data;
}

static slant_status write_rows(classifier *c, slant_error *err)
{
    buf words = {0};
    buf_clear(&c->rows);
    if (c->out.journal.last.bytes == 0 && c->counts.rows == 0 && c->args->format->begin != NULL)
        c->args->format->begin(&c->style, &c->rows);
    for (size_t i = 0, n_texts = 0; i < c->articles.n_items; i++) {
        const batch_item *item = &c->articles.items[i];
        answer a = {.id_json = batch_string(&c->articles, item->id_at),
                    .file = batch_string(&c->articles, item->file_at),
                    .row = item->row};
        if (item->readable) {
            a.result = &c->results[n_texts];
            a.scores = c->scores + n_texts * (size_t)c->style.n_labels;
            n_texts++;
            if (a.result->status != SLANT_OK)
                a.error = explain_failure(c, &a, &words);
        } else {
            a.error = batch_string(&c->articles, item->message_at);
        }
        c->args->format->row(&c->style, &a, c->counts.rows, &c->rows);
        count_answer(c, &a);
    }
    buf_free(&words);
    if (c->out.path == NULL)
        progress_hide(&c->bar);
    return output_write_batch(&c->out, &c->rows, &c->identity, &c->counts, err);
}

/* The next batch is to take about BATCH_SECONDS, by what this one took. */
static void adapt_batch(classifier *c, double seconds)
{
    double factor = BATCH_SECONDS / (seconds > 1e-3 ? seconds : 1e-3);
    double bytes = (double)c->batch_bytes * fmin(factor, 4);
    c->batch_bytes = (size_t)fmin(fmax(bytes, BATCH_MIN_BYTES), BATCH_MAX_BYTES);
}

static slant_status answer_batch(classifier *c, slant_error *err)
{
    slant_status status = make_room(c, c->articles.n_texts, err);
    double before = progress_now();
    if (status == SLANT_OK && c->articles.n_texts > 0)
        status = slant_classify(c->session, c->articles.texts, c->articles.n_texts, c->scores,
                                c->results, err);
    adapt_batch(c, progress_now() - before);
    if (status == SLANT_OK && c->args->resume)
        status = identify_articles(c, err);
    return status == SLANT_OK ? write_rows(c, err) : status;
}

static slant_status answer_all(classifier *c, slant_error *err)
{
    do {
        slant_status status = next_articles(c, c->batch_bytes, BATCH_MAX_ITEMS, err);
        if (status == SLANT_OK)
            status = answer_batch(c, err);
        if (status != SLANT_OK)
            return status;
        progress_update(&c->bar, c->counts.rows, c->articles.share);
        if (interrupt_asked() && !c->articles.end)
            return status_fail(err, SLANT_ERR_CANCELLED, "stopped");
    } while (!c->articles.end);

    buf_clear(&c->rows);
    if (c->args->format->end != NULL)
        c->args->format->end(&c->style, c->counts.rows, &c->rows);
    progress_hide(&c->bar);
    slant_status status = output_write(&c->out, &c->rows, err);
    return status == SLANT_OK ? output_commit(&c->out, err) : status;
}

static void say_verbose(const classifier *c)
{
    double seconds = progress_now() - c->started;
    foundation_say(c->engine);
    int64_t tokens = c->counts.tokens - c->earlier.tokens;
    int64_t tokens_read = c->counts.tokens_read - c->earlier.tokens_read;
    cli_say("%" PRId64 " articles, %" PRId64 " of %" PRId64 " tokens read, %.2f s: %.0f tokens/s",
            c->counts.rows - c->earlier.rows, tokens_read, tokens, seconds,
            seconds > 0 ? (double)tokens_read / seconds : 0);
}

/* What the answers themselves do not say, or what a person should not have to count. */
static void sum_up(const classifier *c)
{
    const journal_counts *n = &c->counts;
    if (n->rows == 0 && !c->args->quiet)
        cli_say("no articles in the input");
    if (n->cut > 0 && !c->args->format->tells_cuts)
        cli_say("%" PRId64 " of %" PRId64 " articles were cut: %" PRId64 " of all %" PRId64
                " tokens were read; --format jsonl says it for each",
                n->cut, n->rows, n->tokens_read, n->tokens);
    if (n->failed > 0 && n->rows > 1)
        cli_say("%" PRId64 " of %" PRId64 " articles failed", n->failed, n->rows);
    if (c->args->verbose)
        say_verbose(c);
}

static void say_how_to_continue(const classifier *c)
{
    if (c->args->resume)
        cli_say("stopped after %" PRId64 " articles; the same command goes on from there",
                c->counts.rows);
    else if (c->args->output != NULL)
        cli_say("stopped; %s was not written. With --resume it would go on from where it stopped",
                c->args->output);
    else
        cli_say("stopped after %" PRId64 " articles", c->counts.rows);
}

static slant_status classify_all(classifier *c, slant_error *err)
{
    const classify_args *args = c->args;
    slant_status status =
        inputs_check(args->files, args->n_files, args->articles.recursive, args->output, err);
    if (status == SLANT_OK)
        status = open_session(c, err);
    if (status == SLANT_OK)
        status = choose_style(c, err);
    if (status == SLANT_OK)
        status = open_reader(c, err);
    if (status == SLANT_OK)
        status = open_output(c, err);
    progress_start(&c->bar, progress_style_for_stderr(args->quiet), "articles");
    if (status == SLANT_OK)
        status = skip_answered(c, err);
    return status == SLANT_OK ? answer_all(c, err) : status;
}

static void classifier_free(classifier *c)
{
    output_close(&c->out);
    slant_reader_close(c->reader);
    slant_session_close(c->session);
    slant_engine_close(c->engine);
    batch_free(&c->articles);
    buf_free(&c->rows);
    buf_free(&c->identity);
    mem_free(c->style.order);
    mem_free(c->scores);
    mem_free(c->results);
}

int cmd_classify(int argc, char **argv)
{
    slant_error err;
    classify_args args;
    bool want_help = false;
    if (classify_parse(argc, argv, &args, &want_help, &err) != SLANT_OK)
        return cli_usage("classify", "%s", err.message);
    classifier c = {.args = &args,
                    .batch_bytes = BATCH_MIN_BYTES,
                    .started = progress_now(),
                    .out = {.fd = -1, .journal.fd = -1}};
    if (want_help) {
        mem_free(args.files);
        return options_print_help(&classify_table);
    }
    interrupt_watch();
    slant_status status = classify_all(&c, &err);
    progress_hide(&c.bar);
    if (status == SLANT_OK)
        sum_up(&c);
    else if (status == SLANT_ERR_CANCELLED)
        say_how_to_continue(&c);
    else
        cli_say("%s", err.message);
    classifier_free(&c);
    mem_free(args.files);
    if (status == SLANT_ERR_CANCELLED)
        interrupt_end();
    return cli_exit_status(status, c.counts.failed);
}
