/* safetensors: every malformed file that the header names with its message, what the reference
 * library writes, the writer's own files read back, and memory that runs out at every allocation.
 */
#include "unit.h"

#include "base/buf.h"
#include "formats/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS SLANT_SOURCE_DIR "/tests/golden/formats/"

/* Header length, header and n_data bytes of data. */
static buf make_file(uint64_t header_bytes, const char *header, size_t n_data)
{
    buf file = {0};
    for (int i = 0; i < 8; i++)
        buf_char(&file, (char)(header_bytes >> 8 * i));
    buf_string(&file, header);
    for (size_t i = 0; i < n_data; i++)
        buf_char(&file, (char)i);
    assert_false(file.failed);
    return file;
}

static void assert_refused(const uint8_t *bytes, size_t size_bytes, slant_status expected,
                           const char *message)
{
    slant_error err = {0};
    safetensors *st = NULL;
    /* A copy of its own, so that the sanitizer sees a read beyond the end. */
    uint8_t *copy = mem_alloc(size_bytes, 1);
    if (size_bytes > 0)
        memcpy(copy, bytes, size_bytes);
    slant_status status = safetensors_open_memory(copy, size_bytes, "x.safetensors", &st, &err);
    assert_null(st);
    if (status != expected || strstr(err.message, message) == NULL ||
        strncmp(err.message, "x.safetensors: ", 15) != 0)
        fail_msg("status %d, message \"%s\"; expected %d, \"%s\"", status, err.message, expected,
                 message);
    mem_free(copy);
}

#define ONE(name, dtype, shape, begin, end)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end   \
    "]}"

static void malformed_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        slant_status status;
        const char *message;
    } cases[] = {
        {"", 0, SLANT_ERR_FORMAT, "does not begin with '{'"},
        {" {}", 0, SLANT_ERR_FORMAT, "does not begin with '{'"},
        {"[]", 0, SLANT_ERR_FORMAT, "does not begin with '{'"},
        {"{\"a\":", 0, SLANT_ERR_FORMAT, "header: "},
        {"{} {}", 0, SLANT_ERR_FORMAT, "header: end of file expected"},
        {"{\"\xFF\":1}", 0, SLANT_ERR_FORMAT, "header: unable to decode byte 0xff"},
        {"{\"a\\u0000b\":1}", 0, SLANT_ERR_FORMAT, "header: NUL byte in object key not supported"},
        {"{" ONE("a", "U8", "[1]", "0", "1") "," ONE("a", "U8", "[1]", "0", "1") "}", 1,
         SLANT_ERR_FORMAT, "duplicate object key"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         SLANT_ERR_FORMAT, "duplicate object key"},
        {"{\"a\":7}", 0, SLANT_ERR_FORMAT, "tensor 'a': its entry in the header is not an object"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, SLANT_ERR_FORMAT,
         "tensor 'a': dtype is missing"},
        {"{" ONE("a", "F8_E4M3", "[1]", "0", "1") "}", 1, SLANT_ERR_UNSUPPORTED,
         "tensor 'a': dtype 'F8_E4M3' is not one"},
        {"{" ONE("a", "Q8_0", "[32]", "0", "34") "}", 34, SLANT_ERR_UNSUPPORTED, "dtype 'Q8_0'"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, SLANT_ERR_FORMAT,
         "tensor 'a': shape is missing"},
        {"{" ONE("a", "U8", "[1,1,1,1,1]", "0", "1") "}", 1, SLANT_ERR_UNSUPPORTED,
         "tensor 'a': its shape has 5 dimensions"},
        {"{" ONE("a", "U8", "[-1]", "0", "1") "}", 1, SLANT_ERR_FORMAT, "dimension 0 of its shape"},
        {"{" ONE("a", "U8", "[1,1.0]", "0", "1") "}", 1, SLANT_ERR_FORMAT, "dimension 1 of its"},
        {"{" ONE("a", "F32", "[4294967296,4294967296]", "0", "1") "}", 1, SLANT_ERR_FORMAT,
         "tensor 'a': its shape overflows"},
        {"{" ONE("a", "U8", "[99999999999999999999]", "0", "1") "}", 1, SLANT_ERR_FORMAT,
         "too big integer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, SLANT_ERR_FORMAT, "data_offsets are not"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, SLANT_ERR_FORMAT,
         "data_offsets are not a pair"},
        {"{" ONE("a", "U8", "[1]", "-1", "0") "}", 1, SLANT_ERR_FORMAT, "data_offsets are not"},
        {"{" ONE("a", "U8", "[1]", "1", "0") "}", 1, SLANT_ERR_FORMAT,
         "run backwards, from 1 to 0"},
        {"{" ONE("a", "U8", "[9]", "0", "9") "}", 8, SLANT_ERR_FORMAT,
         "tensor 'a': its data ends at 9, beyond the 8 bytes"},
        {"{" ONE("a", "F32", "[2]", "0", "4") "}", 4, SLANT_ERR_FORMAT,
         "tensor 'a': its shape and dtype take 8 bytes, its data_offsets span 4"},
        {"{" ONE("a", "U8", "[2]", "0", "2") "," ONE("b", "U8", "[2]", "1", "3") "}", 3,
         SLANT_ERR_FORMAT, "tensor 'b': its data overlaps that of 'a'"},
        {"{" ONE("a", "U8", "[2]", "0", "2") "," ONE("b", "U8", "[2]", "0", "2") "}", 2,
         SLANT_ERR_FORMAT, "tensor 'b': its data overlaps that of 'a'"},
        {"{" ONE("b", "U8", "[1]", "3", "4") "," ONE("a", "U8", "[2]", "0", "2") "}", 4,
         SLANT_ERR_FORMAT, "tensor 'b': 1 bytes before its data belong to no tensor"},
        {"{" ONE("a", "U8", "[1]", "1", "2") "}", 2, SLANT_ERR_FORMAT,
         "tensor 'a': 1 bytes before its data"},
        {"{" ONE("a", "U8", "[1]", "0", "1") "}", 4, SLANT_ERR_FORMAT,
         "the last 3 bytes belong to no tensor"},
        {"{}", 1, SLANT_ERR_FORMAT, "the last 1 bytes belong to no tensor"},
        {"{\"__metadata__\":7}", 0, SLANT_ERR_FORMAT, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"k\":7}}", 0, SLANT_ERR_FORMAT, "the value of 'k' is no string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf file = make_file(strlen(cases[i].header), cases[i].header, cases[i].n_data);
        assert_refused((uint8_t *)file.data, file.size_bytes, cases[i].status, cases[i].message);
        buf_free(&file);
    }
}

static void header_lengths_are_checked(void **state)
{
    (void)state;
    assert_refused(NULL, 0, SLANT_ERR_FORMAT, "0 bytes are too few");
    assert_refused((const uint8_t *)"\2\0\0\0\0\0\0", 7, SLANT_ERR_FORMAT, "7 bytes are too few");
    static const struct {
        uint64_t header_bytes;
        const char *message;
    } cases[] = {
        {3, "truncated: the header should be 3 bytes long, and 2 follow"},
        {100000000, "truncated: the header should be 100000000 bytes"},
        {100000001, "100000001 bytes long, and 100000000 are allowed"},
        {UINT64_MAX, "18446744073709551615 bytes long"},
        {UINT64_MAX - 7, "18446744073709551608 bytes long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf file = make_file(cases[i].header_bytes, "{}", 0);
        assert_refused((uint8_t *)file.data, file.size_bytes, SLANT_ERR_FORMAT, cases[i].message);
        buf_free(&file);
    }
}

/* However a good file is cut, the rest of it is refused. */
static void truncated_files_are_refused(void **state)
{
    (void)state;
    slant_error err;
    buf file = {0};
    assert_int_equal(file_read(GOLDENS "every_dtype.safetensors", 1 << 20, &file, &err), SLANT_OK);
    for (size_t size_bytes = 0; size_bytes < file.size_bytes; size_bytes++)
        assert_refused((uint8_t *)file.data, size_bytes, SLANT_ERR_FORMAT, "");
    buf_free(&file);
}

static safetensors *open_or_fail(const char *path)
{
    slant_error err;
    safetensors *st = NULL;
    slant_status status = strstr(path, ".index.json") == NULL
                              ? safetensors_open(path, &st, &err)
                              : safetensors_open_index(path, &st, &err);
    if (status != SLANT_OK)
        fail_msg("%s", err.message);
    return st;
}

static void the_reference_librarys_file_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        dtype type;
    } expected[] = {{"f64", DTYPE_F64},   {"f32", DTYPE_F32}, {"f16", DTYPE_F16},
                    {"bf16", DTYPE_BF16}, {"i64", DTYPE_I64}, {"i32", DTYPE_I32},
                    {"i16", DTYPE_I16},   {"i8", DTYPE_I8},   {"u8", DTYPE_U8},
                    {"bool", DTYPE_BOOL}};
    safetensors *st = open_or_fail(GOLDENS "every_dtype.safetensors");
    assert_int_equal(safetensors_count(st), 13);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const tensor_view *view = safetensors_find(st, expected[i].name);
        assert_non_null(view);
        assert_int_equal(view->type, expected[i].type);
        assert_int_equal(view->n_dims, 2);
        assert_true(view->shape[0] == 2 && view->shape[1] == 3);
        assert_int_equal(view->size_bytes, 6 * dtype_get(view->type)->block_bytes);
    }
    int64_t counting[6];
    memcpy(counting, safetensors_find(st, "i64")->data, sizeof counting);
    for (int i = 0; i < 6; i++)
        assert_int_equal(counting[i], i);
    assert_int_equal(safetensors_find(st, "scalar")->n_dims, 0);
    assert_int_equal(safetensors_find(st, "scalar")->size_bytes, 4);
    assert_int_equal(safetensors_find(st, "empty")->size_bytes, 0);
    assert_int_equal(safetensors_find(st, "größe")->shape[3], 2);
    assert_null(safetensors_find(st, "f33"));
    assert_null(safetensors_find(st, ""));
    assert_string_equal(safetensors_metadata(st, "format"), "pt");
    assert_string_equal(safetensors_metadata(st, "note"), "a \"quoted\" ü");
    assert_null(safetensors_metadata(st, "none"));
    for (size_t i = 1; i < safetensors_count(st); i++)
        assert_ptr_equal(safetensors_at(st, i)->data,
                         safetensors_at(st, i - 1)->data + safetensors_at(st, i - 1)->size_bytes);
    safetensors_close(st);
}

static void shards_are_one_set(void **state)
{
    (void)state;
    safetensors *st = open_or_fail(GOLDENS "model.safetensors.index.json");
    assert_int_equal(safetensors_count(st), 3);
    const tensor_view *c = safetensors_find(st, "c");
    float values[4];
    memcpy(values, c->data, sizeof values);
    assert_true(values[0] == 2 && values[3] == 2);
    assert_string_equal(file_base_name(safetensors_path_of(st, c)),
                        "model-00002-of-00002.safetensors");
    assert_string_equal(safetensors_path_of(st, safetensors_find(st, "a")),
                        GOLDENS "model-00001-of-00002.safetensors");
    assert_string_equal(safetensors_metadata(st, "format"), "pt");
    safetensors_close(st);
}

/* A folder for one test's files. */
static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/slant-safetensors-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const void *bytes, size_t size_bytes)
{
    slant_error err;
    assert_int_equal(file_write_whole(in_folder(name), bytes, size_bytes, &err), SLANT_OK);
}

static void broken_indexes_are_refused(void **state)
{
    (void)state;
    const char *names[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        char header[128], file_name[32];
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", names[i]);
        buf file = make_file(strlen(header), header, 1);
        snprintf(file_name, sizeof file_name, "%d.st", i + 1);
        write_text(file_name, file.data, file.size_bytes);
        if (i == 0)
            write_text("again.st", file.data, file.size_bytes);
        buf_free(&file);
    }
    static const struct {
        const char *index;
        slant_status status;
        const char *message;
    } cases[] = {
        {"{", SLANT_ERR_FORMAT, "i.json: "},
        {"[]", SLANT_ERR_FORMAT, "weight_map is missing"},
        {"{\"weight_map\":[]}", SLANT_ERR_FORMAT, "weight_map is missing or no object"},
        {"{\"weight_map\":{}}", SLANT_ERR_FORMAT, "weight_map names no tensor"},
        {"{\"weight_map\":{\"a\":1}}", SLANT_ERR_FORMAT, "gives tensor 'a' no plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", SLANT_ERR_FORMAT, "gives tensor 'a' no plain"},
        {"{\"weight_map\":{\"a\":\"..\"}}", SLANT_ERR_FORMAT, "gives tensor 'a' no plain"},
        {"{\"weight_map\":{\"a\":\"../1.st\"}}", SLANT_ERR_FORMAT, "gives tensor 'a' no plain"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", SLANT_ERR_FORMAT, "gives tensor 'a' no plain"},
        {"{\"weight_map\":{\"a\":\"1.st\",\"a\":\"2.st\"}}", SLANT_ERR_FORMAT,
         "duplicate object key"},
        {"{\"weight_map\":{\"a\":\"3.st\"}}", SLANT_ERR_NOT_FOUND, "3.st: No such file"},
        {"{\"weight_map\":{\"a\":\"1.st\",\"c\":\"2.st\"}}", SLANT_ERR_MISMATCH,
         "2.st: tensor 'b' is not in "},
        {"{\"weight_map\":{\"a\":\"1.st\",\"b\":\"2.st\",\"c\":\"2.st\"}}", SLANT_ERR_MISMATCH,
         "i.json: tensor 'c' is not in 2.st"},
        {"{\"weight_map\":{\"a\":\"2.st\",\"b\":\"1.st\"}}", SLANT_ERR_MISMATCH,
         "says that it is in"},
        {"{\"weight_map\":{\"a\":\"1.st\",\"x\":\"again.st\"}}", SLANT_ERR_FORMAT,
         "tensor 'a' is in "},
        {"{\"weight_map\":{\"a\":\"i.json\"}}", SLANT_ERR_FORMAT, "i.json: not a safetensors file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slant_error err = {0};
        safetensors *st = NULL;
        write_text("i.json", cases[i].index, strlen(cases[i].index));
        slant_status status = safetensors_open_index(in_folder("i.json"), &st, &err);
        assert_null(st);
        if (status != cases[i].status || strstr(err.message, cases[i].message) == NULL)
            fail_msg("%s: status %d, message \"%s\"; expected \"%s\"", cases[i].index, status,
                     err.message, cases[i].message);
    }
}

static void files_that_cannot_be_opened_are_told(void **state)
{
    (void)state;
    slant_error err;
    safetensors *st;
    assert_int_equal(safetensors_open(in_folder("none.st"), &st, &err), SLANT_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "none.st: No such file"));
    assert_int_equal(safetensors_open(folder, &st, &err), SLANT_ERR_IO);
    assert_int_equal(safetensors_open_index(in_folder("none.json"), &st, &err),
                     SLANT_ERR_NOT_FOUND);
    write_text("empty.st", "", 0);
    assert_int_equal(safetensors_open(in_folder("empty.st"), &st, &err), SLANT_ERR_FORMAT);
    safetensors_close(NULL);
}

/* Three tensors of awkward sizes. */
static const uint8_t payload[40] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static const tensor_view written_views[] = {
    {.name = "first", .type = DTYPE_U8, .n_dims = 1, .shape = {3}, .size_bytes = 3},
    {.name = "empty", .type = DTYPE_F32, .n_dims = 2, .shape = {0, 7}, .size_bytes = 0},
    {.name = "\"größe\"\n", .type = DTYPE_BF16, .n_dims = 3, .shape = {1, 5, 2}, .size_bytes = 20},
    {.name = "scalar", .type = DTYPE_F64, .n_dims = 0, .size_bytes = 8},
};
#define N_WRITTEN (sizeof written_views / sizeof *written_views)

static slant_status write_sample(const char *path, size_t alignment, slant_error *err)
{
    safetensors_writer *w;
    slant_status status = safetensors_writer_open(path, alignment, &w, err);
    if (status != SLANT_OK)
        return status;
    status = safetensors_writer_metadata(w, "format", "pt", err);
    if (status == SLANT_OK)
        status = safetensors_writer_metadata(w, "note", "a\tb", err);
    for (size_t i = 0; i < N_WRITTEN && status == SLANT_OK; i++)
        status = safetensors_writer_declare(w, &written_views[i], err);
    for (size_t i = 0; i < N_WRITTEN && status == SLANT_OK; i++) {
        size_t half = written_views[i].size_bytes / 2;
        status = safetensors_writer_data(w, payload, half, err);
        if (status == SLANT_OK)
            status =
                safetensors_writer_data(w, payload + half, written_views[i].size_bytes - half, err);
    }
    if (status == SLANT_OK)
        return safetensors_writer_commit(w, err);
    safetensors_writer_abort(w);
    return status;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const size_t alignments[] = {1, 2, 8, 64, 4096};
    slant_error err;
    for (size_t a = 0; a < sizeof alignments / sizeof *alignments; a++) {
        if (write_sample(in_folder("w.st"), alignments[a], &err) != SLANT_OK)
            fail_msg("%s", err.message);
        safetensors *st = open_or_fail(in_folder("w.st"));
        assert_string_equal(safetensors_metadata(st, "format"), "pt");
        assert_string_equal(safetensors_metadata(st, "note"), "a\tb");
        size_t n_fillers = 0;
        for (size_t i = 0; i < safetensors_count(st); i++)
            n_fillers += strncmp(safetensors_at(st, i)->name, "__pad.", 6) == 0;
        assert_int_equal(safetensors_count(st), N_WRITTEN + n_fillers);
        assert_int_equal(n_fillers == 0, alignments[a] == 1);
        for (size_t i = 0; i < N_WRITTEN; i++) {
            const tensor_view *view = safetensors_find(st, written_views[i].name);
            assert_non_null(view);
            assert_int_equal(view->type, written_views[i].type);
            assert_int_equal(view->n_dims, written_views[i].n_dims);
            assert_memory_equal(view->shape, written_views[i].shape, sizeof view->shape);
            assert_int_equal(view->size_bytes, written_views[i].size_bytes);
            assert_memory_equal(view->data, payload, view->size_bytes);
            /* The file is mapped at a page's start. */
            assert_int_equal((uintptr_t)view->data % alignments[a], 0);
        }
        safetensors_close(st);
    }
}

static void the_same_tensors_give_the_same_file(void **state)
{
    (void)state;
    slant_error err;
    buf one = {0}, two = {0};
    assert_int_equal(write_sample(in_folder("one.st"), 64, &err), SLANT_OK);
    assert_int_equal(write_sample(in_folder("two.st"), 64, &err), SLANT_OK);
    assert_int_equal(file_read(in_folder("one.st"), 1 << 20, &one, &err), SLANT_OK);
    assert_int_equal(file_read(in_folder("two.st"), 1 << 20, &two, &err), SLANT_OK);
    assert_int_equal(one.size_bytes, two.size_bytes);
    assert_memory_equal(one.data, two.data, one.size_bytes);
    buf_free(&one);
    buf_free(&two);
}

/* An empty file is a file too. */
static void a_file_without_tensors_can_be_written(void **state)
{
    (void)state;
    slant_error err;
    safetensors_writer *w;
    assert_int_equal(safetensors_writer_open(in_folder("none.st"), 64, &w, &err), SLANT_OK);
    assert_int_equal(safetensors_writer_commit(w, &err), SLANT_OK);
    safetensors *st = open_or_fail(in_folder("none.st"));
    assert_int_equal(safetensors_count(st), 0);
    safetensors_close(st);
}

static void bytes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    slant_error err;
    safetensors_writer *w;
    write_text("kept.st", "old", 3);
    assert_int_equal(safetensors_writer_open(in_folder("kept.st"), 8, &w, &err), SLANT_OK);
    assert_int_equal(safetensors_writer_declare(w, &written_views[0], &err), SLANT_OK);
    assert_int_equal(safetensors_writer_data(w, payload, 4, &err), SLANT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "4 bytes given where 'first' takes 3 more"));
    assert_int_equal(safetensors_writer_data(w, payload, 2, &err), SLANT_OK);
    assert_int_equal(safetensors_writer_commit(w, &err), SLANT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "tensor 'first' lacks its last 1 bytes"));
    buf kept = {0};
    assert_int_equal(file_read(in_folder("kept.st"), 100, &kept, &err), SLANT_OK);
    assert_string_equal(kept.data, "old");
    buf_free(&kept);
    assert_int_equal(safetensors_writer_open(in_folder("none/x.st"), 8, &w, &err),
                     SLANT_ERR_NOT_FOUND);
    assert_null(w);
    safetensors_writer_abort(NULL);
}

/* Whichever allocation fails, reading says so and leaves nothing behind (the sanitizer counts). */
static void reading_survives_memory_running_out(void **state)
{
    (void)state;
    static const char *const paths[] = {GOLDENS "every_dtype.safetensors",
                                        GOLDENS "model.safetensors.index.json"};
    for (int which = 0; which < 2; which++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            slant_status status = SLANT_ERR_MEMORY;
            int n_failures = 0;
            for (uint64_t nth = 1; status != SLANT_OK; nth++) {
                slant_error err;
                safetensors *st = NULL;
                mem_fail_at(nth, sticky);
                status = which == 0 ? safetensors_open(paths[which], &st, &err)
                                    : safetensors_open_index(paths[which], &st, &err);
                mem_fail_at(0, false);
                assert_true(status == SLANT_OK || (status == SLANT_ERR_MEMORY && st == NULL));
                n_failures += status != SLANT_OK;
                safetensors_close(st);
            }
            assert_true(n_failures >= 5);
        }
    }
}

static void writing_survives_memory_running_out(void **state)
{
    (void)state;
    slant_error err;
    slant_status status = SLANT_ERR_MEMORY;
    write_text("w.st", "old", 3);
    for (uint64_t nth = 1; status != SLANT_OK; nth++) {
        mem_fail_at(nth, false);
        status = write_sample(in_folder("w.st"), 64, &err);
        mem_fail_at(0, false);
        assert_true(status == SLANT_OK || status == SLANT_ERR_MEMORY);
        if (status != SLANT_OK) {
            buf kept = {0};
            assert_int_equal(file_read(in_folder("w.st"), 100, &kept, &err), SLANT_OK);
            assert_string_equal(kept.data, "old");
            buf_free(&kept);
        }
        assert_true(nth < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(header_lengths_are_checked),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(the_reference_librarys_file_is_read),
        cmocka_unit_test(shards_are_one_set),
        cmocka_unit_test(broken_indexes_are_refused),
        cmocka_unit_test(files_that_cannot_be_opened_are_told),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_same_tensors_give_the_same_file),
        cmocka_unit_test(a_file_without_tensors_can_be_written),
        cmocka_unit_test(bytes_that_do_not_fit_are_refused),
        cmocka_unit_test(reading_survives_memory_running_out),
        cmocka_unit_test(writing_survives_memory_running_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
