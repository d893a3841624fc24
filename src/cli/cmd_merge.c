/* slant merge: base and adapter written as one model, and how far its answers moved. */
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/options.h"

#include "base/mem.h"
#include "base/progress.h"

#include <slant_model.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT_DEFAULT, FORMAT_TABLE, FORMAT_JSON };

/* Index 0 of the choices is what no option gives: bf16. */
enum { DTYPE_CHOICE_NF4 = 2 };

typedef struct merge_args {
    const char *model, *adapter, *checkpoint, *labels, *output;
    const char *articles, *text_field, *title_field;
    int dtype, compute, layers, threads, format;
    bool load_in_4bit, quiet;
} merge_args;

#define ARG(member) .offset = offsetof(merge_args, member)

static const option_row rows[] = {
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "OUT",
     .help = "what to write, whole or not at all: a .slant file by that ending, else a new folder "
             "that transformers opens"},
    {OPTION_CHOICE, 0, "dtype", ARG(dtype), .choices = "|bf16|nf4",
     .help = "what the linear weights are rounded to", .standard = "bf16"},
    OPTION_HEAD("Model"),
    {OPTION_TEXT, 0, "model", ARG(model), .value = "MODEL",
     .help = "a Hugging Face directory, a .gguf, a .slant, or a hub name in a local cache",
     .standard = "the embedded model, or SLANT_MODEL"},
    {OPTION_TEXT, 0, "adapter", ARG(adapter), .value = "DIR",
     .help = "a PEFT adapter, a Trainer checkpoint or a training output directory",
     .standard = "the embedded model's own"},
    {OPTION_TEXT, 0, "checkpoint", ARG(checkpoint), .value = "last|best|N",
     .help = "which checkpoint under the adapter's directory",
     .standard = "the directory's own adapter"},
    {OPTION_TEXT, 0, "labels", ARG(labels), .value = "A,B,…",
     .help = "names for the labels, in the model's order", .standard = "the model's id2label"},
    {OPTION_COUNT, 0, "layers", ARG(layers), .value = "N", .min = 1, .max = 1 << 20,
     .help = "keep the base's first N layers", .standard = "all"},
    {OPTION_FLAG, 0, "load-in-4bit", ARG(load_in_4bit),
     .help = "quantise the base first, as bitsandbytes does, and add the adapter to that: what an "
             "adapter trained with load_in_4bit knows"},
    {OPTION_COUNT, 0, "threads", ARG(threads), .value = "N", .min = 1, .max = 1024,
     .help = "how many threads work; the files do not depend on it", .standard = "all cores"},
    OPTION_HEAD("Report"),
    {OPTION_TEXT, 0, "articles", ARG(articles), .value = "FILE",
     .help = "articles to answer before and after, as classify reads them",
     .standard = "one fixed text"},
    {OPTION_TEXT, 0, "text-field", ARG(text_field), .value = "NAME",
     .help = "the field that holds the article",
     .standard = "text, else content, content_original, body, article"},
    {OPTION_TEXT, 0, "title-field", ARG(title_field), .value = "NAME",
     .help = "the field that holds the title", .standard = "as the adapter was trained"},
    {OPTION_CHOICE, 0, "compute", ARG(compute), .choices = "|int8|int16|bf16|fp32",
     .help = "how the products of these answers are computed",
     .standard = "fp32, so that nothing but rounding is seen"},
    {OPTION_CHOICE, 'f', "format", ARG(format), .choices = "|table|json",
     .help = "how the report is written", .standard = "table on a terminal, json elsewhere"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "no report, nothing but errors"},
};

static const option_table table = {
    .command = "merge",
    .operands = "--model BASE --adapter DIR -o OUT",
    .about =
        "Writes a base with its adapter merged into the weights as one model, bf16 or NF4, and "
        "reports how far that moved its answers: W + scale · B A is taken in fp32 and rounded "
        "once.",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

/* A number's name for a person, and for a program. */
typedef struct report_row {
    const char *words, *key;
    double value;
    bool is_count;
} report_row;

static void put_number(buf *out, const report_row *row)
{
    if (row->is_count)
        buf_printf(out, "%.0f", row->value);
    else
        buf_double(out, row->value);
}

static void put_table(buf *out, const report_row *list, size_t n, const slant_merge_report *r)
{
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%-40s", list[i].words);
        buf_printf(out, list[i].is_count ? "%.0f\n" : "%.3g\n", list[i].value);
    }
    if (r->worst_weight[0] != '\0')
        buf_printf(out, "%-40s%s\n", "the weight with the highest error", r->worst_weight);
}

static void put_json(buf *out, const report_row *list, size_t n, const slant_merge_report *r,
                     const char *path)
{
    buf_string(out, "{\"output\": ");
    buf_json_string(out, path, strlen(path));
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, ",\n \"%s\": ", list[i].key);
        put_number(out, &list[i]);
    }
    buf_string(out, ",\n \"worst_weight\": ");
    buf_json_string(out, r->worst_weight, strlen(r->worst_weight));
    buf_string(out, "}\n");
}

static slant_status print_report(const merge_args *args, const slant_merge_report *r,
                                 slant_error *err)
{
    const report_row list[] = {
        {"linear weights that the adapter changed", "n_merged", r->n_merged, true},
        {"relative error of rounding", "weight_error", r->weight_error, false},
        {"the same at its highest", "worst_weight_error", r->worst_weight_error, false},
        {"articles answered before and after", "n_articles", (double)r->n_articles, true},
        {"articles that could not be answered", "n_failed", (double)r->n_failed, true},
        {"articles with the same label", "n_same_label", (double)r->n_same_label, true},
        {"mean change of a logit", "mean_logit", r->mean_logit, false},
        {"largest change of a logit", "max_logit", r->max_logit, false},
        {"mean change of a probability", "mean_probability", r->mean_probability, false},
        {"largest change of a probability", "max_probability", r->max_probability, false},
    };
    size_t n = sizeof list / sizeof *list;
    bool to_table =
        args->format == FORMAT_TABLE || (args->format == FORMAT_DEFAULT && isatty(STDOUT_FILENO));
    buf out = {0};
    if (to_table)
        put_table(&out, list, n, r);
    else
        put_json(&out, list, n, r, args->output);
    slant_status status =
        out.failed ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
    if (status == SLANT_OK)
        fwrite(out.data, 1, out.size_bytes, stdout);
    buf_free(&out);
    return status;
}

static slant_status merge(const merge_args *args, slant_error *err)
{
    double started = progress_now();
    slant_merge_report report;
    slant_merge_options options = {
        .dtype = args->dtype == DTYPE_CHOICE_NF4 ? SLANT_DTYPE_NF4 : SLANT_DTYPE_BF16,
        .checkpoint = args->checkpoint,
        .labels = args->labels,
        .n_layers = args->layers,
        .n_threads = args->threads,
        .load_in_4bit = args->load_in_4bit,
        .compute = (slant_compute)args->compute,
        .articles = &args->articles,
        .n_articles = args->articles != NULL,
        .text_field = args->text_field,
        .title_field = args->title_field,
        .should_stop = interrupt_should_stop,
    };
    interrupt_watch();
    slant_status status = slant_merge(args->model, args->adapter, args->output, &options,
                                      args->quiet ? NULL : &report, err);
    if (status != SLANT_OK || args->quiet)
        return status;
    cli_say("%s written and compared in %.1f s", args->output, progress_now() - started);
    if (report.n_same_label < report.n_articles)
        cli_say("%" PRId64 " of %" PRId64 " articles get another label now%s",
                report.n_articles - report.n_same_label, report.n_articles,
                options.dtype == SLANT_DTYPE_NF4
                    ? ": what an adapter adds is small beside NF4's steps; --dtype bf16 keeps it"
                    : "");
    return print_report(args, &report, err);
}

static slant_status check(const merge_args *args, const option_operands *operands, slant_error *err)
{
    if (operands->n_items > 0)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "'%s': the base is named by --model, the adapter by --adapter",
                           operands->items[0]);
    if (args->output == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "-o OUT is needed");
    if (args->model != NULL && args->adapter == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "--adapter DIR is needed beside --model");
    return SLANT_OK;
}

int cmd_merge(int argc, char **argv)
{
    slant_error err;
    merge_args args = {0};
    option_operands operands;
    slant_status status = options_parse(&table, argc, argv, &args, &operands, &err);
    if (status == SLANT_OK && operands.want_help) {
        mem_free(operands.items);
        return options_print_help(&table);
    }
    if (status == SLANT_OK)
        status = check(&args, &operands, &err);
    int exit_status = status == SLANT_OK ? CLI_ANSWERED : cli_usage("merge", "%s", err.message);
    if (status == SLANT_OK && (status = merge(&args, &err)) != SLANT_OK) {
        cli_say("%s", err.message);
        exit_status = cli_exit_status(status, 0);
    }
    mem_free(operands.items);
    if (status == SLANT_ERR_CANCELLED)
        interrupt_end();
    return exit_status;
}
