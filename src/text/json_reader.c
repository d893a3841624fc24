#include "text/json_reader.h"

#include "text/utf8.h"

#include <string.h>

#define MAX_DEPTH 64

void json_reader_init(json_reader *r, const char *json, size_t json_bytes, arena *strings)
{
    *r = (json_reader){.begin = json, .at = json, .end = json + json_bytes, .strings = strings};
    size_t valid = utf8_valid_prefix(json, json_bytes);
    if (valid < json_bytes) {
        r->at += valid;
        json_fail(r, "not UTF-8");
    }
}

bool json_fail(json_reader *r, const char *problem)
{
    if (r->problem == NULL)
        r->problem = problem;
    return false;
}

bool json_text_is(json_text text, const char *string)
{
    return strlen(string) == text.size_bytes && memcmp(string, text.text, text.size_bytes) == 0;
}

char json_peek(json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    return r->at < r->end && r->problem == NULL ? *r->at : '\0';
}

static bool expect(json_reader *r, char c, const char *problem)
{
    if (json_peek(r) != c)
        return json_fail(r, problem);
    r->at++;
    return true;
}

static bool begin(json_reader *r, char c, const char *problem)
{
    if (r->depth == MAX_DEPTH)
        return json_fail(r, "nested too deeply");
    if (!expect(r, c, problem))
        return false;
    r->depth++;
    r->comma = false;
    return true;
}

bool json_begin_object(json_reader *r)
{
    return begin(r, '{', "expected an object");
}

bool json_begin_array(json_reader *r)
{
    return begin(r, '[', "expected an array");
}

/* Past the comma to the next element; false at the end or on an error. Whatever was read inside
 * this object or array counts as an element of the one around it. */
static bool next_element(json_reader *r, char close, const char *problem)
{
    char c = json_peek(r);
    if (c == close) {
        r->at++;
        r->depth--;
        r->comma = true;
        return false;
    }
    if (r->comma && !expect(r, ',', problem))
        return false;
    if (r->problem != NULL)
        return false;
    r->comma = true;
    return true;
}

bool json_next_item(json_reader *r)
{
    if (!next_element(r, ']', "expected , or ]"))
        return false;
    if (json_peek(r) == ']' || r->problem != NULL)
        return json_fail(r, "expected a value");
    return true;
}

bool json_next_key(json_reader *r, json_text *key)
{
    return next_element(r, '}', "expected , or }") && json_read_text(r, key) &&
           expect(r, ':', "expected :");
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_hex4(json_reader *r, uint32_t *out)
{
    *out = 0;
    if (r->end - r->at < 4)
        return json_fail(r, "a cut \\u escape");
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(*r->at);
        if (digit < 0)
            return json_fail(r, "a bad \\u escape");
        *out = *out * 16 + (uint32_t)digit;
        r->at++;
    }
    return true;
}

/* The code point of a \u escape, its second half included. */
static bool read_unicode_escape(json_reader *r, uint32_t *out)
{
    uint32_t low;
    if (!read_hex4(r, out))
        return false;
    if (*out < 0xD800 || *out > 0xDFFF)
        return true;
    if (*out > 0xDBFF || r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
        return json_fail(r, "a lone surrogate");
    r->at += 2;
    if (!read_hex4(r, &low))
        return false;
    if (low < 0xDC00 || low > 0xDFFF)
        return json_fail(r, "a lone surrogate");
    *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static bool read_escape(json_reader *r, char out[4], size_t *n_bytes)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return json_fail(r, "a string without an end");
    char c = *r->at++;
    if (c == 'u') {
        uint32_t code_point;
        if (!read_unicode_escape(r, &code_point))
            return false;
        *n_bytes = utf8_encode(code_point, out);
        return true;
    }
    const char *which = c == '\0' ? NULL : strchr(from, c);
    if (which == NULL)
        return json_fail(r, "an unknown escape");
    out[0] = to[which - from];
    *n_bytes = 1;
    return true;
}

/* The rest of a string whose first escape is at r->at; what came before begins at start. */
static bool read_escaped(json_reader *r, const char *start, const char *close, json_text *out)
{
    char *text = arena_alloc(r->strings, (size_t)(close - start) + 1, 1);
    if (text == NULL) {
        r->out_of_memory = true;
        return json_fail(r, "out of memory");
    }
    size_t n = (size_t)(r->at - start);
    memcpy(text, start, n);
    while (*r->at != '"') {
        size_t n_bytes = 1;
        char bytes[4] = {*r->at++};
        if (bytes[0] == '\\' && !read_escape(r, bytes, &n_bytes))
            return false;
        memcpy(text + n, bytes, n_bytes);
        n += n_bytes;
    }
    r->at++;
    *out = (json_text){text, n};
    return true;
}

bool json_read_text(json_reader *r, json_text *out)
{
    if (!expect(r, '"', "expected a string"))
        return false;
    const char *start = r->at, *first_escape = NULL, *close = start;
    while (close < r->end && *close != '"') {
        if ((unsigned char)*close < 0x20) {
            r->at = close;
            return json_fail(r, "a control character in a string");
        }
        if (*close == '\\') {
            first_escape = first_escape == NULL ? close : first_escape;
            close++; /* whatever is escaped cannot close the string */
        }
        close++;
    }
    if (close >= r->end)
        return json_fail(r, "a string without an end");
    if (first_escape != NULL) {
        r->at = first_escape;
        return read_escaped(r, start, close, out);
    }
    r->at = close + 1;
    *out = (json_text){start, (size_t)(close - start)};
    return true;
}

static bool read_word(json_reader *r, const char *word)
{
    size_t length = strlen(word);
    json_peek(r);
    if (r->problem != NULL || (size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

bool json_read_bool(json_reader *r, bool *out)
{
    *out = read_word(r, "true");
    return *out || read_word(r, "false") || json_fail(r, "expected true or false");
}

bool json_read_null(json_reader *r)
{
    return read_word(r, "null");
}

bool json_read_index(json_reader *r, uint32_t *out)
{
    uint64_t value = 0;
    json_peek(r);
    const char *start = r->at;
    while (r->problem == NULL && r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        value = value * 10 + (uint64_t)(*r->at - '0');
        if (value >= UINT32_MAX)
            return json_fail(r, "a number that is too large");
        r->at++;
    }
    bool more = r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E');
    if (r->at == start || more || (*start == '0' && r->at - start > 1))
        return json_fail(r, "expected an integer that is not negative");
    *out = (uint32_t)value;
    return true;
}

static bool skip_digits(json_reader *r)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > start || json_fail(r, "a malformed number");
}

static bool skip_number(json_reader *r)
{
    if (*r->at == '-')
        r->at++;
    bool zero = r->at < r->end && *r->at == '0';
    const char *start = r->at;
    if (!skip_digits(r))
        return false;
    if (zero && r->at - start > 1)
        return json_fail(r, "a malformed number");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!skip_digits(r))
            return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        return skip_digits(r);
    }
    return true;
}

static bool skip_scalar(json_reader *r, char first)
{
    json_text text;
    if (first == '"')
        return json_read_text(r, &text);
    if (first == '-' || (first >= '0' && first <= '9'))
        return skip_number(r);
    return read_word(r, "true") || read_word(r, "false") || read_word(r, "null") ||
           json_fail(r, "expected a value");
}

bool json_skip(json_reader *r)
{
    json_text key;
    char first = json_peek(r);
    if (first == '{') {
        if (!json_begin_object(r))
            return false;
        while (json_next_key(r, &key))
            json_skip(r);
    } else if (first == '[') {
        if (!json_begin_array(r))
            return false;
        while (json_next_item(r))
            json_skip(r);
    } else {
        return skip_scalar(r, first);
    }
    return r->problem == NULL;
}

bool json_finish(json_reader *r)
{
    json_peek(r);
    if (r->problem == NULL && r->at < r->end)
        return json_fail(r, "something after the end");
    return r->problem == NULL;
}
