/* What the readers' tests share: a folder of their own to write files in, and files read to the end
 * with every record kept. */
#ifndef SLANT_TESTS_READING_H
#define SLANT_TESTS_READING_H

#include "unit.h"

#include <slant_data.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct kept_record {
    slant_status status;
    char *message, *text, *title, *id, *label, *file; /* NULL where the record has none */
    size_t text_bytes;
    int64_t row;
    double fraction;
} kept_record;

typedef struct reading {
    slant_status status; /* of the reader itself */
    kept_record *records;
    size_t n_records;
} reading;

static char folder[64];
static char old_folder[4096];

/* Group setup: the test works in a new folder, so that its messages name files alone. */
static inline int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/slant-test-XXXXXX");
    return getcwd(old_folder, sizeof old_folder) == NULL || mkdtemp(folder) == NULL ||
           chdir(folder) != 0;
}

static inline int leave_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir(old_folder) != 0 || system(command) != 0;
}

static inline void write_bytes(const char *path, const void *bytes, size_t size_bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size_bytes, f), size_bytes);
    assert_int_equal(fclose(f), 0);
}

static inline void write_string(const char *path, const char *string)
{
    write_bytes(path, string, strlen(string));
}

static inline char *keep(const char *bytes, size_t size_bytes)
{
    if (bytes == NULL)
        return NULL;
    char *kept = malloc(size_bytes + 1);
    assert_non_null(kept);
    memcpy(kept, bytes, size_bytes);
    kept[size_bytes] = '\0';
    return kept;
}

static inline char *keep_string(const char *string)
{
    return string == NULL ? NULL : keep(string, strlen(string));
}

static inline void keep_record(reading *r, const slant_record *record)
{
    r->records = realloc(r->records, (r->n_records + 1) * sizeof *r->records);
    assert_non_null(r->records);
    r->records[r->n_records++] = (kept_record){
        .status = record->status,
        .message = keep_string(record->message),
        .text = keep(record->text, record->text_bytes),
        .title = keep(record->title, record->title_bytes),
        .id = keep_string(record->id_json),
        .label = keep_string(record->label_json),
        .file = keep_string(record->file),
        .text_bytes = record->text_bytes,
        .row = record->row,
        .fraction = record->file_fraction,
    };
}

static inline reading read_files(const char *const *paths, size_t n_paths,
                                 const slant_reader_options *options)
{
    reading r = {0};
    slant_reader *reader;
    slant_error err;
    r.status = slant_reader_open(paths, n_paths, options, &reader, &err);
    while (r.status == SLANT_OK) {
        slant_record record;
        r.status = slant_reader_next(reader, &record, &err);
        if (r.status != SLANT_OK || record.end)
            break;
        keep_record(&r, &record);
    }
    slant_reader_close(reader);
    return r;
}

static inline reading read_file(const char *path, const slant_reader_options *options)
{
    reading r = read_files(&path, 1, options);
    assert_int_equal(r.status, SLANT_OK);
    return r;
}

/* Writes a file and reads it. */
static inline reading read_written(const char *path, const void *bytes, size_t size_bytes,
                                   const slant_reader_options *options)
{
    write_bytes(path, bytes, size_bytes);
    return read_file(path, options);
}

static inline reading read_string(const char *path, const char *content,
                                  const slant_reader_options *options)
{
    return read_written(path, content, strlen(content), options);
}

static inline void free_reading(reading *r)
{
    for (size_t i = 0; i < r->n_records; i++) {
        kept_record *k = &r->records[i];
        free(k->message);
        free(k->text);
        free(k->title);
        free(k->id);
        free(k->label);
        free(k->file);
    }
    free(r->records);
    *r = (reading){0};
}

static inline void expect_text(const reading *r, size_t i, const char *text)
{
    assert_true(i < r->n_records);
    if (r->records[i].status != SLANT_OK)
        print_error("%s\n", r->records[i].message);
    assert_int_equal(r->records[i].status, SLANT_OK);
    assert_string_equal(r->records[i].text, text);
    assert_int_equal(r->records[i].text_bytes, strlen(text));
    assert_null(r->records[i].message);
}

static inline void expect_failure(const reading *r, size_t i, const char *message)
{
    assert_true(i < r->n_records);
    assert_int_not_equal(r->records[i].status, SLANT_OK);
    assert_string_equal(r->records[i].message, message);
    assert_null(r->records[i].text);
    assert_null(r->records[i].title);
    assert_null(r->records[i].label);
    assert_non_null(r->records[i].id);
}

#endif
