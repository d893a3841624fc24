/* The base room: messages, memory, buffers, files, threads. */
#include "unit.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/thread.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void message_is_cut_between_characters(void **state)
{
    (void)state;
    slant_error err;
    char longest[1500];
    for (size_t i = 0; i + 3 < sizeof longest; i += 3)
        memcpy(longest + i, "\xE2\x82\xAC", 3); /* the euro sign, three bytes */
    longest[1497] = '\0';
    assert_int_equal(status_fail(&err, SLANT_ERR_IO, "x%s", longest), SLANT_ERR_IO);
    size_t length = strlen(err.message);
    assert_true(length < sizeof err.message);
    assert_int_equal((length - 1) % 3, 0);
    assert_true(length > sizeof err.message - 5);
}

static void context_goes_in_front(void **state)
{
    (void)state;
    slant_error err;
    status_fail(&err, SLANT_ERR_FORMAT, "expected %d", 3);
    assert_int_equal(status_context(&err, SLANT_ERR_FORMAT, "row %d", 7), SLANT_ERR_FORMAT);
    assert_string_equal(err.message, "row 7: expected 3");
    assert_int_equal(status_errno(&err, ENOENT, "a.txt"), SLANT_ERR_NOT_FOUND);
    assert_string_equal(err.message, "a.txt: No such file or directory");
    assert_int_equal(status_errno(NULL, EACCES, "a.txt"), SLANT_ERR_IO);
}

static void every_status_has_its_text(void **state)
{
    (void)state;
    assert_string_equal(slant_status_text(SLANT_OK), "ok");
    assert_string_equal(slant_status_text((slant_status)99), "unknown status");
    assert_string_not_equal(slant_status_text(SLANT_ERR_TEXT), slant_status_text(SLANT_ERR_IO));
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    size_t out;
    assert_false(mem_mul(SIZE_MAX / 2, 3, &out));
    assert_false(mem_add(SIZE_MAX, 1, &out));
    assert_null(mem_alloc(SIZE_MAX / 2, 4));
    assert_null(mem_calloc(SIZE_MAX / 2, 4));
    arena a = {0};
    assert_null(arena_alloc(&a, SIZE_MAX, 1));
    arena_free(&a);
}

static void chosen_allocation_fails(void **state)
{
    (void)state;
    mem_fail_at(2, false);
    void *first = mem_alloc(1, 8), *second = mem_alloc(1, 8), *third = mem_alloc(1, 8);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    mem_fail_at(1, true);
    assert_null(mem_alloc(1, 8));
    assert_null(mem_alloc(1, 8));
    mem_fail_at(0, false);
    mem_free(first);
    mem_free(third);
}

static void arrays_grow_and_keep_what_they_hold(void **state)
{
    (void)state;
    size_t cap = 0;
    int *items = NULL;
    for (int i = 0; i < 1000; i++) {
        items = mem_with_room(items, &cap, (size_t)i + 1, sizeof *items);
        assert_non_null(items);
        assert_true(cap > (size_t)i);
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    size_t before = cap;
    assert_ptr_equal(mem_with_room(items, &cap, 3, sizeof *items), items);
    assert_null(mem_with_room(items, &cap, SIZE_MAX / 2, sizeof *items));
    mem_fail_at(1, false);
    assert_null(mem_with_room(items, &cap, before + 1, sizeof *items));
    mem_fail_at(0, false);
    assert_int_equal(cap, before);
    assert_int_equal(items[999], 999);
    mem_free(items);
}

static void arena_pieces_are_zero_and_aligned(void **state)
{
    (void)state;
    arena a = {0};
    for (size_t n = 1; n < 40000; n = n * 3 + 1) {
        unsigned char *piece = arena_alloc(&a, n, 1);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xFF, n);
    }
    assert_string_equal(arena_printf(&a, "%s-%d", "layer", 12), "layer-12");
    arena_free(&a);
    assert_null(a.blocks);
}

/* tests/golden/base/repr.tsv is Python's own. */
static void doubles_print_as_python_prints_them(void **state)
{
    (void)state;
    FILE *golden = fopen(SLANT_SOURCE_DIR "/tests/golden/base/repr.tsv", "r");
    assert_non_null(golden);
    unsigned long long bits;
    char want[64];
    int n_lines = 0;
    buf b = {0};
    while (fscanf(golden, "%16llx\t%63s", &bits, want) == 2) {
        double value;
        memcpy(&value, &bits, sizeof value);
        buf_clear(&b);
        buf_double(&b, value);
        assert_string_equal(b.data, want);
        n_lines++;
    }
    fclose(golden);
    assert_int_equal(n_lines, 260);
    buf_clear(&b);
    buf_double(&b, (double)NAN);
    assert_string_equal(b.data, "null");
    buf_free(&b);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    static const char raw[] = "a\"b\\c\n\t\x01\0\x7F\xC3\xA9";
    buf b = {0};
    buf_json_string(&b, raw, sizeof raw - 1);
    assert_string_equal(b.data, "\"a\\\"b\\\\c\\n\\t\\u0001\\u0000\\u007f\xC3\xA9\"");
    buf_free(&b);
}

static void failed_append_leaves_the_buffer(void **state)
{
    (void)state;
    buf b = {0};
    buf_string(&b, "kept");
    mem_fail_at(1, true);
    char much[4096] = {0};
    buf_append(&b, much, sizeof much);
    mem_fail_at(0, false);
    assert_true(b.failed);
    assert_string_equal(b.data, "kept");
    buf_free(&b);
}

static char folder[] = "/tmp/slant-test-base-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void file_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    slant_error err;
    char *path = file_join(folder, "out.bin");
    buf read_back = {0};
    assert_int_equal(file_write_whole(path, "first", 5, &err), SLANT_OK);

    file_writer w;
    assert_int_equal(file_writer_open(&w, path, &err), SLANT_OK);
    assert_int_equal(file_writer_write(&w, "half", 4, &err), SLANT_OK);
    file_writer_abort(&w);
    assert_int_equal(file_read(path, 100, &read_back, &err), SLANT_OK);
    assert_string_equal(read_back.data, "first");

    assert_int_equal(file_read(path, 4, &read_back, &err), SLANT_ERR_FORMAT);
    file_map map;
    assert_int_equal(file_map_open(&map, path, &err), SLANT_OK);
    assert_int_equal(map.size_bytes, 5);
    file_map_close(&map);
    unlink(path);
    assert_int_equal(file_map_open(&map, path, &err), SLANT_ERR_NOT_FOUND);
    assert_int_equal(file_map_open(&map, folder, &err), SLANT_ERR_IO);
    buf_free(&read_back);
    mem_free(path);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    slant_error err;
    file_writer w = {.stream = fopen("/dev/full", "wb"),
                     .path = mem_strdup("/dev/full"),
                     .temporary_path = NULL};
    assert_non_null(w.stream);
    char block[1] = {0};
    slant_status status = SLANT_OK;
    for (int i = 0; i < 100000 && status == SLANT_OK; i++)
        status = file_writer_write(&w, block, sizeof block, &err);
    assert_int_equal(status, SLANT_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    file_writer_abort(&w);
}

/* FIPS 180-2, appendix B.1. */
static void digest_is_sha256(void **state)
{
    (void)state;
    char hex[FILE_DIGEST_CHARS];
    file_digest *digest = file_digest_open();
    file_digest_update(digest, "a", 1);
    file_digest_update(digest, "bc", 2);
    file_digest_close(digest, hex);
    assert_string_equal(hex,
                        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void shares_cover_all_items_once(void **state)
{
    (void)state;
    for (int n_items = 0; n_items < 70; n_items++)
        for (int granule = 1; granule < 20; granule += 6)
            for (int n_threads = 1; n_threads < 6; n_threads++) {
                int expected = 0;
                for (int t = 0; t < n_threads; t++) {
                    int first, end;
                    thread_share(n_items, granule, t, n_threads, &first, &end);
                    assert_int_equal(first, expected);
                    assert_true(end >= first);
                    assert_true(end == n_items || end % granule == 0);
                    expected = end;
                }
                assert_int_equal(expected, n_items);
            }
}

static void count_call(void *context, int thread, int n_threads)
{
    atomic_int *calls = context;
    assert_int_equal(n_threads, 5);
    atomic_fetch_add(&calls[thread], 1);
}

static void every_share_runs_once(void **state)
{
    (void)state;
    atomic_int calls[5] = {0};
    thread_run(5, count_call, calls);
    for (int t = 0; t < 5; t++)
        assert_int_equal(calls[t], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_cut_between_characters),
        cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(every_status_has_its_text),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(chosen_allocation_fails),
        cmocka_unit_test(arrays_grow_and_keep_what_they_hold),
        cmocka_unit_test(arena_pieces_are_zero_and_aligned),
        cmocka_unit_test(doubles_print_as_python_prints_them),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(failed_append_leaves_the_buffer),
        cmocka_unit_test_setup_teardown(file_is_written_whole_or_not_at_all, make_folder,
                                        remove_folder),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(digest_is_sha256),
        cmocka_unit_test(shares_cover_all_items_once),
        cmocka_unit_test(every_share_runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
