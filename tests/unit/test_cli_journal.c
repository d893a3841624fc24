/* The journal of a resumable output: wherever a kill falls, and whatever was changed since. */
#include "unit.h"

#include "cli/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/slant-journal-XXXXXX";
static char path[64], journal_path[80];

static const char *const batches[] = {"header\nrow 1\nrow 2\n", "row 3\n", "row 4\nrow 5\n"};
static const char *const articles[] = {"one two", "three", "four five"};
static const int64_t rows_after[] = {2, 3, 5};

static json_t *settings(const char *value)
{
    return json_pack("{s:s, s:s}", "--format", "csv", "--top-k", value);
}

/* Opens the output and its journal; the caller closes both. */
static slant_status open_both(journal *j, int *fd, const char *value, slant_error *err)
{
    struct stat before;
    json_t *s = settings(value);
    *fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(*fd >= 0);
    assert_int_equal(fstat(*fd, &before), 0);
    slant_status status = journal_open(j, path, *fd, before.st_size > 0, s, err);
    json_decref(s);
    return status;
}

static void close_both(journal *j, int fd)
{
    journal_close(j);
    close(fd);
}

static void write_batch(journal *j, int fd, int i)
{
    slant_error err;
    buf bytes = {0}, texts = {0};
    journal_counts counts = {.rows = rows_after[i], .failed = i};
    buf_string(&bytes, batches[i]);
    buf_string(&texts, articles[i]);
    assert_int_equal(write(fd, bytes.data, bytes.size_bytes), bytes.size_bytes);
    assert_int_equal(journal_add(j, &texts, &bytes, &counts, &err), SLANT_OK);
    buf_free(&bytes);
    buf_free(&texts);
}

static void write_all(void)
{
    journal j;
    int fd;
    slant_error err;
    unlink(path);
    unlink(journal_path);
    assert_int_equal(open_both(&j, &fd, "1", &err), SLANT_OK);
    for (int i = 0; i < 3; i++)
        write_batch(&j, fd, i);
    close_both(&j, fd);
}

static void read_file(const char *name, buf *out)
{
    slant_error err;
    assert_int_equal(file_read(name, 1 << 20, out, &err), SLANT_OK);
}

static void a_whole_file_is_taken_as_it_is(void **state)
{
    (void)state;
    journal j;
    int fd;
    slant_error err;
    write_all();
    assert_int_equal(open_both(&j, &fd, "1", &err), SLANT_OK);
    assert_int_equal(j.n_entries, 3);
    assert_int_equal(j.last.counts.rows, 5);
    assert_int_equal(j.last.counts.failed, 2);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), j.last.bytes);
    close_both(&j, fd);
}

/* Both files cut at every byte: the rows that are left are whole, and going on gives the same. */
static void any_cut_is_survived(void **state)
{
    (void)state;
    buf output = {0}, lines = {0};
    write_all();
    read_file(path, &output);
    read_file(journal_path, &lines);
    size_t header_bytes = (size_t)((char *)memchr(lines.data, '\n', lines.size_bytes) - lines.data);
    for (size_t cut = 0; cut <= output.size_bytes + lines.size_bytes; cut++) {
        journal j;
        int fd;
        slant_error err;
        write_all();
        bool cuts_output = cut <= output.size_bytes;
        size_t lines_kept = cuts_output ? lines.size_bytes : cut - output.size_bytes;
        if (lines_kept <= header_bytes)
            continue; /* the first line is on disk before a byte of output is */
        assert_int_equal(truncate(path, (off_t)(cuts_output ? cut : output.size_bytes)), 0);
        assert_int_equal(truncate(journal_path, (off_t)lines_kept), 0);
        assert_int_equal(open_both(&j, &fd, "1", &err), SLANT_OK);
        for (int i = (int)j.n_entries; i < 3; i++)
            write_batch(&j, fd, i);
        close_both(&j, fd);

        buf again = {0};
        read_file(path, &again);
        assert_string_equal(again.data, output.data);
        buf_free(&again);
        read_file(journal_path, &again);
        assert_string_equal(again.data, lines.data);
        buf_free(&again);
    }
    buf_free(&output);
    buf_free(&lines);
}

static void what_stands_beyond_is_cut_off(void **state)
{
    (void)state;
    journal j;
    int fd;
    slant_error err;
    struct stat info;
    write_all();
    FILE *f = fopen(path, "ab");
    fputs("row 6, half of", f);
    fclose(f);
    assert_int_equal(open_both(&j, &fd, "1", &err), SLANT_OK);
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(info.st_size, j.last.bytes);
    close_both(&j, fd);
}

static void expect_refusal(const char *value, const char *words)
{
    journal j;
    int fd;
    slant_error err;
    buf before = {0}, after = {0};
    read_file(path, &before);
    assert_int_not_equal(open_both(&j, &fd, value, &err), SLANT_OK);
    assert_non_null(strstr(err.message, words));
    close(fd);
    read_file(path, &after);
    assert_string_equal(before.data, after.data); /* nobody's file is touched */
    buf_free(&before);
    buf_free(&after);
}

static void another_setting_is_refused(void **state)
{
    (void)state;
    write_all();
    expect_refusal("2", "begun with another --top-k: 1 then, 2 now");
}

static void an_edited_file_is_refused(void **state)
{
    (void)state;
    write_all();
    FILE *f = fopen(path, "r+b");
    fseek(f, -3, SEEK_END);
    fputc('9', f);
    fclose(f);
    expect_refusal("1", "something changed between row 4 and row 5");
}

static void a_file_without_a_journal_is_refused(void **state)
{
    (void)state;
    write_all();
    unlink(journal_path);
    expect_refusal("1", "no journal");
    FILE *f = fopen(journal_path, "wb");
    fputs("something else\n", f);
    fclose(f);
    expect_refusal("1", "not a journal of slant");
}

static void two_writers_are_refused(void **state)
{
    (void)state;
    journal first, second;
    int fd, other_fd;
    slant_error err;
    write_all();
    assert_int_equal(open_both(&first, &fd, "1", &err), SLANT_OK);
    assert_int_equal(open_both(&second, &other_fd, "1", &err), SLANT_ERR_MISMATCH);
    assert_non_null(strstr(err.message, "another slant"));
    close(other_fd);
    close_both(&first, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_taken_as_it_is),
        cmocka_unit_test(any_cut_is_survived),
        cmocka_unit_test(what_stands_beyond_is_cut_off),
        cmocka_unit_test(another_setting_is_refused),
        cmocka_unit_test(an_edited_file_is_refused),
        cmocka_unit_test(a_file_without_a_journal_is_refused),
        cmocka_unit_test(two_writers_are_refused),
    };
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/out.csv", folder);
    snprintf(journal_path, sizeof journal_path, "%s.resume", path);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    unlink(journal_path);
    rmdir(folder);
    return failed;
}
