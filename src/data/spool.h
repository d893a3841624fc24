/* Rows put by on the disk, in a file without a name, so that they can be taken out in another order
 * while memory holds their places alone. */
#ifndef SLANT_DATA_SPOOL_H
#define SLANT_DATA_SPOOL_H

#include "base/file.h"

typedef struct spool {
    FILE *stream;   /* NULL: closed */
    uint64_t *ends; /* [n] */
    size_t n, cap;
    buf row; /* taken out last */
} spool;

/* The file lies in dir, where there must be room for all rows, until it is closed or the process
 * ends, however it ends. */
slant_status spool_open(spool *s, const char *dir, slant_error *err);
slant_status spool_add(spool *s, const char *row, size_t row_bytes, slant_error *err);
/* Writes row i, below n, and a newline. */
slant_status spool_take(spool *s, size_t i, file_writer *to, slant_error *err);
void spool_close(spool *s); /* harmless on a zeroed one */

#endif
