/* Articles gathered from a reader into batches of bounded size, the unreadable rows among them in
 * their places. A reader's record lives until the next one; a batch keeps copies. */
#ifndef SLANT_CLI_BATCH_H
#define SLANT_CLI_BATCH_H

#include "base/buf.h"

#include <slant_data.h>

typedef struct batch_item {
    size_t id_at, file_at, text_at, title_at, message_at; /* in bytes; the strings are terminated */
    size_t text_bytes, title_bytes;
    int64_t row;
    bool has_title, readable; /* where not readable, message says why */
} batch_item;

typedef struct batch {
    buf bytes;
    batch_item *items; /* [n_items] */
    size_t n_items, cap;
    size_t n_texts;    /* readable items */
    slant_text *texts; /* [n_texts], in order; valid once the batch is filled */
    double share;      /* of all input that has been read; negative: unknown */
    bool end;          /* nothing follows */
} batch;

/* Reads until about max_bytes of text or max_items are there, or the input ends. */
slant_status batch_fill(batch *b, slant_reader *reader, size_t max_bytes, size_t max_items,
                        slant_error *err);
/* The one article of the command line. */
slant_status batch_take_text(batch *b, const char *text, slant_error *err);
const char *batch_string(const batch *b, size_t at);
void batch_free(batch *b);

/* Everything of an item that an answer depends on, in a form that can be digested: item i's fields
 * with their lengths. */
void batch_identity(const batch *b, size_t i, buf *out);

#endif
