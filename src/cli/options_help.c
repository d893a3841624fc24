/* The help of a command, laid out from its option table. */
#include "cli/cli.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

#define HELP_WIDTH 96
#define HELP_INDENT 34

/* Columns that UTF-8 text takes, each character being one. */
static size_t text_columns(const char *text, size_t text_bytes)
{
    size_t columns = 0;
    for (size_t i = 0; i < text_bytes; i++)
        columns += ((unsigned char)text[i] & 0xC0) != 0x80;
    return columns;
}

/* Words of text from column on, broken before HELP_WIDTH; later lines start at indent. */
static void append_wrapped(buf *out, const char *text, size_t column, size_t indent)
{
    bool first = true;
    while (*text != '\0') {
        size_t word_bytes = strcspn(text, " ");
        size_t columns = text_columns(text, word_bytes);
        if (!first && column + 1 + columns > HELP_WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_char(out, ' ');
            column++;
        }
        buf_append(out, text, word_bytes);
        column += columns;
        text += word_bytes + (text[word_bytes] == ' ');
        first = false;
    }
    buf_char(out, '\n');
}

static void append_row(buf *out, const option_row *row)
{
    size_t start = out->size_bytes;
    if (row->letter != 0)
        buf_printf(out, "  -%c, --%s", row->letter, row->name);
    else
        buf_printf(out, "      --%s", row->name);
    if (row->type == OPTION_CHOICE && row->value == NULL)
        buf_printf(out, " %s", row->choices + (row->choices[0] == '|'));
    else if (row->type != OPTION_FLAG)
        buf_printf(out, " %s", row->value);
    if (out->failed)
        return;
    size_t column = text_columns(out->data + start, out->size_bytes - start);
    if (column + 2 > HELP_INDENT) {
        buf_char(out, '\n');
        column = 0;
    }
    buf_printf(out, "%*s", (int)(HELP_INDENT - column), "");

    buf sentence = {0};
    buf_string(&sentence, row->help);
    if (row->standard != NULL)
        buf_printf(&sentence, " (default: %s)", row->standard);
    if (!sentence.failed)
        append_wrapped(out, sentence.data, HELP_INDENT, HELP_INDENT);
    out->failed |= sentence.failed;
    buf_free(&sentence);
}

void options_help(const option_table *table, buf *out)
{
    buf_printf(out, "Usage: slant %s [OPTION]...%s%s\n\n", table->command,
               table->operands[0] != '\0' ? " " : "", table->operands);
    append_wrapped(out, table->about, 0, 0);
    for (size_t i = 0; i < table->n_rows; i++) {
        if (table->rows[i].type == OPTION_HEADING)
            buf_printf(out, "\n%s\n", table->rows[i].help);
        else
            append_row(out, &table->rows[i]);
    }
    if (table->closing != NULL)
        buf_printf(out, "\n%s", table->closing);
}

int options_print_help(const option_table *table)
{
    buf out = {0};
    options_help(table, &out);
    if (!out.failed)
        fwrite(out.data, 1, out.size_bytes, stdout);
    int status = out.failed ? CLI_FAILED : CLI_ANSWERED;
    buf_free(&out);
    return status;
}
