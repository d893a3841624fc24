#include "base/buf.h"

#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool buf_reserve(buf *b, size_t more_bytes)
{
    size_t need;
    if (!mem_add(b->size_bytes, more_bytes, &need) || !mem_add(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap > ((size_t)-1) / 2 ? need : cap * 2;
    char *data = mem_realloc(b->data, cap, 1);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_append(buf *b, const void *bytes, size_t size_bytes)
{
    if (!buf_reserve(b, size_bytes))
        return;
    if (size_bytes > 0)
        memcpy(b->data + b->size_bytes, bytes, size_bytes);
    b->size_bytes += size_bytes;
    b->data[b->size_bytes] = '\0';
}

void buf_string(buf *b, const char *string)
{
    buf_append(b, string, strlen(string));
}

void buf_char(buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_printf(buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    if (length >= 0 && buf_reserve(b, (size_t)length)) {
        vsnprintf(b->data + b->size_bytes, (size_t)length + 1, fmt, again);
        b->size_bytes += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

/* Python's rules: exponent form below 1e-4 and from 1e16 on, else positional with at least ".0". */
void buf_double(buf *b, double value)
{
    if (!isfinite(value)) {
        buf_string(b, "null");
        return;
    }
    char digits[40];
    int precision = 1;
    do
        snprintf(digits, sizeof digits, "%.*e", precision - 1, value);
    while (strtod(digits, NULL) != value && ++precision <= 17);

    char *e = strchr(digits, 'e');
    int exponent = atoi(e + 1);
    if (value == 0)
        exponent = 0;
    if (exponent < -4 || exponent >= 16) {
        *e = '\0';
        buf_printf(b, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int decimals = precision - 1 - exponent;
    buf_printf(b, "%.*f", decimals < 1 ? 1 : decimals, value);
}

void buf_json_string(buf *b, const char *bytes, size_t size_bytes)
{
    static const char short_escapes[] = "btn\0fr"; /* for 0x08 … 0x0D; 0x0B has none */
    size_t plain = 0;
    buf_char(b, '"');
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        buf_append(b, bytes + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c >= 0x08 && c <= 0x0D && c != 0x0B)
            buf_printf(b, "\\%c", short_escapes[c - 0x08]);
        else
            buf_printf(b, "\\u%04x", c);
    }
    buf_append(b, bytes + plain, size_bytes - plain);
    buf_char(b, '"');
}

void buf_clear(buf *b)
{
    b->size_bytes = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_free(buf *b)
{
    mem_free(b->data);
    *b = (buf){0};
}
