/* An article's answer and how it is written: one format a file, all behind one table. */
#ifndef SLANT_CLI_ANSWER_H
#define SLANT_CLI_ANSWER_H

#include "base/buf.h"

#include <slant.h>

#define ANSWER_UNSURE "UNSURE"

/* What the answers of one run have in common. */
typedef struct answer_style {
    const slant_engine *engine;
    int n_labels;
    int top_k;      /* labels to show at most; 0: all */
    double abstain; /* below this confidence the answer is UNSURE; negative: never */
    bool color;     /* of a terminal */
    bool unicode;   /* block characters for bars */
    int *order;     /* [n_labels], where answer_rank writes */
} answer_style;

/* All borrowed. */
typedef struct answer {
    const char *id_json;
    const char *file;
    int64_t row;
    const char *error;          /* why there are no scores; NULL: there are */
    const float *scores;        /* [n_labels] */
    const slant_result *result; /* of the article; NULL where it could not even be read */
} answer;

typedef struct answer_format {
    const char *name;
    bool tells_cuts; /* each answer says what was cut, so that nothing needs summing up */
    void (*begin)(const answer_style *style, buf *out); /* NULL: nothing stands in front */
    /* n_before answers stand before this one. */
    void (*row)(const answer_style *style, const answer *a, int64_t n_before, buf *out);
    void (*end)(const answer_style *style, int64_t n_rows, buf *out); /* NULL: nor behind */
} answer_format;

extern const answer_format answer_table, answer_json, answer_jsonl, answer_csv, answer_map;

/* Label indices into style->order, the highest score first, ties in label order; gives how many
 * the style shows. */
int answer_rank(const answer_style *style, const answer *a);
/* Whether the label is among the n_shown that answer_rank left in front. */
bool answer_shows(const answer_style *style, int n_shown, int label);
bool answer_is_unsure(const answer_style *style, const answer *a);
/* The answer in a word: the label with the highest score, or UNSURE. */
const char *answer_word(const answer_style *style, const answer *a);

void answer_json_string(buf *out, const char *string);
void answer_json_score(buf *out, float score); /* as Python prints float(score) */
/* The text of an id: a JSON string's content, or the number as it was. */
void answer_id_text(const char *id_json, buf *out);

#endif
