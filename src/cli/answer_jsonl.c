/* jsonl: one object a line for each article, in input order. What a failed article does not have is
 * null, and only a failed one has an error. */
#include "cli/answer.h"

#include <inttypes.h>

static void append_scores(const answer_style *style, const answer *a, buf *out)
{
    int n_shown = answer_rank(style, a);
    bool first = true;
    buf_string(out, "{");
    for (int label = 0; label < style->n_labels; label++) {
        if (!answer_shows(style, n_shown, label))
            continue;
        buf_string(out, first ? "" : ", ");
        answer_json_string(out, slant_engine_label(style->engine, label));
        buf_string(out, ": ");
        answer_json_score(out, a->scores[label]);
        first = false;
    }
    buf_char(out, '}');
}

static void jsonl_row(const answer_style *style, const answer *a, int64_t n_before, buf *out)
{
    (void)n_before;
    buf_printf(out, "{\"id\": %s", a->id_json);
    if (a->error == NULL) {
        buf_string(out, ", \"label\": ");
        answer_json_string(out, answer_word(style, a));
        buf_string(out, ", \"score\": ");
        answer_json_score(out, a->scores[a->result->label]);
        buf_string(out, ", \"scores\": ");
        append_scores(style, a, out);
        buf_printf(out, ", \"tokens\": %" PRId64 ", \"tokens_read\": %" PRId64, a->result->tokens,
                   a->result->tokens_read);
        buf_printf(out, ", \"truncated\": %s", a->result->truncated ? "true" : "false");
    } else {
        buf_string(out,
                   ", \"label\": null, \"score\": null, \"scores\": null, \"tokens\": null, "
                   "\"tokens_read\": null, \"truncated\": null, \"error\": ");
        answer_json_string(out, a->error);
    }
    buf_string(out, "}\n");
}

const answer_format answer_jsonl = {"jsonl", true, NULL, jsonl_row, NULL};
