#include "data/row_json.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <string.h>

void row_json_free(row_json *r)
{
    buf_free(&r->row);
    buf_free(&r->names);
    mem_free(r->ends);
    *r = (row_json){0};
}

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a row");
}

static slant_status finish(row_json *r, slant_record *record, slant_error *err)
{
    if (r->row.failed)
        return out_of_memory(err);
    record->row_json = r->row.data;
    record->row_bytes = r->row.size_bytes;
    return SLANT_OK;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\' && at + 1 < end;
    return at < end ? at + 1 : end;
}

slant_status row_json_of_value(row_json *r, const char *bytes, size_t size_bytes,
                               slant_record *record, slant_error *err)
{
    const char *end = bytes + size_bytes;
    buf_clear(&r->row);
    for (const char *at = bytes; at < end;) {
        const char *from = at;
        if (*at == '"')
            at = string_end(at, end);
        else
            while (at < end && *at != '"' && !is_white(*at))
                at++;
        buf_append(&r->row, from, (size_t)(at - from));
        while (at < end && is_white(*at))
            at++;
    }
    return finish(r, record, err);
}

/* JSON is UTF-8: a row with other bytes would have to be changed to be written. */
static slant_status append_string(buf *out, const char *bytes, size_t size_bytes, const char *what,
                                  slant_error *err)
{
    if (utf8_valid_prefix(bytes, size_bytes) < size_bytes)
        return status_fail(err, SLANT_ERR_TEXT, "%s is not UTF-8 and cannot be written as JSON",
                           what);
    if (size_bytes > 0)
        buf_json_string(out, bytes, size_bytes);
    else
        buf_string(out, "\"\"");
    return SLANT_OK;
}

slant_status row_json_of_article(row_json *r, slant_record *record, slant_error *err)
{
    slant_status status = SLANT_OK;
    buf_clear(&r->row);
    buf_string(&r->row, "{\"id\": ");
    buf_string(&r->row, record->id_json);
    if (record->title != NULL) {
        buf_string(&r->row, ", \"title\": ");
        status = append_string(&r->row, record->title, record->title_bytes, "the title", err);
    }
    buf_string(&r->row, ", \"text\": ");
    if (status == SLANT_OK)
        status = append_string(&r->row, record->text, record->text_bytes, "the text", err);
    buf_char(&r->row, '}');
    return status == SLANT_OK ? finish(r, record, err) : status;
}

slant_status row_json_name_columns(row_json *r, csv *table, const csv_record *header,
                                   slant_error *err)
{
    buf_clear(&r->names);
    if (table->n_fields > r->cap) {
        size_t *ends = mem_realloc(r->ends, table->n_fields, sizeof *ends);
        if (ends == NULL)
            return out_of_memory(err);
        r->ends = ends;
        r->cap = table->n_fields;
    }
    r->n_columns = table->n_fields;
    for (size_t i = 0; i < r->n_columns; i++) {
        size_t name_bytes;
        const char *name = csv_field_text(table, header, i, &name_bytes);
        slant_status status = append_string(&r->names, name, name_bytes, "a column's name", err);
        if (status != SLANT_OK)
            return status;
        r->ends[i] = r->names.size_bytes;
    }
    return r->names.failed ? out_of_memory(err) : SLANT_OK;
}

static bool is_label(const fields *f, size_t column)
{
    for (size_t i = 0; i < f->n_names; i++)
        if (f->names[i].role == FIELD_LABEL && f->names[i].found && f->names[i].column == column)
            return true;
    return false;
}

slant_status row_json_of_columns(row_json *r, const fields *f, csv *table, const csv_record *row,
                                 slant_record *record, slant_error *err)
{
    slant_status status = SLANT_OK;
    buf_clear(&r->row);
    buf_char(&r->row, '{');
    for (size_t i = 0; status == SLANT_OK && i < r->n_columns; i++) {
        bool label = is_label(f, i);
        if (label && record->label_json == NULL)
            continue;
        size_t name_at = i > 0 ? r->ends[i - 1] : 0, text_bytes;
        buf_string(&r->row, r->row.size_bytes > 1 ? ", " : "");
        buf_append(&r->row, r->names.data + name_at, r->ends[i] - name_at);
        buf_string(&r->row, ": ");
        const char *text = csv_field_text(table, row, i, &text_bytes);
        if (label)
            buf_string(&r->row, record->label_json);
        else
            status = append_string(&r->row, text, text_bytes, "a field", err);
    }
    buf_char(&r->row, '}');
    return status == SLANT_OK ? finish(r, record, err) : status;
}
