/* Truncation: which ids of an article the model reads, in which windows. */
#ifndef SLANT_DATA_CUT_H
#define SLANT_DATA_CUT_H

#include <slant.h>

/* An article's ids with the special ones that its template puts in front and behind. */
typedef struct cut_ids {
    const int32_t *ids; /* [n_ids] */
    size_t n_ids, n_leading, n_trailing;
} cut_ids;

typedef struct cut_rule {
    slant_truncation truncation;
    size_t max_length; /* at least 1 */
    size_t stride;     /* windows: ids from one window's body to the next, at least 1 */
} cut_rule;

/* Windows that the rule makes of an article: 1 for every rule but WINDOW. */
size_t cut_n_windows(const cut_ids *article, const cut_rule *rule);

/* Ids of window i; at most cut_window_ids. Written to out, whose length is returned. */
size_t cut_window_ids(const cut_ids *article, const cut_rule *rule);
size_t cut_window(const cut_ids *article, const cut_rule *rule, size_t i, int32_t *out);

#endif
