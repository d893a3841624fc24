/* slant_data_select: rows that a list asks for are put by on the disk in the order in which they
 * come, and written in the list's. */
#include "data/id_list.h"
#include "data/rows.h"
#include "data/spool.h"

#include <inttypes.h>
#include <string.h>

#define NOT_FOUND SIZE_MAX

typedef struct selection {
    slant_selection shown; /* first: what the caller gets */
    arena memory;
} selection;

typedef struct selector {
    const slant_select_options *options;
    selection *result;
    id_list list;
    size_t *places; /* [list.n], into rows, or NOT_FOUND */
    spool rows;
    bad_rows missing, doubles, bad;
} selector;

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while selecting");
}

static slant_status prepare(selector *s, const char *ids_path, const char *out_path,
                            slant_error *err)
{
    slant_status status =
        id_list_read(&s->list, ids_path, s->options->reader.id_field, &s->doubles, err);
    if (status != SLANT_OK)
        return status;
    s->result = mem_calloc(1, sizeof *s->result);
    s->places = mem_alloc(s->list.n, sizeof *s->places);
    char *folder = mem_strndup(out_path, (size_t)(file_base_name(out_path) - out_path));
    if (s->result == NULL || s->places == NULL || folder == NULL)
        status = out_of_memory(err);
    else
        status = spool_open(&s->rows, folder[0] == '\0' ? "." : folder, err);
    for (size_t i = 0; status == SLANT_OK && i < s->list.n; i++)
        s->places[i] = NOT_FOUND;
    mem_free(folder);
    return status;
}

static slant_status take_record(void *context, const slant_record *record, slant_error *err)
{
    selector *s = context;
    if (record->status != SLANT_OK)
        return bad_rows_add(&s->bad, record, NULL, err);
    size_t place = id_list_find(&s->list, record->id_json);
    if (place == NAME_TABLE_NONE)
        return SLANT_OK;
    if (s->places[place] != NOT_FOUND)
        return bad_rows_name(&s->doubles, err, "%s:%" PRId64 ": %.200s stands there twice",
                             record->file, record->row, s->list.ids[place]);
    s->places[place] = s->rows.n;
    return spool_add(&s->rows, record->row_json, record->row_bytes, err);
}

static slant_status read_rows(selector *s, const char *const *paths, size_t n_paths,
                              slant_error *err)
{
    slant_reader_options options = s->options->reader;
    options.want_rows = true;
    return rows_each(paths, n_paths, &options, &s->options->watch, take_record, s,
                     &s->result->shown.n_rows, err);
}

static slant_status find_missing(selector *s, slant_error *err)
{
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < s->list.n; i++)
        if (s->places[i] == NOT_FOUND)
            status = bad_rows_name(&s->missing, err, "%s", s->list.ids[i]);
    return status;
}

/* what: "missing ids"; setting: what is to be said where they may be left out. */
static slant_status refuse(const bad_rows *left_out, const bad_rows *bad, const char *what,
                           const char *setting, slant_error *err)
{
    if (left_out->n == 0)
        return SLANT_OK;
    buf list = {0};
    bad_rows_list(left_out, &list);
    if (bad->n > 0)
        buf_printf(&list, "; %" PRId64 " rows could not be read: %.200s", bad->n, bad->named[0]);
    slant_status status = list.failed
                              ? out_of_memory(err)
                              : status_fail(err, SLANT_ERR_MISMATCH, "%s: %" PRId64 " (%s): %s",
                                            what, left_out->n, setting, list.data);
    buf_free(&list);
    return status;
}

static slant_status check_found(selector *s, slant_error *err)
{
    static const bad_rows none = {0};
    slant_status status = find_missing(s, err);
    if (status == SLANT_OK && s->rows.n == 0)
        return status_fail(err, SLANT_ERR_MISMATCH,
                           "none of the %zu ids of the list is found in %" PRId64 " rows%s%s",
                           s->list.n, s->result->shown.n_rows, s->bad.n > 0 ? ": " : "",
                           s->bad.n > 0 ? s->bad.named[0] : "");
    if (status == SLANT_OK && !s->options->skip_missing)
        status = refuse(&s->missing, &s->bad, "missing ids", "skip_missing leaves them out", err);
    if (status == SLANT_OK && !s->options->first_of_doubles)
        status = refuse(&s->doubles, &none, "doubled ids", "first_of_doubles takes the first", err);
    return status;
}

static slant_status write_rows(selector *s, const char *out_path, slant_error *err)
{
    file_writer w;
    slant_status status = file_writer_open(&w, out_path, err);
    if (status != SLANT_OK)
        return status;
    for (size_t i = 0; status == SLANT_OK && i < s->list.n; i++)
        if (s->places[i] != NOT_FOUND)
            status = spool_take(&s->rows, s->places[i], &w, err);
    if (status == SLANT_OK)
        status = file_writer_commit(&w, err);
    file_writer_abort(&w);
    return status;
}

static slant_status show(selector *s, slant_error *err)
{
    slant_selection *shown = &s->result->shown;
    shown->n_ids = (int64_t)s->list.n;
    shown->n_written = (int64_t)s->rows.n;
    slant_status status = bad_rows_show(&s->missing, &s->result->memory, &shown->missing, err);
    if (status == SLANT_OK)
        status = bad_rows_show(&s->doubles, &s->result->memory, &shown->doubles, err);
    if (status == SLANT_OK)
        status = bad_rows_show(&s->bad, &s->result->memory, &shown->bad, err);
    return status;
}

slant_status slant_data_select(const char *const *paths, size_t n_paths, const char *ids_path,
                               const char *out_path, const slant_select_options *options,
                               slant_selection **out, slant_error *err)
{
    static const slant_select_options defaults = {0};
    selector s = {.options = options == NULL ? &defaults : options};
    *out = NULL;
    slant_status status = prepare(&s, ids_path, out_path, err);
    if (status == SLANT_OK)
        status = read_rows(&s, paths, n_paths, err);
    if (status == SLANT_OK)
        status = check_found(&s, err);
    if (status == SLANT_OK)
        status = write_rows(&s, out_path, err);
    if (status == SLANT_OK)
        status = show(&s, err);
    if (status == SLANT_OK)
        *out = &s.result->shown;
    else if (s.result != NULL)
        slant_selection_close(&s.result->shown);
    spool_close(&s.rows);
    mem_free(s.places);
    id_list_free(&s.list);
    bad_rows_free(&s.missing);
    bad_rows_free(&s.doubles);
    bad_rows_free(&s.bad);
    return status;
}

void slant_selection_close(slant_selection *shown)
{
    if (shown == NULL)
        return;
    selection *result = (selection *)shown;
    arena_free(&result->memory);
    mem_free(result);
}
