/* The reader under pressure: bytes that trickle in, records around and beyond the window, memory
 * that runs out at every allocation, and none that is needed once the buffers have grown. */
#include "reading.h"

#include "base/mem.h"
#include "data/feed.h"

#include <fcntl.h>
#include <pthread.h>

static const slant_reader_options all_fields = {.title_field = "title", .label_field = "label"};

typedef struct sample {
    const char *name;
    slant_input input;
    const char *content;
} sample;

static const sample samples[] = {
    {"text", SLANT_INPUT_TEXT, "An article,\r\nof two lines."},
    {"page", SLANT_INPUT_HTML,
     "<meta charset=latin1><script type=application/ld+json>{\"articleBody\": \"The article, as "
     "it is meant for machines.\"}</script><title>Headline</title><h1>The longer headline</h1>"
     "<nav>Home</nav><p>Caf\xE9.<table><tr><td>a<td>b</table><ul><li>one<li>two</ul>"},
    {"json", SLANT_INPUT_JSON,
     "\xEF\xBB\xBF [ {\"title\": \"t\\u00e9\", \"text\": \"a \\\"b\\\" \\\\\", \"id\": 1.5e3},\r\n"
     "bad, {\"text\": [1}, \"\\ud83d\\ude00\", {\"label\": [\"]\", {}], \"text\": \"\"}, ] {} \"x"},
    {"lines", SLANT_INPUT_JSONL,
     "{\"title\": \"t\\n\", \"text\": \"a\\tb\", \"label\": 1, \"id\": \"i\"}\r\n\n\"plain\"\nbad\n"
     "{\"x\": 1}\n{\"text\": \"last\"}"},
    {"csv", SLANT_INPUT_CSV,
     "\xEF\xBB\xBFid,title,text,label\r\n1,t,\"a \"\"b\"\"\r\n,c\",0\r\n\r\n2,,\"x\"y,1\r3,short\n"
     "4,t,\"\",x,\n5,\"never closed"},
    {"old csv", SLANT_INPUT_CSV, "id,text\r1,\"a\rb\"\r2,c\r\r3,d"},
    {"mixed csv", SLANT_INPUT_CSV, "id,text\n1,\"a\"\r\n2,b\rc\r\n3,\"d\"\re\r\n4,\"f\"\r"},
    {"tsv", SLANT_INPUT_TSV,
     "id\ttext\n1\t\"said \"\"a\"\"\n b\"\r\n2\t\"no\" way\n3\t\"open\n4\tx\r5\t\"last"},
};
#define N_SAMPLES (sizeof samples / sizeof *samples)

static void same_string(const char *a, const char *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a != NULL)
        assert_string_equal(a, b);
}

/* But for the file's name and progress. */
static void same_readings(const reading *a, const reading *b)
{
    assert_int_equal(a->n_records, b->n_records);
    for (size_t i = 0; i < a->n_records; i++) {
        const kept_record *x = &a->records[i], *y = &b->records[i];
        assert_int_equal(x->status, y->status);
        assert_int_equal(x->row, y->row);
        assert_int_equal(x->text_bytes, y->text_bytes);
        same_string(x->text, y->text);
        same_string(x->title, y->title);
        same_string(x->label, y->label);
        if (x->message != NULL)
            assert_string_equal(strchr(x->message, ':'), strchr(y->message, ':'));
    }
}

typedef struct trickle {
    int fd;
    const char *bytes;
    size_t size_bytes;
} trickle;

/* A pipe of packets: every write is what one read returns. */
static void *write_bytewise(void *context)
{
    const trickle *t = context;
    for (size_t i = 0; i < t->size_bytes; i++)
        if (write(t->fd, t->bytes + i, 1) != 1)
            break;
    close(t->fd);
    return NULL;
}

static reading read_trickling(const char *bytes, size_t size_bytes, slant_reader_options options)
{
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe2(ends, O_DIRECT), 0);
    trickle t = {ends[1], bytes, size_bytes};
    int saved = dup(STDIN_FILENO);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    assert_int_equal(pthread_create(&thread, NULL, write_bytewise, &t), 0);
    reading r = read_file("-", &options);
    pthread_join(thread, NULL);
    dup2(saved, STDIN_FILENO);
    close(saved);
    return r;
}

static void records_do_not_depend_on_how_bytes_arrive(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        slant_reader_options options = all_fields;
        options.input = samples[i].input;
        reading whole = read_string("whole", samples[i].content, &options);
        reading pieces = read_trickling(samples[i].content, strlen(samples[i].content), options);
        assert_true(whole.n_records > 0);
        same_readings(&whole, &pieces);
        assert_true(pieces.records[0].fraction < 0);
        free_reading(&whole);
        free_reading(&pieces);
    }
}

/* Lines whose ends fall on and around the places where the window is read and moved. */
static void records_may_end_anywhere_in_the_window(void **state)
{
    (void)state;
    static const char *const formats[][3] = {
        {"{\"text\": \"", "\"}\n", "a.jsonl"},
        {"{\"text\": \"", "\"}\n", "a.json"},
        {"\"", "\"\r\n", "a.csv"},
        {"", "\n", "a.tsv"},
    };
    for (size_t i = 0; i < 4; i++)
        for (size_t delta = 0; delta < 24; delta++) {
            FILE *f = fopen(formats[i][2], "wb");
            if (i >= 2)
                fputs("text\n", f);
            for (int j = 0; j < 3; j++)
                fprintf(f, "%s%*s%s", formats[i][0], (int)((256 << 10) - 20 + delta), "x",
                        formats[i][1]);
            fclose(f);
            reading r = read_file(formats[i][2], NULL);
            assert_int_equal(r.n_records, 3);
            for (size_t j = 0; j < 3; j++) {
                assert_int_equal(r.records[j].status, SLANT_OK);
                assert_int_equal(r.records[j].text_bytes, (256 << 10) - 20 + delta);
            }
            free_reading(&r);
        }
}

static void write_long(const char *path, const char *before, size_t n_fill, const char *after)
{
    static char fill[1 << 20];
    memset(fill, 'x', sizeof fill);
    FILE *f = fopen(path, "wb");
    fputs(before, f);
    for (size_t left = n_fill; left > 0;) {
        size_t n = left < sizeof fill ? left : sizeof fill;
        assert_int_equal(fwrite(fill, 1, n, f), n);
        left -= n;
    }
    fputs(after, f);
    assert_int_equal(fclose(f), 0);
}

static void a_record_too_long_costs_only_itself(void **state)
{
    (void)state;
    static const struct {
        const char *path, *before, *after, *message;
        size_t n_records, bad;
    } cases[] = {
        {"a.jsonl", "\"a\"\n{\"text\": \"", "\"}\n\"b\"\n",
         "a.jsonl: row 2: the line is longer than 64 MiB", 3, 1},
        {"b.jsonl", "\"a\"\n{\"text\": \"", "", "b.jsonl: row 2: the line is longer than 64 MiB", 2,
         1},
        {"a.json", "[\"a\", {\"text\": \"", "\\\"]}\"}, \"b\"]",
         "a.json: row 2: the item is longer than 64 MiB", 3, 1},
        {"a.csv", "text,id\na,1\n\"", "\"\"\n\",2\r\nb,3\n",
         "a.csv: row 2: the row is longer than 64 MiB", 3, 1},
        {"a.tsv", "text\tid\na\t1\n\"", "\t2\r\nb\t3\n",
         "a.tsv: row 2: the row is longer than 64 MiB", 3, 1},
        {"a.txt", "", "", "a.txt: longer than the 64 MiB that one article may have", 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_long(cases[i].path, cases[i].before, RECORD_MAX_BYTES + (1 << 20), cases[i].after);
        reading r = read_file(cases[i].path, NULL);
        assert_int_equal(r.n_records, cases[i].n_records);
        for (size_t j = 0; j < r.n_records; j++)
            if (j == cases[i].bad)
                expect_failure(&r, j, cases[i].message);
            else
                expect_text(&r, j, j == 0 ? "a" : "b");
        free_reading(&r);
        unlink(cases[i].path);
    }
}

static void the_longest_record_is_read(void **state)
{
    (void)state;
    write_long("a.jsonl", "{\"text\": \"", RECORD_MAX_BYTES - 13, "\"}\n");
    reading r = read_file("a.jsonl", NULL);
    assert_int_equal(r.n_records, 1);
    assert_int_equal(r.records[0].status, SLANT_OK);
    assert_int_equal(r.records[0].text_bytes, RECORD_MAX_BYTES - 13);
    free_reading(&r);
    unlink("a.jsonl");
}

/* Each allocation fails in turn, alone or with all that follow: the reader says so or the answer is
 * the right one. */
static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_SAMPLES; i++) {
        const sample *s = &samples[i / 2];
        bool sticky = i % 2 == 1;
        slant_reader_options options = all_fields;
        options.input = s->input;
        write_string("sample", s->content);
        const char *path = "sample";
        reading right = read_file(path, &options);
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            uint64_t before = mem_alloc_count();
            mem_fail_at(n, sticky);
            reading r = read_files(&path, 1, &options);
            failed = mem_alloc_count() - before >= n;
            mem_fail_at(0, false);
            if (r.status == SLANT_OK)
                same_readings(&right, &r);
            else
                assert_int_equal(r.status, SLANT_ERR_MEMORY);
            assert_true(failed || r.status == SLANT_OK);
            free_reading(&r);
        }
        free_reading(&right);
    }
}

static void reading_on_allocates_nothing(void **state)
{
    (void)state;
    FILE *jsonl = fopen("a.jsonl", "wb"), *json = fopen("a.json", "wb"),
         *csv = fopen("a.csv", "wb");
    fputs("[", json);
    fputs("id,title,text,label\n", csv);
    for (int i = 0; i < 20000; i++) {
        fprintf(jsonl, "{\"text\": \"a \\\"b\\\"\", \"title\": \"\\u00e9\", \"label\": \"x\"}\n");
        fprintf(json, "%s{\"text\": \"a \\\"b\\\"\", \"title\": \"\\u00e9\"}", i > 0 ? ", " : "");
        fprintf(csv, "%d,t,\"a \"\"b\"\"\",left\n", i % 100);
    }
    fputs("]", json);
    fclose(jsonl);
    fclose(json);
    fclose(csv);
    static const char *const paths[] = {"a.jsonl", "a.json", "a.csv"};
    for (size_t i = 0; i < 3; i++) {
        slant_reader *reader;
        slant_record record;
        uint64_t count = 0;
        assert_int_equal(slant_reader_open(&paths[i], 1, &all_fields, &reader, NULL), SLANT_OK);
        for (int row = 1; row <= 20000; row++) {
            assert_int_equal(slant_reader_next(reader, &record, NULL), SLANT_OK);
            assert_int_equal(record.row, row);
            if (row == 10000)
                count = mem_alloc_count();
        }
        assert_int_equal(mem_alloc_count(), count);
        slant_reader_close(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_do_not_depend_on_how_bytes_arrive),
        cmocka_unit_test(records_may_end_anywhere_in_the_window),
        cmocka_unit_test(a_record_too_long_costs_only_itself),
        cmocka_unit_test(the_longest_record_is_read),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(reading_on_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
