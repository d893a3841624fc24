#include "cli/batch.h"

#include "base/mem.h"
#include "base/status.h"

#include <inttypes.h>
#include <string.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while reading articles");
}

static size_t keep(batch *b, const char *bytes, size_t size_bytes)
{
    size_t at = b->bytes.size_bytes;
    buf_append(&b->bytes, bytes, size_bytes);
    buf_char(&b->bytes, '\0');
    return at;
}

static slant_status add_record(batch *b, const slant_record *record, slant_error *err)
{
    batch_item *items = mem_with_room(b->items, &b->cap, b->n_items + 1, sizeof *items);
    if (items == NULL)
        return out_of_memory(err);
    b->items = items;
    batch_item *item = &b->items[b->n_items++];
    *item = (batch_item){.row = record->row, .readable = record->status == SLANT_OK};
    item->file_at = keep(b, record->file, strlen(record->file));
    item->id_at = keep(b, record->id_json, strlen(record->id_json));
    if (!item->readable) {
        item->message_at = keep(b, record->message, strlen(record->message));
    } else {
        item->text_bytes = record->text_bytes;
        item->text_at = keep(b, record->text, record->text_bytes);
        item->has_title = record->title != NULL;
        item->title_bytes = record->title_bytes;
        if (item->has_title)
            item->title_at = keep(b, record->title, record->title_bytes);
        b->n_texts++;
    }
    return b->bytes.failed ? out_of_memory(err) : SLANT_OK;
}

/* The bytes have found their place: now pointers into them can be made. */
static slant_status point_texts(batch *b, slant_error *err)
{
    slant_text *texts = mem_realloc(b->texts, b->n_texts + 1, sizeof *texts);
    if (texts == NULL)
        return out_of_memory(err);
    b->texts = texts;
    for (size_t i = 0, n = 0; i < b->n_items; i++) {
        const batch_item *item = &b->items[i];
        if (!item->readable)
            continue;
        b->texts[n++] = (slant_text){
            .text = b->bytes.data + item->text_at,
            .text_bytes = item->text_bytes,
            .title = item->has_title ? b->bytes.data + item->title_at : NULL,
            .title_bytes = item->title_bytes,
        };
    }
    return SLANT_OK;
}

static void start(batch *b)
{
    buf_clear(&b->bytes);
    b->n_items = b->n_texts = 0;
}

slant_status batch_fill(batch *b, slant_reader *reader, size_t max_bytes, size_t max_items,
                        slant_error *err)
{
    start(b);
    while (!b->end && b->bytes.size_bytes < max_bytes && b->n_items < max_items) {
        slant_record record = {0};
        slant_status status = slant_reader_next(reader, &record, err);
        if (status == SLANT_OK && record.end)
            b->end = true;
        else if (status == SLANT_OK)
            status = add_record(b, &record, err);
        if (status != SLANT_OK)
            return status;
        if (!record.end)
            b->share = record.file_fraction;
    }
    if (b->end)
        b->share = 1;
    return point_texts(b, err);
}

slant_status batch_take_text(batch *b, const char *text, slant_error *err)
{
    slant_record record = {.text = text,
                           .text_bytes = strlen(text),
                           .id_json = "\"text:1\"",
                           .file = "text",
                           .row = 1};
    start(b);
    b->end = true;
    b->share = 1;
    slant_status status = add_record(b, &record, err);
    return status == SLANT_OK ? point_texts(b, err) : status;
}

const char *batch_string(const batch *b, size_t at)
{
    return b->bytes.data + at;
}

void batch_free(batch *b)
{
    buf_free(&b->bytes);
    mem_free(b->items);
    mem_free(b->texts);
    *b = (batch){0};
}

static void append_field(buf *out, const char *bytes, size_t size_bytes)
{
    buf_printf(out, "%zu:", size_bytes);
    buf_append(out, bytes, size_bytes);
}

void batch_identity(const batch *b, size_t i, buf *out)
{
    const batch_item *item = &b->items[i];
    const char *id = batch_string(b, item->id_at);
    append_field(out, id, strlen(id));
    if (!item->readable) {
        const char *message = batch_string(b, item->message_at);
        append_field(out, message, strlen(message));
        return;
    }
    append_field(out, batch_string(b, item->text_at), item->text_bytes);
    if (item->has_title)
        append_field(out, batch_string(b, item->title_at), item->title_bytes);
}
