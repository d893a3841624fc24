/* Labelled articles gathered from a reader into batches, which keep copies: a reader's record lives
 * until the next one. Rows that cannot be used are left out, counted and named. */
#ifndef SLANT_API_LABELLED_H
#define SLANT_API_LABELLED_H

#include "base/buf.h"
#include "data/bad_rows.h"

/* What makes a row usable. */
typedef struct labelled_rule {
    const char *const *names; /* [n_labels] */
    int n_labels;
    bool lossy; /* text that is not UTF-8 is fine */
} labelled_rule;

typedef struct labelled_item {
    size_t text_at, title_at, file_at; /* within the batch's bytes */
    size_t text_bytes, title_bytes;
    bool has_title;
    int label;
    int64_t row;
} labelled_item;

typedef struct labelled_batch {
    buf bytes;
    labelled_item *items; /* [n] */
    slant_text *texts;    /* [n], into bytes; valid once the batch is filled */
    size_t n, cap;
    double share; /* of the reader's input that has been read; negative: unknown */
    bool end;     /* nothing follows */
} labelled_batch;

/* The label of a record, or -1 where the row cannot be used, which bad then counts. */
slant_status labelled_check(const labelled_rule *rule, const slant_record *record, bad_rows *bad,
                            int *label, slant_error *err);

/* Reads until about max_bytes of text or max_items articles are there, or the input ends. */
slant_status labelled_fill(labelled_batch *b, slant_reader *reader, const labelled_rule *rule,
                           size_t max_bytes, size_t max_items, bad_rows *bad, slant_error *err);
/* Item i as a record that names its place, for messages. */
slant_record labelled_place(const labelled_batch *b, size_t i);
void labelled_free(labelled_batch *b);

#endif
