/* UTF-8: validation and single characters. */
#ifndef SLANT_TEXT_UTF8_H
#define SLANT_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte that does not begin or continue a well-formed character; size_bytes
 * where all is well-formed. Surrogates, overlong forms and values above U+10FFFF are ill-formed. */
size_t utf8_valid_prefix(const char *bytes, size_t size_bytes);

/* How many bytes at the start, which must be ill-formed, are one maximal subpart: what a single
 * U+FFFD replaces, as the Unicode standard recommends. 1 to 3; size_bytes > 0. */
size_t utf8_maximal_subpart(const char *bytes, size_t size_bytes);

/* The bytes that the character of this first byte takes; the text must be well-formed. */
static inline size_t utf8_length(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The code point at bytes, which must begin a well-formed character; its length goes to *length. */
static inline uint32_t utf8_decode(const char *bytes, size_t *length)
{
    const unsigned char *b = (const unsigned char *)bytes;
    *length = utf8_length(b[0]);
    switch (*length) {
    case 1:
        return b[0];
    case 2:
        return (uint32_t)(b[0] & 0x1F) << 6 | (b[1] & 0x3F);
    case 3:
        return (uint32_t)(b[0] & 0x0F) << 12 | (uint32_t)(b[1] & 0x3F) << 6 | (b[2] & 0x3F);
    default:
        return (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3F) << 12 |
               (uint32_t)(b[2] & 0x3F) << 6 | (b[3] & 0x3F);
    }
}

static inline bool utf8_is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Writes code_point, a scalar value, and returns how many bytes it took. */
size_t utf8_encode(uint32_t code_point, char out[4]);

#endif
