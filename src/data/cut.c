#include "data/cut.h"

#include <string.h>

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Ids between the template's special ones. */
static size_t body_ids(const cut_ids *article)
{
    return article->n_ids - article->n_leading - article->n_trailing;
}

/* Room that the rule leaves for the body once the special ids have theirs. */
static size_t body_room(const cut_ids *article, const cut_rule *rule)
{
    size_t special = article->n_leading + article->n_trailing;
    return rule->max_length > special ? rule->max_length - special : 0;
}

static bool is_whole(const cut_ids *article, const cut_rule *rule)
{
    return rule->truncation == SLANT_TRUNCATION_NONE || article->n_ids <= rule->max_length;
}

size_t cut_n_windows(const cut_ids *article, const cut_rule *rule)
{
    if (rule->truncation != SLANT_TRUNCATION_WINDOW || is_whole(article, rule))
        return 1;
    size_t room = body_room(article, rule), body = body_ids(article);
    if (room == 0 || body <= room)
        return 1;
    return 1 + (body - room + rule->stride - 1) / rule->stride;
}

size_t cut_window_ids(const cut_ids *article, const cut_rule *rule)
{
    return is_whole(article, rule) ? article->n_ids : rule->max_length;
}

/* The special ids that fit, around body ids [first, first + n). */
static size_t with_specials(const cut_ids *article, const cut_rule *rule, size_t first, size_t n,
                            int32_t *out)
{
    size_t lead = min_size(article->n_leading, rule->max_length);
    size_t trail = min_size(article->n_trailing, rule->max_length - lead);
    memcpy(out, article->ids, lead * sizeof *out);
    memcpy(out + lead, article->ids + article->n_leading + first, n * sizeof *out);
    memcpy(out + lead + n, article->ids + article->n_ids - trail, trail * sizeof *out);
    return lead + n + trail;
}

size_t cut_window(const cut_ids *article, const cut_rule *rule, size_t i, int32_t *out)
{
    if (is_whole(article, rule)) {
        memcpy(out, article->ids, article->n_ids * sizeof *out);
        return article->n_ids;
    }
    size_t room = body_room(article, rule), body = body_ids(article);
    size_t n = min_size(room, body);
    if (rule->truncation == SLANT_TRUNCATION_TAIL)
        return with_specials(article, rule, body - n, n, out);
    if (rule->truncation == SLANT_TRUNCATION_WINDOW) {
        size_t first = i * rule->stride;
        return with_specials(article, rule, first, min_size(room, body - first), out);
    }
    if (rule->truncation == SLANT_TRUNCATION_HEAD_TAIL) {
        size_t tail = rule->max_length / 2, head = rule->max_length - tail;
        memcpy(out, article->ids, head * sizeof *out);
        memcpy(out + head, article->ids + article->n_ids - tail, tail * sizeof *out);
        return rule->max_length;
    }
    return with_specials(article, rule, 0, n, out);
}
