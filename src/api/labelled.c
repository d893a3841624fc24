#include "api/labelled.h"

#include "data/label.h"
#include "text/utf8.h"

#include <string.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while reading articles");
}

/* NULL where a session would take the text. Whether it comes to a token only the model can say. */
static const char *text_fault(const labelled_rule *rule, const slant_record *record)
{
    if (record->text_bytes == 0 && record->title == NULL)
        return "the article is empty";
    if (rule->lossy)
        return NULL;
    if (utf8_valid_prefix(record->text, record->text_bytes) < record->text_bytes)
        return "the text is not UTF-8";
    if (utf8_valid_prefix(record->title, record->title_bytes) < record->title_bytes)
        return "the title is not UTF-8";
    return NULL;
}

slant_status labelled_check(const labelled_rule *rule, const slant_record *record, bad_rows *bad,
                            int *label, slant_error *err)
{
    slant_error own;
    *label = -1;
    if (record->status != SLANT_OK)
        return bad_rows_add(bad, record, NULL, err);
    const char *fault = text_fault(rule, record);
    if (fault != NULL)
        return bad_rows_add(bad, record, fault, err);
    slant_status status = label_index(record->label_json, rule->names, rule->n_labels, label, &own);
    if (status == SLANT_ERR_MEMORY)
        return out_of_memory(err);
    return status == SLANT_OK ? SLANT_OK : bad_rows_add(bad, record, own.message, err);
}

static size_t keep(labelled_batch *b, const char *bytes, size_t size_bytes)
{
    size_t at = b->bytes.size_bytes;
    buf_append(&b->bytes, bytes, size_bytes);
    buf_char(&b->bytes, '\0');
    return at;
}

static slant_status add_record(labelled_batch *b, const slant_record *record, int label,
                               slant_error *err)
{
    size_t cap = b->cap;
    labelled_item *items = mem_with_room(b->items, &cap, b->n + 1, sizeof *items);
    if (items == NULL)
        return out_of_memory(err);
    b->items = items;
    slant_text *texts = mem_with_room(b->texts, &b->cap, b->n + 1, sizeof *texts);
    if (texts == NULL)
        return out_of_memory(err);
    b->texts = texts;
    labelled_item *item = &b->items[b->n++];
    *item = (labelled_item){.row = record->row,
                            .label = label,
                            .text_bytes = record->text_bytes,
                            .title_bytes = record->title_bytes,
                            .has_title = record->title != NULL};
    item->file_at = keep(b, record->file, strlen(record->file));
    item->text_at = keep(b, record->text, record->text_bytes);
    if (item->has_title)
        item->title_at = keep(b, record->title, record->title_bytes);
    return b->bytes.failed ? out_of_memory(err) : SLANT_OK;
}

/* The bytes have found their place: now pointers into them can be made. */
static void point_texts(labelled_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const labelled_item *item = &b->items[i];
        b->texts[i] = (slant_text){
            .text = b->bytes.data + item->text_at,
            .text_bytes = item->text_bytes,
            .title = item->has_title ? b->bytes.data + item->title_at : NULL,
            .title_bytes = item->title_bytes,
        };
    }
}

slant_status labelled_fill(labelled_batch *b, slant_reader *reader, const labelled_rule *rule,
                           size_t max_bytes, size_t max_items, bad_rows *bad, slant_error *err)
{
    buf_clear(&b->bytes);
    b->n = 0;
    while (!b->end && b->bytes.size_bytes < max_bytes && b->n < max_items) {
        slant_record record;
        int label;
        slant_status status = slant_reader_next(reader, &record, err);
        if (status != SLANT_OK)
            return status;
        b->end = record.end;
        b->share = record.file_fraction;
        if (record.end)
            break;
        status = labelled_check(rule, &record, bad, &label, err);
        if (status == SLANT_OK && label >= 0)
            status = add_record(b, &record, label, err);
        if (status != SLANT_OK)
            return status;
    }
    point_texts(b);
    return SLANT_OK;
}

slant_record labelled_place(const labelled_batch *b, size_t i)
{
    return (slant_record){.file = b->bytes.data + b->items[i].file_at, .row = b->items[i].row};
}

void labelled_free(labelled_batch *b)
{
    buf_free(&b->bytes);
    mem_free(b->items);
    mem_free(b->texts);
    *b = (labelled_batch){0};
}
