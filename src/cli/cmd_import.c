/* slant import: a model turned into one memory-mapped .slant file. */
#include "cli/cli.h"
#include "cli/options.h"

#include "base/mem.h"
#include "base/progress.h"

#include <slant_model.h>

typedef struct import_args {
    const char *output, *labels;
    int layers, dtype, threads;
    bool load_in_4bit, quiet;
} import_args;

#define ARG(member) .offset = offsetof(import_args, member)

static const option_row rows[] = {
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "FILE",
     .help = "the .slant file to write, whole or not at all"},
    {OPTION_CHOICE, 0, "dtype", ARG(dtype), .choices = "auto|nf4|bf16|fp32",
     .help = "how the linear weights are held", .standard = "auto: as they are stored"},
    {OPTION_FLAG, 0, "load-in-4bit", ARG(load_in_4bit),
     .help = "the same as --dtype nf4: quantise as bitsandbytes does"},
    {OPTION_COUNT, 0, "layers", ARG(layers), .value = "N", .min = 1, .max = 1 << 20,
     .help = "keep the first N layers", .standard = "all"},
    {OPTION_TEXT, 0, "labels", ARG(labels), .value = "A,B,…",
     .help = "names for the labels, and their number", .standard = "the source's id2label"},
    {OPTION_COUNT, 0, "threads", ARG(threads), .value = "N", .min = 1, .max = 1024,
     .help = "how many threads quantise; the file does not depend on it", .standard = "all cores"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "say nothing but errors"},
};

static const option_table table = {
    .command = "import",
    .operands = "SOURCE -o FILE",
    .about =
        "Turns a Hugging Face directory, a bitsandbytes checkpoint, a GGUF or a hub name in a "
        "local cache into one .slant file, tokenizer and digest included, which opens at once. "
        "A .slant file is a valid safetensors file.",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static slant_status check(const import_args *args, const option_operands *operands,
                          slant_error *err)
{
    if (operands->n_items != 1)
        return status_fail(err, SLANT_ERR_ARGUMENT, "one source is needed, %zu were named",
                           operands->n_items);
    if (args->output == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "-o FILE is needed");
    if (args->load_in_4bit && args->dtype != SLANT_DTYPE_AUTO && args->dtype != SLANT_DTYPE_NF4)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--load-in-4bit means --dtype nf4, and another --dtype was given");
    return SLANT_OK;
}

static slant_status import(const import_args *args, const char *source, slant_error *err)
{
    double started = progress_now();
    slant_import_options options = {
        .dtype = args->load_in_4bit ? SLANT_DTYPE_NF4 : (slant_dtype)args->dtype,
        .n_layers = args->layers,
        .labels = args->labels,
        .n_threads = args->threads,
    };
    slant_status status = slant_import(source, args->output, &options, err);
    if (status == SLANT_OK && !args->quiet)
        cli_say("%s written in %.1f s; 'slant inspect %s' shows what it holds", args->output,
                progress_now() - started, args->output);
    return status;
}

int cmd_import(int argc, char **argv)
{
    slant_error err;
    import_args args = {0};
    option_operands operands;
    slant_status status = options_parse(&table, argc, argv, &args, &operands, &err);
    if (status == SLANT_OK && operands.want_help) {
        mem_free(operands.items);
        return options_print_help(&table);
    }
    if (status == SLANT_OK)
        status = check(&args, &operands, &err);
    int exit_status = status == SLANT_OK ? CLI_ANSWERED : cli_usage("import", "%s", err.message);
    if (status == SLANT_OK && (status = import(&args, operands.items[0], &err)) != SLANT_OK) {
        cli_say("%s", err.message);
        exit_status = cli_exit_status(status, 0);
    }
    mem_free(operands.items);
    return exit_status;
}
