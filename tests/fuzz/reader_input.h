/* What the readers' fuzzers share: any bytes as a file, read to its end, every record checked for
 * what slant_data.h promises. */
#ifndef SLANT_TESTS_FUZZ_READER_INPUT_H
#define SLANT_TESTS_FUZZ_READER_INPUT_H

#include <slant_data.h>

#include "data/json_scan.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_json(const char *text)
{
    json_scan scan;
    json_value value;
    size_t text_bytes = strlen(text);
    json_scan_init(&scan, text, text_bytes);
    require(json_scan_value(&scan, &value, NULL) == SLANT_OK);
    require(json_scan_end(&scan, NULL) == SLANT_OK);
    require(utf8_valid_prefix(text, text_bytes) == text_bytes);
}

static size_t sum_bytes(const char *bytes, size_t size_bytes)
{
    size_t sum = 0;
    for (size_t i = 0; i < size_bytes; i++)
        sum += (unsigned char)bytes[i];
    return sum;
}

static size_t check_record(const slant_record *record, int64_t *last_row)
{
    require(record->file != NULL && record->id_json != NULL);
    require_json(record->id_json);
    if (record->label_json != NULL)
        require_json(record->label_json);
    require(record->row > *last_row);
    require(record->file_fraction <= 1);
    *last_row = record->row;
    if (record->status != SLANT_OK) {
        require(record->text == NULL && record->message != NULL && record->message[0] != '\0');
        return 0;
    }
    require(record->text != NULL);
    return sum_bytes(record->text, record->text_bytes) +
           sum_bytes(record->title, record->title_bytes);
}

static inline size_t read_as_file(const uint8_t *data, size_t size_bytes,
                                  const slant_reader_options *options)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size_bytes) == (ssize_t)size_bytes);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const char *const paths[] = {path};
    slant_reader *reader;
    slant_error err;
    require(slant_reader_open(paths, 1, options, &reader, &err) == SLANT_OK);
    size_t sum = 0;
    int64_t last_row = 0;
    for (;;) {
        slant_record record;
        require(slant_reader_next(reader, &record, &err) == SLANT_OK);
        if (record.end)
            break;
        sum += check_record(&record, &last_row);
    }
    slant_reader_close(reader);
    close(fd);
    return sum;
}

#endif
