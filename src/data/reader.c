/* The reader: one input after another, one record after another. What a file's bytes mean is said
 * by json_items.c, csv.c and text/html.c; which fields are meant, by fields.c. */
#include <slant_data.h>

#include "base/mem.h"
#include "data/csv.h"
#include "data/feed.h"
#include "data/fields.h"
#include "data/inputs.h"
#include "data/json_items.h"
#include "data/row_json.h"
#include "data/sniff.h"
#include "text/html.h"

#include <inttypes.h>
#include <string.h>

struct slant_reader {
    slant_reader_options options; /* its strings are in the arena */
    arena strings;
    inputs inputs;
    size_t next_input;
    uint64_t done_bytes; /* of the inputs before the current one */
    feed feed;
    fields fields;
    json_items items;
    csv table;
    row_json rows; /* where they are wanted */
    slant_error row_error;

    /* of the current input */
    const input *input; /* NULL: none is open */
    slant_input kind;
    bool opened;    /* it could be */
    bool in_header; /* a table's first row has not been read */
    int64_t row;    /* of the record read last */
};

static const char *keep(slant_reader *r, const char *name, bool *failed)
{
    const char *kept = name == NULL ? NULL : arena_strdup(&r->strings, name);
    *failed |= name != NULL && kept == NULL;
    return kept;
}

static bool keep_options(slant_reader *r, const slant_reader_options *options)
{
    static const slant_reader_options defaults = {0};
    bool failed = false;
    r->options = options == NULL ? defaults : *options;
    r->options.text_field = keep(r, r->options.text_field, &failed);
    r->options.title_field = keep(r, r->options.title_field, &failed);
    r->options.id_field = keep(r, r->options.id_field, &failed);
    r->options.label_field = keep(r, r->options.label_field, &failed);
    return !failed;
}

slant_status slant_reader_open(const char *const *paths, size_t n_paths,
                               const slant_reader_options *options, slant_reader **out,
                               slant_error *err)
{
    *out = NULL;
    slant_reader *r = mem_calloc(1, sizeof *r);
    if (r == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the article reader");
    feed_init(&r->feed);
    slant_status status = SLANT_OK;
    if (!keep_options(r, options))
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory for the article reader");
    if (status == SLANT_OK)
        status = inputs_open(&r->inputs, paths, n_paths, r->options.recursive, err);
    if (status != SLANT_OK) {
        slant_reader_close(r);
        return status;
    }
    fields_init(&r->fields, &r->options);
    *out = r;
    return SLANT_OK;
}

void slant_reader_close(slant_reader *r)
{
    if (r == NULL)
        return;
    feed_free(&r->feed);
    fields_free(&r->fields);
    csv_free(&r->table);
    row_json_free(&r->rows);
    inputs_close(&r->inputs);
    arena_free(&r->strings);
    mem_free(r);
}

static double fraction(const slant_reader *r)
{
    if (!r->inputs.size_known)
        return -1;
    uint64_t read = r->done_bytes;
    if (r->opened)
        read += byte_source_position(&r->feed.source);
    if (r->inputs.total_bytes == 0 || read >= r->inputs.total_bytes)
        return 1;
    return (double)read / (double)r->inputs.total_bytes;
}

static slant_status skip_byte_order_mark(feed *f, slant_error *err)
{
    slant_status status = feed_want(f, 3, err);
    if (feed_size(f) >= 3 && memcmp(feed_bytes(f), "\xEF\xBB\xBF", 3) == 0)
        feed_take(f, 3);
    return status == SLANT_ERR_MEMORY ? status : SLANT_OK; /* others come again with the record */
}

static slant_status start_input(slant_reader *r, slant_error *err)
{
    slant_status status = feed_open(&r->feed, r->input->path, err);
    if (status != SLANT_OK)
        return status;
    r->kind = r->options.input;
    if (r->kind == SLANT_INPUT_AUTO)
        r->kind = sniff_name(r->input->path);
    if (r->kind == SLANT_INPUT_AUTO)
        status = sniff_bytes(&r->feed, &r->fields, &r->kind, err);
    bool verbatim = r->kind == SLANT_INPUT_TEXT || r->kind == SLANT_INPUT_HTML;
    if (status == SLANT_OK && !verbatim)
        status = skip_byte_order_mark(&r->feed, err);
    json_items_init(&r->items);
    csv_init(&r->table, r->kind == SLANT_INPUT_TSV ? '\t' : ',');
    r->in_header = r->kind == SLANT_INPUT_CSV || r->kind == SLANT_INPUT_TSV;
    r->feed.told = false; /* what could be read before the failure comes first */
    r->opened = status == SLANT_OK;
    return status;
}

static slant_status open_input(slant_reader *r, slant_error *err)
{
    r->input = &r->inputs.items[r->next_input++];
    r->row = 0;
    r->opened = false;
    if (r->input->status != SLANT_OK)
        return status_fail(err, r->input->status, "%s", r->input->problem);
    return start_input(r, err);
}

static void close_input(slant_reader *r)
{
    r->done_bytes += r->input->size_bytes;
    r->input = NULL;
    r->opened = false;
    feed_close(&r->feed);
}

static slant_status read_whole(feed *f, slant_error *err)
{
    slant_status status = feed_want(f, RECORD_MAX_BYTES + 1, err);
    if (status == SLANT_OK && feed_size(f) > RECORD_MAX_BYTES)
        status = status_fail(err, SLANT_ERR_FORMAT,
                             "longer than the %zu MiB that one article may "
                             "have",
                             RECORD_MAX_BYTES >> 20);
    return status;
}

static slant_status next_text(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    *end = r->row++ > 0;
    if (*end)
        return SLANT_OK;
    slant_status status = read_whole(&r->feed, err);
    if (status != SLANT_OK)
        return status;
    record->text = feed_bytes(&r->feed);
    record->text_bytes = feed_size(&r->feed);
    return SLANT_OK;
}

static slant_status next_html(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    slant_status status = next_text(r, record, end, err);
    if (status != SLANT_OK || *end)
        return status;
    buf *text = &r->fields.text, *title = &r->fields.title;
    buf_clear(text);
    buf_clear(title);
    status = html_extract(record->text, record->text_bytes, r->options.lossy, text, title, err);
    if (status == SLANT_OK && text->size_bytes == 0)
        status = status_fail(err, SLANT_ERR_TEXT, "nothing on the page reads like an article");
    if (status != SLANT_OK)
        return status;
    record->text = text->data;
    record->text_bytes = text->size_bytes;
    if (r->options.title_field != NULL && title->size_bytes > 0) {
        record->title = title->data;
        record->title_bytes = title->size_bytes;
    }
    return SLANT_OK;
}

/* Drops the rest of a line that is too long. */
static slant_status skip_line(feed *f, slant_error *err)
{
    const char *newline;
    feed_take(f, feed_size(f));
    do {
        slant_status status = feed_want(f, 1, err);
        if (status != SLANT_OK)
            return status;
        newline = feed_size(f) == 0 ? NULL : memchr(feed_bytes(f), '\n', feed_size(f));
        feed_take(f, newline == NULL ? feed_size(f) : (size_t)(newline + 1 - feed_bytes(f)));
    } while (newline == NULL && !f->ended);
    return status_fail(err, SLANT_ERR_FORMAT, "the line is longer than %zu MiB",
                       RECORD_MAX_BYTES >> 20);
}

/* Takes a line with its end. Where the file has ended, *size_bytes is 0. */
static slant_status take_line(feed *f, const char **line, size_t *size_bytes, slant_error *err)
{
    *size_bytes = 0;
    const char *newline = NULL;
    for (size_t looked = 0; newline == NULL; looked = feed_size(f)) {
        slant_status status = feed_want(f, looked + 1, err);
        if (status != SLANT_OK)
            return status;
        if (feed_size(f) == looked)
            break;
        newline = memchr(feed_bytes(f) + looked, '\n', feed_size(f) - looked);
        if (newline == NULL && feed_size(f) > RECORD_MAX_BYTES)
            return skip_line(f, err);
    }
    *line = feed_bytes(f);
    *size_bytes = newline == NULL ? feed_size(f) : (size_t)(newline + 1 - *line);
    feed_take(f, *size_bytes);
    return SLANT_OK;
}

static bool is_blank(const char *line, size_t size_bytes)
{
    size_t i = 0;
    while (i < size_bytes &&
           (line[i] == ' ' || line[i] == '\t' || line[i] == '\r' || line[i] == '\n'))
        i++;
    return i == size_bytes;
}

static slant_status next_line(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    const char *line;
    size_t size_bytes;
    do {
        r->row++;
        slant_status status = take_line(&r->feed, &line, &size_bytes, err);
        if (status != SLANT_OK)
            return status;
        *end = size_bytes == 0;
    } while (!*end && is_blank(line, size_bytes));
    if (*end)
        return SLANT_OK;
    record->row = r->row;
    record->row_json = line;
    record->row_bytes = size_bytes - (line[size_bytes - 1] == '\n');
    return fields_from_json(&r->fields, line, size_bytes, record, err);
}

static slant_status next_item(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    json_item item;
    record->row = ++r->row;
    slant_status status = json_items_next(&r->items, &r->feed, &item, err);
    if (status != SLANT_OK)
        return status;
    *end = item.end;
    if (*end)
        return SLANT_OK;
    status = fields_from_json(&r->fields, item.bytes, item.size_bytes, record, err);
    if (status == SLANT_OK && r->options.want_rows)
        status = row_json_of_value(&r->rows, item.bytes, item.size_bytes, record, err);
    return status;
}

static slant_status next_filled_row(slant_reader *r, csv_record *row, slant_error *err)
{
    slant_status status;
    do
        status = csv_next(&r->table, &r->feed, row, err);
    while (status == SLANT_OK && row->blank);
    return status;
}

/* Without names of columns no row can be read: a failure here ends the file. */
static slant_status read_header(slant_reader *r, slant_error *err)
{
    csv_record header;
    slant_status status = next_filled_row(r, &header, err);
    if (status == SLANT_OK && header.end)
        status = status_fail(err, SLANT_ERR_FORMAT,
                             "expected a first row with the names of the columns, found no row");
    if (status == SLANT_OK)
        status = fields_bind(&r->fields, &r->table, &header, err);
    if (status == SLANT_OK && r->options.want_rows)
        status = row_json_name_columns(&r->rows, &r->table, &header, err);
    r->in_header = status != SLANT_OK;
    return status;
}

static slant_status next_row(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    csv_record row;
    if (r->in_header) {
        slant_status status = read_header(r, err);
        if (status != SLANT_OK)
            return status;
    }
    record->row = ++r->row;
    slant_status status = next_filled_row(r, &row, err);
    if (status != SLANT_OK)
        return status;
    *end = row.end;
    if (*end)
        return SLANT_OK;
    status = fields_from_row(&r->fields, &r->table, &row, record, err);
    if (status == SLANT_OK && r->options.want_rows)
        status = row_json_of_columns(&r->rows, &r->fields, &r->table, &row, record, err);
    return status;
}

/* A file that is one article. */
static slant_status next_article(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    slant_status status = r->kind == SLANT_INPUT_HTML ? next_html(r, record, end, err)
                                                      : next_text(r, record, end, err);
    if (status == SLANT_OK && !*end && r->options.want_rows) {
        record->row = r->row;
        status = fields_default_id(&r->fields, record, err);
        if (status == SLANT_OK)
            status = row_json_of_article(&r->rows, record, err);
    }
    return status;
}

static slant_status next_record(slant_reader *r, slant_record *record, bool *end, slant_error *err)
{
    switch (r->kind) {
    case SLANT_INPUT_JSON:
        return next_item(r, record, end, err);
    case SLANT_INPUT_JSONL:
        return next_line(r, record, end, err);
    case SLANT_INPUT_CSV:
    case SLANT_INPUT_TSV:
        return next_row(r, record, end, err);
    default:
        return next_article(r, record, end, err);
    }
}

static slant_status fail_record(slant_reader *r, slant_record *record, slant_status status,
                                bool whole_file)
{
    if (r->row == 0)
        r->row = 1;
    record->row = r->row;
    record->text = record->title = record->label_json = record->row_json = NULL;
    record->text_bytes = record->title_bytes = record->row_bytes = 0;
    record->status = status;
    if (whole_file)
        status_context(&r->row_error, status, "%s", record->file);
    else
        status_context(&r->row_error, status, "%s: row %" PRId64, record->file, record->row);
    record->message = r->row_error.message;
    return record->id_json != NULL ? SLANT_OK
                                   : fields_default_id(&r->fields, record, &r->row_error);
}

static slant_status deliver(slant_reader *r, slant_record *record, slant_status status,
                            slant_error *err)
{
    bool one_article =
        !r->opened || r->in_header || r->kind == SLANT_INPUT_TEXT || r->kind == SLANT_INPUT_HTML;
    bool over = status != SLANT_OK && (one_article || r->feed.told);
    record->row = r->row;
    if (status == SLANT_OK && record->id_json == NULL)
        status = fields_default_id(&r->fields, record, &r->row_error);
    if (status != SLANT_OK && status != SLANT_ERR_MEMORY)
        status = fail_record(r, record, status, one_article);
    if (status == SLANT_ERR_MEMORY)
        return status_fail(err, status, "%s: %s", record->file, r->row_error.message);
    record->file_fraction = fraction(r);
    if (over)
        close_input(r);
    return SLANT_OK;
}

slant_status slant_reader_next(slant_reader *r, slant_record *record, slant_error *err)
{
    for (;;) {
        slant_status status = SLANT_OK;
        bool end = false;
        *record = (slant_record){0};
        if (r->input == NULL && r->next_input == r->inputs.n_items) {
            record->end = true;
            record->file_fraction = fraction(r);
            return SLANT_OK;
        }
        if (r->input == NULL)
            status = open_input(r, &r->row_error);
        record->file = r->input->path;
        if (status == SLANT_OK)
            status = next_record(r, record, &end, &r->row_error);
        if (status != SLANT_OK || !end)
            return deliver(r, record, status, err);
        close_input(r);
    }
}
