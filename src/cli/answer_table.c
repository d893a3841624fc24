/* table: for a person. A bar for each label, what was read of the article, and after the last one
 * what the answers rest on. In colour on a terminal alone. */
#include "cli/answer.h"
#include "cli/foundation.h"

#include "base/file.h"
#include "base/progress.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 40

/* Left, centre and right of three labels look like themselves; more labels take turns. */
static const char *const label_colors[] = {"\033[34m", "\033[35m", "\033[31m",
                                           "\033[33m", "\033[36m", "\033[32m"};
enum { N_COLORS = sizeof label_colors / sizeof *label_colors };

static void paint(const answer_style *style, buf *out, const char *code)
{
    if (style->color)
        buf_string(out, code);
}

static size_t text_columns(const char *text)
{
    size_t columns = 0;
    for (; *text != '\0'; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

static bool ends_with(const char *name, size_t name_bytes, const char *ending)
{
    size_t ending_bytes = strlen(ending);
    return name_bytes >= ending_bytes &&
           memcmp(name + name_bytes - ending_bytes, ending, ending_bytes) == 0;
}

/* A file that is one article needs no row beside its name. */
static bool holds_many(const char *file)
{
    static const char *const endings[] = {".jsonl", ".ndjson", ".json", ".csv", ".tsv"};
    size_t bytes = strlen(file);
    if (ends_with(file, bytes, ".gz"))
        bytes -= 3;
    else if (ends_with(file, bytes, ".zst"))
        bytes -= 4;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(file, bytes, endings[i]))
            return true;
    return false;
}

static void append_name(const answer_style *style, const answer *a, buf *out)
{
    buf id = {0}, place = {0};
    answer_id_text(a->id_json, &id);
    buf_printf(&place, "%s:%" PRId64, a->file, a->row);
    bool is_place = !id.failed && !place.failed && id.size_bytes == place.size_bytes &&
                    memcmp(id.data, place.data, id.size_bytes) == 0;
    paint(style, out, "\033[1m");
    if (is_place && a->row == 1 && !holds_many(a->file))
        foundation_plain(out, strcmp(a->file, "-") == 0 ? "standard input" : a->file,
                         strcmp(a->file, "-") == 0 ? strlen("standard input") : strlen(a->file));
    else
        foundation_plain(out, id.data, id.size_bytes);
    paint(style, out, "\033[0m");
    buf_char(out, '\n');
    out->failed |= id.failed || place.failed;
    buf_free(&id);
    buf_free(&place);
}

/* share of BAR_CELLS cells, to an eighth of one where there are block characters. */
static void append_bar(const answer_style *style, buf *out, float share)
{
    int eighths = (int)lroundf(share * BAR_CELLS * 8);
    for (int cell = 0; cell < BAR_CELLS; cell++, eighths -= 8) {
        if (!style->unicode)
            buf_char(out, eighths >= 4 ? '#' : ' ');
        else if (eighths >= 8)
            buf_string(out, "\u2588");
        else if (eighths <= 0)
            buf_char(out, ' ');
        else
            buf_append(out, (char[]){'\xE2', '\x96', (char)(0x90 - eighths)}, 3);
    }
}

static size_t label_columns(const answer_style *style)
{
    size_t widest = 0;
    for (int label = 0; label < style->n_labels; label++) {
        size_t columns = text_columns(slant_engine_label(style->engine, label));
        widest = columns > widest ? columns : widest;
    }
    return widest;
}

static void append_label(const answer_style *style, const answer *a, int label, bool has_bars,
                         buf *out)
{
    const char *name = slant_engine_label(style->engine, label);
    bool is_top = label == a->result->label && !answer_is_unsure(style, a);
    buf_string(out, "  ");
    paint(style, out, is_top ? "\033[1m" : "");
    foundation_plain(out, name, strlen(name));
    buf_printf(out, "%*s  ", (int)(label_columns(style) - text_columns(name)), "");
    if (has_bars) {
        paint(style, out, label_colors[label % N_COLORS]);
        append_bar(style, out, a->scores[label]);
        paint(style, out, is_top ? "\033[39m" : "\033[0m");
        buf_printf(out, " %5.1f %%", 100 * (double)a->scores[label]);
    } else {
        buf_printf(out, "%10.4f", (double)a->scores[label]);
    }
    paint(style, out, "\033[0m");
    buf_char(out, '\n');
}

/* "→ Left   812 tokens, all read" */
static void append_reading(const answer_style *style, const answer *a, buf *out)
{
    const char *word = answer_word(style, a);
    buf_string(out, style->unicode ? "  \u2192 " : "  -> ");
    paint(style, out, "\033[1m");
    foundation_plain(out, word, strlen(word));
    paint(style, out, "\033[0m\033[2m");
    buf_string(out, "   ");
    if (answer_is_unsure(style, a))
        buf_printf(out, "below %g; ", style->abstain);
    progress_count(out, a->result->tokens);
    buf_string(out, a->result->tokens == 1 ? " token, " : " tokens, ");
    if (a->result->truncated) {
        buf_string(out, "only ");
        progress_count(out, a->result->tokens_read);
        buf_string(out, " read");
    } else {
        buf_string(out, "all read");
    }
    paint(style, out, "\033[0m");
    buf_string(out, "\n\n");
}

static void table_row(const answer_style *style, const answer *a, int64_t n_before, buf *out)
{
    (void)n_before;
    append_name(style, a, out);
    if (a->error != NULL) {
        buf_string(out, "  ");
        paint(style, out, "\033[31m");
        foundation_plain(out, a->error, strlen(a->error));
        paint(style, out, "\033[0m");
        buf_string(out, "\n\n");
        return;
    }
    int n_shown = answer_rank(style, a);
    bool has_bars = true; /* logits and regression values are no shares of anything */
    for (int label = 0; label < style->n_labels; label++)
        has_bars &= a->scores[label] >= 0 && a->scores[label] <= 1;
    for (int label = 0; label < style->n_labels; label++)
        if (answer_shows(style, n_shown, label))
            append_label(style, a, label, has_bars, out);
    append_reading(style, a, out);
}

static void table_end(const answer_style *style, int64_t n_rows, buf *out)
{
    if (n_rows == 0)
        return;
    buf_string(out, FOUNDATION_CAVEAT " What the answers rest on:\n");
    paint(style, out, "\033[2m");
    foundation_append(out, style->engine);
    foundation_line(out, "unseen outlets",
                    "nothing is recorded of how it does on outlets that it never saw");
    paint(style, out, "\033[0m");
}

const answer_format answer_table = {"table", true, NULL, table_row, table_end};
