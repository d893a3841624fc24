#include "data/bad_rows.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAMED_IN_MESSAGE 3

/* The reader's messages begin with "FILE: row ROW: ", those about a whole file with "FILE: ". */
static const char *without_place(const slant_record *record)
{
    char row[32];
    const char *why = record->message;
    size_t file_bytes = strlen(record->file);
    int row_chars = snprintf(row, sizeof row, ": row %" PRId64 ": ", record->row);
    if (strncmp(why, record->file, file_bytes) != 0)
        return why;
    why += file_bytes;
    if (strncmp(why, row, (size_t)row_chars) == 0)
        return why + row_chars;
    return why[0] == ':' && why[1] == ' ' ? why + 2 : record->message;
}

slant_status bad_rows_add(bad_rows *b, const slant_record *record, const char *why,
                          slant_error *err)
{
    b->n++;
    if (b->n_named == BAD_ROWS_NAMED)
        return SLANT_OK;
    const char *named = arena_printf(&b->memory, "%s:%" PRId64 ": %s", record->file, record->row,
                                     why != NULL ? why : without_place(record));
    if (named == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of bad rows");
    b->named[b->n_named++] = named;
    return SLANT_OK;
}

slant_status bad_rows_refuse(const bad_rows *b, slant_error *err)
{
    if (b->n == 0)
        return SLANT_OK;
    if (b->n == 1)
        return status_fail(err, SLANT_ERR_FORMAT, "%s (skip_bad_rows leaves such a row out)",
                           b->named[0]);
    buf list = {0};
    for (size_t i = 0; i < b->n_named && i < NAMED_IN_MESSAGE; i++)
        buf_printf(&list, "; %.200s", b->named[i]);
    slant_status status =
        list.failed
            ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of bad rows")
            : status_fail(err, SLANT_ERR_FORMAT,
                          "%" PRId64 " rows cannot be used (skip_bad_rows leaves them out)%s%s",
                          b->n, list.data, b->n > NAMED_IN_MESSAGE ? "; …" : "");
    buf_free(&list);
    return status;
}

void bad_rows_free(bad_rows *b)
{
    arena_free(&b->memory);
    *b = (bad_rows){0};
}
