#include "data/json_scan.h"

#include "text/utf8.h"

#include <assert.h>
#include <string.h>

const char *json_kind_name(json_kind kind)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "a list",        "an object"};
    return names[kind];
}

void json_scan_init(json_scan *s, const char *bytes, size_t size_bytes)
{
    s->begin = s->at = bytes;
    s->end = bytes + size_bytes;
}

static slant_status expected(const json_scan *s, const char *what, slant_error *err)
{
    size_t offset = (size_t)(s->at - s->begin);
    if (s->at == s->end)
        return status_fail(err, SLANT_ERR_FORMAT, "expected %s at byte %zu, found the end", what,
                           offset);
    unsigned char c = (unsigned char)*s->at;
    if (c > 0x20 && c < 0x7F)
        return status_fail(err, SLANT_ERR_FORMAT, "expected %s at byte %zu, found '%c'", what,
                           offset, c);
    return status_fail(err, SLANT_ERR_FORMAT, "expected %s at byte %zu, found the byte 0x%02X",
                       what, offset, c);
}

static void skip_space(json_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Eight bytes at a time: a byte of x is zero where x - 1 borrows into a top bit that x lacks. */
const char *json_skip_plain(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
        uint64_t control = (word - ones * 0x20) & ~word;
        quote = (quote - ones) & ~quote;
        backslash = (backslash - ones) & ~backslash;
        if ((quote | backslash | control) & tops)
            break;
        at += 8;
    }
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20)
        at++;
    return at;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static slant_status scan_escape(json_scan *s, slant_error *err)
{
    s->at++;
    if (s->at == s->end || strchr("\"\\/bfnrtu", *s->at) == NULL || *s->at == '\0')
        return expected(s, "an escape sequence", err);
    if (*s->at++ != 'u')
        return SLANT_OK;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || hex_digit(*s->at) < 0)
            return expected(s, "a hexadecimal digit", err);
    return SLANT_OK;
}

static slant_status scan_string(json_scan *s, bool *escaped, slant_error *err)
{
    *escaped = false;
    s->at++;
    for (;;) {
        s->at = json_skip_plain(s->at, s->end);
        if (s->at == s->end)
            return expected(s, "the string's closing quote", err);
        if (*s->at == '"') {
            s->at++;
            return SLANT_OK;
        }
        if (*s->at != '\\')
            return expected(s, "control characters in strings to be escaped", err);
        *escaped = true;
        slant_status status = scan_escape(s, err);
        if (status != SLANT_OK)
            return status;
    }
}

static bool skip_digits(json_scan *s)
{
    const char *first = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > first;
}

static slant_status scan_number(json_scan *s, slant_error *err)
{
    if (*s->at == '-')
        s->at++;
    bool zero = s->at < s->end && *s->at == '0';
    if (zero)
        s->at++;
    else if (!skip_digits(s))
        return expected(s, "a digit", err);
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!skip_digits(s))
            return expected(s, "a digit", err);
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!skip_digits(s))
            return expected(s, "a digit", err);
    }
    return SLANT_OK;
}

static bool scan_word(json_scan *s, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return false;
    s->at += length;
    return true;
}

/* Anything but a list or an object. */
static slant_status scan_scalar(json_scan *s, json_value *value, slant_error *err)
{
    value->bytes = s->at;
    value->escaped = false;
    slant_status status = SLANT_OK;
    if (s->at < s->end && *s->at == '"') {
        value->kind = JSON_KIND_STRING;
        status = scan_string(s, &value->escaped, err);
    } else if (s->at < s->end && (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))) {
        value->kind = JSON_KIND_NUMBER;
        status = scan_number(s, err);
    } else if (scan_word(s, "true") || scan_word(s, "false")) {
        value->kind = JSON_KIND_BOOL;
    } else if (scan_word(s, "null")) {
        value->kind = JSON_KIND_NULL;
    } else {
        status = expected(s, "a JSON value", err);
    }
    value->size_bytes = (size_t)(s->at - value->bytes);
    return status;
}

static slant_status scan_key(json_scan *s, json_value *key, slant_error *err)
{
    skip_space(s);
    if (s->at == s->end || *s->at != '"')
        return expected(s, "a field's name in quotes", err);
    slant_status status = scan_scalar(s, key, err);
    if (status != SLANT_OK)
        return status;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return expected(s, "':'", err);
    s->at++;
    return SLANT_OK;
}

static bool level_is_object(const json_scan *s, int level)
{
    return s->is_object[level / 64] >> (level % 64) & 1;
}

/* Enters the list or object that begins here. *empty: it ended at once. */
static slant_status open_level(json_scan *s, int level, bool *empty, slant_error *err)
{
    if (level == JSON_MAX_DEPTH)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "lists and objects are nested more than %d deep at byte %zu",
                           JSON_MAX_DEPTH, (size_t)(s->at - s->begin));
    bool object = *s->at++ == '{';
    uint64_t bit = (uint64_t)1 << (level % 64);
    s->is_object[level / 64] = (s->is_object[level / 64] & ~bit) | (object ? bit : 0);
    skip_space(s);
    *empty = s->at < s->end && *s->at == (object ? '}' : ']');
    if (*empty)
        s->at++;
    else if (object) {
        json_value key;
        return scan_key(s, &key, err);
    }
    return SLANT_OK;
}

/* After a value inside level: a comma (and the next key), or the level's end. */
static slant_status after_item(json_scan *s, int level, bool *closed, slant_error *err)
{
    bool object = level_is_object(s, level);
    skip_space(s);
    *closed = s->at < s->end && *s->at == (object ? '}' : ']');
    if (!*closed && (s->at == s->end || *s->at != ','))
        return expected(s, object ? "',' or '}'" : "',' or ']'", err);
    s->at++;
    if (object && !*closed) {
        json_value key;
        return scan_key(s, &key, err);
    }
    return SLANT_OK;
}

static slant_status scan_nested(json_scan *s, slant_error *err)
{
    int depth = 0;
    do {
        json_value scalar;
        bool complete = true;
        slant_status status;
        skip_space(s);
        if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
            status = open_level(s, depth, &complete, err);
            depth += !complete;
        } else {
            status = scan_scalar(s, &scalar, err);
        }
        while (status == SLANT_OK && complete && depth > 0) {
            status = after_item(s, depth - 1, &complete, err);
            depth -= complete;
        }
        if (status != SLANT_OK)
            return status;
    } while (depth > 0);
    return SLANT_OK;
}

slant_status json_scan_value(json_scan *s, json_value *value, slant_error *err)
{
    skip_space(s);
    if (s->at == s->end || (*s->at != '{' && *s->at != '['))
        return scan_scalar(s, value, err);
    value->bytes = s->at;
    value->kind = *s->at == '{' ? JSON_KIND_OBJECT : JSON_KIND_LIST;
    value->escaped = false;
    slant_status status = scan_nested(s, err);
    value->size_bytes = (size_t)(s->at - value->bytes);
    return status;
}

slant_status json_scan_end(json_scan *s, slant_error *err)
{
    skip_space(s);
    return s->at == s->end ? SLANT_OK : expected(s, "nothing after the value", err);
}

slant_status json_scan_open_object(json_scan *s, slant_error *err)
{
    skip_space(s);
    if (s->at == s->end || *s->at != '{')
        return expected(s, "'{'", err);
    s->at++;
    return SLANT_OK;
}

slant_status json_scan_member(json_scan *s, bool *more, json_value *key, json_value *value,
                              slant_error *err)
{
    bool first = s->at[-1] == '{'; /* else the byte before is a value's last */
    *more = false;
    skip_space(s);
    if (s->at < s->end && *s->at == '}') {
        s->at++;
        return SLANT_OK;
    }
    if (!first) {
        if (s->at == s->end || *s->at != ',')
            return expected(s, "',' or '}'", err);
        s->at++;
    }
    slant_status status = scan_key(s, key, err);
    if (status != SLANT_OK)
        return status;
    *more = true;
    return json_scan_value(s, value, err);
}

static uint32_t decode_hex(const char *digits)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)hex_digit(digits[i]);
    return value;
}

static void append_character(buf *out, uint32_t c)
{
    if (c >= 0xD800 && c < 0xE000) {
        char lone[3] = {(char)0xED, (char)(0x80 | (c >> 6 & 0x3F)), (char)(0x80 | (c & 0x3F))};
        buf_append(out, lone, sizeof lone);
        return;
    }
    char bytes[4];
    size_t length = utf8_encode(c, bytes);
    buf_append(out, bytes, length);
}

/* at stands behind "\u"; returns where reading goes on. */
static const char *decode_unicode_escape(const char *at, const char *end, buf *out)
{
    uint32_t c = decode_hex(at);
    at += 4;
    if (c >= 0xD800 && c < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        uint32_t low = decode_hex(at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            at += 6;
        }
    }
    append_character(out, c);
    return at;
}

void json_string_decode(const json_value *string, buf *out)
{
    assert(string->kind == JSON_KIND_STRING);
    static const char letters[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
    const char *at = string->bytes + 1, *end = string->bytes + string->size_bytes - 1;
    while (at < end) {
        const char *backslash = memchr(at, '\\', (size_t)(end - at));
        const char *plain_end = backslash == NULL ? end : backslash;
        buf_append(out, at, (size_t)(plain_end - at));
        if (backslash == NULL)
            return;
        at = backslash + 2;
        if (backslash[1] == 'u')
            at = decode_unicode_escape(at, end, out);
        else
            buf_char(out, characters[strchr(letters, backslash[1]) - letters]);
    }
}

bool json_string_is(const json_value *string, const char *name, size_t name_bytes, buf *scratch)
{
    if (!string->escaped)
        return string->size_bytes - 2 == name_bytes &&
               memcmp(string->bytes + 1, name, name_bytes) == 0;
    buf_clear(scratch);
    json_string_decode(string, scratch);
    return scratch->size_bytes == name_bytes &&
           (name_bytes == 0 || memcmp(scratch->data, name, name_bytes) == 0);
}
