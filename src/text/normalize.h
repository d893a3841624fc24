/* The normalizer, and the text that it and the pre-tokenizer rewrite: each byte remembers which
 * part of the source it came from, by the rules of Hugging Face's NormalizedString. */
#ifndef SLANT_TEXT_NORMALIZE_H
#define SLANT_TEXT_NORMALIZE_H

#include "text/pattern.h"
#include "text/tokenizer_tables.h"

/* Steps of the tables with their patterns compiled. Immutable. */
typedef struct step_set {
    const tables *tables;
    const tables_step *steps; /* [n] */
    pattern *patterns;        /* [n] */
    uint32_t n;
} step_set;

slant_status step_set_open(step_set *set, const tables *t, const tables_step *steps, uint32_t n,
                           const char *name, slant_error *err);
void step_set_close(step_set *set);

/* A text being rewritten. origin[i] is the range of the source that byte i came from, kept only
 * where offsets are wanted. */
typedef struct work_text {
    char *bytes;  /* [n], cap */
    span *origin; /* [n], origin_cap; unused unless aligned */
    uint32_t n;
    size_t cap, origin_cap;
    bool aligned;
} work_text;

void work_clear(work_text *work, bool aligned);
/* Appends bytes that all came from one range, or copies bytes [start, end) of another text with
 * their origins. False when memory is out. */
bool work_append(work_text *work, const char *bytes, uint32_t n_bytes, span origin);
bool work_copy(work_text *work, const work_text *from, uint32_t start, uint32_t end);
/* Appends text as it is: a byte's origin is its whole character, base bytes further on. */
bool work_append_source(work_text *work, const char *text, uint32_t text_bytes, uint32_t base);
void work_free(work_text *work);

typedef struct normalize_char {
    uint32_t code_point;
    int change; /* 0 replaces a character of the source, 1 is new, −n replaces one and removes n */
    int combining_class;
} normalize_char;

/* What one thread needs to normalize. */
typedef struct normalizer_scratch {
    work_text text, other; /* the result is in text */
    normalize_char *chars; /* [chars_cap] */
    size_t chars_cap;
    pattern_scratch *patterns;
} normalizer_scratch;

void normalizer_scratch_free(normalizer_scratch *scratch);

/* scratch->text becomes the normalized form of text, whose first byte is byte base of the source.
 */
slant_status normalize(const step_set *set, normalizer_scratch *scratch, const char *text,
                       uint32_t text_bytes, uint32_t base, bool aligned, slant_error *err);

/* NFC, NFD, NFKC or NFKD of scratch->text, in place (normalize_unicode.c). */
bool normalize_unicode(step_kind kind, normalizer_scratch *scratch);

#endif
