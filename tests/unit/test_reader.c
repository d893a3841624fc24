/* The reader: kinds of input, fields, ids, files, folders, progress. */
#include "reading.h"

#include <fcntl.h>
#include <sys/stat.h>

static void text_is_verbatim(void **state)
{
    (void)state;
    static const char bytes[] = "\xEF\xBB\xBF  two\r\nlines \0 and \xFF \n\n";
    reading r = read_written("a.txt", bytes, sizeof bytes - 1, NULL);
    assert_int_equal(r.n_records, 1);
    assert_int_equal(r.records[0].text_bytes, sizeof bytes - 1);
    assert_memory_equal(r.records[0].text, bytes, sizeof bytes - 1);
    assert_string_equal(r.records[0].id, "\"a.txt:1\"");
    assert_int_equal(r.records[0].row, 1);
    assert_null(r.records[0].title);
    free_reading(&r);
}

static void an_empty_text_is_an_empty_article(void **state)
{
    (void)state;
    reading r = read_string("empty.txt", "", NULL);
    assert_int_equal(r.n_records, 1);
    expect_text(&r, 0, "");
    assert_true(r.records[0].fraction == 1);
    free_reading(&r);
}

static void objects_give_their_fields(void **state)
{
    (void)state;
    slant_reader_options options = {.title_field = "headline", .label_field = "leaning"};
    reading r = read_string(
        "a.jsonl",
        "{\"id\": 1.50, \"headline\": \"H\\u00e9\", \"text\": \"a\\nb\", \"leaning\": 2}\n"
        "{\"_id\": \"x\\u0041\", \"content\": \"c\", \"headline\": null, \"leaning\": \"Left\"}\r\n"
        "{\"ID\": 12345678901234567890123, \"body\": \"\"}\n"
        "{\"id\": null, \"article\": \"d\", \"content_original\": \"first\"}\n"
        "{\"id\": [1], \"text\": \"e\", \"leaning\": {\"a\": [1, \"]\"]}}",
        &options);
    assert_int_equal(r.n_records, 5);
    expect_text(&r, 0, "a\nb");
    assert_string_equal(r.records[0].id, "1.50");
    assert_string_equal(r.records[0].title, "H\xC3\xA9");
    assert_string_equal(r.records[0].label, "2");
    expect_text(&r, 1, "c");
    assert_string_equal(r.records[1].id, "\"x\\u0041\"");
    assert_null(r.records[1].title);
    assert_string_equal(r.records[1].label, "\"Left\"");
    expect_text(&r, 2, "");
    assert_string_equal(r.records[2].id, "12345678901234567890123");
    assert_null(r.records[2].label);
    expect_text(&r, 3, "first");
    assert_string_equal(r.records[3].id, "\"a.jsonl:4\"");
    expect_text(&r, 4, "e");
    assert_string_equal(r.records[4].id, "\"a.jsonl:5\"");
    assert_string_equal(r.records[4].label, "{\"a\": [1, \"]\"]}");
    free_reading(&r);
}

static void the_asked_field_alone_is_the_text(void **state)
{
    (void)state;
    slant_reader_options options = {.text_field = "story", .id_field = "key"};
    reading r = read_string("a.jsonl",
                            "{\"text\": \"no\", \"st\\u006fry\": \"yes\", \"key\": 7, \"id\": 1}\n"
                            "{\"text\": \"no\", \"id\": 1}\n",
                            &options);
    assert_int_equal(r.n_records, 2);
    expect_text(&r, 0, "yes");
    assert_string_equal(r.records[0].id, "7");
    expect_failure(&r, 1, "a.jsonl: row 2: expected a field \"story\", found \"text\", \"id\"");
    free_reading(&r);
}

static void of_equal_names_the_last_counts(void **state)
{
    (void)state;
    reading r =
        read_string("a.jsonl", "{\"text\": 1, \"id\": 1, \"text\": \"b\", \"id\": 2}", NULL);
    expect_text(&r, 0, "b");
    assert_string_equal(r.records[0].id, "2");
    free_reading(&r);
}

static void rows_fail_alone(void **state)
{
    (void)state;
    reading r = read_string("a.jsonl",
                            "{\"text\": 3, \"id\": \"three\"}\n"
                            "{\"text\": {\"a\": 1}}\n"
                            "{\"text\": null}\n"
                            "[\"text\"]\n"
                            "\n  \r\n"
                            "17\n"
                            "{\"text\": NaN}\n"
                            "{\"text\": \"a\"} {\"text\": \"b\"}\n"
                            "{\"text\": \"tab\there\"}\n"
                            "{'text': 'a'}\n"
                            "{}\n"
                            "\"plain\"\n",
                            NULL);
    assert_int_equal(r.n_records, 11);
    expect_failure(&r, 0, "a.jsonl: row 1: the field \"text\" is a number, expected a string");
    assert_string_equal(r.records[0].id, "\"three\"");
    expect_failure(&r, 1, "a.jsonl: row 2: the field \"text\" is an object, expected a string");
    expect_failure(&r, 2, "a.jsonl: row 3: the field \"text\" is null, expected a string");
    expect_failure(&r, 3, "a.jsonl: row 4: expected an object or a string, found a list");
    expect_failure(&r, 4, "a.jsonl: row 7: expected an object or a string, found a number");
    expect_failure(&r, 5, "a.jsonl: row 8: expected a JSON value at byte 9, found 'N'");
    expect_failure(&r, 6, "a.jsonl: row 9: expected nothing after the value at byte 14, found '{'");
    expect_failure(&r, 7,
                   "a.jsonl: row 10: expected control characters in strings to be escaped at byte "
                   "13, found the byte 0x09");
    expect_failure(&r, 8,
                   "a.jsonl: row 11: expected a field's name in quotes at byte 1, found '''");
    expect_failure(&r, 9,
                   "a.jsonl: row 12: expected a field \"text\" or \"content\" or "
                   "\"content_original\" or \"body\" or \"article\", found no field at all");
    expect_text(&r, 10, "plain");
    assert_int_equal(r.records[10].row, 13);
    free_reading(&r);
}

static void a_title_must_be_a_string(void **state)
{
    (void)state;
    slant_reader_options options = {.title_field = "title"};
    reading r = read_string("a.jsonl", "{\"title\": 1984, \"text\": \"a\"}", &options);
    expect_failure(&r, 0, "a.jsonl: row 1: the title \"title\" is a number, expected a string");
    free_reading(&r);
}

static void ill_formed_text_is_left_to_the_session(void **state)
{
    (void)state;
    reading r = read_string("a.jsonl",
                            "{\"text\": \"caf\xE9\", \"id\": \"caf\xE9\"}\n"
                            "{\"text\": \"\\ud83d\\ude00 \\ud800x\"}\n",
                            NULL);
    assert_int_equal(r.n_records, 2);
    expect_text(&r, 0, "caf\xE9");
    assert_string_equal(r.records[0].id, "\"caf\xEF\xBF\xBD\"");
    expect_text(&r, 1, "\xF0\x9F\x98\x80 \xED\xA0\x80x");
    free_reading(&r);
}

static void strings_may_hold_nul(void **state)
{
    (void)state;
    reading r = read_string("a.jsonl", "{\"text\": \"a\\u0000b\"}\n", NULL);
    assert_int_equal(r.records[0].text_bytes, 3);
    assert_memory_equal(r.records[0].text, "a\0b", 3);
    free_reading(&r);
}

static void bad_files_leave_the_others(void **state)
{
    (void)state;
    write_string("good.txt", "good");
    write_string("more.jsonl", "\"one\"\n\"two\"\n");
    mkdir("sub", 0700);
    static const char *const paths[] = {"missing.txt", "good.txt", "sub", "more.jsonl"};
    reading r = read_files(paths, 4, NULL);
    assert_int_equal(r.n_records, 5);
    expect_failure(&r, 0, "missing.txt: cannot be read: No such file or directory");
    assert_int_equal(r.records[0].status, SLANT_ERR_NOT_FOUND);
    assert_string_equal(r.records[0].id, "\"missing.txt:1\"");
    expect_text(&r, 1, "good");
    expect_failure(&r, 2, "sub: is a folder; folders are read only where asked for (recursive)");
    expect_text(&r, 3, "one");
    expect_text(&r, 4, "two");
    assert_string_equal(r.records[4].id, "\"more.jsonl:2\"");
    free_reading(&r);
}

static void folders_are_walked_in_name_order(void **state)
{
    (void)state;
    mkdir("tree", 0700);
    mkdir("tree/b", 0700);
    mkdir("tree/.git", 0700);
    mkdir("tree/empty", 0700);
    write_string("tree/c.txt", "c");
    write_string("tree/a.txt", "a");
    write_string("tree/b/2.jsonl", "\"b2\"");
    write_string("tree/b/1", "b1");
    write_string("tree/.hidden", "hidden");
    write_string("tree/.git/x.txt", "hidden");
    assert_int_equal(symlink("../tree", "tree/loop"), 0);
    assert_int_equal(symlink("a.txt", "tree/d.txt"), 0);
    assert_int_equal(symlink("nowhere", "tree/e.txt"), 0);
    assert_int_equal(mkfifo("tree/f", 0600), 0);
    slant_reader_options options = {.recursive = true};
    reading r = read_file("tree", &options);
    assert_int_equal(r.n_records, 6);
    static const char *const files[] = {"tree/a.txt", "tree/b/1",   "tree/b/2.jsonl",
                                        "tree/c.txt", "tree/d.txt", "tree/e.txt"};
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(r.records[i].file, files[i]);
    expect_text(&r, 1, "b1");
    expect_text(&r, 4, "a");
    assert_int_equal(r.records[5].status, SLANT_ERR_NOT_FOUND);
    free_reading(&r);
    r = read_file("tree/empty", &options);
    assert_int_equal(r.n_records, 1);
    expect_failure(&r, 0, "tree/empty: holds no files");
    free_reading(&r);
}

static void unknown_endings_are_told_by_their_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *content, *text;
    } cases[] = {
        {"A plain article.", "A plain article."},
        {"\"I never said that,\" he said.", "\"I never said that,\" he said."},
        {"[Reuters] The bank said no.", "[Reuters] The bank said no."},
        {"{sic} he wrote", "{sic} he wrote"},
        {"text, body and soul: a review\nLong.", "text, body and soul: a review\nLong."},
        {" {\"text\": \"a\"}\n", "a"},
        {"[\n  {\"text\": \"a\"}\n]", "a"},
        {"{\n  \"text\": \"a\"\n}", "a"},
        {"id,text\n1,a\n", "a"},
        {"\"id\"\t\"content\"\r\n1\ta\r\n", "a"},
        {"\xEF\xBB\xBFtext,id\na,1\n", "a"},
        {"<!-- c --> <!DOCTYPE HTML><title>t</title><p>A sentence.", "A sentence."},
        {"<html><p>A sentence.", "A sentence."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reading r = read_string("unknown.dat", cases[i].content, NULL);
        assert_int_equal(r.n_records, 1);
        expect_text(&r, 0, cases[i].text);
        free_reading(&r);
    }
}

static void lines_are_told_from_one_value(void **state)
{
    (void)state;
    reading r = read_string("unknown", "{\"text\": \"a\"}\nbroken\n{\"text\": \"b\"}\n", NULL);
    assert_int_equal(r.n_records, 3);
    expect_text(&r, 0, "a");
    assert_int_not_equal(r.records[1].status, SLANT_OK);
    expect_text(&r, 2, "b");
    free_reading(&r);
}

static void binary_files_fail_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size_bytes;
        const char *message;
    } cases[] = {
        {"%PDF-1.7\n", 9, "b.dat: expected text, found a PDF"},
        {"PK\x03\x04zzzz", 8, "b.dat: expected text, found a ZIP archive or an office document"},
        {"\x89PNG\r\n\x1A\n", 8, "b.dat: expected text, found a picture"},
        {"\x7F"
         "ELF\1\1",
         6, "b.dat: expected text, found a program"},
        {"\xFF\xFEh\0i\0", 6, "b.dat: expected text, found UTF-16 text"},
        {"abc\0def", 7, "b.dat: expected text, found binary data"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reading r = read_written("b.dat", cases[i].bytes, cases[i].size_bytes, NULL);
        assert_int_equal(r.n_records, 1);
        expect_failure(&r, 0, cases[i].message);
        free_reading(&r);
    }
}

static void the_asked_kind_wins_over_the_name(void **state)
{
    (void)state;
    slant_reader_options options = {.input = SLANT_INPUT_TEXT};
    reading r = read_string("a.jsonl", "{\"text\": \"a\"}\n", &options);
    expect_text(&r, 0, "{\"text\": \"a\"}\n");
    free_reading(&r);
    options.input = SLANT_INPUT_JSONL;
    r = read_string("a.txt", "{\"text\": \"a\"}\n", &options);
    expect_text(&r, 0, "a");
    free_reading(&r);
}

static void pages_give_article_and_headline(void **state)
{
    (void)state;
    static const char page[] = "<title>T</title><nav>Home</nav><h1>The headline</h1><p>A sentence.";
    reading r = read_string("a.html", page, NULL);
    expect_text(&r, 0, "A sentence.");
    assert_null(r.records[0].title);
    free_reading(&r);
    slant_reader_options options = {.title_field = "title"};
    r = read_string("a.HTM", page, &options);
    assert_string_equal(r.records[0].title, "The headline");
    free_reading(&r);
    r = read_string("a.html", "<nav>Home</nav>", NULL);
    expect_failure(&r, 0, "a.html: nothing on the page reads like an article");
    assert_int_equal(r.records[0].status, SLANT_ERR_TEXT);
    free_reading(&r);
    r = read_string("a.html", "<p>caf\xE9 au lait.", NULL);
    expect_failure(&r, 0, "a.html: the page is not UTF-8 at byte 6 and declares no other charset");
    free_reading(&r);
    options.lossy = true;
    r = read_string("a.html", "<p>caf\xE9 au lait.", &options);
    expect_text(&r, 0, "caf\xEF\xBF\xBD au lait.");
    free_reading(&r);
}

static void standard_input_is_read(void **state)
{
    (void)state;
    write_string("stdin", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
    int saved = dup(STDIN_FILENO), fd = open("stdin", O_RDONLY);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    reading r = read_file("-", NULL);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(fd);
    assert_int_equal(r.n_records, 2);
    expect_text(&r, 1, "b");
    assert_string_equal(r.records[1].id, "\"-:2\"");
    assert_string_equal(r.records[1].file, "-");
    assert_true(r.records[1].fraction == 1);
    free_reading(&r);
}

static void progress_runs_over_all_files(void **state)
{
    (void)state;
    write_string("1.txt", "12345678");
    write_string("2.txt", "1234");
    write_string("3.txt", "1234");
    static const char *const paths[] = {"1.txt", "2.txt", "missing", "3.txt"};
    reading r = read_files(paths, 4, NULL);
    assert_int_equal(r.n_records, 4);
    assert_true(r.records[0].fraction == 0.5);
    assert_true(r.records[1].fraction == 0.75);
    assert_true(r.records[2].fraction == 0.75);
    assert_true(r.records[3].fraction == 1);
    free_reading(&r);
}

static void names_need_not_be_utf8(void **state)
{
    (void)state;
    reading r = read_string("caf\xE9.txt", "a", NULL);
    assert_string_equal(r.records[0].id, "\"caf\xEF\xBF\xBD.txt:1\"");
    assert_string_equal(r.records[0].file, "caf\xE9.txt");
    free_reading(&r);
}

static void no_input_is_an_end(void **state)
{
    (void)state;
    reading r = read_files(NULL, 0, NULL);
    assert_int_equal(r.status, SLANT_OK);
    assert_int_equal(r.n_records, 0);
    slant_reader_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_verbatim),
        cmocka_unit_test(an_empty_text_is_an_empty_article),
        cmocka_unit_test(objects_give_their_fields),
        cmocka_unit_test(the_asked_field_alone_is_the_text),
        cmocka_unit_test(of_equal_names_the_last_counts),
        cmocka_unit_test(rows_fail_alone),
        cmocka_unit_test(a_title_must_be_a_string),
        cmocka_unit_test(ill_formed_text_is_left_to_the_session),
        cmocka_unit_test(strings_may_hold_nul),
        cmocka_unit_test(bad_files_leave_the_others),
        cmocka_unit_test(folders_are_walked_in_name_order),
        cmocka_unit_test(unknown_endings_are_told_by_their_bytes),
        cmocka_unit_test(lines_are_told_from_one_value),
        cmocka_unit_test(binary_files_fail_by_name),
        cmocka_unit_test(the_asked_kind_wins_over_the_name),
        cmocka_unit_test(pages_give_article_and_headline),
        cmocka_unit_test(standard_input_is_read),
        cmocka_unit_test(progress_runs_over_all_files),
        cmocka_unit_test(names_need_not_be_utf8),
        cmocka_unit_test(no_input_is_an_end),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
