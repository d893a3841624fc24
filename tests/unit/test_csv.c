/* CSV and TSV: quoting, line ends, widths, everything malformed. */
#include "reading.h"

static const slant_reader_options with_label = {.label_field = "label", .title_field = "title"};

static void quoted_fields_hold_anything(void **state)
{
    (void)state;
    reading r = read_string("a.csv",
                            "id,text,label\n"
                            "1,\"a \"\"quoted\"\" word, a comma\r\nand a line\",0\n"
                            "2,\"\"\"\"\"\",1\n"
                            "3,\"\",2\n"
                            "4,in \"the\" middle,-3\n"
                            "\"5\",\" space \",\"007\"\n",
                            &with_label);
    assert_int_equal(r.n_records, 5);
    expect_text(&r, 0, "a \"quoted\" word, a comma\r\nand a line");
    assert_string_equal(r.records[0].id, "\"1\"");
    assert_string_equal(r.records[0].label, "0");
    expect_text(&r, 1, "\"\"");
    expect_text(&r, 2, "");
    expect_text(&r, 3, "in \"the\" middle");
    assert_string_equal(r.records[3].label, "-3");
    expect_text(&r, 4, " space ");
    assert_string_equal(r.records[4].label, "\"007\"");
    assert_int_equal(r.records[4].row, 5);
    free_reading(&r);
}

static void every_line_end_ends_a_line(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    for (size_t i = 0; i < 3; i++) {
        char content[200];
        snprintf(content, sizeof content, "text,id%s%sa,1%s%sb,2%s\"c%sd\",3", ends[i], ends[i],
                 ends[i], ends[i], ends[i], ends[i]);
        reading r = read_string("a.csv", content, NULL);
        assert_int_equal(r.n_records, 3);
        expect_text(&r, 0, "a");
        expect_text(&r, 1, "b");
        assert_string_equal(r.records[2].id, "\"3\"");
        snprintf(content, sizeof content, "c%sd", ends[i]);
        expect_text(&r, 2, content);
        free_reading(&r);
    }
}

static void elsewhere_a_carriage_return_is_text(void **state)
{
    (void)state;
    reading r = read_string(
        "a.csv", "id,text\n1,a\rb\r\n2,\"c\"\r\n3,\r\n\r\n4,\"d\"\re\n5,f\r\r\n6,\"g\"\r", NULL);
    assert_int_equal(r.n_records, 6);
    expect_text(&r, 0, "a\rb");
    expect_text(&r, 1, "c");
    expect_text(&r, 2, "");
    expect_failure(&r, 3,
                   "a.csv: row 4: expected a delimiter or the line's end behind the closing quote "
                   "at byte 34");
    expect_text(&r, 4, "f\r");
    expect_text(&r, 5, "g");
    free_reading(&r);
    r = read_string("a.tsv", "text\tid\r\n\"a\"\rb\t1\r\nc\t2\r", NULL);
    assert_int_equal(r.n_records, 2);
    expect_text(&r, 0, "\"a\"\rb");
    assert_string_equal(r.records[1].id, "\"2\"");
    free_reading(&r);
}

static void a_byte_order_mark_is_no_part_of_a_name(void **state)
{
    (void)state;
    reading r = read_string("a.csv", "\xEF\xBB\xBF\"text\",title\na,b\n", &with_label);
    assert_int_equal(r.n_records, 1);
    expect_text(&r, 0, "a");
    assert_string_equal(r.records[0].title, "b");
    free_reading(&r);
}

static void empty_ids_and_labels_are_none(void **state)
{
    (void)state;
    reading r = read_string("a.csv", "id,text,label,title\n,a,,\nx\xFF,b,l\"l,t\n", &with_label);
    assert_string_equal(r.records[0].id, "\"a.csv:1\"");
    assert_null(r.records[0].label);
    assert_string_equal(r.records[0].title, "");
    assert_string_equal(r.records[1].id, "\"x\xEF\xBF\xBD\"");
    assert_string_equal(r.records[1].label, "\"l\\\"l\"");
    free_reading(&r);
}

static void the_last_of_equal_columns_counts(void **state)
{
    (void)state;
    reading r = read_string("a.csv", "text,text\na,b\n", NULL);
    expect_text(&r, 0, "b");
    free_reading(&r);
}

static void rows_of_another_width_fail_alone(void **state)
{
    (void)state;
    reading r = read_string("a.csv",
                            "id,text\n"
                            "1,a\n"
                            "2\n"
                            "3,b,\n"
                            "4,c,d\n"
                            "5,e\n",
                            NULL);
    assert_int_equal(r.n_records, 5);
    expect_text(&r, 0, "a");
    expect_failure(&r, 1, "a.csv: row 2: expected the first row's 2 fields, found 1");
    expect_text(&r, 2, "b");
    expect_failure(&r, 3, "a.csv: row 4: expected the first row's 2 fields, found 3");
    expect_text(&r, 4, "e");
    free_reading(&r);
}

static void text_behind_a_closing_quote_fails_the_row(void **state)
{
    (void)state;
    reading r = read_string("a.csv", "id,text\n1,\"a\"b\n2,\"c\" \n3,d\n", NULL);
    assert_int_equal(r.n_records, 3);
    expect_failure(&r, 0,
                   "a.csv: row 1: expected a delimiter or the line's end behind the closing quote "
                   "at byte 13");
    assert_int_not_equal(r.records[1].status, SLANT_OK);
    expect_text(&r, 2, "d");
    free_reading(&r);
}

static void a_quote_that_is_never_closed_fails_the_rest(void **state)
{
    (void)state;
    reading r = read_string("a.csv", "id,text\n1,a\n2,\"b\n3,c\n", NULL);
    assert_int_equal(r.n_records, 2);
    expect_text(&r, 0, "a");
    expect_failure(&r, 1, "a.csv: row 2: the quote at byte 14 is never closed");
    free_reading(&r);
}

static void a_table_without_text_fails_once(void **state)
{
    (void)state;
    reading r = read_string("a.csv", "id,Text,x\n1,2,3\n4,5,6\n", NULL);
    assert_int_equal(r.n_records, 1);
    expect_failure(&r, 0,
                   "a.csv: expected a column \"text\" or \"content\" or \"content_original\" or "
                   "\"body\" or \"article\" in the first row, found \"id\", \"Text\", \"x\"");
    free_reading(&r);
    r = read_string("a.csv", "", NULL);
    assert_int_equal(r.n_records, 1);
    expect_failure(&r, 0,
                   "a.csv: expected a first row with the names of the columns, found no row");
    free_reading(&r);
    r = read_string("a.csv", "text\n", NULL);
    assert_int_equal(r.n_records, 0);
    free_reading(&r);
}

static void too_many_columns_are_refused(void **state)
{
    (void)state;
    size_t size_bytes = 5 + 4100;
    char *header = malloc(size_bytes);
    memcpy(header, "text", 4);
    memset(header + 4, ',', 4100);
    header[size_bytes - 1] = '\n';
    reading r = read_written("a.csv", header, size_bytes, NULL);
    assert_int_equal(r.n_records, 1);
    expect_failure(&r, 0, "a.csv: the first row has more than 4096 columns");
    free_reading(&r);
    memcpy(header, "text\n", 5);
    r = read_written("a.csv", header, size_bytes, NULL);
    assert_int_equal(r.n_records, 1);
    expect_failure(&r, 0, "a.csv: row 1: expected the first row's 1 fields, found 4100");
    free_reading(&r);
    free(header);
}

static void tsv_quotes_may_be_text(void **state)
{
    (void)state;
    reading r = read_string("a.tsv",
                            "id\ttext\n"
                            "1\t\"Never,\" he said.\n"
                            "2\t\"quoted\ttab \"\"and\"\" \n line\"\n"
                            "3\t\"unclosed\n"
                            "4\t\"\"\n"
                            "5\t\"a\" and \"b\"\n"
                            "6\ta, b\n"
                            "7\t\"open to the end",
                            NULL);
    assert_int_equal(r.n_records, 7);
    expect_text(&r, 0, "\"Never,\" he said.");
    expect_text(&r, 1, "quoted\ttab \"and\" \n line");
    expect_text(&r, 2, "\"unclosed");
    expect_text(&r, 3, "");
    expect_text(&r, 4, "\"a\" and \"b\"");
    expect_text(&r, 5, "a, b");
    expect_text(&r, 6, "\"open to the end");
    free_reading(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_fields_hold_anything),
        cmocka_unit_test(every_line_end_ends_a_line),
        cmocka_unit_test(elsewhere_a_carriage_return_is_text),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_a_name),
        cmocka_unit_test(empty_ids_and_labels_are_none),
        cmocka_unit_test(the_last_of_equal_columns_counts),
        cmocka_unit_test(rows_of_another_width_fail_alone),
        cmocka_unit_test(text_behind_a_closing_quote_fails_the_row),
        cmocka_unit_test(a_quote_that_is_never_closed_fails_the_rest),
        cmocka_unit_test(a_table_without_text_fails_once),
        cmocka_unit_test(too_many_columns_are_refused),
        cmocka_unit_test(tsv_quotes_may_be_text),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
