/* slant evaluate: labelled files in, figures out, a column a file. */
#include "cli/article_options.h"
#include "cli/cli.h"
#include "cli/evaluate.h"
#include "cli/foundation.h"
#include "cli/inputs.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/progress.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define FAILURES_TOLD 5 /* of each file, one by one; the rest is counted */

enum { FORMAT_BY_PLACE, FORMAT_TABLE, FORMAT_JSON };

typedef struct evaluate_args {
    model_options model;
    input_options articles;
    reading_options reading;
    const char *label_field, *output;
    const char **files;
    size_t n_files;
    int format;
    bool skip_bad_rows, raw, quiet, verbose;
} evaluate_args;

#define ARG(member) .offset = offsetof(evaluate_args, member)

static const option_row rows[] = {
    OPTION_HEAD("Input"),
    INPUT_OPTION_ROWS(evaluate_args, articles),
    {OPTION_TEXT, 0, "label-field", ARG(label_field), .value = "NAME",
     .help = "the field that holds the label: a label's name or its index", .standard = "label"},
    {OPTION_FLAG, 0, "skip-bad-rows", ARG(skip_bad_rows),
     .help = "leave out rows that cannot be used, and count them, instead of refusing the file"},
    MODEL_OPTION_ROWS(evaluate_args, model),
    READING_OPTION_ROWS(evaluate_args, reading),
    OPTION_HEAD("Answer"),
    {OPTION_CHOICE, 'f', "format", ARG(format), .choices = "|table|json",
     .help = "how figures are written", .standard = "table on a terminal, json elsewhere"},
    {OPTION_FLAG, 0, "raw", ARG(raw), .help = "probabilities without the adapter's calibration"},
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "FILE",
     .help = "write there instead, whole or not at all", .standard = "standard output"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "no progress and no notes on standard error"},
    {OPTION_FLAG, 'v', "verbose", ARG(verbose), .help = "say which model runs how, and how fast"},
};

static const option_table table = {
    .command = "evaluate",
    .operands = "[FILE]...",
    .about =
        "Compares a model's answers with the labels of articles: F1, precision and recall, macro, "
        "micro, weighted and of each label, accuracy, log loss and the confusion of labels, as "
        "scikit-learn computes them, a column for each file. Files are read as classify reads "
        "them.",
    .closing = "Exit status: 0 all measured, 1 failed, 2 wrong usage, 3 some rows were left out.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

typedef struct evaluate_run {
    const evaluate_args *args;
    slant_engine *engine;
    slant_evaluation *evaluation;
    output out;
    progress bar;
    double started;
} evaluate_run;

static void told(void *context, int64_t n_articles, double share)
{
    evaluate_run *run = context;
    progress_update(&run->bar, n_articles, share);
}

static slant_status evaluate(evaluate_run *run, slant_error *err)
{
    const evaluate_args *args = run->args;
    slant_evaluate_options options = {
        .session = {.n_threads = args->model.threads,
                    .raw = args->raw,
                    .lossy = args->articles.lossy},
        .reader = input_options_reader(&args->articles, NULL),
        .skip_bad_rows = args->skip_bad_rows,
        .progress = told,
        .should_stop = interrupt_should_stop,
        .context = run,
    };
    reading_options_apply(&args->reading, &options.session);
    options.reader.label_field = args->label_field;
    progress_start(&run->bar, progress_style_for_stderr(args->quiet), "articles");
    size_t n_files = args->n_files;
    const char *const *files = inputs_or_standard(args->files, &n_files);
    slant_status status =
        slant_evaluate(run->engine, files, n_files, &options, &run->evaluation, err);
    progress_hide(&run->bar);
    return status;
}

static slant_status write_figures(evaluate_run *run, slant_error *err)
{
    const evaluate_args *args = run->args;
    bool to_terminal = args->output == NULL && isatty(STDOUT_FILENO);
    buf text = {0};
    if (args->format == FORMAT_TABLE || (args->format == FORMAT_BY_PLACE && to_terminal))
        evaluate_table(run->evaluation, run->engine, &text);
    else
        evaluate_json(run->evaluation, run->engine, &text);
    slant_status status = output_write(&run->out, &text, err);
    buf_free(&text);
    return status == SLANT_OK ? output_commit(&run->out, err) : status;
}

static slant_status evaluate_and_write(evaluate_run *run, slant_error *err)
{
    const evaluate_args *args = run->args;
    slant_status status =
        inputs_check(args->files, args->n_files, args->articles.recursive, args->output, err);
    if (status == SLANT_OK)
        status = model_options_open(&args->model, args->quiet, &run->engine, err);
    if (status == SLANT_OK)
        status = output_open(&run->out, args->output, false, NULL, err);
    if (status == SLANT_OK)
        status = evaluate(run, err);
    return status == SLANT_OK ? write_figures(run, err) : status;
}

/* Gives how many rows were left out. */
static int64_t tell_failures(const evaluate_run *run)
{
    int64_t n_failed = 0;
    for (size_t i = 0; i < run->evaluation->n_files; i++) {
        const slant_file_figures *f = &run->evaluation->files[i];
        for (size_t k = 0; k < f->bad.n_named && k < FAILURES_TOLD; k++)
            cli_say("%s", f->bad.named[k]);
        if (f->bad.n > 0)
            cli_say("%s: rows left out: %" PRId64 " of %" PRId64, f->path, f->bad.n,
                    f->n_articles + f->bad.n);
        n_failed += f->bad.n;
    }
    return n_failed;
}

static void say_verbose(const evaluate_run *run)
{
    double seconds = progress_now() - run->started;
    int64_t n_articles = 0, tokens = 0, tokens_read = 0;
    for (size_t i = 0; i < run->evaluation->n_files; i++) {
        n_articles += run->evaluation->files[i].n_articles;
        tokens += run->evaluation->files[i].tokens;
        tokens_read += run->evaluation->files[i].tokens_read;
    }
    foundation_say(run->engine);
    cli_say("%" PRId64 " articles, %" PRId64 " of %" PRId64 " tokens read, %.2f s: %.0f tokens/s",
            n_articles, tokens_read, tokens, seconds,
            seconds > 0 ? (double)tokens_read / seconds : 0);
}

static slant_status parse(int argc, char **argv, evaluate_args *args, bool *want_help,
                          slant_error *err)
{
    option_operands operands;
    slant_status status = options_parse(&table, argc, argv, args, &operands, err);
    if (status != SLANT_OK)
        return status;
    args->files = operands.items;
    args->n_files = operands.n_items;
    *want_help = operands.want_help;
    if (!*want_help && args->quiet && args->verbose)
        status = status_fail(err, SLANT_ERR_ARGUMENT, "-q and -v exclude each other");
    return status == SLANT_OK && !*want_help ? reading_options_check(&args->reading, err) : status;
}

static int run_command(const evaluate_args *args)
{
    slant_error err;
    evaluate_run run = {
        .args = args, .started = progress_now(), .out = {.fd = -1, .journal.fd = -1}};
    int64_t n_failed = 0;
    interrupt_watch();
    slant_status status = evaluate_and_write(&run, &err);
    if (status == SLANT_OK) {
        n_failed = tell_failures(&run);
        if (args->verbose)
            say_verbose(&run);
    } else {
        cli_say("%s", err.message);
    }
    output_close(&run.out);
    slant_evaluation_close(run.evaluation);
    slant_engine_close(run.engine);
    if (status == SLANT_ERR_CANCELLED)
        interrupt_end();
    return cli_exit_status(status, n_failed);
}

int cmd_evaluate(int argc, char **argv)
{
    slant_error err;
    evaluate_args args = {0};
    bool want_help = false;
    slant_status status = parse(argc, argv, &args, &want_help, &err);
    int exit_status = status != SLANT_OK ? cli_usage("evaluate", "%s", err.message)
                      : want_help        ? options_print_help(&table)
                                         : run_command(&args);
    mem_free(args.files);
    return exit_status;
}
