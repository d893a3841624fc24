/* Records of CSV (RFC 4180) and TSV, found in a feed without reading the file whole.
 *
 * A field that begins with a quote ends with one; inside, two quotes stand for one and line ends
 * are text. A line ends with LF, CRLF or CR. In TSV a quote is often plain text, so a field whose
 * opening quote has no closing quote before a tab or a line's end is taken as it stands. */
#ifndef SLANT_DATA_CSV_H
#define SLANT_DATA_CSV_H

#include "data/feed.h"

#define CSV_MAX_FIELDS 4096

typedef struct csv_field {
    size_t begin, end; /* within the record; of a quoted field: what lies between the quotes */
    bool doubled;      /* holds doubled quotes */
} csv_field;

typedef enum csv_state {
    CSV_FIELD_START,
    CSV_PLAIN,
    CSV_QUOTED,
    CSV_QUOTE_SEEN, /* in a quoted field: the closing quote, or the first of two */
    CSV_CR_SEEN     /* behind that: the line's end, if LF follows */
} csv_state;

typedef struct csv {
    char delimiter;
    bool quotes_may_be_text; /* TSV */
    bool cr_ends_lines;      /* until a line has ended otherwise */
    bool after_cr;           /* the last record ended with CR: an LF here belongs to it */
    csv_field *fields;       /* [n_fields], room for cap */
    size_t n_fields, cap;
    size_t n_dropped;    /* fields beyond CSV_MAX_FIELDS */
    csv_state state;     /* of the record being read */
    size_t at;           /* how far, from the record's first byte */
    csv_field field;     /* being read */
    size_t bad_quote_at; /* + 1; where something followed a closing quote; 0: nowhere */
} csv;

typedef struct csv_record {
    bool end;
    char *bytes; /* in the feed, taken; fields' offsets are into it */
    bool blank;  /* an empty line */
} csv_record;

/* Begins a file: *c is zero, or was used for another file before. */
void csv_init(csv *c, char delimiter);
/* The next record; its fields are c->fields. A failure costs one row; with feed.told it ends the
 * file. */
slant_status csv_next(csv *c, feed *f, csv_record *record, slant_error *err);
/* A field's characters: doubled quotes are made one in place, at the first asking. */
char *csv_field_text(csv *c, const csv_record *record, size_t field, size_t *size_bytes);
void csv_free(csv *c);

#endif
