#include "text/pattern.h"

#include "base/mem.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <string.h>

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LLAMA3_START "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define LLAMA3_END "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" SPACES
#define TEKKEN_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN_PREFIX "[^\\r\\n\\p{L}\\p{N}]?"

static const struct {
    pattern_kind kind;
    const char *text;
} known[] = {
    {PATTERN_GPT2, CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES},
    {PATTERN_LLAMA3, LLAMA3_START "\\p{N}{1,3}" LLAMA3_END},
    {PATTERN_QWEN2, LLAMA3_START "\\p{N}" LLAMA3_END},
    {PATTERN_TEKKEN, TEKKEN_PREFIX TEKKEN_UPPER "*" TEKKEN_LOWER "+|" TEKKEN_PREFIX TEKKEN_UPPER
                                                "+" TEKKEN_LOWER "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
                                                "[\\r\\n/]*|\\s*[\\r\\n]+|" SPACES},
    {PATTERN_SPACE, "\\s"},
};

pattern_kind pattern_recognise(const char *regex, size_t regex_bytes)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].text) == regex_bytes && memcmp(known[i].text, regex, regex_bytes) == 0)
            return known[i].kind;
    return PATTERN_REGEX;
}

const char *pattern_text(pattern_kind kind)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].kind == kind)
            return known[i].text;
    return NULL;
}

slant_status pattern_open(pattern *p, pattern_kind kind, const char *text, size_t text_bytes,
                          const char *name, slant_error *err)
{
    *p = (pattern){.kind = kind, .text = text, .text_bytes = text_bytes};
    if (kind != PATTERN_REGEX)
        return SLANT_OK;
    return pattern_regex_open(&p->regex, text, text_bytes, name, err);
}

void pattern_close(pattern *p)
{
    pattern_regex_close(p->regex);
    p->regex = NULL;
}

bool span_list_grow(span_list *list)
{
    size_t cap = list->cap < 256 ? 256 : list->cap * 2;
    span *items = mem_realloc(list->items, cap, sizeof *items);
    if (items == NULL)
        return false;
    list->items = items;
    list->cap = cap;
    return true;
}

void span_list_free(span_list *list)
{
    mem_free(list->items);
    *list = (span_list){0};
}

static bool literal_next(const pattern *p, const char *text, span within, uint32_t from,
                         span *match)
{
    if (p->text_bytes > within.end - from)
        return false;
    const char *at = memmem(text + from, within.end - from, p->text, p->text_bytes);
    if (at == NULL)
        return false;
    match->start = (uint32_t)(at - text);
    match->end = match->start + (uint32_t)p->text_bytes;
    return true;
}

/* ASCII, which is nearly all of a text, without the tables. */
static inline bool class_holds(pattern_kind kind, uint32_t c)
{
    if (kind == PATTERN_NUMBER)
        return c < 0x80 ? c >= '0' && c <= '9' : unicode_is_numeric(c);
    return unicode_is_space(c);
}

static bool class_next(pattern_kind kind, const char *text, span within, uint32_t from, span *match)
{
    size_t length;
    for (uint32_t at = from; at < within.end; at += (uint32_t)length) {
        uint32_t c = utf8_decode(text + at, &length);
        if (class_holds(kind, c)) {
            *match = (span){at, at + (uint32_t)length};
            return true;
        }
    }
    return false;
}

typedef enum word_part { PART_WORD, PART_SPACE, PART_OTHER } word_part;

static word_part word_part_at(const char *text, uint32_t at, size_t *length)
{
    uint32_t c = utf8_decode(text + at, length);
    return unicode_is_word(c) ? PART_WORD : unicode_is_space(c) ? PART_SPACE : PART_OTHER;
}

/* \w+|[^\w\s]+ */
static bool words_next(const char *text, span within, uint32_t from, span *match)
{
    size_t length;
    uint32_t at = from;
    while (at < within.end && word_part_at(text, at, &length) == PART_SPACE)
        at += (uint32_t)length;
    if (at == within.end)
        return false;
    word_part part = word_part_at(text, at, &length);
    match->start = at;
    while (at < within.end && word_part_at(text, at, &length) == part)
        at += (uint32_t)length;
    match->end = at;
    return true;
}

/* The first match in text[from, within.end) that a search over within alone would find. */
static slant_status find_next(const pattern *p, pattern_scratch *scratch, const char *text,
                              span within, uint32_t from, bool *found, span *match,
                              slant_error *err)
{
    switch (p->kind) {
    case PATTERN_REGEX:
        return pattern_regex_next(p->regex, scratch, text, within, from, found, match, err);
    case PATTERN_LITERAL:
        *found = literal_next(p, text, within, from, match);
        break;
    case PATTERN_WORDS:
        *found = words_next(text, within, from, match);
        break;
    case PATTERN_NUMBER:
    case PATTERN_SPACE:
        *found = class_next(p->kind, text, within, from, match);
        break;
    default:
        *found = from < within.end;
        if (*found)
            *match = (span){from, pattern_covering_end(p->kind, text, from, within.end)};
    }
    return SLANT_OK;
}

slant_status pattern_walk_next(pattern_walk *walk, bool *found, span *match, slant_error *err)
{
    for (;;) {
        *found = false;
        if (walk->at > walk->within.end)
            return SLANT_OK;
        slant_status status = find_next(walk->pattern, walk->scratch, walk->text, walk->within,
                                        walk->at, found, match, err);
        if (status != SLANT_OK || !*found)
            return status;
        walk->at = match->end;
        if (match->start < match->end || !walk->any || walk->last_end != match->end)
            break;
        walk->at += match->end == walk->within.end
                        ? 1
                        : (uint32_t)utf8_length((unsigned char)walk->text[match->end]);
    }
    walk->any = true;
    walk->last_end = match->end;
    return SLANT_OK;
}
