/* slant bench: how fast this machine is, and how much of it slant uses. */
#include "cli/bench_table.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/progress.h"

#include <slant_bench.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT_DEFAULT, FORMAT_TABLE, FORMAT_JSON };

typedef struct bench_args {
    const char *model, *adapter, *checkpoint, *computes, *lengths, *output;
    int dtype, threads, format;
    double seconds;
    bool machine, quiet;
} bench_args;

#define ARG(member) .offset = offsetof(bench_args, member)

static const option_row rows[] = {
    OPTION_HEAD("Model"),
    {OPTION_TEXT, 0, "model", ARG(model), .value = "MODEL",
     .help = "a Hugging Face directory, a .gguf, a .slant, or a hub name in a local cache",
     .standard = "the embedded model, or SLANT_MODEL"},
    {OPTION_TEXT, 0, "adapter", ARG(adapter), .value = "DIR",
     .help = "a PEFT adapter, a Trainer checkpoint or a training output directory"},
    {OPTION_TEXT, 0, "checkpoint", ARG(checkpoint), .value = "last|best|N",
     .help = "which checkpoint under the adapter's directory",
     .standard = "the directory's own adapter"},
    {OPTION_CHOICE, 0, "dtype", ARG(dtype), .choices = "auto|nf4|bf16|fp32",
     .help = "how the linear weights are held", .standard = "auto: as they are stored"},
    OPTION_HEAD("Measurement"),
    {OPTION_TEXT, 0, "compute", ARG(computes), .value = "LIST",
     .help = "how products are computed: int8, int16, bf16, fp32, auto, several with commas",
     .standard = "auto"},
    {OPTION_TEXT, 0, "lengths", ARG(lengths), .value = "LIST",
     .help = "tokens of the articles, with commas; 'short' stands for 64 texts of 20 to 60",
     .standard = "short,128,512,1024,4096,8192, as far as the model goes"},
    {OPTION_COUNT, 0, "threads", ARG(threads), .value = "N", .min = 1, .max = 1024,
     .help = "how many threads work; fewer are measured beside them", .standard = "all cores"},
    {OPTION_NUMBER, 0, "seconds", ARG(seconds), .value = "S", .min = 1, .max = 86400,
     .help = "what the model's part may take, about; what does not fit is left out",
     .standard = "30"},
    {OPTION_FLAG, 0, "machine", ARG(machine), .help = "the machine's peaks alone, without a model"},
    OPTION_HEAD("Output"),
    {OPTION_CHOICE, 'f', "format", ARG(format), .choices = "|table|json",
     .help = "how the figures are written", .standard = "table on a terminal, json elsewhere"},
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "FILE",
     .help = "write there instead, whole or not at all"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "say nothing but errors"},
};

static const option_table table = {
    .command = "bench",
    .operands = "",
    .about =
        "Measures this machine: the instruction sets that it has and their peaks, and the model on "
        "articles of random ids: tokens per second, the share of the peak, memory, threads. Other "
        "work on the machine makes it slower; run it on a quiet one.",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static void report(void *context, const char *what, double share)
{
    const progress_style *style = context;
    if (*style == PROGRESS_BAR)
        fprintf(stderr, "\r%3.0f %%  %s\033[K", 100 * share, what);
    else if (*style == PROGRESS_LINES)
        cli_say("%3.0f %%  %s", 100 * share, what);
}

static slant_status measure(const bench_args *args, char **json, slant_error *err)
{
    progress_style style = progress_style_for_stderr(args->quiet);
    slant_bench_options options = {.adapter = args->adapter,
                                   .checkpoint = args->checkpoint,
                                   .dtype = (slant_dtype)args->dtype,
                                   .computes = args->computes,
                                   .lengths = args->lengths,
                                   .n_threads = args->threads,
                                   .seconds = args->seconds,
                                   .machine_only = args->machine,
                                   .report = report,
                                   .should_stop = interrupt_should_stop,
                                   .context = &style};
    slant_status status = slant_bench(args->model, &options, json, err);
    if (style == PROGRESS_BAR)
        fputs("\r\033[K", stderr);
    return status;
}

static void append_figures(buf *out, const char *json, bool as_table)
{
    json_t *document = as_table ? json_loads(json, 0, NULL) : NULL;
    if (as_table && document == NULL)
        out->failed = true;
    else if (as_table)
        bench_table_append(out, document);
    else
        buf_printf(out, "%s\n", json);
    json_decref(document);
}

static slant_status bench(const bench_args *args, output *target, slant_error *err)
{
    char *json = NULL;
    buf figures = {0};
    bool to_terminal = args->output == NULL && isatty(STDOUT_FILENO);
    bool as_table = args->format == FORMAT_TABLE || (args->format == FORMAT_DEFAULT && to_terminal);
    slant_status status = output_open(target, args->output, false, NULL, err);
    if (status == SLANT_OK)
        status = measure(args, &json, err);
    if (status == SLANT_OK)
        append_figures(&figures, json, as_table);
    if (status == SLANT_OK && figures.failed)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (status == SLANT_OK)
        status = output_write(target, &figures, err);
    if (status == SLANT_OK)
        status = output_commit(target, err);
    buf_free(&figures);
    slant_free(json);
    return status;
}

int cmd_bench(int argc, char **argv)
{
    slant_error err;
    bench_args args = {0};
    option_operands operands;
    if (options_parse(&table, argc, argv, &args, &operands, &err) != SLANT_OK)
        return cli_usage("bench", "%s", err.message);
    bool has_operands = operands.n_items > 0;
    mem_free(operands.items);
    if (operands.want_help)
        return options_print_help(&table);
    if (has_operands)
        return cli_usage("bench", "it takes no file; --model names a model");
    output target = {.fd = -1, .journal.fd = -1};
    interrupt_watch();
    slant_status status = bench(&args, &target, &err);
    if (status == SLANT_ERR_CANCELLED)
        interrupt_end();
    if (status != SLANT_OK)
        cli_say("%s", err.message);
    output_close(&target);
    return cli_exit_status(status, 0);
}
