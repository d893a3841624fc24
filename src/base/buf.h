/* A growable byte buffer. Appending may fail for want of memory: the buffer then stays as it was
 * and `failed` is set, so that a writer can append freely and ask once at the end. */
#ifndef SLANT_BASE_BUF_H
#define SLANT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct buf {
    char *data; /* [size_bytes], followed by a NUL that does not count; NULL while empty */
    size_t size_bytes, cap;
    bool failed;
} buf;

bool buf_reserve(buf *b, size_t more_bytes); /* room for more_bytes beyond size_bytes */
void buf_append(buf *b, const void *bytes, size_t size_bytes);
void buf_string(buf *b, const char *string);
void buf_char(buf *b, char c);
void buf_printf(buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The shortest decimal that reads back as the same double, as Python's repr prints it. NaN and the
 * infinities, which JSON lacks, become null. */
void buf_double(buf *b, double value);
/* A JSON string with its quotes; bytes must be UTF-8; all above 0x7F is kept as it is. */
void buf_json_string(buf *b, const char *bytes, size_t size_bytes);
void buf_clear(buf *b); /* keeps the memory */
void buf_free(buf *b);

#endif
