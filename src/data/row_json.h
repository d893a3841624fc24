/* Rows of any input as one line of JSON each, for files that are made of rows of others. */
#ifndef SLANT_DATA_ROW_JSON_H
#define SLANT_DATA_ROW_JSON_H

#include "data/fields.h"

typedef struct row_json {
    buf row;
    buf names;    /* the columns' names as JSON strings, one behind the other */
    size_t *ends; /* [n_columns], within names */
    size_t cap;
    size_t n_columns;
} row_json;

void row_json_free(row_json *r);

/* Each sets the record's row_json, valid until the next call. */

/* A JSON value that has been checked, without white space between its tokens. */
slant_status row_json_of_value(row_json *r, const char *bytes, size_t size_bytes,
                               slant_record *record, slant_error *err);
/* An object with the article's id, title and text. */
slant_status row_json_of_article(row_json *r, slant_record *record, slant_error *err);
/* An object under the columns' names: the label as the record has it, where it has one, all else as
 * strings. */
slant_status row_json_name_columns(row_json *r, csv *table, const csv_record *header,
                                   slant_error *err);
slant_status row_json_of_columns(row_json *r, const fields *f, csv *table, const csv_record *row,
                                 slant_record *record, slant_error *err);

#endif
