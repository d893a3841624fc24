/* Mistyped names: which of the known ones was meant. */
#ifndef SLANT_BASE_NEAREST_H
#define SLANT_BASE_NEAREST_H

#include <stddef.h>

/* The name among n that is nearest to a mistyped one; NULL where none is near. names(context, i)
 * gives the i-th and may give NULL. */
const char *nearest_name(const char *typed, size_t n, const char *(*names)(const void *, size_t),
                         const void *context);

#endif
