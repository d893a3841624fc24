#include "cli/classify.h"

#include "base/mem.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define ARG(member) .offset = offsetof(classify_args, member)
#define FORMAT_CHOICES "|table|json|jsonl|csv|map"

static const answer_format *const formats[] = {NULL,          &answer_table, &answer_json,
                                               &answer_jsonl, &answer_csv,   &answer_map};

static const option_row rows[] = {
    OPTION_HEAD("Input"),
    {OPTION_TEXT, 0, "text", ARG(text), .value = "STRING", .help = "the article itself"},
    INPUT_OPTION_ROWS(classify_args, articles),
    MODEL_OPTION_ROWS(classify_args, model),
    READING_OPTION_ROWS(classify_args, reading),
    OPTION_HEAD("Answer"),
    {OPTION_CHOICE, 'f', "format", ARG(format_index), .choices = FORMAT_CHOICES,
     .help = "how answers are written", .standard = "table on a terminal, json elsewhere"},
    {OPTION_COUNT, 0, "top-k", ARG(top_k), .value = "K", .min = 1, .max = 1 << 30,
     .help = "the K highest labels alone; 1 gives one flat list in json", .standard = "all"},
    {OPTION_NUMBER, 0, "abstain", ARG(abstain), .value = "P", .min = 0, .max = 1,
     .help = "answer UNSURE where the highest score is below P", .standard = "never"},
    {OPTION_CHOICE, 0, "function-to-apply", ARG(function), .choices = "|softmax|sigmoid|none",
     .help = "from logits to scores", .standard = "as the model's problem type asks"},
    {OPTION_FLAG, 0, "raw", ARG(raw), .help = "probabilities without the adapter's calibration"},
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "FILE",
     .help = "write there instead, whole or not at all", .standard = "standard output"},
    {OPTION_FLAG, 0, "resume", ARG(resume),
     .help = "write -o FILE batch by batch, with FILE.resume beside it, and go on where an earlier "
             "such run stopped"},
    {OPTION_FLAG, 'q', "quiet", ARG(quiet), .help = "no progress and no notes on standard error"},
    {OPTION_FLAG, 'v', "verbose", ARG(verbose), .help = "say which model runs how, and how fast"},
};

const option_table classify_table = {
    .command = "classify",
    .operands = "[FILE]...",
    .about =
        "Labels articles: text, HTML, JSON, JSONL, CSV or TSV, each also as .gz or .zst; \"-\" "
        "and no file at all mean standard input. A supplementary tool, not an arbiter.",
    .closing = "Exit status: 0 all answered, 1 failed, 2 wrong usage, 3 some articles failed.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static slant_status check(const classify_args *args, slant_error *err)
{
    if (args->text != NULL && args->n_files > 0)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--text is the article itself, and '%s' names another", args->files[0]);
    if (args->resume && (args->output == NULL || strcmp(args->output, "-") == 0))
        return status_fail(err, SLANT_ERR_ARGUMENT, "--resume needs -o FILE");
    if (args->abstain >= 0 && args->function == SLANT_FUNCTION_NONE)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--abstain takes a probability, and --function-to-apply none gives "
                           "logits");
    if (args->quiet && args->verbose)
        return status_fail(err, SLANT_ERR_ARGUMENT, "-q and -v exclude each other");
    return reading_options_check(&args->reading, err);
}

slant_status classify_parse(int argc, char **argv, classify_args *args, bool *want_help,
                            slant_error *err)
{
    option_operands operands;
    *args = (classify_args){.abstain = -1};
    slant_status status = options_parse(&classify_table, argc, argv, args, &operands, err);
    if (status != SLANT_OK)
        return status;
    *want_help = operands.want_help;
    args->files = operands.items;
    args->n_files = operands.n_items;
    bool to_terminal = args->output == NULL && isatty(STDOUT_FILENO);
    args->format = args->format_index > 0 ? formats[args->format_index]
                   : to_terminal          ? &answer_table
                                          : &answer_json;
    status = *want_help ? SLANT_OK : check(args, err);
    if (status != SLANT_OK) {
        mem_free(args->files);
        args->files = NULL;
    }
    return status;
}

static void set(json_t *settings, const char *name, const char *value)
{
    json_object_set_new(settings, name, json_string(value == NULL ? "not given" : value));
}

static void set_count(json_t *settings, const char *name, int64_t value)
{
    json_object_set_new(settings, name, json_sprintf("%" PRId64, value));
}

json_t *classify_settings(const classify_args *args, const slant_engine *engine, const float *probe)
{
    const slant_engine_info *info = slant_engine_get_info(engine);
    json_t *settings = json_object();
    buf scores = {0}, labels = {0}, abstain = {0};
    for (int label = 0; label < info->n_labels; label++) {
        buf_printf(&labels, "%s%s", label > 0 ? "," : "", slant_engine_label(engine, label));
        buf_printf(&scores, "%s%a", label > 0 ? " " : "", (double)probe[label]);
    }
    buf_printf(&abstain, "%g", args->abstain);
    int truncation =
        args->reading.truncation != 0 ? args->reading.truncation : (int)info->truncation;
    set(settings, "version of slant", SLANT_VERSION);
    set(settings, "--format", args->format->name);
    set(settings, "instruction set", info->isa);
    set_count(settings, "--compute", (int64_t)info->compute);
    set(settings, "labels", labels.data);
    set_count(settings, "--max-length",
              args->reading.max_length > 0 ? args->reading.max_length : info->max_length);
    set_count(settings, "--truncation", truncation);
    set_count(settings, "--stride", args->reading.stride);
    set_count(settings, "--top-k", args->top_k);
    set(settings, "--abstain", abstain.data);
    set_count(settings, "--lossy", args->articles.lossy);
    set(settings, "model, by its scores of a test sentence", scores.data);
    bool failed = scores.failed || labels.failed || abstain.failed;
    buf_free(&scores);
    buf_free(&labels);
    buf_free(&abstain);
    if (failed) {
        json_decref(settings);
        return NULL;
    }
    return settings;
}
