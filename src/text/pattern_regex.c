/* Regular expressions that are not known by their text. They are written for Hugging Face's engine
 * (Oniguruma, Ruby syntax) and run on PCRE2: a translation keeps what means the same in both,
 * spells out classes whose meaning differs (white space, word characters, and properties, whose
 * Unicode version depends on PCRE2's), and refuses the rest. */
#include "text/pattern.h"

#include "base/buf.h"
#include "base/mem.h"
#include "text/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

struct pattern_regex {
    pcre2_code *code;
};

struct pattern_scratch {
    pcre2_general_context *memory;
    pcre2_match_data *match;
};

/* The oldest PCRE2 whose properties the table of newer code points completes. */
#define OLDEST_UNICODE 14

#define SPACES                                                                                     \
    "\\x{9}-\\x{D} \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}" \
    "\\x{3000}"
#define NO_SPACES                                                                                  \
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}"                   \
    "\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}"                 \
    "\\x{2060}-\\x{2FFF}\\x{3001}-\\x{D7FF}\\x{E000}-\\x{10FFFF}"
/* What Oniguruma's \w has beside letters, marks, Nd, Nl and Pc: circled letters, which are
 * alphabetic; and outside of classes, six Latin-1 numbers. */
#define WORD_SYMBOLS                                                                               \
    "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
#define WORD_NUMBERS "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"

/* A pattern on its way from one syntax to the other. */
typedef struct translation {
    const char *start, *at, *end;
    buf out;
    int depth;           /* of open groups */
    int caseless_depth;  /* of the outermost group that ignores case; 0: none */
    const char *problem; /* NULL: none */
} translation;

static bool refuse(translation *t, const char *problem)
{
    if (t->problem == NULL)
        t->problem = problem;
    return false;
}

static bool next_is(const translation *t, const char *string)
{
    size_t n = strlen(string);
    return (size_t)(t->end - t->at) >= n && memcmp(t->at, string, n) == 0;
}

/* The members of a set of categories, inside a class: PCRE2's own, and the code points that were
 * assigned after the Unicode version of the oldest PCRE2. */
static void put_categories(translation *t, const char *properties, uint32_t categories)
{
    buf_string(&t->out, properties);
    for (size_t i = 0; i < unicode_n_newer; i++) {
        unicode_range range = unicode_newer[i];
        if (categories >> range.category & 1)
            buf_printf(&t->out, "\\x{%X}-\\x{%X}", range.first, range.last);
    }
}

/* A set that an escape stands for. In a class it joins the others; outside it becomes a class. */
static bool put_set(translation *t, bool in_class, bool negated, const char *properties,
                    uint32_t categories, const char *extras)
{
    if (in_class && negated)
        return refuse(t, "a negated property inside a class");
    if (t->caseless_depth > 0)
        return refuse(t, "a character property where case is ignored");
    if (!in_class)
        buf_string(&t->out, negated ? "[^" : "[");
    put_categories(t, properties, categories);
    buf_string(&t->out, extras);
    if (!in_class)
        buf_char(&t->out, ']');
    return true;
}

static bool translate_space(translation *t, bool in_class, bool negated)
{
    if (in_class)
        buf_string(&t->out, negated ? NO_SPACES : SPACES);
    else
        buf_printf(&t->out, "[%s" SPACES "]", negated ? "^" : "");
    return true;
}

/* \p{Name}, \p{^Name} or \P{Name}, for general categories; t->at is past the p. */
static bool translate_property(translation *t, bool in_class, bool negated)
{
    const char *close = t->at < t->end ? memchr(t->at, '}', (size_t)(t->end - t->at)) : NULL;
    if (close == NULL || *t->at != '{')
        return refuse(t, "a property without braces");
    const char *name = t->at + 1;
    if (name < close && *name == '^') {
        negated = !negated;
        name++;
    }
    uint32_t categories = unicode_categories_named(name, (size_t)(close - name));
    if (categories == 0)
        return refuse(t, "a property that is no general category");
    char property[8] = "\\p{";
    strncat(property, name, (size_t)(close - name));
    strcat(property, "}");
    t->at = close + 1;
    return put_set(t, in_class, negated, property, categories, "");
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \xHH, \x{H…} or \uHHHH; t->at is past the letter. */
static bool translate_code_point(translation *t, bool is_u)
{
    uint32_t value = 0;
    int n = 0;
    bool braces = !is_u && next_is(t, "{");
    int most = braces ? 6 : is_u ? 4 : 2;
    t->at += braces;
    while (n < most && t->at < t->end && hex_value(*t->at) >= 0) {
        value = value * 16 + (uint32_t)hex_value(*t->at++);
        n++;
    }
    if (n == 0 || (is_u && n < 4) || (braces && !next_is(t, "}")) || value > 0x10FFFF ||
        (!braces && !is_u && value > 0x7F))
        return refuse(t, "a code point escape of an unknown form");
    t->at += braces;
    buf_printf(&t->out, "\\x{%X}", value);
    return true;
}

static bool translate_escape(translation *t, bool in_class)
{
    static const char controls[] = "tnrfae", plain[] = "AzZ";
    t->at++;
    if (t->at == t->end)
        return refuse(t, "a backslash at the end");
    char c = *t->at++;
    switch (c) {
    case 's':
    case 'S':
        return translate_space(t, in_class, c == 'S');
    case 'd':
    case 'D':
        return put_set(t, in_class, c == 'D', "\\p{Nd}", UNICODE_BIT(ND), "");
    case 'w':
    case 'W':
        return put_set(t, in_class, c == 'W', "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}",
                       UNICODE_LETTER | UNICODE_MARK | UNICODE_BIT(ND) | UNICODE_BIT(NL) |
                           UNICODE_BIT(PC),
                       in_class ? WORD_SYMBOLS : WORD_SYMBOLS WORD_NUMBERS);
    case 'p':
    case 'P':
        return translate_property(t, in_class, c == 'P');
    case 'x':
    case 'u':
        return translate_code_point(t, c == 'u');
    case 'v':
        buf_string(&t->out, "\\x{B}");
        return true;
    default:
        break;
    }
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool known = strchr(controls, c) != NULL || (!in_class && strchr(plain, c) != NULL);
    if (c == '\0' || (c >= '0' && c <= '9') || (is_letter && !known) || (unsigned char)c >= 0x80)
        return refuse(t, "an escape that is not supported");
    buf_char(&t->out, '\\');
    buf_char(&t->out, c);
    return true;
}

static bool translate_class(translation *t)
{
    buf_char(&t->out, *t->at++);
    if (next_is(t, "^"))
        buf_char(&t->out, *t->at++);
    if (next_is(t, "]"))
        return refuse(t, "an empty class");
    while (t->at < t->end && *t->at != ']') {
        if (*t->at == '[' || next_is(t, "&&"))
            return refuse(t, "a class inside a class");
        if (*t->at != '\\')
            buf_char(&t->out, *t->at++);
        else if (!translate_escape(t, true))
            return false;
    }
    if (t->at == t->end)
        return refuse(t, "a class without an end");
    buf_char(&t->out, *t->at++);
    return true;
}

static bool translate_group(translation *t)
{
    static const char *const openings[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    t->depth++;
    if (next_is(t, "(?i)") && t->at == t->start) { /* for all of the pattern */
        t->at += 4;
        t->caseless_depth = t->depth--;
        buf_string(&t->out, "(?i)");
        return true;
    }
    if (next_is(t, "(*"))
        return refuse(t, "a verb");
    if (!next_is(t, "(?")) {
        buf_char(&t->out, *t->at++);
        return true;
    }
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        if (!next_is(t, openings[i]))
            continue;
        if (i == 1 && t->caseless_depth == 0)
            t->caseless_depth = t->depth;
        buf_string(&t->out, openings[i]);
        t->at += strlen(openings[i]);
        return true;
    }
    return refuse(t, "a group of a kind that is not supported");
}

/* {n}, {n,} and {n,m}, which must not be followed by ? or +: Ruby reads {n}? and {n,m}+ in a way of
 * its own. */
static bool translate_interval(translation *t)
{
    const char *c = t->at + 1, *digits = c;
    while (c < t->end && *c >= '0' && *c <= '9')
        c++;
    bool good = c > digits;
    if (c < t->end && *c == ',')
        for (c++; c < t->end && *c >= '0' && *c <= '9';)
            c++;
    if (!good || c == t->end || *c != '}' || (c + 1 < t->end && (c[1] == '+' || c[1] == '?')))
        return refuse(t, "a repetition of an unknown form");
    for (c++; t->at < c; t->at++)
        buf_char(&t->out, *t->at);
    return true;
}

static bool translate_one(translation *t)
{
    switch (*t->at) {
    case '\\':
        return translate_escape(t, false);
    case '[':
        return translate_class(t);
    case '(':
        return translate_group(t);
    case '{':
        return translate_interval(t);
    case ')':
        if (t->depth == 0)
            return refuse(t, "a ) without its (");
        if (t->caseless_depth == t->depth)
            t->caseless_depth = 0;
        t->depth--;
        break;
    default:
        break;
    }
    buf_char(&t->out, *t->at++);
    return true;
}

static void *regex_alloc(size_t size, void *unused)
{
    (void)unused;
    return mem_alloc(size, 1);
}

static void regex_free(void *pointer, void *unused)
{
    (void)unused;
    mem_free(pointer);
}

/* ^ and $ are those of lines in Ruby, and lines end at \n alone. */
static pcre2_code *compile(const buf *regex, int *problem, size_t *where)
{
    pcre2_general_context *memory = pcre2_general_context_create(regex_alloc, regex_free, NULL);
    pcre2_compile_context *context = memory == NULL ? NULL : pcre2_compile_context_create(memory);
    pcre2_code *code = NULL;
    *problem = PCRE2_ERROR_NOMEMORY;
    *where = 0;
    if (context != NULL) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        code = pcre2_compile((PCRE2_SPTR)regex->data, regex->size_bytes,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK |
                                 PCRE2_NEVER_BACKSLASH_C,
                             problem, where, context);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    return code;
}

static bool unicode_is_new_enough(void)
{
    char version[24] = "";
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    int major = 0;
    for (const char *c = version; *c >= '0' && *c <= '9'; c++)
        major = major * 10 + (*c - '0');
    return major >= OLDEST_UNICODE;
}

slant_status pattern_regex_open(pattern_regex **out, const char *text, size_t text_bytes,
                                const char *name, slant_error *err)
{
    slant_status status = SLANT_OK;
    translation t = {.start = text, .at = text, .end = text + text_bytes};
    *out = NULL;
    if (!unicode_is_new_enough())
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: pattern %.*s: this PCRE2's Unicode is older than %d", name,
                           (int)text_bytes, text, OLDEST_UNICODE);
    while (t.at < t.end && translate_one(&t))
        continue;
    if (t.problem != NULL) {
        status = status_fail(err, SLANT_ERR_UNSUPPORTED, "%s: pattern %.*s: %s, at byte %zu", name,
                             (int)text_bytes, text, t.problem, (size_t)(t.at - text));
        goto done;
    }
    pattern_regex *regex = t.out.failed ? NULL : mem_calloc(1, sizeof *regex);
    if (regex == NULL) {
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory for a pattern", name);
        goto done;
    }
    int problem;
    size_t where;
    regex->code = compile(&t.out, &problem, &where);
    if (regex->code == NULL) {
        char message[128] = "";
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)message, sizeof message);
        bool memory = problem == PCRE2_ERROR_NOMEMORY || problem == PCRE2_ERROR_HEAP_FAILED;
        status = status_fail(err, memory ? SLANT_ERR_MEMORY : SLANT_ERR_UNSUPPORTED,
                             "%s: pattern %.*s: %s", name, (int)text_bytes, text, message);
        mem_free(regex);
        goto done;
    }
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it, the same more slowly */
    *out = regex;
done:
    buf_free(&t.out);
    return status;
}

void pattern_regex_close(pattern_regex *regex)
{
    if (regex == NULL)
        return;
    pcre2_code_free(regex->code);
    mem_free(regex);
}

pattern_scratch *pattern_scratch_open(void)
{
    pattern_scratch *scratch = mem_calloc(1, sizeof *scratch);
    if (scratch == NULL)
        return NULL;
    scratch->memory = pcre2_general_context_create(regex_alloc, regex_free, NULL);
    if (scratch->memory != NULL)
        scratch->match = pcre2_match_data_create(1, scratch->memory);
    if (scratch->match != NULL)
        return scratch;
    pattern_scratch_close(scratch);
    return NULL;
}

void pattern_scratch_close(pattern_scratch *scratch)
{
    if (scratch == NULL)
        return;
    pcre2_match_data_free(scratch->match);
    pcre2_general_context_free(scratch->memory);
    mem_free(scratch);
}

/* One search; where the compiled code runs out of its stack, the interpreter takes over. */
static int search(const pattern_regex *regex, pattern_scratch *scratch, const char *text, size_t n,
                  size_t from)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK, scratch->match, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         scratch->match, NULL);
    return rc;
}

slant_status pattern_regex_next(const pattern_regex *regex, pattern_scratch *scratch,
                                const char *text, span within, uint32_t from, bool *found,
                                span *match, slant_error *err)
{
    int rc =
        search(regex, scratch, text + within.start, within.end - within.start, from - within.start);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return SLANT_OK;
    if (rc < 0)
        return status_fail(err, rc == PCRE2_ERROR_NOMEMORY ? SLANT_ERR_MEMORY : SLANT_ERR_TEXT,
                           "the pre-tokenizer's pattern needs too much work on this text "
                           "(PCRE2 error %d)",
                           rc);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(scratch->match);
    *match = (span){within.start + (uint32_t)ends[0], within.start + (uint32_t)ends[1]};
    return SLANT_OK;
}
