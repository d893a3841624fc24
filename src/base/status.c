#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const status_texts[] = {
#define STATUS_TEXT(name, text) text,
    SLANT_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
};

const char *slant_status_text(slant_status status)
{
    size_t n_texts = sizeof status_texts / sizeof *status_texts;
    return (size_t)status < n_texts ? status_texts[status] : "unknown status";
}

/* A message that was cut must still be UTF-8: drop the bytes of a character that lost its end. */
static void trim_to_character(char *message, size_t cap)
{
    size_t length = strlen(message);
    if (length + 1 < cap)
        return;
    size_t start = length;
    while (start > 0 && ((unsigned char)message[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)message[start - 1];
    size_t want = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (length - start < want)
        message[start - 1] = '\0';
}

slant_status status_fail(slant_error *err, slant_status status, const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, fmt, args);
        va_end(args);
        trim_to_character(err->message, sizeof err->message);
    }
    return status;
}

slant_status status_context(slant_error *err, slant_status status, const char *fmt, ...)
{
    if (err != NULL) {
        char inner[sizeof err->message];
        memcpy(inner, err->message, sizeof inner);
        va_list args;
        va_start(args, fmt);
        int used = vsnprintf(err->message, sizeof err->message, fmt, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->message)
            snprintf(err->message + used, sizeof err->message - (size_t)used, ": %.*s",
                     (int)(sizeof err->message - (size_t)used), inner);
        err->status = status;
        trim_to_character(err->message, sizeof err->message);
    }
    return status;
}

slant_status status_errno(slant_error *err, int errno_value, const char *fmt, ...)
{
    slant_status status = SLANT_ERR_IO;
    if (errno_value == ENOENT || errno_value == ENOTDIR)
        status = SLANT_ERR_NOT_FOUND;
    else if (errno_value == ENOMEM)
        status = SLANT_ERR_MEMORY;
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        int used = vsnprintf(err->message, sizeof err->message, fmt, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->message)
            snprintf(err->message + used, sizeof err->message - (size_t)used, ": %s",
                     strerror(errno_value));
        err->status = status;
        trim_to_character(err->message, sizeof err->message);
    }
    return status;
}
