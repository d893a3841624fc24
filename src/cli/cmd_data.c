/* slant data: labelled files into other files: split at random, selected by a list. */
#include "cli/cli.h"
#include "cli/data_counts.h"
#include "cli/inputs.h"
#include "cli/interrupt.h"
#include "cli/options.h"

#include "base/mem.h"
#include "base/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMED_AT_MOST 5
#define MAX_PARTS 64

enum { FORMAT_BY_PLACE, FORMAT_TABLE, FORMAT_JSON };

typedef struct data_args {
    const char **files;
    size_t n_files;
    int input; /* slant_input */
    bool recursive;
    const char *text_field, *id_field, *label_field, *output;
    bool skip_bad_rows, quiet;
    /* split */
    const char *ratios, *names;
    int seed, format;
    double fraction;
    bool ignore_labels;
    /* select */
    const char *ids;
    bool skip_missing, first_of_doubles;
} data_args;

#define ARG(member) .offset = offsetof(data_args, member)

#define DATA_INPUT_ROWS                                                                            \
    {.type = OPTION_FLAG,                                                                          \
     .letter = 'r',                                                                                \
     .name = "recursive",                                                                          \
     ARG(recursive),                                                                               \
     .help = "read folders: every file below them, in name order"},                                \
        {.type = OPTION_CHOICE,                                                                    \
         .name = "input",                                                                          \
         ARG(input),                                                                               \
         .choices = "auto|text|html|json|jsonl|csv|tsv",                                           \
         .help = "what the files are",                                                             \
         .standard = "auto: by their names, else by their bytes"},                                 \
        {.type = OPTION_TEXT,                                                                      \
         .name = "text-field",                                                                     \
         ARG(text_field),                                                                          \
         .value = "NAME",                                                                          \
         .help = "the field that holds the article",                                               \
         .standard = "text, else content, content_original, body, article"},                       \
        {.type = OPTION_TEXT,                                                                      \
         .name = "id-field",                                                                       \
         ARG(id_field),                                                                            \
         .value = "NAME",                                                                          \
         .help = "the field that holds the id",                                                    \
         .standard = "id, ID, _id, else FILE:ROW"}

static const option_row split_rows[] = {
    DATA_INPUT_ROWS,
    {OPTION_TEXT, 0, "label-field", ARG(label_field), .value = "NAME",
     .help = "the field that holds the label", .standard = "label"},
    {OPTION_FLAG, 0, "ignore-labels", ARG(ignore_labels),
     .help = "rows need no label, and parts may differ in labels"},
    {OPTION_FLAG, 0, "skip-bad-rows", ARG(skip_bad_rows),
     .help = "leave out rows that cannot be used, and count them, instead of refusing the file"},
    {OPTION_TEXT, 0, "ratios", ARG(ratios), .value = "A,B,…", .help = "how large the parts are",
     .standard = "64,16,20"},
    {OPTION_TEXT, 0, "names", ARG(names), .value = "A,B,…",
     .help = "what the parts are called; each becomes NAME.jsonl", .standard = "train,eval,test"},
    {OPTION_NUMBER, 0, "fraction", ARG(fraction), .value = "F", .min = 1e-9, .max = 1,
     .help = "how much of every part is written: a part of the same part", .standard = "1: all"},
    {OPTION_COUNT, 0, "seed", ARG(seed), .value = "N", .max = 2147483647.0,
     .help = "the same rows and seed give the same parts", .standard = "42"},
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "DIR",
     .help = "the folder to write into, each file whole or not at all"},
    {OPTION_CHOICE, 'f', "format", ARG(format), .choices = "|table|json",
     .help = "how the counts of labels and parts are told",
     .standard = "table on a terminal, json elsewhere"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "no progress and no notes on standard error"},
};

static const option_table split_table = {
    .command = "data split",
    .operands = "[FILE]... -o DIR",
    .about =
        "Divides labelled rows at random into files: the sizes of the parts first, then every "
        "label's rows by largest remainder, so that all parts have the labels in the same "
        "proportion. A row of a JSONL is written byte for byte, rows of other files become JSON. "
        "Files are read as classify reads them.",
    .closing = "Exit status: 0 all done, 1 failed, 2 wrong usage, 3 some rows were left out.\n",
    .rows = split_rows,
    .n_rows = sizeof split_rows / sizeof *split_rows,
};

static const option_row select_rows[] = {
    DATA_INPUT_ROWS,
    {OPTION_TEXT, 0, "ids", ARG(ids), .value = "LIST",
     .help = "the ids to take: a TSV or CSV whose first row names its columns, id, ID, _id or the "
             "one of --id-field among them"},
    {OPTION_FLAG, 0, "skip-missing", ARG(skip_missing),
     .help = "leave out ids that no row has, and count them, instead of refusing the list"},
    {OPTION_FLAG, 0, "first-of-doubles", ARG(first_of_doubles),
     .help = "where the list or the rows hold an id twice, take the first, instead of refusing"},
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "FILE",
     .help = "the file to write, whole or not at all"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "no progress and no notes on standard error"},
};

static const option_table select_table = {
    .command = "data select",
    .operands = "[FILE]... --ids LIST -o FILE",
    .about =
        "Writes the rows whose ids stand in a list, in the list's order: published splits are "
        "such lists. A row of a JSONL is written byte for byte, rows of other files become JSON.",
    .closing = "Exit status: 0 all done, 1 failed, 2 wrong usage, 3 something was left out.\n",
    .rows = select_rows,
    .n_rows = sizeof select_rows / sizeof *select_rows,
};

static void told(void *context, int64_t n_rows, double share)
{
    progress_update(context, n_rows, share);
}

static slant_reader_options reader_options(const data_args *args)
{
    return (slant_reader_options){.input = (slant_input)args->input,
                                  .text_field = args->text_field,
                                  .id_field = args->id_field,
                                  .label_field = args->label_field,
                                  .recursive = args->recursive};
}

/* Names each, as far as a person wants to read them; gives how many there are. */
static int64_t tell_left_out(const slant_left_out *left_out, const char *what)
{
    for (size_t i = 0; i < left_out->n_named && i < NAMED_AT_MOST; i++)
        cli_say("%s", left_out->named[i]);
    if (left_out->n > 0)
        cli_say("%s: %" PRId64, what, left_out->n);
    return left_out->n;
}

/* "A,B,C" into items [at most MAX_PARTS], which point into a copy that memory owns. */
static slant_status list_of(const char *text, const char *option, arena *memory, const char **items,
                            size_t *n_items, slant_error *err)
{
    char *copy = arena_strdup(memory, text);
    *n_items = 0;
    if (copy == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    for (char *at = copy; at != NULL;) {
        char *item = at;
        at = strchr(at, ',');
        if (at != NULL)
            *at++ = '\0';
        if (*n_items == MAX_PARTS)
            return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes %d parts at most", option,
                               MAX_PARTS);
        items[(*n_items)++] = item;
    }
    return SLANT_OK;
}

static slant_status parse_ratios(char const *const *items, size_t n, double *ratios,
                                 slant_error *err)
{
    for (size_t i = 0; i < n; i++) {
        char *end;
        ratios[i] = strtod(items[i], &end);
        if (end == items[i] || *end != '\0')
            return status_fail(err, SLANT_ERR_ARGUMENT,
                               "--ratios takes numbers with commas between them, not '%s'",
                               items[i]);
    }
    return SLANT_OK;
}

/* What --ratios and --names come to. */
typedef struct asked_parts {
    double ratios[MAX_PARTS];
    const char *words[MAX_PARTS], *names[MAX_PARTS];
    size_t n_ratios, n_names;
    arena memory;
} asked_parts;

static slant_status parse_parts(const data_args *args, asked_parts *p, slant_split_options *options,
                                slant_error *err)
{
    slant_status status = SLANT_OK;
    if (args->ratios != NULL) {
        status = list_of(args->ratios, "ratios", &p->memory, p->words, &p->n_ratios, err);
        if (status == SLANT_OK)
            status = parse_ratios(p->words, p->n_ratios, p->ratios, err);
        options->ratios = p->ratios;
        options->n_parts = p->n_ratios;
    }
    if (status == SLANT_OK && args->names != NULL) {
        status = list_of(args->names, "names", &p->memory, p->names, &p->n_names, err);
        options->names = p->names;
        options->n_parts = p->n_names;
    }
    if (status == SLANT_OK && args->ratios != NULL && args->names != NULL &&
        p->n_ratios != p->n_names)
        status = status_fail(err, SLANT_ERR_ARGUMENT, "%zu ratios do not go with %zu names",
                             p->n_ratios, p->n_names);
    return status;
}

/* No part may be written over a file that is read. */
static slant_status check_targets(const data_args *args, const asked_parts *p, slant_error *err)
{
    static const char *const usual[] = {"train", "eval", "test"};
    const char *const *names = args->names != NULL ? p->names : usual;
    size_t n = args->names != NULL ? p->n_names : 3;
    slant_status status = inputs_check(args->files, args->n_files, args->recursive, NULL, err);
    for (size_t i = 0; status == SLANT_OK && i < n; i++) {
        buf path = {0};
        buf_printf(&path, "%s/%s.jsonl", args->output, names[i]);
        status = path.failed
                     ? status_fail(err, SLANT_ERR_MEMORY, "out of memory")
                     : inputs_check(args->files, args->n_files, args->recursive, path.data, err);
        buf_free(&path);
    }
    return status;
}

static void print_counts(const data_args *args, const slant_split *split)
{
    buf text = {0};
    if (args->format == FORMAT_TABLE || (args->format == FORMAT_BY_PLACE && isatty(STDOUT_FILENO)))
        data_counts_table(split, &text);
    else
        data_counts_json(split, &text);
    if (!text.failed)
        fwrite(text.data, 1, text.size_bytes, stdout);
    buf_free(&text);
}

static slant_status split(const data_args *args, int64_t *n_left_out, slant_error *err)
{
    progress bar;
    asked_parts parts = {0};
    slant_split *result = NULL;
    slant_split_options options = {
        .reader = reader_options(args),
        .fraction = args->fraction,
        .seed = (uint64_t)args->seed,
        .ignore_labels = args->ignore_labels,
        .skip_bad_rows = args->skip_bad_rows,
        .watch = {told, interrupt_should_stop, &bar},
    };
    progress_start(&bar, progress_style_for_stderr(args->quiet), "rows");
    slant_status status = parse_parts(args, &parts, &options, err);
    if (status == SLANT_OK)
        status = check_targets(args, &parts, err);
    size_t n_files = args->n_files;
    const char *const *files = inputs_or_standard(args->files, &n_files);
    if (status == SLANT_OK)
        status = slant_data_split(files, n_files, args->output, &options, &result, err);
    progress_hide(&bar);
    if (status == SLANT_OK) {
        print_counts(args, result);
        *n_left_out = tell_left_out(&result->bad, "rows left out");
    }
    slant_split_close(result);
    arena_free(&parts.memory);
    return status;
}

static slant_status select_by_list(const data_args *args, int64_t *n_left_out, slant_error *err)
{
    progress bar;
    slant_selection *result = NULL;
    slant_select_options options = {
        .reader = reader_options(args),
        .skip_missing = args->skip_missing,
        .first_of_doubles = args->first_of_doubles,
        .watch = {told, interrupt_should_stop, &bar},
    };
    slant_status status =
        inputs_check(args->files, args->n_files, args->recursive, args->output, err);
    if (status == SLANT_OK)
        status = inputs_check(&args->ids, 1, false, args->output, err);
    progress_start(&bar, progress_style_for_stderr(args->quiet), "rows");
    size_t n_files = args->n_files;
    const char *const *files = inputs_or_standard(args->files, &n_files);
    if (status == SLANT_OK)
        status = slant_data_select(files, n_files, args->ids, args->output, &options, &result, err);
    progress_hide(&bar);
    if (status == SLANT_OK) {
        *n_left_out = tell_left_out(&result->missing, "missing ids");
        *n_left_out += tell_left_out(&result->doubles, "doubled ids");
        tell_left_out(&result->bad, "rows that could not be read");
        if (!args->quiet)
            cli_say("%s: %" PRId64 " of %" PRId64 " rows, in the order of %s", args->output,
                    result->n_written, result->n_rows, args->ids);
    }
    slant_selection_close(result);
    return status;
}

typedef struct data_command {
    const char *name;
    const option_table *table;
    slant_status (*run)(const data_args *args, int64_t *n_left_out, slant_error *err);
} data_command;

static const data_command commands[] = {
    {"split", &split_table, split},
    {"select", &select_table, select_by_list},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static slant_status check(const data_command *chosen, const data_args *args, slant_error *err)
{
    if (args->output == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "-o says where to write, and is needed");
    if (chosen->run == select_by_list && args->ids == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "--ids names the list, and is needed");
    if (args->ignore_labels && args->label_field != NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--ignore-labels and --label-field exclude each other");
    return SLANT_OK;
}

static int run_command(const data_command *chosen, int argc, char **argv)
{
    slant_error err;
    option_operands operands;
    int64_t n_left_out = 0;
    data_args args = {.seed = 42};
    slant_status status = options_parse(chosen->table, argc, argv, &args, &operands, &err);
    if (status == SLANT_OK && operands.want_help) {
        mem_free(operands.items);
        return options_print_help(chosen->table);
    }
    args.files = operands.items;
    args.n_files = operands.n_items;
    if (status == SLANT_OK)
        status = check(chosen, &args, &err);
    if (status != SLANT_OK) {
        mem_free(operands.items);
        return cli_usage(chosen->table->command, "%s", err.message);
    }
    interrupt_watch();
    status = chosen->run(&args, &n_left_out, &err);
    if (status != SLANT_OK)
        cli_say("%s", err.message);
    mem_free(operands.items);
    if (status == SLANT_ERR_CANCELLED)
        interrupt_end();
    return cli_exit_status(status, n_left_out);
}

static int print_help(void)
{
    fputs(
        "Usage: slant data split [OPTION]... [FILE]... -o DIR\n"
        "       slant data select [OPTION]... [FILE]... --ids LIST -o FILE\n\n"
        "split divides labelled rows at random into files; select writes the rows that a list of "
        "ids\nasks for. 'slant data split --help' and 'slant data select --help' list the "
        "options.\n",
        stdout);
    return CLI_ANSWERED;
}

int cmd_data(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return run_command(&commands[i], argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help();
    if (name[0] == '\0')
        return cli_usage("data", "expected split or select");
    return cli_usage("data", "expected split or select, found '%s'", name);
}
