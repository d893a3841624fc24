/* JSON files item by item, and the strict scanner beneath. */
#include "reading.h"

#include "data/json_scan.h"

static void items_come_from_lists_and_values(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        size_t n_items;
    } cases[] = {
        {"[]", 0},
        {" [ ] \n", 0},
        {"[\"a\"]", 1},
        {"[\"a\",\"b\"]", 2},
        {"[ {\"text\": \"a\"} ,\r\n\t\"b\" ]", 2},
        {"{\"text\": \"a\"}", 1},
        {"\"a\"", 1},
        {"{\"text\": \"a\"}{\"text\": \"b\"}\n\"c\"", 3},
        {"[\"a\"]\n[\"b\", \"c\"]", 3},
        {"\xEF\xBB\xBF[\"a\"]", 1},
        {"[{\"text\": \"]}\\\"[{\", \"x\": [[{}], \"\\\\\"]}]", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reading r = read_string("a.json", cases[i].content, NULL);
        assert_int_equal(r.n_records, cases[i].n_items);
        for (size_t j = 0; j < r.n_records; j++) {
            assert_int_equal(r.records[j].status, SLANT_OK);
            assert_int_equal(r.records[j].row, j + 1);
        }
        free_reading(&r);
    }
}

static void bad_items_cost_only_themselves(void **state)
{
    (void)state;
    reading r = read_string("a.json",
                            "[\"a\", nonsense, {\"text\" \"b\"}, , 7, {\"text\": \"c\"},\n"
                            " {\"text\": [1, 2}, \"d\" \"e\", [\"f\"], \"g\", ]",
                            NULL);
    assert_int_equal(r.n_records, 11);
    expect_text(&r, 0, "a");
    expect_failure(&r, 1, "a.json: row 2: expected a JSON value at byte 0, found 'n'");
    expect_failure(&r, 2, "a.json: row 3: expected ':' at byte 8, found '\"'");
    expect_failure(&r, 3, "a.json: row 4: expected an item at byte 30, found ','");
    expect_failure(&r, 4, "a.json: row 5: expected an object or a string, found a number");
    expect_text(&r, 5, "c");
    expect_failure(&r, 6, "a.json: row 7: expected ',' or ']' at byte 14, found '}'");
    expect_failure(&r, 7, "a.json: row 8: expected nothing after the value at byte 4, found '\"'");
    expect_failure(&r, 8, "a.json: row 9: expected an object or a string, found a list");
    expect_text(&r, 9, "g");
    expect_failure(&r, 10, "a.json: row 11: expected an item at byte 89, found ']'");
    free_reading(&r);
}

static void a_file_that_stops_fails_its_last_row(void **state)
{
    (void)state;
    static const struct {
        const char *content, *message;
        size_t n_good;
    } cases[] = {
        {"", "a.json: row 1: expected JSON, found an empty file", 0},
        {" \n", "a.json: row 1: expected JSON, found an empty file", 0},
        {"[", "a.json: row 1: the file ends inside the list that begins at byte 0", 0},
        {"  [\"a\"", "a.json: row 1: the file ends inside the list that begins at byte 2", 0},
        {"[\"a\",", "a.json: row 2: the file ends inside the list that begins at byte 0", 1},
        {"[\"a\", {\"text\": \"b",
         "a.json: row 2: the file ends inside the list that begins at byte 0", 1},
        {"{\"text\": \"b\\", "a.json: row 1: the file ends inside a value", 0},
        {"[\"a\"]]", "a.json: row 2: expected a JSON value at byte 0, found ']'", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reading r = read_string("a.json", cases[i].content, NULL);
        assert_int_equal(r.n_records, cases[i].n_good + 1);
        expect_failure(&r, cases[i].n_good, cases[i].message);
        free_reading(&r);
    }
}

static bool scans(const char *text, size_t text_bytes)
{
    json_scan scan;
    json_value value;
    json_scan_init(&scan, text, text_bytes);
    return json_scan_value(&scan, &value, NULL) == SLANT_OK &&
           json_scan_end(&scan, NULL) == SLANT_OK && value.size_bytes <= text_bytes;
}

static void the_scanner_knows_the_grammar(void **state)
{
    (void)state;
    static const char *const good[] = {"0",
                                       "-0",
                                       "-0.0",
                                       "1e5",
                                       "1E+5",
                                       "10.25e-3",
                                       "1e999",
                                       "true",
                                       "false",
                                       "null",
                                       "\"\"",
                                       "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00Ff\"",
                                       "[]",
                                       "{}",
                                       "[[],{}]",
                                       " [ 1 , 2 ] ",
                                       "{\"a\":{\"b\":[true,null]},\"\":\"\"}",
                                       "\"\x7F\xFF\""};
    static const char *const bad[] = {
        "",     " ",         "01",      "-",           "+1",         "1.",     ".5",
        "1e",   "1e+",       "0x1",     "NaN",         "Infinity",   "tru",    "nul",
        "True", "\"",        "\"\\x\"", "\"\\u12G4\"", "\"\\u12",    "\"\n\"", "\"\x01\"",
        "'a'",  "[",         "]",       "[1,]",        "[,1]",       "[1 2]",  "[1}",
        "{",    "{]",        "{\"a\"}", "{\"a\":}",    "{\"a\":1,}", "{1:2}",  "{\"a\":1 \"b\":2}",
        "1 2",  "/* c */ 1", "[1]x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(scans(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(scans(bad[i], strlen(bad[i])));
    assert_false(scans("\"a\0b\"", 5));
    assert_false(scans("\"\\\0\"", 4));
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static char nested[2 * (JSON_MAX_DEPTH + 1)];
    size_t deepest = JSON_MAX_DEPTH;
    for (size_t depth = deepest; depth <= deepest + 1; depth++) {
        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        assert_true(scans(nested, 2 * depth) == (depth <= deepest));
    }
}

/* Every special byte at every distance from the eight that are looked at together. */
static void long_strings_end_where_they_end(void **state)
{
    (void)state;
    static const char specials[] = {'"', '\\', '\x1F', '\n', '\0'};
    char text[64];
    for (size_t i = 0; i < sizeof specials; i++)
        for (size_t length = 0; length < 40; length++) {
            memset(text, i % 2 ? '\xA2' : ' ', sizeof text);
            text[length] = specials[i];
            assert_ptr_equal(json_skip_plain(text, text + sizeof text), text + length);
        }
    memset(text, '\xDC', sizeof text);
    assert_ptr_equal(json_skip_plain(text, text + 13), text + 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_from_lists_and_values),
        cmocka_unit_test(bad_items_cost_only_themselves),
        cmocka_unit_test(a_file_that_stops_fails_its_last_row),
        cmocka_unit_test(the_scanner_knows_the_grammar),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(long_strings_end_where_they_end),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
