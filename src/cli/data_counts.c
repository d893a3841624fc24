#include "cli/data_counts.h"

#include "base/progress.h"
#include "cli/answer.h"
#include "cli/foundation.h"

#include <inttypes.h>
#include <string.h>

#define CELL_COLUMNS 12

static void text_cell(buf *out, const char *text, bool first)
{
    int columns = 0;
    for (const char *at = text; *at != '\0'; at++)
        columns += ((unsigned char)*at & 0xC0) != 0x80;
    int padding = columns < CELL_COLUMNS ? CELL_COLUMNS - columns : first ? 0 : 1;
    if (!first)
        buf_printf(out, "%*s", padding, "");
    foundation_plain(out, text, strlen(text));
    if (first)
        buf_printf(out, "%*s", padding, "");
}

static void count_cell(buf *out, int64_t value)
{
    buf words = {0};
    progress_count(&words, value);
    if (!words.failed)
        text_cell(out, words.data, false);
    out->failed |= words.failed;
    buf_free(&words);
}

static void label_row(const slant_split *split, size_t label, buf *out)
{
    buf name = {0};
    int64_t total = 0;
    answer_id_text(split->labels[label], &name);
    text_cell(out, name.size_bytes > 0 ? name.data : "", true);
    for (size_t part = 0; part < split->n_parts; part++) {
        count_cell(out, split->parts[part].label_rows[label]);
        total += split->parts[part].label_rows[label];
    }
    count_cell(out, total);
    buf_char(out, '\n');
    out->failed |= name.failed;
    buf_free(&name);
}

void data_counts_table(const slant_split *split, buf *out)
{
    int64_t total = 0;
    text_cell(out, "label", true);
    for (size_t part = 0; part < split->n_parts; part++)
        text_cell(out, split->parts[part].name, false);
    text_cell(out, "all", false);
    buf_char(out, '\n');
    bool has_labels = split->n_labels > 1 || split->labels[0][0] != '\0';
    for (size_t label = 0; has_labels && label < split->n_labels; label++)
        label_row(split, label, out);
    text_cell(out, "all", true);
    for (size_t part = 0; part < split->n_parts; part++) {
        count_cell(out, split->parts[part].n_rows);
        total += split->parts[part].n_rows;
    }
    count_cell(out, total);
    buf_char(out, '\n');
    for (size_t part = 0; part < split->n_parts; part++) {
        buf_string(out, part == 0 ? "\nwritten: " : ", ");
        foundation_plain(out, split->parts[part].path, strlen(split->parts[part].path));
    }
    buf_char(out, '\n');
}

static void part_json(const slant_split *split, const slant_split_part *part, buf *out)
{
    buf_string(out, "{\"name\": ");
    buf_json_string(out, part->name, strlen(part->name));
    buf_string(out, ", \"file\": ");
    buf_json_string(out, part->path, strlen(part->path));
    buf_printf(out, ", \"rows\": %" PRId64 ", \"labels\": [", part->n_rows);
    for (size_t label = 0; label < split->n_labels; label++)
        buf_printf(out, "%s%" PRId64, label > 0 ? ", " : "", part->label_rows[label]);
    buf_string(out, "]}");
}

void data_counts_json(const slant_split *split, buf *out)
{
    buf_printf(out, "{\"rows\": %" PRId64 ", \"failed\": %" PRId64 ", \"labels\": [", split->n_rows,
               split->bad.n);
    for (size_t label = 0; label < split->n_labels; label++)
        buf_printf(out, "%s%s", label > 0 ? ", " : "",
                   split->labels[label][0] == '\0' ? "null" : split->labels[label]);
    buf_string(out, "],\n \"parts\": [");
    for (size_t part = 0; part < split->n_parts; part++) {
        buf_string(out, part > 0 ? ",\n  " : "\n  ");
        part_json(split, &split->parts[part], out);
    }
    buf_string(out, "]}\n");
}
