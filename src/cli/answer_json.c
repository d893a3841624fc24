/* json: what transformers' text-classification pipeline gives for a list of texts.
 * map: the model card's shape, one object of scores by label for each article.
 *
 * Both are one list with an item for each article; a failed one is {"error": …} in its place. Where
 * the answer is UNSURE, that word stands first, with the confidence that was too low. */
#include "cli/answer.h"

static void append_separator(int64_t n_before, buf *out)
{
    buf_string(out, n_before == 0 ? "[" : ",\n ");
}

static void append_error(const answer *a, buf *out)
{
    buf_string(out, "{\"error\": ");
    answer_json_string(out, a->error);
    buf_char(out, '}');
}

static void append_pair(buf *out, const char *label, float score)
{
    buf_string(out, "{\"label\": ");
    answer_json_string(out, label);
    buf_string(out, ", \"score\": ");
    answer_json_score(out, score);
    buf_char(out, '}');
}

/* One label an article is the pipeline's flat list; more are a list of their own. */
static void json_row(const answer_style *style, const answer *a, int64_t n_before, buf *out)
{
    append_separator(n_before, out);
    if (a->error != NULL) {
        append_error(a, out);
        return;
    }
    int n_shown = answer_rank(style, a);
    bool unsure = answer_is_unsure(style, a);
    if (style->top_k == 1) {
        append_pair(out, answer_word(style, a), a->scores[a->result->label]);
        return;
    }
    buf_char(out, '[');
    if (unsure)
        append_pair(out, ANSWER_UNSURE, a->scores[a->result->label]);
    for (int i = 0; i < n_shown; i++) {
        if (i > 0 || unsure)
            buf_string(out, ", ");
        append_pair(out, slant_engine_label(style->engine, style->order[i]),
                    a->scores[style->order[i]]);
    }
    buf_char(out, ']');
}

static void append_entry(buf *out, const char *label, float score, bool first)
{
    if (!first)
        buf_string(out, ", ");
    answer_json_string(out, label);
    buf_string(out, ": ");
    answer_json_score(out, score);
}

static void map_row(const answer_style *style, const answer *a, int64_t n_before, buf *out)
{
    append_separator(n_before, out);
    if (a->error != NULL) {
        append_error(a, out);
        return;
    }
    int n_shown = answer_rank(style, a);
    bool first = true;
    buf_string(out, "[{");
    if (answer_is_unsure(style, a)) {
        append_entry(out, ANSWER_UNSURE, a->scores[a->result->label], first);
        first = false;
    }
    for (int label = 0; label < style->n_labels; label++) {
        if (!answer_shows(style, n_shown, label))
            continue;
        append_entry(out, slant_engine_label(style->engine, label), a->scores[label], first);
        first = false;
    }
    buf_string(out, "}]");
}

static void end_list(const answer_style *style, int64_t n_rows, buf *out)
{
    (void)style;
    buf_string(out, n_rows == 0 ? "[]\n" : "]\n");
}

const answer_format answer_json = {"json", false, NULL, json_row, end_list};
const answer_format answer_map = {"map", false, NULL, map_row, end_list};
