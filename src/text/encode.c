/* An article to ids: the text is checked, added tokens are found in it, and what lies between them
 * goes through the normalizer, the pre-tokenizer and the model. */
#include "text/tokenizer_state.h"

#include "base/mem.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <string.h>

bool state_reserve_ids(tokenizer_state *state, size_t more)
{
    size_t wanted = state->n_ids + more;
    if (wanted > state->ids_cap) {
        size_t cap = wanted < 1024 ? 1024 : wanted + wanted / 2;
        int32_t *ids = mem_realloc(state->ids, cap, sizeof *ids);
        if (ids == NULL)
            return false;
        state->ids = ids;
        state->ids_cap = cap;
    }
    if (state->options.want_offsets && wanted > state->offsets_cap) {
        tokenizer_offset *offsets = mem_realloc(state->offsets, state->ids_cap, sizeof *offsets);
        if (offsets == NULL)
            return false;
        state->offsets = offsets;
        state->offsets_cap = state->ids_cap;
    }
    return true;
}

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
}

static uint32_t previous_character(const char *text, uint32_t at, uint32_t *start)
{
    size_t length;
    do
        at--;
    while (utf8_is_continuation(text[at]));
    *start = at;
    return utf8_decode(text + at, &length);
}

/* Where source bytes [start, end) came from in the article, out to whole characters. */
static span article_range(const text_source *source, uint32_t start, uint32_t end)
{
    if (source->origin != NULL)
        return (span){source->origin[start].start, source->origin[end - 1].end};
    while (utf8_is_continuation(source->bytes[start]))
        start--;
    while (end < source->n_bytes && utf8_is_continuation(source->bytes[end]))
        end++;
    return (span){start, end};
}

/* The byte-level alphabet's space, or white space of an added token. */
static bool is_token_space(uint32_t code_point)
{
    return code_point == 0x120 || unicode_is_space(code_point);
}

static uint32_t count_spaces(const char *text, size_t text_bytes, bool trailing)
{
    uint32_t n = 0, at = trailing ? (uint32_t)text_bytes : 0;
    for (; trailing ? at > 0 : at < text_bytes; n++) {
        size_t length = 0;
        uint32_t c = trailing ? previous_character(text, at, &at) : utf8_decode(text + at, &length);
        if (!is_token_space(c))
            break;
        at += (uint32_t)length;
    }
    return n;
}

/* ByteLevel's post-processor takes as many characters off an offset as its token has spaces there.
 * A lone space at the very start is kept where the pre-tokenizer may have put it there. */
static span trim(const tokenizer_state *state, span range, const char *text, size_t text_bytes)
{
    uint32_t leading = count_spaces(text, text_bytes, false);
    uint32_t trailing = count_spaces(text, text_bytes, true);
    bool is_first = state->n_ids == state->n_leading || range.start == 0;
    if (is_first && leading == 1 && (state->tokenizer->tables.flags & TABLES_KEEP_PREFIX))
        leading = 0;
    const char *article = state->article.bytes;
    for (; leading > 0 && range.start < range.end; leading--)
        range.start += (uint32_t)utf8_length((unsigned char)article[range.start]);
    for (; trailing > 0 && range.end > range.start; trailing--)
        previous_character(article, range.end, &range.end);
    return range;
}

void state_set_offset(tokenizer_state *state, const text_source *source, uint32_t start,
                      uint32_t end, const char *text, size_t text_bytes)
{
    span range = article_range(source, start, end);
    if (state->tokenizer->tables.flags & TABLES_TRIM_OFFSETS)
        range = trim(state, range, text, text_bytes);
    state->offsets[state->n_ids] = (tokenizer_offset){range.start, range.end};
}

/* A walk over the added tokens of a text: of those that begin leftmost, the longest. */
typedef struct added_scan {
    const added_set *set;
    const char *text;
    span within;
    uint32_t at;   /* where the search goes on */
    uint32_t done; /* what lies before is answered */
} added_scan;

typedef struct added_match {
    uint32_t id;
    span range;
} added_match;

static bool find_start(added_scan *scan)
{
    const added_set *set = scan->set;
    if (set->only_start >= 0) {
        const char *found =
            memchr(scan->text + scan->at, set->only_start, scan->within.end - scan->at);
        scan->at = found == NULL ? scan->within.end : (uint32_t)(found - scan->text);
    } else {
        while (scan->at < scan->within.end && !set->starts[(uint8_t)scan->text[scan->at]])
            scan->at++;
    }
    return scan->at < scan->within.end;
}

static bool touches_word(const added_scan *scan, span range)
{
    uint32_t start;
    size_t length;
    if (range.start > scan->within.start &&
        unicode_is_word(previous_character(scan->text, range.start, &start)))
        return true;
    return range.end < scan->within.end &&
           unicode_is_word(utf8_decode(scan->text + range.end, &length));
}

/* Takes in the white space on the left, but none that the token before has taken, and on the right.
 */
static span take_spaces(const added_scan *scan, span range, uint32_t flags)
{
    size_t length;
    uint32_t start = range.start;
    if (flags & PIECE_LSTRIP) {
        while (range.start > scan->within.start &&
               unicode_is_space(previous_character(scan->text, range.start, &start)))
            range.start = start;
        if (range.start < scan->done)
            range.start = scan->done;
    }
    if (flags & PIECE_RSTRIP)
        while (range.end < scan->within.end &&
               unicode_is_space(utf8_decode(scan->text + range.end, &length)))
            range.end += (uint32_t)length;
    return range;
}

/* Only damaged tables hold a token that begins or ends inside a character. */
static bool cuts_character(const added_scan *scan, span range)
{
    return utf8_is_continuation(scan->text[range.start]) ||
           (range.end < scan->within.end && utf8_is_continuation(scan->text[range.end]));
}

static bool added_next(const tokenizer_state *state, added_scan *scan, added_match *match)
{
    const tables *t = &state->tokenizer->tables;
    while (find_start(scan)) {
        size_t match_bytes = 0;
        uint32_t id = tables_match_added(scan->set->trie, scan->text + scan->at,
                                         scan->within.end - scan->at, &match_bytes);
        span range = {scan->at, scan->at + (uint32_t)match_bytes};
        if (id == TABLES_NO_ID || id >= t->n_ids || cuts_character(scan, range)) {
            scan->at++;
            continue;
        }
        uint32_t flags = tables_piece_flags(t, id);
        scan->at = range.end;
        if ((state->options.split_special_tokens && (flags & PIECE_SPECIAL)) ||
            ((flags & PIECE_SINGLE_WORD) && touches_word(scan, range)))
            continue;
        *match = (added_match){id, take_spaces(scan, range, flags)};
        return true;
    }
    return false;
}

static slant_status push_added(tokenizer_state *state, const text_source *source, added_match match,
                               slant_error *err)
{
    span range = match.range;
    if (!state_reserve_ids(state, 1))
        return out_of_memory(err);
    if (state->options.want_offsets)
        state_set_offset(state, source, range.start, range.end, source->bytes + range.start,
                         range.end - range.start);
    state->ids[state->n_ids++] = (int32_t)match.id;
    return SLANT_OK;
}

typedef slant_status (*between_tokens)(tokenizer_state *state, const text_source *source,
                                       span within, slant_error *err);

/* Pushes the added tokens of set in source, and hands what lies between them to between. */
static slant_status split_added(tokenizer_state *state, const added_set *set,
                                const text_source *source, span within, between_tokens between,
                                slant_error *err)
{
    slant_status status = SLANT_OK;
    if (within.start == within.end)
        return SLANT_OK;
    added_scan scan = {set, source->bytes, within, within.start, within.start};
    added_match match;
    while (status == SLANT_OK && set->trie->n_nodes > 0 && added_next(state, &scan, &match)) {
        if (scan.done < match.range.start)
            status = between(state, source, (span){scan.done, match.range.start}, err);
        if (status == SLANT_OK)
            status = push_added(state, source, match, err);
        scan.done = match.range.end;
    }
    if (status == SLANT_OK && scan.done < within.end)
        status = between(state, source, (span){scan.done, within.end}, err);
    return status;
}

static slant_status encode_piece(tokenizer_state *state, const text_source *source, span within,
                                 slant_error *err)
{
    text_source words = *source;
    slant_status status = pretokenize(state, &words, within, err);
    return status == SLANT_OK ? encode_words(state, &words, err) : status;
}

/* A stretch of the article without added tokens of the first kind: normalized, then searched for
 * those of the second. */
static slant_status encode_stretch(tokenizer_state *state, const text_source *source, span within,
                                   slant_error *err)
{
    const tokenizer *t = state->tokenizer;
    if (t->normalizer.n == 0)
        return split_added(state, &t->normal, source, within, encode_piece, err);
    bool aligned = state->options.want_offsets || t->keeps_origins;
    slant_status status =
        normalize(&t->normalizer, &state->normalizer, source->bytes + within.start,
                  within.end - within.start, within.start, aligned, err);
    if (status != SLANT_OK)
        return status;
    const work_text *text = &state->normalizer.text;
    text_source normalized = {text->bytes, aligned ? text->origin : NULL, text->n};
    return split_added(state, &t->normal, &normalized, (span){0, text->n}, encode_piece, err);
}

static slant_status push_template(tokenizer_state *state, const uint32_t *ids, uint32_t n_ids,
                                  slant_error *err)
{
    if (!state_reserve_ids(state, n_ids))
        return out_of_memory(err);
    for (uint32_t i = 0; i < n_ids; i++) {
        if (state->options.want_offsets)
            state->offsets[state->n_ids] = (tokenizer_offset){0, 0};
        state->ids[state->n_ids++] = (int32_t)ids[i];
    }
    return SLANT_OK;
}

static bool push_gap(tokenizer_state *state, size_t at, size_t source)
{
    if (state->n_gaps == state->gaps_cap) {
        size_t cap = state->gaps_cap < 64 ? 64 : state->gaps_cap * 2;
        lossy_gap *gaps = mem_realloc(state->gaps, cap, sizeof *gaps);
        if (gaps == NULL)
            return false;
        state->gaps = gaps;
        state->gaps_cap = cap;
    }
    state->gaps[state->n_gaps++] = (lossy_gap){(uint32_t)at, (uint32_t)source};
    return true;
}

static bool append_lossy(tokenizer_state *state, size_t *n, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0)
        return true;
    if (*n + n_bytes > state->lossy_cap) {
        size_t cap = (*n + n_bytes) * 2;
        char *lossy = mem_realloc(state->lossy, cap, 1);
        if (lossy == NULL)
            return false;
        state->lossy = lossy;
        state->lossy_cap = cap;
    }
    memcpy(state->lossy + *n, bytes, n_bytes);
    *n += n_bytes;
    return true;
}

/* Copies the text with U+FFFD for each maximal ill-formed subpart. */
static slant_status replace_ill_formed(tokenizer_state *state, const char *text, size_t text_bytes,
                                       slant_error *err)
{
    size_t n = 0, at = 0;
    while (at < text_bytes) {
        size_t good = utf8_valid_prefix(text + at, text_bytes - at);
        if (!append_lossy(state, &n, text + at, good))
            return out_of_memory(err);
        at += good;
        if (at == text_bytes)
            break;
        size_t bad = utf8_maximal_subpart(text + at, text_bytes - at);
        if (!push_gap(state, n, at) || !append_lossy(state, &n, "\xEF\xBF\xBD", 3) ||
            !push_gap(state, n, at + bad))
            return out_of_memory(err);
        at += bad;
    }
    if (n > INT32_MAX)
        return status_fail(err, SLANT_ERR_TEXT, "text of more than 2 GiB");
    state->article = (text_source){state->lossy, NULL, (uint32_t)n};
    return SLANT_OK;
}

static slant_status take_article(tokenizer_state *state, const char *text, size_t text_bytes,
                                 slant_error *err)
{
    state->n_gaps = 0;
    if (text_bytes > INT32_MAX)
        return status_fail(err, SLANT_ERR_TEXT, "text of %zu bytes; at most 2 GiB are supported",
                           text_bytes);
    size_t valid = utf8_valid_prefix(text, text_bytes);
    if (valid < text_bytes && state->options.lossy)
        return replace_ill_formed(state, text, text_bytes, err);
    if (valid < text_bytes)
        return status_fail(err, SLANT_ERR_TEXT, "not UTF-8 at byte %zu (0x%02X)", valid,
                           (unsigned char)text[valid]);
    state->article = (text_source){text, NULL, (uint32_t)text_bytes};
    return SLANT_OK;
}

/* An offset of the text with U+FFFD in it as one of the article as it was given. */
static size_t without_gaps(const tokenizer_state *state, size_t offset)
{
    size_t low = 0, high = state->n_gaps;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (state->gaps[middle].at <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? offset : state->gaps[low - 1].source + (offset - state->gaps[low - 1].at);
}

static void map_offsets(tokenizer_state *state)
{
    for (size_t i = 0; state->n_gaps > 0 && i < state->n_ids; i++) {
        state->offsets[i].start = without_gaps(state, state->offsets[i].start);
        state->offsets[i].end = without_gaps(state, state->offsets[i].end);
    }
}

slant_status tokenizer_encode(tokenizer_state *state, const char *text, size_t text_bytes,
                              const tokenizer_options *options, tokenizer_output *out,
                              slant_error *err)
{
    const tables *t = &state->tokenizer->tables;
    *out = (tokenizer_output){0};
    state->options = *options;
    state->n_ids = 0;
    state->n_leading = options->add_special_tokens ? t->n_leading : 0;
    slant_status status = take_article(state, text, text_bytes, err);
    if (status == SLANT_OK)
        status = push_template(state, t->leading, (uint32_t)state->n_leading, err);
    if (status == SLANT_OK)
        status = split_added(state, &state->tokenizer->added, &state->article,
                             (span){0, state->article.n_bytes}, encode_stretch, err);
    uint32_t n_trailing = options->add_special_tokens ? t->n_trailing : 0;
    if (status == SLANT_OK)
        status = push_template(state, t->trailing, n_trailing, err);
    if (status != SLANT_OK)
        return status;
    if (options->want_offsets)
        map_offsets(state);
    *out = (tokenizer_output){.ids = state->ids,
                              .offsets = options->want_offsets ? state->offsets : NULL,
                              .n_ids = state->n_ids,
                              .n_leading = state->n_leading,
                              .n_trailing = n_trailing};
    return SLANT_OK;
}
