/* slant inspect: what a model, an adapter or a checkpoint holds. The library describes it as JSON;
 * a person gets the same facts as a table, whatever they are. */
#include "cli/cli.h"
#include "cli/model_options.h"

#include "base/mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <slant_model.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT_DEFAULT, FORMAT_TABLE, FORMAT_JSON };

typedef struct inspect_args {
    model_options model;
    int layers, format;
    bool digest;
} inspect_args;

#define ARG(member) .offset = offsetof(inspect_args, member)

static const option_row rows[] = {
    MODEL_OPTION_ROWS(inspect_args, model),
    {OPTION_COUNT, 0, "layers", ARG(layers), .value = "N", .min = 1, .max = 1 << 20,
     .help = "keep the first N layers", .standard = "all"},
    OPTION_HEAD("Output"),
    {OPTION_FLAG, 0, "digest", ARG(digest),
     .help = "compute the base's digest where the file carries none; reads every tensor"},
    {OPTION_CHOICE, 'f', "format", ARG(format), .choices = "|table|json",
     .help = "how the facts are written", .standard = "table on a terminal, json elsewhere"},
};

static const option_table table = {
    .command = "inspect",
    .operands = "[MODEL|ADAPTER]",
    .about =
        "Shows what a model, an adapter, a checkpoint or a training output holds, and how it "
        "would run here; with no name, the embedded model.",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static void append_value(buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        for (size_t i = 0; i < json_string_length(value); i++)
            buf_char(out, (unsigned char)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i]);
    } else if (json_is_integer(value)) {
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        buf_printf(out, "%g", json_real_value(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            buf_string(out, i > 0 ? ", " : "");
            append_value(out, json_array_get(value, i));
        }
    } else {
        buf_string(out, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    }
}

/* "max_position_embeddings" as "max position embeddings". */
static void append_key(buf *out, const char *key, int indent, int width)
{
    buf_printf(out, "%*s", indent, "");
    for (const char *c = key; *c != '\0'; c++)
        buf_char(out, *c == '_' ? ' ' : *c);
    int missing = width - (int)strlen(key);
    buf_printf(out, "%*s", missing > 0 ? missing : 0, "");
}

static bool is_list_of_objects(const json_t *value)
{
    return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* Columns that the values of a key take in a list of objects. */
static int column_width(const json_t *list, const char *key)
{
    int width = (int)strlen(key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        buf cell = {0};
        append_value(&cell, json_object_get(json_array_get(list, i), key));
        width = (int)cell.size_bytes > width ? (int)cell.size_bytes : width;
        buf_free(&cell);
    }
    return width;
}

#define LIST_MAX_COLUMNS 16

/* A cell of a line that has more cells behind it is filled up with spaces. */
static void append_cell(buf *out, const json_t *value, int width, bool is_last)
{
    size_t start = out->size_bytes;
    append_value(out, value);
    int missing = width - (int)(out->size_bytes - start);
    if (!is_last)
        buf_printf(out, "%*s", missing, "");
}

/* Objects of the same keys, one a line: the first object's keys name the columns. */
static void append_list(buf *out, const json_t *list, int indent)
{
    const char *keys[LIST_MAX_COLUMNS], *key;
    int widths[LIST_MAX_COLUMNS], n_columns = 0;
    json_t *value;
    json_object_foreach(json_array_get(list, 0), key, value)
    {
        if (n_columns == LIST_MAX_COLUMNS)
            break;
        keys[n_columns] = key;
        widths[n_columns++] = column_width(list, key) + 2;
    }
    buf_printf(out, "%*s", indent, "");
    for (int column = 0; column < n_columns; column++)
        append_key(out, keys[column], 0, column + 1 < n_columns ? widths[column] : 0);
    buf_char(out, '\n');
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        buf_printf(out, "%*s", indent, "");
        for (int column = 0; column < n_columns; column++)
            append_cell(out, json_object_get(object, keys[column]), widths[column],
                        column + 1 == n_columns);
        buf_char(out, '\n');
    }
}

static int widest_key(const json_t *object)
{
    const char *key;
    json_t *value;
    int width = 0;
    json_object_foreach((json_t *)object, key, value)
    {
        if (!json_is_object(value) && !is_list_of_objects(value) && (int)strlen(key) > width)
            width = (int)strlen(key);
    }
    return width;
}

/* Scalars first, one a line in columns; then what is made of parts, each under its name. */
static void append_object(buf *out, const json_t *object, int indent)
{
    const char *key;
    json_t *value;
    int width = widest_key(object);
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_object(value) || is_list_of_objects(value))
            continue;
        append_key(out, key, indent, width + 2);
        append_value(out, value);
        buf_char(out, '\n');
    }
    json_object_foreach((json_t *)object, key, value)
    {
        if (!json_is_object(value) && !is_list_of_objects(value))
            continue;
        buf_char(out, '\n');
        append_key(out, key, indent, 0);
        buf_char(out, '\n');
        if (json_is_object(value))
            append_object(out, value, indent + 2);
        else
            append_list(out, value, indent + 2);
    }
}

static slant_status print_facts(const char *json, bool as_table, slant_error *err)
{
    if (!as_table) {
        printf("%s\n", json);
        return SLANT_OK;
    }
    json_t *facts = json_loads(json, 0, NULL);
    buf out = {0};
    append_object(&out, facts, 0);
    json_decref(facts);
    if (!out.failed)
        fwrite(out.data, 1, out.size_bytes, stdout);
    slant_status status =
        out.failed ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
    buf_free(&out);
    return status;
}

static slant_status inspect(const inspect_args *args, const char *path, slant_error *err)
{
    char *json = NULL;
    slant_dtype dtype;
    slant_status status = model_options_dtype(&args->model, &dtype, err);
    if (status != SLANT_OK)
        return status;
    slant_inspect_options options = {
        .adapter = args->model.adapter,
        .checkpoint = args->model.checkpoint,
        .dtype = dtype,
        .compute = (slant_compute)args->model.compute,
        .n_layers = args->layers,
        .n_threads = args->model.threads,
        .digest = args->digest,
    };
    status = slant_inspect(path, &options, &json, err);
    bool to_table =
        args->format == FORMAT_TABLE || (args->format == FORMAT_DEFAULT && isatty(STDOUT_FILENO));
    if (status == SLANT_OK)
        status = print_facts(json, to_table, err);
    slant_free(json);
    return status;
}

int cmd_inspect(int argc, char **argv)
{
    slant_error err;
    inspect_args args = {0};
    option_operands operands;
    slant_status status = options_parse(&table, argc, argv, &args, &operands, &err);
    if (status != SLANT_OK)
        return cli_usage("inspect", "%s", err.message);
    int exit_status;
    if (operands.want_help) {
        exit_status = options_print_help(&table);
    } else if (operands.n_items > 1 || (operands.n_items == 1 && args.model.model != NULL)) {
        exit_status = cli_usage("inspect", "one model is inspected at a time");
    } else {
        const char *path = operands.n_items == 1 ? operands.items[0] : args.model.model;
        status = inspect(&args, path, &err);
        if (status != SLANT_OK)
            cli_say("%s", err.message);
        exit_status = cli_exit_status(status, 0);
    }
    mem_free(operands.items);
    return exit_status;
}
