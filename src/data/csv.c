#include "data/csv.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

void csv_init(csv *c, char delimiter)
{
    csv_field *fields = c->fields;
    size_t cap = c->cap;
    *c = (csv){
        .delimiter = delimiter, .quotes_may_be_text = delimiter == '\t', .cr_ends_lines = true};
    c->fields = fields;
    c->cap = cap;
}

void csv_free(csv *c)
{
    mem_free(c->fields);
    *c = (csv){0};
}

static void start_record(csv *c)
{
    c->n_fields = c->n_dropped = 0;
    c->state = CSV_FIELD_START;
    c->at = 0;
    c->field = (csv_field){0};
    c->bad_quote_at = 0;
}

/* Closes the field at end, of which a CR before the line's LF is no part. */
static bool end_field(csv *c, const char *bytes, size_t end, bool at_newline)
{
    bool cr = at_newline && end > c->field.begin && bytes[end - 1] == '\r';
    if (c->state != CSV_QUOTE_SEEN && c->state != CSV_CR_SEEN)
        c->field.end = end - cr;
    if (c->n_fields == CSV_MAX_FIELDS) {
        c->n_dropped++;
    } else {
        csv_field *fields = mem_with_room(c->fields, &c->cap, c->n_fields + 1, sizeof *fields);
        if (fields == NULL)
            return false;
        c->fields = fields;
        c->fields[c->n_fields++] = c->field;
    }
    c->state = CSV_FIELD_START;
    return true;
}

/* The quote that opened this field is text after all: read it again as a plain field. */
static void unquote(csv *c)
{
    c->field.begin--;
    c->at = c->field.begin + 1;
    c->field.doubled = false;
    c->state = CSV_PLAIN;
}

static bool ends_plain(const csv *c, char byte)
{
    return byte == c->delimiter || byte == '\n' || (byte == '\r' && c->cr_ends_lines);
}

/* The byte behind a quote in a quoted field, or behind that quote and a CR; no delimiter. */
static void after_quote(csv *c, char byte)
{
    if (byte == '"' && c->state == CSV_QUOTE_SEEN) {
        c->field.doubled = true;
        c->state = CSV_QUOTED;
        c->at++;
    } else if (byte == '\r' && c->state == CSV_QUOTE_SEEN) {
        c->state = CSV_CR_SEEN;
        c->at++;
    } else if (c->quotes_may_be_text) {
        unquote(c);
    } else {
        if (c->bad_quote_at == 0)
            c->bad_quote_at = c->at + 1;
        c->state = CSV_PLAIN;
    }
}

typedef enum csv_found { CSV_FOUND_NOTHING, CSV_FOUND_RECORD, CSV_FOUND_NO_MEMORY } csv_found;

/* Goes on in bytes [size_bytes], the record's first ones, to the record's end. */
static csv_found find_end(csv *c, const char *bytes, size_t size_bytes)
{
    while (c->at < size_bytes) {
        char byte = bytes[c->at];
        if (c->state == CSV_FIELD_START) {
            bool quoted = byte == '"';
            c->field = (csv_field){.begin = c->at + quoted};
            c->at += quoted;
            c->state = quoted ? CSV_QUOTED : CSV_PLAIN;
        } else if (c->state == CSV_QUOTED) {
            const char *quote = memchr(bytes + c->at, '"', size_bytes - c->at);
            c->at = quote == NULL ? size_bytes : (size_t)(quote - bytes) + 1;
            if (quote != NULL) {
                c->field.end = c->at - 1;
                c->state = CSV_QUOTE_SEEN;
            }
        } else if (c->state == CSV_CR_SEEN && byte != '\n') {
            after_quote(c, byte);
        } else if (ends_plain(c, byte)) {
            if (!end_field(c, bytes, c->at, byte == '\n'))
                return CSV_FOUND_NO_MEMORY;
            c->at++;
            if (byte != c->delimiter)
                return CSV_FOUND_RECORD;
            c->field = (csv_field){.begin = c->at, .end = c->at};
        } else if (c->state == CSV_QUOTE_SEEN) {
            after_quote(c, byte);
        } else {
            do
                c->at++;
            while (c->at < size_bytes && !ends_plain(c, bytes[c->at]));
        }
    }
    return CSV_FOUND_NOTHING;
}

/* The file ended without a line's end. A quoted field that is still open is text in TSV. */
static csv_found finish(csv *c, const char *bytes, size_t size_bytes)
{
    while (c->state == CSV_QUOTED && c->quotes_may_be_text) {
        unquote(c);
        csv_found found = find_end(c, bytes, size_bytes);
        if (found != CSV_FOUND_NOTHING)
            return found;
    }
    return end_field(c, bytes, c->at, true) ? CSV_FOUND_RECORD : CSV_FOUND_NO_MEMORY;
}

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a row's fields");
}

/* Drops the rest of a record that is too long, so that the next one can be read. */
static slant_status skip_record(csv *c, feed *f, slant_error *err)
{
    c->quotes_may_be_text = false; /* there is no way back to where the quote was */
    for (csv_found found = CSV_FOUND_NOTHING; found == CSV_FOUND_NOTHING && !f->ended;) {
        slant_status status = feed_more(f, err);
        if (status != SLANT_OK)
            return status;
        found = find_end(c, feed_bytes(f), feed_size(f));
        if (found == CSV_FOUND_NO_MEMORY)
            return out_of_memory(err);
        c->after_cr =
            c->cr_ends_lines && found == CSV_FOUND_RECORD && feed_bytes(f)[c->at - 1] == '\r';
        feed_take(f, c->at);
        c->at = 0;
    }
    c->quotes_may_be_text = c->delimiter == '\t';
    return status_fail(err, SLANT_ERR_FORMAT, "the row is longer than %zu MiB",
                       RECORD_MAX_BYTES >> 20);
}

static slant_status read_record(csv *c, feed *f, slant_error *err)
{
    start_record(c);
    csv_found found;
    while ((found = find_end(c, feed_bytes(f), feed_size(f))) == CSV_FOUND_NOTHING) {
        if (feed_size(f) > RECORD_MAX_BYTES) {
            if (c->quotes_may_be_text && c->state == CSV_QUOTED) {
                unquote(c);
                continue;
            }
            return skip_record(c, f, err);
        }
        slant_status status = feed_more(f, err);
        if (status != SLANT_OK)
            return status;
        if (!f->ended)
            continue;
        if (c->state == CSV_QUOTED && !c->quotes_may_be_text) {
            uint64_t at = f->passed + c->field.begin - 1;
            feed_take(f, feed_size(f));
            return status_fail(err, SLANT_ERR_FORMAT,
                               "the quote at byte %" PRIu64 " is never closed", at);
        }
        found = finish(c, feed_bytes(f), feed_size(f));
        break;
    }
    return found == CSV_FOUND_RECORD ? SLANT_OK : out_of_memory(err);
}

slant_status csv_next(csv *c, feed *f, csv_record *record, slant_error *err)
{
    *record = (csv_record){0};
    slant_status status = feed_want(f, 1, err);
    if (status == SLANT_OK && c->after_cr && feed_size(f) > 0 && *feed_bytes(f) == '\n') {
        c->cr_ends_lines = false;
        feed_take(f, 1);
        status = feed_want(f, 1, err);
    }
    c->after_cr = false;
    if (status != SLANT_OK)
        return status;
    record->end = feed_size(f) == 0;
    if (record->end)
        return SLANT_OK;
    uint64_t passed = f->passed;
    status = read_record(c, f, err);
    if (status != SLANT_OK)
        return status;
    record->bytes = feed_bytes(f);
    record->blank = c->n_fields == 1 && c->fields[0].begin == 0 && c->fields[0].end == 0;
    c->after_cr = c->cr_ends_lines && record->bytes[c->at - 1] == '\r';
    c->cr_ends_lines = c->after_cr;
    feed_take(f, c->at);
    if (c->bad_quote_at > 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "expected a delimiter or the line's end behind the closing quote at "
                           "byte %" PRIu64,
                           passed + c->bad_quote_at - 1);
    return SLANT_OK;
}

char *csv_field_text(csv *c, const csv_record *record, size_t field, size_t *size_bytes)
{
    assert(field < c->n_fields);
    csv_field *span = &c->fields[field];
    char *text = record->bytes + span->begin;
    *size_bytes = span->end - span->begin;
    if (!span->doubled)
        return text;
    const char *from = text, *end = text + *size_bytes;
    char *to = text;
    while (from < end) {
        const char *quote = memchr(from, '"', (size_t)(end - from));
        size_t plain = (size_t)((quote == NULL ? end : quote + 1) - from);
        memmove(to, from, plain);
        to += plain;
        from += plain + (quote != NULL);
    }
    *size_bytes = (size_t)(to - text);
    span->end = span->begin + *size_bytes;
    span->doubled = false;
    return text;
}
