#include "text/utf8.h"

#include <string.h>

/* The bytes that a first byte asks for, and the range of the second byte, which is where overlong
 * forms, surrogates and values above U+10FFFF show (Unicode standard, table 3-7). */
typedef struct sequence_rule {
    unsigned char length, second_low, second_high;
} sequence_rule;

static sequence_rule rule_of(unsigned char first)
{
    if (first >= 0xC2 && first <= 0xDF)
        return (sequence_rule){2, 0x80, 0xBF};
    if (first >= 0xE0 && first <= 0xEF) {
        unsigned char low = first == 0xE0 ? 0xA0 : 0x80;
        unsigned char high = first == 0xED ? 0x9F : 0xBF;
        return (sequence_rule){3, low, high};
    }
    if (first >= 0xF0 && first <= 0xF4) {
        unsigned char low = first == 0xF0 ? 0x90 : 0x80;
        unsigned char high = first == 0xF4 ? 0x8F : 0xBF;
        return (sequence_rule){4, low, high};
    }
    return (sequence_rule){0, 0, 0};
}

/* How many bytes at the start, of those that are there, can belong to one well-formed character;
 * *wanted is the character's whole length (0: no character begins with this byte). */
static size_t matching_bytes(const unsigned char *b, size_t size_bytes, size_t *wanted)
{
    sequence_rule rule = rule_of(b[0]);
    *wanted = rule.length;
    if (rule.length == 0)
        return 0;
    if (size_bytes < 2 || b[1] < rule.second_low || b[1] > rule.second_high)
        return 1;
    size_t n = 2;
    while (n < rule.length && n < size_bytes && (b[n] & 0xC0) == 0x80)
        n++;
    return n;
}

static size_t skip_ascii(const unsigned char *b, size_t at, size_t size_bytes)
{
    while (at + 16 <= size_bytes) {
        uint64_t words[2];
        memcpy(words, b + at, 16);
        if ((words[0] | words[1]) & UINT64_C(0x8080808080808080))
            break;
        at += 16;
    }
    while (at < size_bytes && b[at] < 0x80)
        at++;
    return at;
}

size_t utf8_valid_prefix(const char *bytes, size_t size_bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    size_t at = 0;
    for (;;) {
        at = skip_ascii(b, at, size_bytes);
        if (at >= size_bytes)
            return size_bytes;
        while (at < size_bytes && b[at] >= 0x80) {
            size_t wanted;
            size_t found = matching_bytes(b + at, size_bytes - at, &wanted);
            if (found == 0 || found < wanted)
                return at;
            at += wanted;
        }
    }
}

size_t utf8_maximal_subpart(const char *bytes, size_t size_bytes)
{
    size_t wanted;
    size_t found = matching_bytes((const unsigned char *)bytes, size_bytes, &wanted);
    return found == 0 ? 1 : found;
}

size_t utf8_encode(uint32_t code_point, char out[4])
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    out[0] = (char)(lead[length] | code_point);
    return length;
}
