#include "data/fields.h"

#include "text/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static void add_name(fields *f, field_role role, const char *name)
{
    assert(f->n_names < FIELDS_MAX_NAMES);
    f->names[f->n_names++] = (field_name){.role = role, .name = name, .name_bytes = strlen(name)};
}

static void add_names(fields *f, field_role role, const char *asked, const char *const *usual)
{
    if (asked != NULL)
        add_name(f, role, asked);
    else
        for (; *usual != NULL; usual++)
            add_name(f, role, *usual);
}

void fields_init(fields *f, const slant_reader_options *options)
{
    static const char *const texts[] = {"text", "content", "content_original",
                                        "body", "article", NULL};
    static const char *const ids[] = {"id", "ID", "_id", NULL};
    static const char *const none[] = {NULL};
    *f = (fields){0};
    add_names(f, FIELD_TEXT, options->text_field, texts);
    add_names(f, FIELD_TITLE, options->title_field, none);
    add_names(f, FIELD_ID, options->id_field, ids);
    add_names(f, FIELD_LABEL, options->label_field, none);
}

void fields_free(fields *f)
{
    buf_free(&f->text);
    buf_free(&f->title);
    buf_free(&f->id);
    buf_free(&f->label);
    buf_free(&f->scratch);
}

bool fields_is_text_name(const fields *f, const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < f->n_names; i++)
        if (f->names[i].role == FIELD_TEXT && f->names[i].name_bytes == name_bytes &&
            memcmp(f->names[i].name, name, name_bytes) == 0)
            return true;
    return false;
}

static const field_name *first_found(const fields *f, field_role role)
{
    for (size_t i = 0; i < f->n_names; i++)
        if (f->names[i].role == role && f->names[i].found)
            return &f->names[i];
    return NULL;
}

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a record's fields");
}

/* Names and ids go into answers that must be JSON, so what is not UTF-8 in them is replaced. */
static void append_utf8(buf *out, const char *bytes, size_t size_bytes)
{
    while (size_bytes > 0) {
        size_t good = utf8_valid_prefix(bytes, size_bytes);
        buf_append(out, bytes, good);
        bytes += good;
        size_bytes -= good;
        if (size_bytes == 0)
            return;
        size_t bad = utf8_maximal_subpart(bytes, size_bytes);
        buf_string(out, "\xEF\xBF\xBD");
        bytes += bad;
        size_bytes -= bad;
    }
}

/* What lies in scratch, as a JSON string. */
static void append_scratch(fields *f, buf *out)
{
    if (f->scratch.size_bytes > 0)
        buf_json_string(out, f->scratch.data, f->scratch.size_bytes);
    else
        buf_string(out, "\"\"");
    out->failed |= f->scratch.failed;
}

slant_status fields_default_id(fields *f, slant_record *record, slant_error *err)
{
    buf_clear(&f->scratch);
    append_utf8(&f->scratch, record->file, strlen(record->file));
    buf_printf(&f->scratch, ":%" PRId64, record->row);
    buf_clear(&f->id);
    append_scratch(f, &f->id);
    if (f->id.failed)
        return out_of_memory(err);
    record->id_json = f->id.data;
    return SLANT_OK;
}

/* Values inside labels and ids were checked, so they can be copied as they stand. */
static slant_status copy_json(buf *out, const json_value *value, const char **json,
                              slant_error *err)
{
    buf_clear(out);
    append_utf8(out, value->bytes, value->size_bytes);
    if (out->failed)
        return out_of_memory(err);
    *json = out->data;
    return SLANT_OK;
}

/* A string's characters: where they stand when nothing is escaped, else in out. */
static slant_status string_text(buf *out, const json_value *value, const char **text,
                                size_t *text_bytes, slant_error *err)
{
    *text = value->bytes + 1;
    *text_bytes = value->size_bytes - 2;
    if (!value->escaped)
        return SLANT_OK;
    buf_clear(out);
    json_string_decode(value, out);
    if (out->failed)
        return out_of_memory(err);
    *text = out->data;
    *text_bytes = out->size_bytes;
    return SLANT_OK;
}

static slant_status note_members(fields *f, json_scan *scan, slant_error *err)
{
    buf_clear(&f->scratch);
    for (size_t i = 0; i < f->n_names; i++)
        f->names[i].found = false;
    slant_status status = json_scan_open_object(scan, err);
    for (bool more = status == SLANT_OK; more;) {
        json_value key, value;
        status = json_scan_member(scan, &more, &key, &value, err);
        if (status != SLANT_OK || !more)
            break;
        for (size_t i = 0; i < f->n_names; i++) {
            field_name *name = &f->names[i];
            bool same = json_string_is(&key, name->name, name->name_bytes, &f->scratch);
            if (f->scratch.failed)
                return out_of_memory(err);
            if (!same)
                continue;
            name->found = true; /* of members with one name the last counts */
            name->value = value;
        }
    }
    return status == SLANT_OK ? json_scan_end(scan, err) : status;
}

static void append_wanted_text_names(const fields *f, buf *out)
{
    const char *separator = "";
    for (size_t i = 0; i < f->n_names; i++)
        if (f->names[i].role == FIELD_TEXT) {
            buf_printf(out, "%s\"%s\"", separator, f->names[i].name);
            separator = " or ";
        }
}

/* The names that are there, at most as many as a message can show. */
static slant_status missing_text(fields *f, const char *bytes, size_t size_bytes, slant_error *err)
{
    buf there = {0}, wanted = {0};
    json_scan scan;
    json_value key, value;
    bool more = true;
    json_scan_init(&scan, bytes, size_bytes);
    json_scan_open_object(&scan, NULL);
    while (json_scan_member(&scan, &more, &key, &value, NULL) == SLANT_OK && more &&
           there.size_bytes < 500) {
        buf_string(&there, there.size_bytes > 0 ? ", " : "");
        append_utf8(&there, key.bytes, key.size_bytes);
    }
    append_wanted_text_names(f, &wanted);
    slant_status status =
        there.failed || wanted.failed
            ? out_of_memory(err)
            : status_fail(err, SLANT_ERR_FORMAT, "expected a field %s, found %s%s", wanted.data,
                          there.size_bytes > 0 ? there.data : "no field at all", more ? ", …" : "");
    buf_free(&there);
    buf_free(&wanted);
    return status;
}

/* The id first, so that a failing article still answers to its own name. */
static slant_status set_id(fields *f, slant_record *record, slant_error *err)
{
    const field_name *id = first_found(f, FIELD_ID);
    if (id != NULL && (id->value.kind == JSON_KIND_STRING || id->value.kind == JSON_KIND_NUMBER))
        return copy_json(&f->id, &id->value, &record->id_json, err);
    return SLANT_OK;
}

static slant_status set_title(fields *f, slant_record *record, slant_error *err)
{
    const field_name *title = first_found(f, FIELD_TITLE);
    if (title == NULL || title->value.kind == JSON_KIND_NULL)
        return SLANT_OK;
    if (title->value.kind != JSON_KIND_STRING)
        return status_fail(err, SLANT_ERR_FORMAT, "the title \"%s\" is %s, expected a string",
                           title->name, json_kind_name(title->value.kind));
    return string_text(&f->title, &title->value, &record->title, &record->title_bytes, err);
}

static slant_status object_fields(fields *f, const char *bytes, size_t size_bytes,
                                  slant_record *record, slant_error *err)
{
    const field_name *text = first_found(f, FIELD_TEXT), *label = first_found(f, FIELD_LABEL);
    if (text == NULL)
        return missing_text(f, bytes, size_bytes, err);
    if (text->value.kind != JSON_KIND_STRING)
        return status_fail(err, SLANT_ERR_FORMAT, "the field \"%s\" is %s, expected a string",
                           text->name, json_kind_name(text->value.kind));
    slant_status status = set_title(f, record, err);
    if (status == SLANT_OK && label != NULL)
        status = copy_json(&f->label, &label->value, &record->label_json, err);
    if (status != SLANT_OK)
        return status;
    return string_text(&f->text, &text->value, &record->text, &record->text_bytes, err);
}

slant_status fields_from_json(fields *f, const char *bytes, size_t size_bytes, slant_record *record,
                              slant_error *err)
{
    json_scan scan;
    slant_status status = fields_default_id(f, record, err);
    if (status != SLANT_OK)
        return status;
    while (size_bytes > 0 && strchr(" \t\r\n", bytes[0]) != NULL && bytes[0] != '\0') {
        bytes++;
        size_bytes--;
    }
    json_scan_init(&scan, bytes, size_bytes);
    if (size_bytes > 0 && bytes[0] == '{') {
        status = note_members(f, &scan, err);
        if (status == SLANT_OK)
            status = set_id(f, record, err);
        return status == SLANT_OK ? object_fields(f, bytes, size_bytes, record, err) : status;
    }
    json_value value;
    status = json_scan_value(&scan, &value, err);
    if (status == SLANT_OK)
        status = json_scan_end(&scan, err);
    if (status != SLANT_OK)
        return status;
    if (value.kind != JSON_KIND_STRING)
        return status_fail(err, SLANT_ERR_FORMAT, "expected an object or a string, found %s",
                           json_kind_name(value.kind));
    return string_text(&f->text, &value, &record->text, &record->text_bytes, err);
}

static slant_status no_text_column(fields *f, csv *table, const csv_record *header,
                                   slant_error *err)
{
    buf there = {0}, wanted = {0};
    for (size_t i = 0; i < table->n_fields && there.size_bytes < 500; i++) {
        size_t name_bytes;
        const char *name = csv_field_text(table, header, i, &name_bytes);
        buf_string(&there, i > 0 ? ", \"" : "\"");
        append_utf8(&there, name, name_bytes);
        buf_char(&there, '"');
    }
    append_wanted_text_names(f, &wanted);
    slant_status status =
        there.failed || wanted.failed
            ? out_of_memory(err)
            : status_fail(err, SLANT_ERR_FORMAT, "expected a column %s in the first row, found %s",
                          wanted.data, there.data);
    buf_free(&there);
    buf_free(&wanted);
    return status;
}

slant_status fields_bind(fields *f, csv *table, const csv_record *header, slant_error *err)
{
    if (table->n_dropped > 0)
        return status_fail(err, SLANT_ERR_FORMAT, "the first row has more than %d columns",
                           CSV_MAX_FIELDS);
    f->n_columns = table->n_fields;
    for (size_t i = 0; i < f->n_names; i++) {
        field_name *name = &f->names[i];
        name->found = false;
        for (size_t column = 0; column < table->n_fields; column++) {
            size_t text_bytes;
            const char *text = csv_field_text(table, header, column, &text_bytes);
            if (text_bytes != name->name_bytes || memcmp(text, name->name, text_bytes) != 0)
                continue;
            name->found = true;
            name->column = column;
        }
    }
    return first_found(f, FIELD_TEXT) != NULL ? SLANT_OK : no_text_column(f, table, header, err);
}

/* Empty fields beyond the header's are what a delimiter at the line's end leaves. */
static slant_status check_width(const fields *f, const csv *table, slant_error *err)
{
    size_t n_fields = table->n_fields;
    while (n_fields > f->n_columns &&
           table->fields[n_fields - 1].begin == table->fields[n_fields - 1].end)
        n_fields--;
    if (table->n_dropped == 0 && n_fields == f->n_columns)
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_FORMAT, "expected the first row's %zu fields, found %zu",
                       f->n_columns, table->n_fields + table->n_dropped);
}

/* A whole number, as JSON writes it, indexes the labels; all else is a label's name. */
static bool is_integer(const char *text, size_t text_bytes)
{
    size_t first = text_bytes > 0 && text[0] == '-';
    if (text_bytes == first || (text[first] == '0' && text_bytes > first + 1))
        return false;
    for (size_t i = first; i < text_bytes; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

static slant_status set_column_json(fields *f, csv *table, const csv_record *row,
                                    const field_name *name, buf *out, const char **json,
                                    slant_error *err)
{
    size_t text_bytes;
    const char *text = csv_field_text(table, row, name->column, &text_bytes);
    if (text_bytes == 0)
        return SLANT_OK;
    buf_clear(out);
    if (name->role == FIELD_LABEL && is_integer(text, text_bytes)) {
        buf_append(out, text, text_bytes);
    } else {
        buf_clear(&f->scratch);
        append_utf8(&f->scratch, text, text_bytes);
        append_scratch(f, out);
    }
    if (out->failed)
        return out_of_memory(err);
    *json = out->data;
    return SLANT_OK;
}

slant_status fields_from_row(fields *f, csv *table, const csv_record *row, slant_record *record,
                             slant_error *err)
{
    const field_name *text = first_found(f, FIELD_TEXT), *title = first_found(f, FIELD_TITLE);
    const field_name *id = first_found(f, FIELD_ID), *label = first_found(f, FIELD_LABEL);
    slant_status status = fields_default_id(f, record, err);
    if (status == SLANT_OK)
        status = check_width(f, table, err);
    if (status == SLANT_OK && id != NULL)
        status = set_column_json(f, table, row, id, &f->id, &record->id_json, err);
    if (status == SLANT_OK && label != NULL)
        status = set_column_json(f, table, row, label, &f->label, &record->label_json, err);
    if (status != SLANT_OK)
        return status;
    if (title != NULL)
        record->title = csv_field_text(table, row, title->column, &record->title_bytes);
    record->text = csv_field_text(table, row, text->column, &record->text_bytes);
    return SLANT_OK;
}
