/* slant_data_split: rows are put by on the disk as they are read, with a label each in memory; then
 * every row's part is drawn, and the parts are written. */
#include "base/folder.h"
#include "data/bad_rows.h"
#include "data/rows.h"
#include "data/split.h"
#include "data/spool.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More are no labels but something that was taken for them. */
#define MAX_LABELS 1000

static const double usual_ratios[] = {64, 16, 20};
static const char *const usual_names[] = {"train", "eval", "test"};
enum { USUAL_PARTS = 3 };

typedef struct split_result {
    slant_split shown; /* first: what the caller gets */
    slant_split_part *parts;
    arena memory;
} split_result;

typedef struct splitter {
    const slant_split_options *options;
    slant_reader_options reader_options;
    const double *ratios;     /* [n_parts] */
    const char *const *names; /* [n_parts] */
    size_t n_parts;
    split_result *result;
    spool rows;
    int *labels; /* [rows.n], into label_names; after order_labels into its order */
    size_t labels_cap;
    const char *label_names[MAX_LABELS]; /* [n_labels], as JSON */
    int64_t label_rows[MAX_LABELS];      /* [n_labels] */
    size_t n_labels;
    bad_rows bad;
    split_plan plan;
    int8_t *parts;        /* [rows.n] */
    file_writer *writers; /* [n_parts] */
} splitter;

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while splitting");
}

static slant_status check_name(const splitter *s, size_t part, slant_error *err)
{
    const char *name = s->names[part];
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "'%s' cannot be the name of a part", name);
    for (size_t i = 0; i < part; i++)
        if (strcmp(s->names[i], name) == 0)
            return status_fail(err, SLANT_ERR_ARGUMENT, "two parts are called '%s'", name);
    return SLANT_OK;
}

static slant_status check_asked(const splitter *s, slant_error *err)
{
    double fraction = s->options->fraction;
    if (s->n_parts < 2 || s->n_parts > SPLIT_MAX_PARTS)
        return status_fail(err, SLANT_ERR_ARGUMENT, "expected 2 to %d parts, found %zu",
                           SPLIT_MAX_PARTS, s->n_parts);
    if (s->n_parts != USUAL_PARTS && (s->options->ratios == NULL || s->options->names == NULL))
        return status_fail(err, SLANT_ERR_ARGUMENT, "%zu parts need %s of their own", s->n_parts,
                           s->options->ratios == NULL ? "ratios" : "names");
    if (!(fraction >= 0 && fraction <= 1))
        return status_fail(err, SLANT_ERR_ARGUMENT, "a fraction of %g is not between 0 and 1",
                           fraction);
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < s->n_parts; i++) {
        if (!(s->ratios[i] > 0) || isinf(s->ratios[i]))
            return status_fail(err, SLANT_ERR_ARGUMENT, "the ratio %g of '%s' is not above 0",
                               s->ratios[i], s->names[i]);
        status = check_name(s, i, err);
    }
    return status;
}

static slant_status prepare(splitter *s, const char *dir, slant_error *err)
{
    s->result = mem_calloc(1, sizeof *s->result);
    s->writers = mem_calloc(s->n_parts, sizeof *s->writers);
    if (s->result == NULL || s->writers == NULL)
        return out_of_memory(err);
    slant_split_part *parts = arena_alloc(&s->result->memory, s->n_parts, sizeof *s->result->parts);
    if (parts == NULL)
        return out_of_memory(err);
    s->result->parts = parts;
    s->result->shown.parts = parts;
    s->result->shown.n_parts = s->n_parts;
    for (size_t i = 0; i < s->n_parts; i++) {
        parts[i].name = arena_strdup(&s->result->memory, s->names[i]);
        parts[i].path = arena_printf(&s->result->memory, "%s/%s.jsonl", dir, s->names[i]);
        if (parts[i].name == NULL || parts[i].path == NULL)
            return out_of_memory(err);
    }
    return SLANT_OK;
}

/* The number of a label by the order in which labels appear. */
static slant_status find_label(splitter *s, const char *label_json, int *label, slant_error *err)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (strcmp(s->label_names[i], label_json) == 0) {
            *label = (int)i;
            return SLANT_OK;
        }
    if (s->n_labels == MAX_LABELS)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "more than %d different labels in the field \"%s\"", MAX_LABELS,
                           s->reader_options.label_field);
    *label = (int)s->n_labels;
    s->label_names[s->n_labels] = arena_strdup(&s->result->memory, label_json);
    return s->label_names[s->n_labels++] == NULL ? out_of_memory(err) : SLANT_OK;
}

static slant_status keep_row(splitter *s, const slant_record *record, int label, slant_error *err)
{
    int *labels = mem_with_room(s->labels, &s->labels_cap, s->rows.n + 1, sizeof *labels);
    if (labels == NULL)
        return out_of_memory(err);
    s->labels = labels;
    s->labels[s->rows.n] = label;
    s->label_rows[label]++;
    return spool_add(&s->rows, record->row_json, record->row_bytes, err);
}

static slant_status take_record(void *context, const slant_record *record, slant_error *err)
{
    splitter *s = context;
    int label = 0;
    if (record->status != SLANT_OK)
        return bad_rows_add(&s->bad, record, NULL, err);
    bool has_label = record->label_json != NULL && strcmp(record->label_json, "null") != 0;
    if (!has_label && !s->options->ignore_labels)
        return bad_rows_add(&s->bad, record, "no label", err);
    slant_status status =
        find_label(s, s->options->ignore_labels ? "" : record->label_json, &label, err);
    return status == SLANT_OK ? keep_row(s, record, label, err) : status;
}

static slant_status read_rows(splitter *s, const char *const *paths, size_t n_paths,
                              slant_error *err)
{
    int64_t n_seen;
    slant_status status = rows_each(paths, n_paths, &s->reader_options, &s->options->watch,
                                    take_record, s, &n_seen, err);
    if (status == SLANT_OK && !s->options->skip_bad_rows)
        status = bad_rows_refuse(&s->bad, err);
    if (status == SLANT_OK && s->rows.n == 0)
        status =
            status_fail(err, SLANT_ERR_FORMAT, "%s holds no row that can be used%s%s", paths[0],
                        s->bad.n > 0 ? ": " : "", s->bad.n > 0 ? s->bad.named[0] : "");
    return status;
}

/* Numbers by value, then all else by its text. */
static int compare_labels(const void *a, const void *b, void *context)
{
    const char *const *names = context;
    const char *x = names[*(const size_t *)a], *y = names[*(const size_t *)b];
    bool x_is_text = x[0] == '"', y_is_text = y[0] == '"';
    if (x_is_text != y_is_text)
        return x_is_text - y_is_text;
    double difference = x_is_text ? 0 : strtod(x, NULL) - strtod(y, NULL);
    return difference != 0 ? (difference > 0) - (difference < 0) : strcmp(x, y);
}

/* The order in which labels appear is none that a split should depend on. */
static slant_status order_labels(splitter *s, slant_error *err)
{
    arena memory = {0};
    size_t n = s->n_labels;
    size_t *order = arena_alloc(&memory, n, sizeof *order);
    int *places = arena_alloc(&memory, n, sizeof *places);
    int64_t *rows = arena_alloc(&memory, n, sizeof *rows);
    const char **names = arena_alloc(&s->result->memory, n, sizeof *names);
    bool has_room = order != NULL && places != NULL && rows != NULL && names != NULL;
    for (size_t i = 0; has_room && i < n; i++)
        order[i] = i;
    if (has_room)
        qsort_r(order, n, sizeof *order, compare_labels, s->label_names);
    for (size_t i = 0; has_room && i < n; i++) {
        places[order[i]] = (int)i;
        names[i] = s->label_names[order[i]];
        rows[i] = s->label_rows[order[i]];
    }
    for (size_t row = 0; has_room && row < s->rows.n; row++)
        s->labels[row] = places[s->labels[row]];
    if (has_room)
        memcpy(s->label_rows, rows, n * sizeof *rows);
    s->result->shown.labels = names;
    s->result->shown.n_labels = n;
    arena_free(&memory);
    return has_room ? SLANT_OK : out_of_memory(err);
}

static slant_status draw_parts(splitter *s, slant_error *err)
{
    double fraction = s->options->fraction;
    slant_status status = order_labels(s, err);
    if (status == SLANT_OK)
        status = split_plan_make(&s->plan, s->label_rows, s->n_labels, s->ratios, s->names,
                                 s->n_parts, fraction > 0 ? fraction : 1, &s->result->memory, err);
    if (status != SLANT_OK)
        return status;
    s->parts = mem_alloc(s->rows.n, sizeof *s->parts);
    if (s->parts == NULL)
        return out_of_memory(err);
    return split_assign(&s->plan, s->labels, s->rows.n, s->options->seed, s->parts, err);
}

/* All files are whole before the first gets its name. */
static slant_status write_parts(splitter *s, slant_error *err)
{
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < s->n_parts; i++)
        status = file_writer_open(&s->writers[i], s->result->parts[i].path, err);
    for (size_t row = 0; status == SLANT_OK && row < s->rows.n; row++)
        if (s->parts[row] != SPLIT_NO_PART)
            status = spool_take(&s->rows, row, &s->writers[s->parts[row]], err);
    for (size_t i = 0; status == SLANT_OK && i < s->n_parts; i++)
        status = file_writer_commit(&s->writers[i], err);
    for (size_t i = 0; i < s->n_parts; i++)
        file_writer_abort(&s->writers[i]);
    return status;
}

static slant_status show_counts(splitter *s, slant_error *err)
{
    slant_split *shown = &s->result->shown;
    shown->n_rows = (int64_t)s->rows.n;
    for (size_t part = 0; part < s->n_parts; part++) {
        int64_t *rows = arena_alloc(&s->result->memory, s->n_labels, sizeof *rows);
        if (rows == NULL)
            return out_of_memory(err);
        for (size_t label = 0; label < s->n_labels; label++) {
            rows[label] = s->plan.kept[label * s->n_parts + part];
            s->result->parts[part].n_rows += rows[label];
        }
        s->result->parts[part].label_rows = rows;
    }
    return bad_rows_show(&s->bad, &s->result->memory, &shown->bad, err);
}

static slant_status split(splitter *s, const char *const *paths, size_t n_paths, const char *dir,
                          slant_error *err)
{
    slant_status status = check_asked(s, err);
    if (status == SLANT_OK)
        status = prepare(s, dir, err);
    if (status == SLANT_OK)
        status = folder_make(dir, err);
    if (status == SLANT_OK)
        status = spool_open(&s->rows, dir, err);
    if (status == SLANT_OK)
        status = read_rows(s, paths, n_paths, err);
    if (status == SLANT_OK)
        status = draw_parts(s, err);
    if (status == SLANT_OK)
        status = write_parts(s, err);
    return status == SLANT_OK ? show_counts(s, err) : status;
}

slant_status slant_data_split(const char *const *paths, size_t n_paths, const char *dir,
                              const slant_split_options *options, slant_split **out,
                              slant_error *err)
{
    static const slant_split_options defaults = {0};
    const slant_split_options *given = options == NULL ? &defaults : options;
    *out = NULL;
    splitter *s = mem_calloc(1, sizeof *s);
    if (s == NULL)
        return out_of_memory(err);
    s->options = given;
    s->reader_options = given->reader;
    s->reader_options.want_rows = true;
    if (given->ignore_labels)
        s->reader_options.label_field = NULL;
    else if (given->reader.label_field == NULL)
        s->reader_options.label_field = "label";
    bool own = given->ratios != NULL || given->names != NULL;
    s->n_parts = own ? given->n_parts : USUAL_PARTS;
    s->ratios = given->ratios != NULL ? given->ratios : usual_ratios;
    s->names = given->names != NULL ? given->names : usual_names;
    slant_status status = split(s, paths, n_paths, dir, err);
    if (status == SLANT_OK)
        *out = &s->result->shown;
    else if (s->result != NULL)
        slant_split_close(&s->result->shown);
    spool_close(&s->rows);
    bad_rows_free(&s->bad);
    mem_free(s->labels);
    mem_free(s->parts);
    mem_free(s->writers);
    mem_free(s);
    return status;
}

void slant_split_close(slant_split *shown)
{
    if (shown == NULL)
        return;
    split_result *result = (split_result *)shown;
    arena_free(&result->memory);
    mem_free(result);
}
