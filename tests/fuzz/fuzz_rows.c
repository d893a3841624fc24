/* Any bytes as a file of each kind, whose rows must come out as one line of JSON that reads back as
 * the same article. */
#include "reader_input.h"

static int memory_file(const void *bytes, size_t size_bytes, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, bytes, size_bytes) == (ssize_t)size_bytes);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/* The row, as the only line of a JSONL, is the same article with the same label. */
static void check_row(const slant_record *want)
{
    char path[64];
    const char *paths[] = {path};
    slant_error err;
    slant_reader *reader;
    slant_record got;
    slant_reader_options options = {.input = SLANT_INPUT_JSONL, .label_field = "label"};
    require(memchr(want->row_json, '\n', want->row_bytes) == NULL);
    int fd = memory_file(want->row_json, want->row_bytes, path);
    require(slant_reader_open(paths, 1, &options, &reader, &err) == SLANT_OK);
    require(slant_reader_next(reader, &got, &err) == SLANT_OK && !got.end);
    require(got.status == SLANT_OK && got.text_bytes == want->text_bytes);
    require(memcmp(got.text, want->text, got.text_bytes) == 0);
    require((got.label_json == NULL) == (want->label_json == NULL));
    require(got.label_json == NULL || strcmp(got.label_json, want->label_json) == 0);
    slant_reader_close(reader);
    close(fd);
}

static void read_as(const uint8_t *data, size_t size_bytes, slant_input input)
{
    char path[64];
    const char *paths[] = {path};
    slant_error err;
    slant_reader *reader;
    slant_reader_options options = {.input = input, .label_field = "label", .want_rows = true};
    int fd = memory_file(data, size_bytes, path);
    require(slant_reader_open(paths, 1, &options, &reader, &err) == SLANT_OK);
    for (;;) {
        slant_record record;
        require(slant_reader_next(reader, &record, &err) == SLANT_OK);
        if (record.end)
            break;
        require((record.status == SLANT_OK) == (record.row_json != NULL));
        if (record.status == SLANT_OK)
            check_row(&record);
    }
    slant_reader_close(reader);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static const slant_input kinds[] = {SLANT_INPUT_CSV, SLANT_INPUT_TSV, SLANT_INPUT_JSON,
                                        SLANT_INPUT_JSONL, SLANT_INPUT_TEXT};
    if (size_bytes > 0)
        read_as(data + 1, size_bytes - 1, kinds[data[0] % 5]);
    return 0;
}
