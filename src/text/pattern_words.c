/* The pre-tokenizer patterns of GPT-2, Llama 3, Qwen2 and Mistral's tekken, by hand. Each matches
 * at every position of a text, so splitting is a walk from match to match; ASCII goes through a
 * table of 256 classes, other characters through the Unicode tables. The alternatives of each
 * pattern stand in pattern.c; the comments here say which one a branch answers. */
#include "text/pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

typedef enum word_class {
    CLASS_OTHER,
    CLASS_LETTER,
    CLASS_NUMBER,
    CLASS_SPACE,   /* all white space but … */
    CLASS_NEWLINE, /* … \r and \n */
    CLASS_HIGH     /* not ASCII: ask the Unicode tables */
} word_class;

#define L CLASS_LETTER
#define N CLASS_NUMBER
#define S CLASS_SPACE
#define R CLASS_NEWLINE
#define H CLASS_HIGH
#define H16 H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H
/* clang-format off */
static const unsigned char byte_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, R, S, S, R, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, N, N, N, N, N, N, N, N, N, N, 0, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    H16, H16, H16, H16, H16, H16, H16, H16,
};
/* clang-format on */
#undef L
#undef N
#undef S
#undef R
#undef H
#undef H16

static word_class class_of_high(const char *text, uint32_t at, uint32_t *length)
{
    size_t n_bytes;
    uint32_t c = utf8_decode(text + at, &n_bytes);
    *length = (uint32_t)n_bytes;
    unicode_category category = unicode_category_of(c);
    if (UNICODE_LETTER >> category & 1)
        return CLASS_LETTER;
    if (UNICODE_NUMBER >> category & 1)
        return CLASS_NUMBER;
    return unicode_is_space(c) ? CLASS_SPACE : CLASS_OTHER;
}

static inline word_class class_at(const char *text, uint32_t at, uint32_t *length)
{
    word_class c = (word_class)byte_class[(unsigned char)text[at]];
    *length = 1;
    return c == CLASS_HIGH ? class_of_high(text, at, length) : c;
}

/* The end of the run of one class that begins at or before at. */
static inline uint32_t run_end(word_class wanted, const char *text, uint32_t at, uint32_t end)
{
    uint32_t length;
    while (at < end) {
        word_class c = (word_class)byte_class[(unsigned char)text[at]];
        if (c == wanted) {
            at++;
        } else if (c == CLASS_HIGH && class_of_high(text, at, &length) == wanted) {
            at += length;
        } else {
            break;
        }
    }
    return at;
}

/* The lower case of an ASCII letter, or of what case folding makes one; 0 for all else. */
static char folded_letter(const char *text, uint32_t at, uint32_t end, uint32_t *after)
{
    if (at >= end)
        return 0;
    unsigned char byte = (unsigned char)text[at];
    *after = at + 1;
    if (byte < 0x80)
        return byte_class[byte] == CLASS_LETTER ? (char)(byte | 0x20) : 0;
    size_t length;
    uint32_t c = utf8_decode(text + at, &length);
    *after = at + (uint32_t)length;
    for (int i = 0; i < UNICODE_N_ASCII_FOLDS; i++)
        if (unicode_ascii_folds[i].code_point == c)
            return unicode_ascii_folds[i].letter;
    return 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d at the apostrophe at; 0 where none is there. With any_case letters are
 * folded, by which U+017F is an s too. */
static uint32_t contraction_end(const char *text, uint32_t at, uint32_t end, bool any_case)
{
    uint32_t after = at, after_second;
    char first = folded_letter(text, at + 1, end, &after);
    if (first == 0 || (!any_case && text[at + 1] != first))
        return 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return after;
    char second = folded_letter(text, after, end, &after_second);
    if (second == 0 || (!any_case && text[after] != second))
        return 0;
    bool pair =
        ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return pair ? after_second : 0;
}

/* White space from at: \s*[\r\n]+ where with_newlines, then \s+(?!\S), then \s+. The first takes
 * the run up to its last newline, the second all but the last character where something follows. */
static uint32_t spaces_end(const char *text, uint32_t at, uint32_t end, bool with_newlines)
{
    uint32_t run = at, last = at, after_newline = at, length;
    while (run < end) {
        word_class c = class_at(text, run, &length);
        if (c != CLASS_SPACE && c != CLASS_NEWLINE)
            break;
        last = run;
        run += length;
        if (c == CLASS_NEWLINE)
            after_newline = run;
    }
    if (with_newlines && after_newline > at)
        return after_newline;
    return run == end || last == at ? run : last;
}

/* Up to max_digits characters of category N from at. */
static inline uint32_t digits_end(const char *text, uint32_t at, uint32_t end, int max_digits)
{
    uint32_t length;
    for (int i = 0; i < max_digits && at < end; i++) {
        if (class_at(text, at, &length) != CLASS_NUMBER)
            break;
        at += length;
    }
    return at;
}

/* [^\s\p{L}\p{N}]+[\r\n]* from inside the first part; with slash [\r\n/]*. */
static inline uint32_t others_end(const char *text, uint32_t at, uint32_t end, bool slash)
{
    at = run_end(CLASS_OTHER, text, at, end);
    while (at < end && (text[at] == '\r' || text[at] == '\n' || (slash && text[at] == '/')))
        at++;
    return at;
}

static uint32_t gpt2_end(const char *text, uint32_t at, uint32_t end)
{
    uint32_t length, next_length;
    word_class c = class_at(text, at, &length);
    uint32_t after = at + length;
    if (c == CLASS_OTHER && text[at] == '\'') {
        uint32_t contraction = contraction_end(text, at, end, false);
        if (contraction != 0)
            return contraction;
    }
    if (text[at] == ' ' && after < end) {
        word_class next = class_at(text, after, &next_length);
        if (next != CLASS_SPACE && next != CLASS_NEWLINE)
            return run_end(next, text, after + next_length, end);
    }
    if (c == CLASS_SPACE || c == CLASS_NEWLINE)
        return spaces_end(text, at, end, false);
    return run_end(c, text, after, end);
}

static inline uint32_t llama3_end(const char *text, uint32_t at, uint32_t end, int max_digits)
{
    uint32_t length, next_length;
    word_class c = class_at(text, at, &length);
    uint32_t after = at + length;
    if (c == CLASS_LETTER)
        return run_end(CLASS_LETTER, text, after, end);
    if (c == CLASS_NUMBER)
        return digits_end(text, after, end, max_digits - 1);
    if (text[at] == '\'') {
        uint32_t contraction = contraction_end(text, at, end, true);
        if (contraction != 0)
            return contraction;
    }
    word_class next = after < end ? class_at(text, after, &next_length) : CLASS_SPACE;
    if (next == CLASS_LETTER && c != CLASS_NEWLINE)
        return run_end(CLASS_LETTER, text, after + next_length, end);
    if (c == CLASS_OTHER)
        return others_end(text, after, end, false);
    if (text[at] == ' ' && next == CLASS_OTHER && after < end)
        return others_end(text, after, end, false);
    return spaces_end(text, at, end, true);
}

/* tekken's two letter classes, which share Lm, Lo and the marks. */
#define TEKKEN_UPPER                                                                               \
    (UNICODE_BIT(LU) | UNICODE_BIT(LT) | UNICODE_BIT(LM) | UNICODE_BIT(LO) | UNICODE_MARK)
#define TEKKEN_LOWER (UNICODE_BIT(LL) | UNICODE_BIT(LM) | UNICODE_BIT(LO) | UNICODE_MARK)

static uint32_t category_run(uint32_t categories, const char *text, uint32_t at, uint32_t end)
{
    size_t length;
    while (at < end && unicode_is(utf8_decode(text + at, &length), categories))
        at += (uint32_t)length;
    return at;
}

/* [upper]*[lower]+ from at; 0 where it does not match. Where no lower one follows the run of upper
 * ones, the run gives characters back until one of them is a lower one too. */
static uint32_t tekken_lower_end(const char *text, uint32_t at, uint32_t end)
{
    uint32_t upper = category_run(TEKKEN_UPPER, text, at, end);
    uint32_t lower = category_run(TEKKEN_LOWER, text, upper, end);
    if (lower > upper)
        return lower;
    while (upper > at) {
        uint32_t start = upper - 1;
        while (utf8_is_continuation(text[start]))
            start--;
        size_t length;
        if (unicode_is(utf8_decode(text + start, &length), TEKKEN_LOWER))
            return upper;
        upper = start;
    }
    return 0;
}

/* [upper]+[lower]* from at; 0 where it does not match. */
static uint32_t tekken_upper_end(const char *text, uint32_t at, uint32_t end)
{
    uint32_t upper = category_run(TEKKEN_UPPER, text, at, end);
    return upper == at ? 0 : category_run(TEKKEN_LOWER, text, upper, end);
}

static uint32_t tekken_end(const char *text, uint32_t at, uint32_t end)
{
    uint32_t length, next_length;
    word_class c = class_at(text, at, &length);
    uint32_t after = at + length;
    bool may_prefix = c == CLASS_OTHER || c == CLASS_SPACE;
    for (int alternative = 0; alternative < 2; alternative++) {
        uint32_t (*letters_end)(const char *, uint32_t, uint32_t) =
            alternative == 0 ? tekken_lower_end : tekken_upper_end;
        uint32_t letters = may_prefix && after < end ? letters_end(text, after, end) : 0;
        if (letters == 0)
            letters = letters_end(text, at, end);
        if (letters != 0)
            return letters;
    }
    if (c == CLASS_NUMBER)
        return after;
    if (c == CLASS_OTHER ||
        (text[at] == ' ' && after < end && class_at(text, after, &next_length) == CLASS_OTHER))
        return others_end(text, after, end, true);
    return spaces_end(text, at, end, true);
}

bool pattern_covers(pattern_kind kind)
{
    return kind >= PATTERN_GPT2 && kind <= PATTERN_TEKKEN;
}

uint32_t pattern_covering_end(pattern_kind kind, const char *text, uint32_t at, uint32_t end)
{
    switch (kind) {
    case PATTERN_GPT2:
        return gpt2_end(text, at, end);
    case PATTERN_LLAMA3:
        return llama3_end(text, at, end, 3);
    case PATTERN_QWEN2:
        return llama3_end(text, at, end, 1);
    default:
        return tekken_end(text, at, end);
    }
}

bool pattern_split_covering(pattern_kind kind, const char *text, span within, span_list *out)
{
    uint32_t at = within.start;
    while (at < within.end) {
        uint32_t stop = kind == PATTERN_LLAMA3 ? llama3_end(text, at, within.end, 3)
                                               : pattern_covering_end(kind, text, at, within.end);
        if (!span_push(out, at, stop))
            return false;
        at = stop;
    }
    return true;
}
