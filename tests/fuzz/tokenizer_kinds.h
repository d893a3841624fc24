/* Small tokenizers that the fuzz targets make for themselves: one of each kind, no files needed. */
#ifndef SLANT_FUZZ_TOKENIZER_KINDS_H
#define SLANT_FUZZ_TOKENIZER_KINDS_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_tables.h"
#include "text/utf8.h"

#define KIND_SPLIT(regex)                                                                          \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"        \
    "\"" regex                                                                                     \
    "\"},"                                                                                         \
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"    \
    "false,"                                                                                       \
    "\"use_regex\":false}]}"
#define KIND_SPACES "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define KIND_WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}"
#define KIND_OTHERS "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n"
#define KIND_UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define KIND_LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define KIND_PREFIX "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"

/* Byte-level kinds come first; the built-in patterns stand beside copies that PCRE2 has to run, for
 * (?:) at the end makes them unknown. */
static const struct kind {
    const char *normalizer, *pretokenizer;
    bool byte_level;
} kinds[] = {
    {"null", KIND_SPLIT(KIND_WORDS "{1,3}" KIND_OTHERS "]*" KIND_SPACES), true},
    {"null", KIND_SPLIT(KIND_WORDS "{1,3}" KIND_OTHERS "]*" KIND_SPACES "(?:)"), true},
    {"null",
     KIND_SPLIT(KIND_PREFIX KIND_UPPER "*" KIND_LOWER "+|" KIND_PREFIX KIND_UPPER "+" KIND_LOWER
                                       "*|\\\\p{N}" KIND_OTHERS "/]*" KIND_SPACES),
     true},
    {"null",
     KIND_SPLIT(KIND_PREFIX KIND_UPPER "*" KIND_LOWER "+|" KIND_PREFIX KIND_UPPER "+" KIND_LOWER
                                       "*|\\\\p{N}" KIND_OTHERS "/]*" KIND_SPACES "(?:)"),
     true},
    {"null", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", true},
    {"null",
     KIND_SPLIT("'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
                "|\\\\s+(?!\\\\S)|\\\\s+(?:)"),
     true},
    {"{\"type\":\"NFC\"}", KIND_SPLIT(KIND_WORDS KIND_OTHERS "]*" KIND_SPACES), true},
    {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\",\"strip_left\":true,\"strip_"
     "right\":true},"
     "{\"type\":\"Lowercase\"},{\"type\":\"NFKD\"}]}",
     "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
     "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\"}]}",
     false},
    {"null", "{\"type\":\"Whitespace\"}", false},
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

static void put_vocab(buf *out)
{
    static const char *const more[] = {"th", "the", "\xC4\xA0t", "\xC4\xA0the", "an",
                                       "in", "er",  "11",        "aa",          "aaaa"};
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        buf_char(out, byte == 0 ? '{' : ',');
        buf_json_string(out, text, utf8_encode(tables_byte_char((uint8_t)byte), text));
        buf_printf(out, ":%u", byte);
    }
    for (unsigned i = 0; i < sizeof more / sizeof *more; i++) {
        buf_char(out, ',');
        buf_json_string(out, more[i], strlen(more[i]));
        buf_printf(out, ":%u", 256 + i);
    }
    buf_char(out, '}');
}

/* tokenizer.json of a kind. */
static inline void put_kind(buf *out, size_t which)
{
    buf_printf(out,
               "{\"version\":\"1.0\",\"added_tokens\":["
               "{\"id\":266,\"content\":\"<s>\",\"special\":true},"
               "{\"id\":267,\"content\":\"<l>\",\"lstrip\":true},"
               "{\"id\":268,\"content\":\"<r>\",\"rstrip\":true,\"normalized\":true},"
               "{\"id\":269,\"content\":\"w\xC3\xA9\",\"single_word\":true}],"
               "\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":{\"type\":"
               "\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":%s},"
               "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,\"merges\":[\"t h\",\"th e\","
               "\"\xC4\xA0 t\",\"\xC4\xA0 the\",\"a n\",\"i n\",\"e r\",\"1 1\",\"a a\",\"aa aa\"],"
               "\"vocab\":",
               kinds[which].normalizer, kinds[which].pretokenizer,
               which % 3 == 0 ? "true" : "false", which < 2 ? "true" : "false");
    put_vocab(out);
    buf_string(out, "}}");
}

static inline tokenizer *open_kind(size_t which)
{
    buf json = {0};
    tokenizer *t = NULL;
    put_kind(&json, which);
    if (json.failed ||
        tokenizer_open_json(json.data, json.size_bytes, "kind", &t, NULL) != SLANT_OK)
        abort();
    buf_free(&json);
    return t;
}

#endif
