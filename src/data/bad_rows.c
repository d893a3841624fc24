#include "data/bad_rows.h"

#include <inttypes.h>
#include <stdarg.h>
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

slant_status bad_rows_name(bad_rows *b, slant_error *err, const char *fmt, ...)
{
    char name[1024];
    va_list args;
    b->n++;
    if (b->n_named == BAD_ROWS_NAMED)
        return SLANT_OK;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    const char *kept = arena_strdup(&b->memory, name);
    if (kept == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of bad rows");
    b->named[b->n_named++] = kept;
    return SLANT_OK;
}

slant_status bad_rows_add(bad_rows *b, const slant_record *record, const char *why,
                          slant_error *err)
{
    return bad_rows_name(b, err, "%s:%" PRId64 ": %s", record->file, record->row,
                         why != NULL ? why : without_place(record));
}

void bad_rows_list(const bad_rows *b, buf *out)
{
    for (size_t i = 0; i < b->n_named && i < NAMED_IN_MESSAGE; i++)
        buf_printf(out, "%s%.200s", i > 0 ? "; " : "", b->named[i]);
    buf_string(out, b->n > NAMED_IN_MESSAGE ? "; …" : "");
}

slant_status bad_rows_refuse(const bad_rows *b, slant_error *err)
{
    if (b->n == 0)
        return SLANT_OK;
    if (b->n == 1)
        return status_fail(err, SLANT_ERR_FORMAT, "%s (skip_bad_rows leaves such a row out)",
                           b->named[0]);
    buf list = {0};
    bad_rows_list(b, &list);
    slant_status status =
        list.failed
            ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of bad rows")
            : status_fail(err, SLANT_ERR_FORMAT,
                          "%" PRId64 " rows cannot be used (skip_bad_rows leaves them out): %s",
                          b->n, list.data);
    buf_free(&list);
    return status;
}

slant_status bad_rows_show(const bad_rows *b, arena *memory, slant_left_out *out, slant_error *err)
{
    const char **named = arena_alloc(memory, b->n_named, sizeof *named);
    *out = (slant_left_out){.n = b->n, .named = named, .n_named = b->n_named};
    for (size_t i = 0; named != NULL && i < b->n_named; i++)
        if ((named[i] = arena_strdup(memory, b->named[i])) == NULL)
            named = NULL;
    return named != NULL
               ? SLANT_OK
               : status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of bad rows");
}

void bad_rows_free(bad_rows *b)
{
    arena_free(&b->memory);
    *b = (bad_rows){0};
}
