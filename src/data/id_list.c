#include "data/id_list.h"

#include "data/csv.h"
#include "data/sniff.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a list of ids");
}

/* A table being read. */
typedef struct listing {
    id_list *list;
    const char *path;
    feed feed;
    csv table;
    size_t column;
    int64_t row; /* behind the first one, which names the columns */
} listing;

static slant_status next_row(listing *l, csv_record *row, slant_error *err)
{
    slant_status status;
    do
        status = csv_next(&l->table, &l->feed, row, err);
    while (status == SLANT_OK && row->blank);
    return status;
}

static bool find_column(listing *l, const csv_record *header, const char *name)
{
    for (size_t i = 0; i < l->table.n_fields; i++) {
        size_t text_bytes;
        const char *text = csv_field_text(&l->table, header, i, &text_bytes);
        if (text_bytes != strlen(name) || memcmp(text, name, text_bytes) != 0)
            continue;
        l->column = i;
        return true;
    }
    return false;
}

static slant_status read_header(listing *l, const char *id_field, slant_error *err)
{
    csv_record header;
    slant_status status = next_row(l, &header, err);
    if (status != SLANT_OK)
        return status;
    bool found = !header.end && ((id_field != NULL && find_column(l, &header, id_field)) ||
                                 find_column(l, &header, "id") || find_column(l, &header, "ID") ||
                                 find_column(l, &header, "_id"));
    if (found)
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_FORMAT,
                       "expected a first row that names the columns, %s among them",
                       id_field != NULL ? id_field : "id, ID or _id");
}

static slant_status keep_id(listing *l, const char *id, size_t id_bytes, slant_error *err)
{
    id_list *list = l->list;
    if (id_bytes == 0 || memchr(id, '\0', id_bytes) != NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "row %" PRId64 ": %s", l->row,
                           id_bytes == 0 ? "no id" : "a NUL byte in the id");
    const char **ids = mem_with_room(list->ids, &list->cap, list->n + 1, sizeof *ids);
    if (ids == NULL)
        return out_of_memory(err);
    list->ids = ids;
    list->ids[list->n] = arena_strndup(&list->memory, id, id_bytes);
    return list->ids[list->n++] == NULL ? out_of_memory(err) : SLANT_OK;
}

static slant_status read_row(listing *l, bool *end, slant_error *err)
{
    csv_record row;
    size_t id_bytes;
    slant_status status = next_row(l, &row, err);
    if (status != SLANT_OK)
        return status_context(err, status, "row %" PRId64, l->row + 1);
    *end = row.end;
    if (*end)
        return SLANT_OK;
    l->row++;
    if (l->column >= l->table.n_fields)
        return status_fail(err, SLANT_ERR_FORMAT, "row %" PRId64 ": expected %zu fields, found %zu",
                           l->row, l->column + 1, l->table.n_fields);
    const char *id = csv_field_text(&l->table, &row, l->column, &id_bytes);
    return keep_id(l, id, id_bytes, err);
}

static slant_status read_table(listing *l, const char *id_field, slant_error *err)
{
    bool end = false;
    slant_status status = feed_open(&l->feed, l->path, err);
    if (status == SLANT_OK)
        status = feed_want(&l->feed, 3, err);
    if (status != SLANT_OK)
        return status;
    if (feed_size(&l->feed) >= 3 && memcmp(feed_bytes(&l->feed), "\xEF\xBB\xBF", 3) == 0)
        feed_take(&l->feed, 3);
    csv_init(&l->table, sniff_name(l->path) == SLANT_INPUT_CSV ? ',' : '\t');
    status = read_header(l, id_field, err);
    while (status == SLANT_OK && !end)
        status = read_row(l, &end, err);
    return status;
}

/* Ids that stand there again leave the list. */
static slant_status index_ids(id_list *list, const char *path, bad_rows *doubles, slant_error *err)
{
    size_t n_kept = 0;
    slant_status status = SLANT_OK;
    if (!name_table_init(&list->places, &list->memory, list->n))
        return out_of_memory(err);
    for (size_t i = 0; status == SLANT_OK && i < list->n; i++) {
        size_t before = name_table_add(&list->places, list->ids[i], n_kept);
        if (before == NAME_TABLE_NONE)
            list->ids[n_kept++] = list->ids[i];
        else
            status = bad_rows_name(doubles, err, "%s:%zu: %.200s stands there twice", path, i + 1,
                                   list->ids[i]);
    }
    list->n = n_kept;
    return status;
}

slant_status id_list_read(id_list *list, const char *path, const char *id_field, bad_rows *doubles,
                          slant_error *err)
{
    listing l = {.list = list, .path = path};
    *list = (id_list){0};
    feed_init(&l.feed);
    slant_status status = read_table(&l, id_field, err);
    if (status == SLANT_OK && list->n == 0)
        status = status_fail(err, SLANT_ERR_FORMAT, "no id in the list");
    if (status == SLANT_OK)
        status = index_ids(list, path, doubles, err);
    feed_close(&l.feed);
    feed_free(&l.feed);
    csv_free(&l.table);
    if (status == SLANT_OK)
        return SLANT_OK;
    id_list_free(list);
    return status_context(err, status, "%s", path);
}

size_t id_list_find(const id_list *list, const char *id_json)
{
    size_t place = NAME_TABLE_NONE;
    if (id_json[0] != '"')
        return name_table_find(&list->places, id_json);
    json_t *id = json_loads(id_json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    /* A lone surrogate, which jansson refuses, and U+0000 are in none of the list's ids. */
    if (id != NULL && strlen(json_string_value(id)) == json_string_length(id))
        place = name_table_find(&list->places, json_string_value(id));
    json_decref(id);
    return place;
}

void id_list_free(id_list *list)
{
    mem_free(list->ids);
    arena_free(&list->memory);
    *list = (id_list){0};
}
