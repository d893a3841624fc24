/* Rows of files into rows of other files: rows as JSON, lists of ids, split and select. */
#include "reading.h"

#include "base/file.h"
#include "base/mem.h"
#include "data/id_list.h"
#include "data/label.h"

static slant_error err;

/* The rows of a file as JSON, each behind a '|'; a bad one's message instead. */
static void assert_rows(const char *path, const char *content, const char *label_field,
                        const char *want)
{
    slant_reader *reader;
    slant_record record;
    buf got = {0};
    slant_reader_options options = {.want_rows = true, .label_field = label_field};
    write_string(path, content);
    assert_int_equal(slant_reader_open(&path, 1, &options, &reader, &err), SLANT_OK);
    for (;;) {
        assert_int_equal(slant_reader_next(reader, &record, &err), SLANT_OK);
        if (record.end)
            break;
        buf_char(&got, '|');
        if (record.status == SLANT_OK)
            buf_append(&got, record.row_json, record.row_bytes);
        else
            buf_string(&got, record.message);
    }
    slant_reader_close(reader);
    assert_string_equal(got.data, want);
    buf_free(&got);
}

static void jsonl_rows_are_their_bytes(void **state)
{
    (void)state;
    assert_rows("a.jsonl", "{\"text\":  \"a\\u0041\" , \"n\": 1e2}\n\n  \"b\"\r\n{\"text\": \"c\"}",
                NULL, "|{\"text\":  \"a\\u0041\" , \"n\": 1e2}|  \"b\"\r|{\"text\": \"c\"}");
    assert_rows("b.jsonl", "\xEF\xBB\xBF{\"text\": \"a\"}\n{\"n\": 1}\n", NULL,
                "|{\"text\": \"a\"}|b.jsonl: row 2: expected a field \"text\" or \"content\" or "
                "\"content_original\" or \"body\" or \"article\", found \"n\"");
}

static void json_rows_are_one_line(void **state)
{
    (void)state;
    assert_rows("a.json",
                "[\n  {\"text\": \"a \\\" b\\\\\",\n   \"n\" : [1, 2.50]},\r\n \"x  y\" ]", NULL,
                "|{\"text\":\"a \\\" b\\\\\",\"n\":[1,2.50]}|\"x  y\"");
}

static void table_rows_are_objects(void **state)
{
    (void)state;
    assert_rows("a.csv", "id,text,label,note\n7,\"say \"\"a\"\",\nb\",2,\n8,c,Left,x\n9,d,,y\n",
                "label",
                "|{\"id\": \"7\", \"text\": \"say \\\"a\\\",\\nb\", \"label\": 2, \"note\": \"\"}"
                "|{\"id\": \"8\", \"text\": \"c\", \"label\": \"Left\", \"note\": \"x\"}"
                "|{\"id\": \"9\", \"text\": \"d\", \"note\": \"y\"}");
    assert_rows("a.tsv", "label\ttext\n\ta\n1\tb\n", "label",
                "|{\"text\": \"a\"}|{\"label\": 1, \"text\": \"b\"}");
    assert_rows("b.csv", "text,n\na\xFFz,1\nb,2\n", NULL,
                "|b.csv: row 1: a field is not UTF-8 and cannot be written as JSON"
                "|{\"text\": \"b\", \"n\": \"2\"}");
    assert_rows("c.csv", "text,n\xFF\na,1\n", NULL,
                "|c.csv: a column's name is not UTF-8 and cannot be written as JSON");
}

static void articles_are_objects(void **state)
{
    (void)state;
    assert_rows("a.txt", "one\n\"two\"", NULL,
                "|{\"id\": \"a.txt:1\", \"text\": \"one\\n\\\"two\\\"\"}");
    assert_rows("b.txt", "\xC0", NULL,
                "|b.txt: the text is not UTF-8 and cannot be written as JSON");
}

static void expect_label(const char *json, int want, const char *message)
{
    static const char *const labels[] = {"Left", "Center", "1"};
    int index;
    slant_status status = label_index(json, labels, 3, &index, &err);
    assert_int_equal(index, want);
    assert_int_equal(status, want >= 0 ? SLANT_OK : SLANT_ERR_FORMAT);
    if (message != NULL)
        assert_string_equal(err.message, message);
}

static void labels_are_names_or_indices(void **state)
{
    (void)state;
    expect_label("0", 0, NULL);
    expect_label("2", 2, NULL);
    expect_label("\"Center\"", 1, NULL);
    expect_label("\"1\"", 2, NULL); /* a name comes before an index */
    expect_label("\"0\"", 0, NULL);
    expect_label("3", -1, "label 3 is none of Left, Center, 1, nor an index from 0 to 2");
    expect_label("-1", -1, NULL);
    expect_label("1.0", -1, NULL);
    expect_label("\"left\"", -1,
                 "label \"left\" is none of Left, Center, 1, nor an index from 0 to 2");
    expect_label("\"Left\\u0000\"", -1, NULL);
    expect_label("\"0\\u0000\"", -1, NULL);
    expect_label("[0]", -1, NULL);
    expect_label("null", -1, "no label");
    expect_label(NULL, -1, "no label");
}

static void lists_of_ids_are_tables(void **state)
{
    (void)state;
    id_list list;
    bad_rows doubles = {0};
    write_string("a.tsv", "ID\tbias\nx\t2\n12\t0\n\nx\t1\ny \t1");
    assert_int_equal(id_list_read(&list, "a.tsv", "url", &doubles, &err), SLANT_OK);
    assert_int_equal(list.n, 3);
    assert_int_equal(doubles.n, 1);
    assert_string_equal(doubles.named[0], "a.tsv:3: x stands there twice");
    assert_int_equal(id_list_find(&list, "\"x\""), 0);
    assert_int_equal(id_list_find(&list, "12"), 1);
    assert_int_equal(id_list_find(&list, "\"12\""), 1);
    assert_int_equal(id_list_find(&list, "\"y \""), 2);
    assert_true(id_list_find(&list, "\"y\"") == NAME_TABLE_NONE);
    assert_true(id_list_find(&list, "\"x\\u0000\"") == NAME_TABLE_NONE);
    assert_true(id_list_find(&list, "\"\\ud800\"") == NAME_TABLE_NONE);
    id_list_free(&list);
    bad_rows_free(&doubles);
    write_string("b.csv", "n,\"my \"\"id\"\"\"\n1,\"a,b\"\n");
    assert_int_equal(id_list_read(&list, "b.csv", "my \"id\"", &doubles, &err), SLANT_OK);
    assert_string_equal(list.ids[0], "a,b");
    id_list_free(&list);
}

static void expect_no_list(const char *content, const char *message)
{
    id_list list;
    bad_rows doubles = {0};
    write_string("bad.tsv", content);
    assert_int_not_equal(id_list_read(&list, "bad.tsv", NULL, &doubles, &err), SLANT_OK);
    assert_string_equal(err.message, message);
    bad_rows_free(&doubles);
}

static void bad_lists_are_named(void **state)
{
    (void)state;
    const char *no_names =
        "bad.tsv: expected a first row that names the columns, id, ID or _id among them";
    expect_no_list("", no_names);
    expect_no_list("x\t2\ny\t1\n", no_names);
    expect_no_list("id\n", "bad.tsv: no id in the list");
    expect_no_list("n\tid\n1\ta\n2\n", "bad.tsv: row 2: expected 2 fields, found 1");
    expect_no_list("n\tid\n1\t\n", "bad.tsv: row 1: no id");
}

static const char four_rows[] =
    "{\"id\": \"a\", \"text\": \"A\", \"label\": 1}\n"
    "{\"id\": 12, \"text\": \"B\", \"label\": 0}\n"
    "{\"id\": \"c\", \"text\": \"C\",  \"label\": \"x\"}\n"
    "{\"id\": \"a\", \"text\": \"D\", \"label\": 1}\n";

static slant_status select_from(const char *rows, const char *ids, const slant_select_options *how,
                                slant_selection **out)
{
    const char *paths[] = {"rows.jsonl"};
    write_string(paths[0], rows);
    write_string("ids.tsv", ids);
    return slant_data_select(paths, 1, "ids.tsv", "out.jsonl", how, out, &err);
}

static void assert_file(const char *path, const char *want)
{
    buf got = {0};
    assert_int_equal(file_read(path, 1 << 20, &got, &err), SLANT_OK);
    assert_string_equal(got.size_bytes > 0 ? got.data : "", want);
    buf_free(&got);
}

static void a_selection_has_the_lists_order(void **state)
{
    (void)state;
    slant_selection *s;
    assert_int_equal(select_from(four_rows, "id\nc\n12\n", NULL, &s), SLANT_OK);
    assert_int_equal(s->n_ids, 2);
    assert_int_equal(s->n_rows, 4);
    assert_int_equal(s->n_written, 2);
    assert_file("out.jsonl",
                "{\"id\": \"c\", \"text\": \"C\",  \"label\": \"x\"}\n"
                "{\"id\": 12, \"text\": \"B\", \"label\": 0}\n");
    slant_selection_close(s);
}

static void what_a_selection_lacks_is_refused(void **state)
{
    (void)state;
    slant_selection *s;
    unlink("out.jsonl");
    assert_int_equal(select_from(four_rows, "id\nc\nq\nr\n", NULL, &s), SLANT_ERR_MISMATCH);
    assert_string_equal(err.message, "missing ids: 2 (skip_missing leaves them out): q; r");
    assert_null(s);
    assert_int_equal(select_from(four_rows, "id\na\n", NULL, &s), SLANT_ERR_MISMATCH);
    assert_string_equal(err.message,
                        "doubled ids: 1 (first_of_doubles takes the first): "
                        "rows.jsonl:4: a stands there twice");
    assert_int_equal(select_from(four_rows, "id\nz\n", NULL, &s), SLANT_ERR_MISMATCH);
    assert_string_equal(err.message, "none of the 1 ids of the list is found in 4 rows");
    assert_false(file_exists("out.jsonl"));
    slant_select_options lenient = {.skip_missing = true, .first_of_doubles = true};
    assert_int_equal(select_from(four_rows, "id\nq\na\na\n", &lenient, &s), SLANT_OK);
    assert_int_equal(s->missing.n, 1);
    assert_string_equal(s->missing.named[0], "q");
    assert_int_equal(s->doubles.n, 2);
    assert_file("out.jsonl", "{\"id\": \"a\", \"text\": \"A\", \"label\": 1}\n");
    slant_selection_close(s);
}

static void write_labelled(const char *path, int n)
{
    buf text = {0};
    for (int i = 0; i < n; i++)
        buf_printf(&text, "{\"text\": \"%d\", \"label\": %d}\n", i, 10 - i % 3 * 5);
    write_bytes(path, text.data, text.size_bytes);
    buf_free(&text);
}

static void a_split_is_a_partition(void **state)
{
    (void)state;
    slant_split *s;
    const char *paths[] = {"many.jsonl"};
    write_labelled(paths[0], 100);
    assert_int_equal(slant_data_split(paths, 1, "deep/parts", NULL, &s, &err), SLANT_OK);
    assert_int_equal(s->n_parts, 3);
    assert_int_equal(s->n_labels, 3);
    assert_string_equal(s->labels[0], "0");
    assert_string_equal(s->labels[1], "5");
    assert_string_equal(s->labels[2], "10");
    const int64_t sizes[] = {64, 16, 20};
    bool seen[100] = {false};
    for (size_t part = 0; part < 3; part++) {
        assert_int_equal(s->parts[part].n_rows, sizes[part]);
        reading r = read_file(s->parts[part].path, NULL);
        assert_int_equal(r.n_records, sizes[part]);
        int last = -1;
        for (size_t i = 0; i < r.n_records; i++) {
            int number = atoi(r.records[i].text);
            assert_true(number > last && !seen[number]);
            seen[last = number] = true;
        }
        free_reading(&r);
    }
    slant_split_close(s);
}

static void expect_no_split(const slant_split_options *options, const char *message)
{
    slant_split *s;
    const char *paths[] = {"few.jsonl"};
    assert_int_not_equal(slant_data_split(paths, 1, "none", options, &s, &err), SLANT_OK);
    assert_string_equal(err.message, message);
    assert_null(s);
    assert_false(file_exists("none/train.jsonl"));
}

static void bad_splits_are_refused(void **state)
{
    (void)state;
    static const double ratios[] = {1, 0}, infinite[] = {1, 1.0 / 0.0};
    static const char *const twice[] = {"a", "a"}, *const above[] = {"a", "../b"};
    slant_split_options o = {0};
    write_string("few.jsonl",
                 "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"}\n"
                 "{\"text\": \"c\", \"label\": null}\n{\n");
    expect_no_split(&o,
                    "3 rows cannot be used (skip_bad_rows leaves them out): few.jsonl:2: no "
                    "label; few.jsonl:3: no label; few.jsonl:4: expected a "
                    "field's name in quotes at byte 2, found the end");
    o.skip_bad_rows = true;
    expect_no_split(&o, "1 rows are too few: the part 'eval' would have none");
    o.n_parts = 2;
    o.names = twice;
    expect_no_split(&o, "2 parts need ratios of their own");
    o.ratios = ratios;
    expect_no_split(&o, "the ratio 0 of 'a' is not above 0");
    o.ratios = infinite;
    expect_no_split(&o, "the ratio inf of 'a' is not above 0");
    static const double even[] = {1, 1};
    o.ratios = even;
    expect_no_split(&o, "two parts are called 'a'");
    o.names = above;
    expect_no_split(&o, "'../b' cannot be the name of a part");
    o = (slant_split_options){.fraction = 1.5};
    expect_no_split(&o, "a fraction of 1.5 is not between 0 and 1");
}

static bool stop(void *context)
{
    return ++*(int *)context > 1;
}

static void a_split_can_be_stopped(void **state)
{
    (void)state;
    int n_asked = 0;
    slant_split *s;
    const char *paths[] = {"long.jsonl"};
    slant_split_options o = {.watch = {.should_stop = stop, .context = &n_asked}};
    write_labelled(paths[0], 4000);
    assert_int_equal(slant_data_split(paths, 1, "stopped", &o, &s, &err), SLANT_ERR_CANCELLED);
    assert_int_equal(n_asked, 2);
    assert_false(file_exists("stopped/train.jsonl"));
}

/* Every allocation in turn fails: a status, nothing leaked, and no file half written. */
static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    const char *paths[] = {"mem.csv"};
    slant_split *split = NULL;
    slant_selection *selection = NULL;
    write_string(paths[0], "id,text,label\na,\"x \"\"y\"\"\",1\nb,z,0\nc,v,1\n");
    write_string("ids.tsv", "id\nc\na\n");
    static const double ratios[] = {1, 1};
    static const char *const names[] = {"p", "q"};
    slant_split_options o = {.ratios = ratios, .names = names, .n_parts = 2};
    slant_status status = SLANT_ERR_MEMORY;
    for (uint64_t nth = 1; status != SLANT_OK; nth++) {
        mem_fail_at(nth, false);
        status = slant_data_split(paths, 1, "mem", &o, &split, &err);
        mem_fail_at(0, false);
        assert_true(status == SLANT_OK || status == SLANT_ERR_MEMORY);
        assert_true(status == SLANT_OK || (!file_exists("mem/q.jsonl") && split == NULL));
    }
    slant_split_close(split);
    status = SLANT_ERR_MEMORY;
    unlink("out.jsonl");
    for (uint64_t nth = 1; status != SLANT_OK; nth++) {
        mem_fail_at(nth, false);
        status = slant_data_select(paths, 1, "ids.tsv", "out.jsonl", NULL, &selection, &err);
        mem_fail_at(0, false);
        assert_true(status == SLANT_OK || status == SLANT_ERR_MEMORY);
    }
    assert_file("out.jsonl",
                "{\"id\": \"c\", \"text\": \"v\", \"label\": \"1\"}\n"
                "{\"id\": \"a\", \"text\": \"x \\\"y\\\"\", \"label\": \"1\"}\n");
    slant_selection_close(selection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonl_rows_are_their_bytes),
        cmocka_unit_test(json_rows_are_one_line),
        cmocka_unit_test(table_rows_are_objects),
        cmocka_unit_test(articles_are_objects),
        cmocka_unit_test(labels_are_names_or_indices),
        cmocka_unit_test(lists_of_ids_are_tables),
        cmocka_unit_test(bad_lists_are_named),
        cmocka_unit_test(a_selection_has_the_lists_order),
        cmocka_unit_test(what_a_selection_lacks_is_refused),
        cmocka_unit_test(a_split_is_a_partition),
        cmocka_unit_test(bad_splits_are_refused),
        cmocka_unit_test(a_split_can_be_stopped),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
