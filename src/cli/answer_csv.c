/* csv: the columns of jsonl, the scores one column a label, "scores.LABEL". RFC 4180 quoting, lines
 * end in LF. A cell is empty where there is nothing to say. */
#include "cli/answer.h"

#include <inttypes.h>
#include <string.h>

static void append_cell(buf *out, const char *bytes, size_t size_bytes)
{
    bool plain = true;
    for (size_t i = 0; i < size_bytes; i++)
        plain &= bytes[i] != '"' && bytes[i] != ',' && bytes[i] != '\n' && bytes[i] != '\r';
    if (plain) {
        buf_append(out, bytes, size_bytes);
        return;
    }
    buf_char(out, '"');
    for (size_t i = 0; i < size_bytes; i++) {
        if (bytes[i] == '"')
            buf_char(out, '"');
        buf_char(out, bytes[i]);
    }
    buf_char(out, '"');
}

static void append_string(buf *out, const char *string)
{
    append_cell(out, string, strlen(string));
}

static void csv_begin(const answer_style *style, buf *out)
{
    buf_string(out, "id,label,score");
    for (int label = 0; label < style->n_labels; label++) {
        buf name = {0};
        buf_printf(&name, "scores.%s", slant_engine_label(style->engine, label));
        buf_char(out, ',');
        append_cell(out, name.data, name.size_bytes);
        out->failed |= name.failed;
        buf_free(&name);
    }
    buf_string(out, ",tokens,tokens_read,truncated,error\n");
}

/* A label that --top-k leaves out has an empty cell. */
static void append_scores(const answer_style *style, const answer *a, buf *out)
{
    int n_shown = answer_rank(style, a);
    for (int label = 0; label < style->n_labels; label++) {
        buf_char(out, ',');
        if (answer_shows(style, n_shown, label))
            answer_json_score(out, a->scores[label]);
    }
}

static void csv_row(const answer_style *style, const answer *a, int64_t n_before, buf *out)
{
    (void)n_before;
    buf id = {0};
    answer_id_text(a->id_json, &id);
    append_cell(out, id.data, id.size_bytes);
    out->failed |= id.failed;
    buf_free(&id);
    buf_char(out, ',');
    if (a->error == NULL) {
        append_string(out, answer_word(style, a));
        buf_char(out, ',');
        answer_json_score(out, a->scores[a->result->label]);
        append_scores(style, a, out);
        buf_printf(out, ",%" PRId64 ",%" PRId64 ",%s,", a->result->tokens, a->result->tokens_read,
                   a->result->truncated ? "true" : "false");
    } else {
        for (int i = 0; i < style->n_labels + 5; i++)
            buf_char(out, ',');
        append_string(out, a->error);
    }
    buf_char(out, '\n');
}

const answer_format answer_csv = {"csv", true, csv_begin, csv_row, NULL};
