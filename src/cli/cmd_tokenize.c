/* slant tokenize: the token ids of articles, as the model gets them. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/inputs.h"
#include "cli/output.h"

#include "base/mem.h"

#include <inttypes.h>
#include <slant_data.h>
#include <slant_tokenize.h>
#include <string.h>
#include <unistd.h>

#define WRITE_BYTES ((size_t)1 << 17) /* gathered before they are written */

enum { FORMAT_TABLE, FORMAT_IDS, FORMAT_JSONL };

typedef struct tokenize_args {
    const char *model, *text, *text_field, *id_field, *output;
    const char **files;
    size_t n_files;
    int input, format;
    bool recursive, lossy;
} tokenize_args;

#define ARG(member) .offset = offsetof(tokenize_args, member)

static const option_row rows[] = {
    {OPTION_TEXT, 0, "model", ARG(model), .value = "MODEL",
     .help = "a model, or a folder or a tokenizer.json alone",
     .standard = "the embedded model, or SLANT_MODEL"},
    {OPTION_TEXT, 0, "text", ARG(text), .value = "STRING", .help = "the article itself"},
    {OPTION_FLAG, 'r', "recursive", ARG(recursive),
     .help = "read folders: every file below them, in name order"},
    {OPTION_CHOICE, 0, "input", ARG(input), .choices = "auto|text|html|json|jsonl|csv|tsv",
     .help = "what the files are", .standard = "auto: by their names, else by their bytes"},
    {OPTION_TEXT, 0, "text-field", ARG(text_field), .value = "NAME",
     .help = "the field that holds the article",
     .standard = "text, else content, content_original, body, article"},
    {OPTION_TEXT, 0, "id-field", ARG(id_field), .value = "NAME",
     .help = "the field that holds the id", .standard = "id, ID, _id, else FILE:ROW"},
    {OPTION_FLAG, 0, "lossy", ARG(lossy),
     .help = "bytes that are not UTF-8 become U+FFFD instead of an error"},
    {OPTION_CHOICE, 'f', "format", ARG(format), .choices = "table|ids|jsonl",
     .help = "ids: one JSON array a line for each article; jsonl: ids, pieces and byte offsets; "
             "table: the same for a person",
     .standard = "table"},
    {OPTION_TEXT, 'o', "output", ARG(output), .value = "FILE",
     .help = "write there instead, whole or not at all", .standard = "standard output"},
};

static const option_table table = {
    .command = "tokenize",
    .operands = "[FILE]...",
    .about =
        "Prints the token ids of articles as the model gets them, special tokens included. "
        "Files are read as classify reads them.",
    .closing = "Exit status: 0 all done, 1 failed, 2 wrong usage, 3 some articles failed.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

typedef struct tokenize_run {
    const tokenize_args *args;
    slant_tokenizer *tokenizer;
    slant_reader *reader;
    output out;
    buf rows;
    int64_t n_failed;
} tokenize_run;

static void append_piece(tokenize_run *run, int32_t id)
{
    size_t piece_bytes;
    const char *piece = slant_tokenizer_piece(run->tokenizer, id, &piece_bytes);
    if (piece == NULL)
        buf_string(&run->rows, "null");
    else
        buf_json_string(&run->rows, piece, piece_bytes);
}

/* "{"id": …, "ids": […], "pieces": […], "offsets": [[start, end], …]}" */
static void append_jsonl(tokenize_run *run, const slant_record *record, const slant_tokens *tokens)
{
    buf *out = &run->rows;
    buf_printf(out, "{\"id\": %s, \"ids\": [", record->id_json);
    for (size_t i = 0; i < tokens->n_ids; i++)
        buf_printf(out, "%s%" PRId32, i > 0 ? ", " : "", tokens->ids[i]);
    buf_string(out, "], \"pieces\": [");
    for (size_t i = 0; i < tokens->n_ids; i++) {
        buf_string(out, i > 0 ? ", " : "");
        append_piece(run, tokens->ids[i]);
    }
    buf_string(out, "], \"offsets\": [");
    for (size_t i = 0; i < tokens->n_ids; i++)
        buf_printf(out, "%s[%zu, %zu]", i > 0 ? ", " : "", tokens->spans[i].start,
                   tokens->spans[i].end);
    buf_string(out, "]}\n");
}

static void append_table(tokenize_run *run, const slant_record *record, const slant_tokens *tokens)
{
    buf *out = &run->rows;
    buf_printf(out, "%s: %zu tokens\n%9s %9s %9s  %s\n", record->id_json, tokens->n_ids, "id",
               "start", "end", "piece");
    for (size_t i = 0; i < tokens->n_ids; i++) {
        buf_printf(out, "%9" PRId32 " %9zu %9zu  ", tokens->ids[i], tokens->spans[i].start,
                   tokens->spans[i].end);
        append_piece(run, tokens->ids[i]);
        buf_char(out, '\n');
    }
    buf_char(out, '\n');
}

/* An article that has no ids keeps its place: "[]", or its error. */
static void append_failure(tokenize_run *run, const slant_record *record, const char *why)
{
    run->n_failed++;
    cli_say("%s", why);
    if (run->args->format == FORMAT_IDS) {
        buf_string(&run->rows, "[]\n");
    } else if (run->args->format == FORMAT_JSONL) {
        buf_printf(&run->rows, "{\"id\": %s, \"error\": ", record->id_json);
        buf_json_string(&run->rows, why, strlen(why));
        buf_string(&run->rows, "}\n");
    }
}

static slant_status append_tokens(tokenize_run *run, const slant_record *record, slant_error *err)
{
    slant_tokens tokens;
    slant_status status;
    if (run->args->format == FORMAT_IDS) {
        const char *json;
        size_t json_bytes;
        status = slant_tokenize_json(run->tokenizer, record->text, record->text_bytes, &json,
                                     &json_bytes, err);
        if (status == SLANT_OK) {
            buf_append(&run->rows, json, json_bytes);
            buf_char(&run->rows, '\n');
        }
        return status;
    }
    status = slant_tokenize(run->tokenizer, record->text, record->text_bytes, &tokens, err);
    if (status == SLANT_OK && run->args->format == FORMAT_JSONL)
        append_jsonl(run, record, &tokens);
    else if (status == SLANT_OK)
        append_table(run, record, &tokens);
    return status;
}

/* A bad article costs its own line alone. */
static slant_status tokenize_record(tokenize_run *run, const slant_record *record, slant_error *err)
{
    if (record->status != SLANT_OK) {
        append_failure(run, record, record->message);
        return SLANT_OK;
    }
    slant_status status = append_tokens(run, record, err);
    if (status != SLANT_ERR_TEXT)
        return status;
    status_context(err, status, "%s: row %" PRId64, record->file, record->row);
    append_failure(run, record, err->message);
    return SLANT_OK;
}

static slant_status flush_rows(tokenize_run *run, slant_error *err)
{
    slant_status status = output_write(&run->out, &run->rows, err);
    buf_clear(&run->rows);
    return status;
}

static slant_status tokenize_files(tokenize_run *run, slant_error *err)
{
    const tokenize_args *args = run->args;
    slant_reader_options options = {.input = (slant_input)args->input,
                                    .text_field = args->text_field,
                                    .id_field = args->id_field,
                                    .recursive = args->recursive,
                                    .lossy = args->lossy};
    size_t n_files = args->n_files;
    const char *const *files = inputs_or_standard(args->files, &n_files);
    slant_status status = slant_reader_open(files, n_files, &options, &run->reader, err);
    while (status == SLANT_OK) {
        slant_record record = {0};
        status = slant_reader_next(run->reader, &record, err);
        if (status != SLANT_OK || record.end)
            break;
        status = tokenize_record(run, &record, err);
        if (status == SLANT_OK && run->rows.size_bytes >= WRITE_BYTES)
            status = flush_rows(run, err);
    }
    return status;
}

static slant_status tokenize_text(tokenize_run *run, slant_error *err)
{
    slant_record record = {.text = run->args->text,
                           .text_bytes = strlen(run->args->text),
                           .id_json = "\"text:1\"",
                           .file = "text",
                           .row = 1};
    return tokenize_record(run, &record, err);
}

static slant_status tokenize_all(tokenize_run *run, slant_error *err)
{
    const tokenize_args *args = run->args;
    slant_tokenizer_options options = {.lossy = args->lossy};
    if (args->text != NULL && args->n_files > 0)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--text is the article itself, and '%s' names another", args->files[0]);
    slant_status status =
        inputs_check(args->files, args->n_files, args->recursive, args->output, err);
    if (status == SLANT_OK)
        status = slant_tokenizer_open(args->model, &options, &run->tokenizer, err);
    if (status == SLANT_OK)
        status = output_open(&run->out, args->output, false, NULL, err);
    if (status == SLANT_OK)
        status = args->text != NULL ? tokenize_text(run, err) : tokenize_files(run, err);
    if (status == SLANT_OK)
        status = flush_rows(run, err);
    return status == SLANT_OK ? output_commit(&run->out, err) : status;
}

int cmd_tokenize(int argc, char **argv)
{
    slant_error err;
    tokenize_args args = {0};
    option_operands operands;
    if (options_parse(&table, argc, argv, &args, &operands, &err) != SLANT_OK)
        return cli_usage("tokenize", "%s", err.message);
    if (operands.want_help) {
        mem_free(operands.items);
        return options_print_help(&table);
    }
    args.files = operands.items;
    args.n_files = operands.n_items;
    tokenize_run run = {.args = &args, .out = {.fd = -1, .journal.fd = -1}};
    slant_status status = tokenize_all(&run, &err);
    if (status != SLANT_OK)
        cli_say("%s", err.message);
    output_close(&run.out);
    slant_reader_close(run.reader);
    slant_tokenizer_close(run.tokenizer);
    buf_free(&run.rows);
    mem_free(operands.items);
    return cli_exit_status(status, run.n_failed);
}
