/* Strict JSON (RFC 8259) read in place: a value is checked in one pass and the members of an object
 * are handed out as spans of the input, so that an article is never copied only to be looked at.
 * Strings may hold any bytes from 0x80 up: whether they are UTF-8 is asked where the text is used,
 * because there it may be replaced. */
#ifndef SLANT_DATA_JSON_SCAN_H
#define SLANT_DATA_JSON_SCAN_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

#define JSON_MAX_DEPTH 2048

typedef enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_LIST,
    JSON_KIND_OBJECT
} json_kind;

/* "a number", "an object", …: for messages. */
const char *json_kind_name(json_kind kind);

typedef struct json_value {
    const char *bytes; /* [size_bytes] as in the input; a string with its quotes */
    size_t size_bytes;
    json_kind kind;
    bool escaped; /* a string with at least one backslash */
} json_value;

typedef struct json_scan {
    const char *begin, *at, *end;
    uint64_t is_object[JSON_MAX_DEPTH / 64]; /* one bit a level */
} json_scan;

void json_scan_init(json_scan *s, const char *bytes, size_t size_bytes);

/* The next value, whole. */
slant_status json_scan_value(json_scan *s, json_value *value, slant_error *err);
/* Nothing but white space must be left. */
slant_status json_scan_end(json_scan *s, slant_error *err);

/* Walks an object member by member: json_scan_open_object, then json_scan_member until *more is
 * false. key is a string with its quotes. */
slant_status json_scan_open_object(json_scan *s, slant_error *err);
slant_status json_scan_member(json_scan *s, bool *more, json_value *key, json_value *value,
                              slant_error *err);

/* Appends the characters of a string value, escapes resolved. A lone surrogate becomes its three
 * ill-formed bytes (ED A0 80 …), which are treated like any other ill-formed text. */
void json_string_decode(const json_value *string, buf *out);
/* The first quote, backslash or control character in [at, end), or end. */
const char *json_skip_plain(const char *at, const char *end);
/* Whether the string value is exactly this name. */
bool json_string_is(const json_value *string, const char *name, size_t name_bytes, buf *scratch);

#endif
