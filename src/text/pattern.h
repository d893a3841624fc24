/* What a pre-tokenizer splits on: patterns that are known by their exact text are matched by code
 * of our own, classes of characters likewise, and any other regular expression by PCRE2. */
#ifndef SLANT_TEXT_PATTERN_H
#define SLANT_TEXT_PATTERN_H

#include "base/status.h"

typedef enum pattern_kind {
    PATTERN_LITERAL, /* a string */
    PATTERN_REGEX,   /* a regular expression that is not among those below */
    PATTERN_GPT2,    /* these four match at every position, so a text falls into their */
    PATTERN_LLAMA3,  /* matches without gaps */
    PATTERN_QWEN2,
    PATTERN_TEKKEN,
    PATTERN_WORDS,  /* \w+|[^\w\s]+ as the Rust regex crate reads it */
    PATTERN_NUMBER, /* one numeric character, as Rust has it */
    PATTERN_SPACE,  /* one of White_Space */
    PATTERN_N_KINDS
} pattern_kind;

/* The kind that a regular expression has: one of ours by its exact text, or PATTERN_REGEX. */
pattern_kind pattern_recognise(const char *regex, size_t regex_bytes);
/* And the text of one of ours; NULL where the kind has none of its own. */
const char *pattern_text(pattern_kind kind);

typedef struct pattern_regex pattern_regex;     /* a compiled regular expression, immutable */
typedef struct pattern_scratch pattern_scratch; /* what one thread needs to match them */

typedef struct pattern {
    pattern_kind kind;
    const char *text; /* [text_bytes], borrowed: of a literal */
    size_t text_bytes;
    pattern_regex *regex;
} pattern;

/* A half-open range of bytes. */
typedef struct span {
    uint32_t start, end;
} span;

typedef struct span_list {
    span *items; /* [n] */
    size_t n, cap;
} span_list;

bool span_list_grow(span_list *list); /* room for one more at least; false when memory is out */
void span_list_free(span_list *list);

static inline bool span_push(span_list *list, uint32_t start, uint32_t end)
{
    if (list->n == list->cap && !span_list_grow(list))
        return false;
    list->items[list->n++] = (span){start, end};
    return true;
}

/* Compiles where kind is PATTERN_REGEX; what PCRE2 would read in another way than Hugging Face's
 * engine is refused. name stands in messages. Ownership: pattern_close. */
slant_status pattern_open(pattern *p, pattern_kind kind, const char *text, size_t text_bytes,
                          const char *name, slant_error *err);
void pattern_close(pattern *p);

pattern_scratch *pattern_scratch_open(void); /* NULL when memory is out */
void pattern_scratch_close(pattern_scratch *scratch);

/* A walk from match to match of a text. An empty match counts, but not right behind the one before.
 */
typedef struct pattern_walk {
    const pattern *pattern;
    pattern_scratch *scratch;
    const char *text;
    span within;
    uint32_t at;       /* where the search goes on: within.start at first */
    bool any;          /* a match was found, … */
    uint32_t last_end; /* … and ended here */
} pattern_walk;

slant_status pattern_walk_next(pattern_walk *walk, bool *found, span *match, slant_error *err);

/* Whether the kind matches at every position, and then all its matches in within, appended to out.
 */
bool pattern_covers(pattern_kind kind);
bool pattern_split_covering(pattern_kind kind, const char *text, span within, span_list *out);
uint32_t pattern_covering_end(pattern_kind kind, const char *text, uint32_t at, uint32_t end);

/* The PCRE2 side. */
slant_status pattern_regex_open(pattern_regex **out, const char *text, size_t text_bytes,
                                const char *name, slant_error *err);
void pattern_regex_close(pattern_regex *regex);
slant_status pattern_regex_next(const pattern_regex *regex, pattern_scratch *scratch,
                                const char *text, span within, uint32_t from, bool *found,
                                span *match, slant_error *err);

#endif
