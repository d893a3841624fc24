#include "cli/answer.h"

#include <jansson.h>
#include <string.h>

int answer_rank(const answer_style *style, const answer *a)
{
    for (int i = 0; i < style->n_labels; i++) {
        int at = i;
        for (; at > 0 && a->scores[style->order[at - 1]] < a->scores[i]; at--)
            style->order[at] = style->order[at - 1];
        style->order[at] = i;
    }
    return style->top_k > 0 && style->top_k < style->n_labels ? style->top_k : style->n_labels;
}

bool answer_shows(const answer_style *style, int n_shown, int label)
{
    for (int i = 0; i < n_shown; i++)
        if (style->order[i] == label)
            return true;
    return false;
}

bool answer_is_unsure(const answer_style *style, const answer *a)
{
    return (double)a->scores[a->result->label] < style->abstain;
}

const char *answer_word(const answer_style *style, const answer *a)
{
    if (answer_is_unsure(style, a))
        return ANSWER_UNSURE;
    return slant_engine_label(style->engine, a->result->label);
}

void answer_json_string(buf *out, const char *string)
{
    buf_json_string(out, string, strlen(string));
}

void answer_json_score(buf *out, float score)
{
    buf_double(out, (double)score);
}

void answer_id_text(const char *id_json, buf *out)
{
    json_t *id = json_loads(id_json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (json_is_string(id))
        buf_append(out, json_string_value(id), json_string_length(id));
    else
        buf_string(out, id_json);
    json_decref(id);
}
