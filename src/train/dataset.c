#include "train/dataset.h"

#include "train/labels.h"

#include <stdlib.h>
#include <string.h>

typedef struct reading {
    const model *m;
    const dataset_options *options;
    dataset *d;
    tokenizer_state *tokens;
    json_t *labels; /* an array: each row's label as it stands in the data */
    size_t ids_cap, rows_cap;
    buf joined; /* title, newline, text */
    char first_bad[512];
    slant_error *err;
} reading;

static slant_status out_of_memory(reading *r)
{
    return status_fail(r->err, SLANT_ERR_MEMORY, "out of memory for the articles");
}

static bool make_room(reading *r, size_t n_ids)
{
    dataset *d = r->d;
    size_t rows = (size_t)d->n + 2, cap = r->rows_cap;
    int32_t *ids = mem_with_room(d->ids, &r->ids_cap, d->starts[d->n] + n_ids, sizeof *ids);
    if (ids == NULL)
        return false;
    d->ids = ids;
    size_t *starts = mem_with_room(d->starts, &cap, rows, sizeof *starts);
    if (starts == NULL)
        return false;
    d->starts = starts;
    char **names = mem_with_room(d->names, &r->rows_cap, rows, sizeof *names);
    if (names == NULL)
        return false;
    d->names = names;
    return true;
}

static slant_status bad_row(reading *r, const slant_record *record, const char *message)
{
    if (r->d->n_bad++ == 0)
        snprintf(r->first_bad, sizeof r->first_bad, "%s:%lld: %s", record->file,
                 (long long)record->row, message);
    return SLANT_OK;
}

/* Title, newline, text where there is a title. */
static const char *whole_text(reading *r, const slant_record *record, size_t *size_bytes)
{
    *size_bytes = record->text_bytes;
    if (record->title == NULL)
        return record->text;
    buf_clear(&r->joined);
    buf_append(&r->joined, record->title, record->title_bytes);
    buf_char(&r->joined, '\n');
    buf_append(&r->joined, record->text, record->text_bytes);
    *size_bytes = r->joined.size_bytes;
    return r->joined.failed ? NULL : r->joined.data;
}

static slant_status keep_row(reading *r, const slant_record *record, const tokenizer_output *tokens)
{
    dataset *d = r->d;
    cut_ids article = {tokens->ids, tokens->n_ids, tokens->n_leading, tokens->n_trailing};
    size_t n = cut_window_ids(&article, &r->options->rule);
    if (n > INT32_MAX / 4)
        return bad_row(r, record, "more tokens than one pass can hold");
    if (!make_room(r, n))
        return out_of_memory(r);
    size_t at = d->starts[d->n];
    n = cut_window(&article, &r->options->rule, 0, d->ids + at);
    d->names[d->n] = arena_printf(&d->memory, "%s:%lld", record->file, (long long)record->row);
    if (d->names[d->n] == NULL)
        return out_of_memory(r);
    d->n_tokens += (int64_t)tokens->n_ids;
    d->n_cut += n < tokens->n_ids;
    d->starts[++d->n] = at + n;
    return SLANT_OK;
}

static slant_status tokenise_row(reading *r, const slant_record *record, const json_t *label)
{
    slant_error own;
    tokenizer_output tokens;
    tokenizer_options how = {.add_special_tokens = true};
    size_t size_bytes;
    const char *text = whole_text(r, record, &size_bytes);
    if (text == NULL)
        return out_of_memory(r);
    slant_status status = tokenizer_encode(r->tokens, text, size_bytes, &how, &tokens, &own);
    if (status == SLANT_ERR_MEMORY)
        return status_fail(r->err, status, "%s", own.message);
    if (status != SLANT_OK)
        return bad_row(r, record, own.message);
    if (tokens.n_ids == tokens.n_leading + tokens.n_trailing)
        return bad_row(r, record, "the article has no token");
    int before = r->d->n;
    status = keep_row(r, record, &tokens);
    if (r->d->n > before && json_array_append(r->labels, (json_t *)label) != 0)
        status = out_of_memory(r);
    return status;
}

static slant_status take_record(reading *r, const slant_record *record)
{
    if (record->status != SLANT_OK)
        return bad_row(r, record, record->message);
    const char *written = record->label_json;
    json_t *label = written == NULL ? NULL : json_loads(written, JSON_DECODE_ANY, NULL);
    if (label == NULL)
        return bad_row(r, record, "no label");
    slant_status status = tokenise_row(r, record, label);
    json_decref(label);
    return status;
}

static slant_status read_records(reading *r)
{
    slant_reader *reader;
    slant_record record;
    slant_status status = slant_reader_open(r->options->paths, r->options->n_paths,
                                            &r->options->fields, &reader, r->err);
    while (status == SLANT_OK) {
        status = slant_reader_next(reader, &record, r->err);
        if (status != SLANT_OK || record.end)
            break;
        status = take_record(r, &record);
    }
    slant_reader_close(reader);
    if (status == SLANT_OK && r->d->n_bad > 0 && !r->options->skip_bad_rows)
        status = status_fail(r->err, SLANT_ERR_FORMAT,
                             "%lld rows cannot be used, the first is %s (skip_bad_rows leaves them "
                             "out)",
                             (long long)r->d->n_bad, r->first_bad);
    return status;
}

static slant_status take_digest(reading *r, int n_values)
{
    dataset *d = r->d;
    file_digest *digest = file_digest_open();
    if (digest == NULL)
        return out_of_memory(r);
    file_digest_update(digest, d->starts, ((size_t)d->n + 1) * sizeof *d->starts);
    file_digest_update(digest, d->ids, d->starts[d->n] * sizeof *d->ids);
    if (d->labels != NULL)
        file_digest_update(digest, d->labels, (size_t)d->n * sizeof *d->labels);
    else
        file_digest_update(digest, d->values, (size_t)d->n * (size_t)n_values * sizeof *d->values);
    file_digest_close(digest, d->digest);
    return SLANT_OK;
}

/* Each row's label as number or values, now that the set of labels is known. */
static slant_status settle_labels(reading *r, label_set *labels, arena *labels_memory)
{
    dataset *d = r->d;
    slant_status status = SLANT_OK;
    if (labels->n == 0)
        status = labels_from_data(labels, r->labels, labels_memory, r->err);
    if (status == SLANT_OK)
        status = labels_read(labels, r->labels, d->names, &d->labels, &d->values, r->err);
    return status == SLANT_OK ? take_digest(r, labels->n) : status;
}

static slant_status count_lengths(reading *r)
{
    dataset *d = r->d;
    d->lengths = mem_alloc((size_t)d->n, sizeof *d->lengths);
    if (d->lengths == NULL)
        return out_of_memory(r);
    for (int i = 0; i < d->n; i++)
        d->lengths[i] = (int)(d->starts[i + 1] - d->starts[i]);
    return SLANT_OK;
}

static slant_status read_all(reading *r, label_set *labels, arena *labels_memory)
{
    if (!make_room(r, 1))
        return out_of_memory(r);
    slant_status status = read_records(r);
    if (status == SLANT_OK && r->d->n == 0)
        status = status_fail(r->err, SLANT_ERR_FORMAT, "%s holds no labelled article",
                             r->options->paths[0]);
    if (status == SLANT_OK)
        status = count_lengths(r);
    return status == SLANT_OK ? settle_labels(r, labels, labels_memory) : status;
}

slant_status dataset_open(const model *m, const dataset_options *options, label_set *labels,
                          arena *labels_memory, dataset **out, slant_error *err)
{
    *out = NULL;
    reading r = {.m = m, .options = options, .err = err};
    r.d = mem_calloc(1, sizeof *r.d);
    r.tokens = tokenizer_state_open(m->tokenizer);
    r.labels = json_array();
    if (r.d != NULL)
        r.d->starts = mem_calloc(1, sizeof *r.d->starts);
    slant_status status = r.d == NULL || r.d->starts == NULL || r.tokens == NULL || r.labels == NULL
                              ? out_of_memory(&r)
                              : read_all(&r, labels, labels_memory);
    tokenizer_state_close(r.tokens);
    json_decref(r.labels);
    buf_free(&r.joined);
    if (status != SLANT_OK) {
        dataset_close(r.d);
        return status;
    }
    *out = r.d;
    return SLANT_OK;
}

void dataset_close(dataset *d)
{
    if (d == NULL)
        return;
    mem_free(d->ids);
    mem_free(d->starts);
    mem_free(d->lengths);
    mem_free(d->labels);
    mem_free(d->values);
    mem_free(d->names);
    arena_free(&d->memory);
    mem_free(d);
}

int dataset_longest_one(const dataset *d)
{
    int longest = 0;
    for (int i = 0; i < d->n; i++)
        longest = d->lengths[i] > longest ? d->lengths[i] : longest;
    return longest;
}

static int compare_down(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x < y) - (x > y);
}

int64_t dataset_longest(const dataset *d, int n)
{
    int64_t sum = 0;
    int *lengths = mem_alloc((size_t)d->n, sizeof *lengths);
    if (lengths == NULL) /* a bound that needs no memory */
        return (int64_t)n * dataset_longest_one(d);
    memcpy(lengths, d->lengths, (size_t)d->n * sizeof *lengths);
    qsort(lengths, (size_t)d->n, sizeof *lengths, compare_down);
    for (int i = 0; i < n && i < d->n; i++)
        sum += lengths[i];
    mem_free(lengths);
    return sum;
}
