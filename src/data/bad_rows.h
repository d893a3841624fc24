/* Rows that cannot be used: all are counted, the first are named. */
#ifndef SLANT_DATA_BAD_ROWS_H
#define SLANT_DATA_BAD_ROWS_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"

#include <slant_data.h>

#define BAD_ROWS_NAMED 100

typedef struct bad_rows {
    int64_t n;
    const char *named[BAD_ROWS_NAMED]; /* "FILE:ROW: why" */
    size_t n_named;
    arena memory;
} bad_rows;

/* why NULL: what the reader says of a record that it could not read. */
slant_status bad_rows_add(bad_rows *b, const slant_record *record, const char *why,
                          slant_error *err);
/* Something else that is left out, under a name of its own. */
slant_status bad_rows_name(bad_rows *b, slant_error *err, const char *fmt, ...) SLANT_PRINTF(3, 4);
/* SLANT_OK where there are none, else a failure that counts them and names the first. */
slant_status bad_rows_refuse(const bad_rows *b, slant_error *err);
/* "A; B; C; …": the first of them, for a message. */
void bad_rows_list(const bad_rows *b, buf *out);
/* What a caller of the library gets to see of them; the strings are memory's. */
slant_status bad_rows_show(const bad_rows *b, arena *memory, slant_left_out *out, slant_error *err);
void bad_rows_free(bad_rows *b);

#endif
