/* Status codes and messages: how every function of slant says that it failed. */
#ifndef SLANT_BASE_STATUS_H
#define SLANT_BASE_STATUS_H

#include <slant.h>

#define SLANT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Writes the message (cut at a character boundary if too long) and returns status. err may be NULL.
 */
slant_status status_fail(slant_error *err, slant_status status, const char *fmt, ...)
    SLANT_PRINTF(3, 4);

/* Puts "context: " before the message that is there and returns its status. err may be NULL, then
 * status is returned. */
slant_status status_context(slant_error *err, slant_status status, const char *fmt, ...)
    SLANT_PRINTF(3, 4);

/* "path: strerror(errno_value)"; ENOENT and ENOTDIR become SLANT_ERR_NOT_FOUND, ENOMEM
 * SLANT_ERR_MEMORY, all else SLANT_ERR_IO. */
slant_status status_errno(slant_error *err, int errno_value, const char *fmt, ...)
    SLANT_PRINTF(3, 4);

#endif
