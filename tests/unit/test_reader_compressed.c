/* gzip and zstd: members and frames, and files that break off or are corrupt at any byte. */
#include "reading.h"

#include <zlib.h>
#include <zstd.h>

static const char three_lines[] =
    "{\"text\": \"first\"}\n{\"text\": \"second\"}\n{\"text\": \"third\"}\n";

static size_t gzip(const char *bytes, size_t size_bytes, unsigned char *out, size_t cap)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, 0), Z_OK);
    z.next_in = (unsigned char *)bytes;
    z.avail_in = (unsigned)size_bytes;
    z.next_out = out;
    z.avail_out = (unsigned)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t zstd(const char *bytes, size_t size_bytes, unsigned char *out, size_t cap)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t size = ZSTD_compress2(context, out, cap, bytes, size_bytes);
    assert_false(ZSTD_isError(size));
    ZSTD_freeCCtx(context);
    return size;
}

typedef size_t compressor(const char *bytes, size_t size_bytes, unsigned char *out, size_t cap);
static compressor *const compressors[] = {gzip, zstd};
static const char *const names[] = {"gzip", "zstd"};
static const char *const files[] = {"a.jsonl.gz", "a.jsonl.zst"};

static void compressed_files_read_like_plain_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned char packed[500];
        size_t packed_bytes = compressors[i](three_lines, sizeof three_lines - 1, packed, 500);
        reading r = read_written(files[i], packed, packed_bytes, NULL);
        assert_int_equal(r.n_records, 3);
        expect_text(&r, 2, "third");
        assert_true(r.records[2].fraction == 1);
        free_reading(&r);
        /* the bytes say that it is compressed, whatever the name */
        r = read_written("a.jsonl", packed, packed_bytes, NULL);
        assert_int_equal(r.n_records, 3);
        free_reading(&r);
        r = read_written("unknown", packed, packed_bytes, NULL);
        assert_int_equal(r.n_records, 3);
        free_reading(&r);
    }
}

static void members_and_frames_follow_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned char packed[1000];
        size_t n = compressors[i](three_lines, 25, packed, 500); /* cut within a line */
        n += compressors[i]("", 0, packed + n, 300);
        n += compressors[i](three_lines + 25, sizeof three_lines - 26, packed + n, 300);
        reading r = read_written(files[i], packed, n, NULL);
        assert_int_equal(r.n_records, 3);
        expect_text(&r, 1, "second");
        expect_text(&r, 2, "third");
        free_reading(&r);
    }
}

static void padding_is_allowed_where_the_format_allows_it(void **state)
{
    (void)state;
    static const unsigned char skippable[] = {0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    unsigned char packed[600] = {0};
    size_t n = gzip(three_lines, sizeof three_lines - 1, packed, 500);
    memset(packed + n, 0, 50);
    reading r = read_written(files[0], packed, n + 50, NULL);
    assert_int_equal(r.n_records, 3);
    expect_text(&r, 2, "third");
    free_reading(&r);
    memcpy(packed, skippable, sizeof skippable);
    n = sizeof skippable;
    n += zstd(three_lines, sizeof three_lines - 1, packed + n, 500);
    memcpy(packed + n, skippable, sizeof skippable);
    r = read_written(files[1], packed, n + sizeof skippable, NULL);
    assert_int_equal(r.n_records, 3);
    expect_text(&r, 2, "third");
    free_reading(&r);
}

static void other_bytes_behind_the_end_are_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned char packed[600];
        char message[200];
        size_t n = compressors[i](three_lines, sizeof three_lines - 1, packed, 500);
        memcpy(packed + n, "junk!", 5);
        reading r = read_written(files[i], packed, n + 5, NULL);
        assert_int_equal(r.n_records, 4);
        expect_text(&r, 2, "third");
        snprintf(message, sizeof message,
                 "%s: row 4: expected the end or more %s data at byte %zu, found other bytes",
                 files[i], names[i], n);
        expect_failure(&r, 3, message);
        free_reading(&r);
    }
}

/* Whatever is left of the file, the rows before the break are good, and one row tells of it. */
static void a_file_may_break_off_at_any_byte(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second", "third"};
    for (size_t i = 0; i < 2; i++) {
        unsigned char packed[500];
        char message[200];
        size_t packed_bytes = compressors[i](three_lines, sizeof three_lines - 1, packed, 500);
        for (size_t n = 0; n < packed_bytes; n++) {
            reading r = read_written(files[i], packed, n, NULL);
            assert_true(r.n_records >= 1 && r.n_records <= 4);
            for (size_t j = 0; j + 1 < r.n_records; j++)
                expect_text(&r, j, texts[j]);
            if (n >= 4) {
                snprintf(message, sizeof message, "%s: row %zu: the %s data breaks off at byte %zu",
                         files[i], r.n_records, names[i], n);
                expect_failure(&r, r.n_records - 1, message);
            }
            assert_int_equal(r.records[r.n_records - 1].status, SLANT_ERR_FORMAT);
            free_reading(&r);
        }
    }
}

/* Checksums find every flipped byte, but gzip's header has none. */
static void a_flipped_byte_is_found(void **state)
{
    (void)state;
    static const size_t header_bytes[] = {10, 4};
    for (size_t i = 0; i < 2; i++) {
        unsigned char packed[500];
        size_t packed_bytes = compressors[i](three_lines, sizeof three_lines - 1, packed, 500);
        for (size_t n = header_bytes[i]; n < packed_bytes; n++) {
            packed[n] ^= 0x55;
            reading r = read_written(files[i], packed, packed_bytes, NULL);
            packed[n] ^= 0x55;
            assert_true(r.n_records >= 1);
            assert_int_not_equal(r.records[r.n_records - 1].status, SLANT_OK);
            free_reading(&r);
        }
    }
}

static void a_name_must_not_promise_what_is_not_there(void **state)
{
    (void)state;
    reading r = read_string("a.jsonl.gz", "{\"text\": \"a\"}\n", NULL);
    assert_int_equal(r.n_records, 1);
    expect_failure(&r, 0, "a.jsonl.gz: expected gzip data, found other bytes at its beginning");
    free_reading(&r);
    r = read_string("a.txt.zst", "", NULL);
    expect_failure(&r, 0, "a.txt.zst: expected zstd data, found an empty file");
    free_reading(&r);
}

/* A frame that asks for a window of 256 MiB: magic, window descriptor, one empty block. */
static void large_windows_are_refused(void **state)
{
    (void)state;
    static const unsigned char frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0x00, (28 - 10) << 3, 1, 0, 0};
    reading r = read_written("a.txt.zst", frame, sizeof frame, NULL);
    expect_failure(&r, 0,
                   "a.txt.zst: the zstd data needs a window of more than 128 MiB (made with "
                   "--long)");
    assert_int_equal(r.records[0].status, SLANT_ERR_UNSUPPORTED);
    free_reading(&r);
}

static void one_reader_takes_all_codings(void **state)
{
    (void)state;
    unsigned char packed[500];
    write_bytes("1.txt.gz", packed, gzip("one", 3, packed, 500));
    write_bytes("2.txt.zst", packed, zstd("two", 3, packed, 500));
    write_bytes("3.txt.gz", packed, gzip("broken", 6, packed, 500) - 5);
    write_bytes("4.txt.gz", packed, gzip("four", 4, packed, 500));
    write_bytes("5.txt.zst", packed, zstd("broken", 6, packed, 500) - 5);
    write_bytes("6.txt.zst", packed, zstd("six", 3, packed, 500));
    write_string("7.txt", "seven");
    static const char *const paths[] = {"1.txt.gz",  "2.txt.zst", "3.txt.gz", "4.txt.gz",
                                        "5.txt.zst", "6.txt.zst", "7.txt"};
    reading r = read_files(paths, 7, NULL);
    assert_int_equal(r.n_records, 7);
    expect_text(&r, 0, "one");
    expect_text(&r, 1, "two");
    assert_int_equal(r.records[2].status, SLANT_ERR_FORMAT);
    expect_text(&r, 3, "four");
    assert_int_equal(r.records[4].status, SLANT_ERR_FORMAT);
    expect_text(&r, 5, "six");
    expect_text(&r, 6, "seven");
    free_reading(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compressed_files_read_like_plain_ones),
        cmocka_unit_test(members_and_frames_follow_each_other),
        cmocka_unit_test(padding_is_allowed_where_the_format_allows_it),
        cmocka_unit_test(other_bytes_behind_the_end_are_an_error),
        cmocka_unit_test(a_file_may_break_off_at_any_byte),
        cmocka_unit_test(a_flipped_byte_is_found),
        cmocka_unit_test(a_name_must_not_promise_what_is_not_there),
        cmocka_unit_test(large_windows_are_refused),
        cmocka_unit_test(one_reader_takes_all_codings),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
