/* UTF-8: validation. */
#ifndef SLANT_TEXT_UTF8_H
#define SLANT_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte that does not begin or continue a well-formed character; size_bytes where
 * all is well-formed. Surrogates, overlong forms and values above U+10FFFF are ill-formed. */
size_t utf8_valid_prefix(const char *bytes, size_t size_bytes);

#endif
