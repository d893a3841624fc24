/* A session that has warmed up: it allocates nothing, whatever it reads within the sizes that it
 * has seen, and its memory does not grow however much it reads. */
#include "unit.h"

#include "base/mem.h"

#include <slant.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXTS = 24, MAX_TEXT_BYTES = 6000, MAX_LABELS = 3, N_LOOPS = 60, GROWTH_KB = 512 };

#define GOLDEN SLANT_SOURCE_DIR "/tests/golden/models/"

static slant_engine *engine;
static char folder[] = "/tmp/slant-test-XXXXXX";

static void link_into(const char *target, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(symlink(target, path), 0);
}

/* The small Llama of the goldens, with the tokenizer that lies beside it. */
static int open_engine(void **state)
{
    (void)state;
    slant_error err;
    slant_engine_options options = {.adapter = GOLDEN "adapters/default"};
    if (mkdtemp(folder) == NULL)
        return -1;
    link_into(GOLDEN "llama/config.json", "config.json");
    link_into(GOLDEN "llama/model.safetensors", "model.safetensors");
    link_into(GOLDEN "tokenizer.json", "tokenizer.json");
    return slant_engine_open(folder, &options, &engine, &err) == SLANT_OK ? 0 : -1;
}

static int close_engine(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors", "tokenizer.json"};
    slant_engine_close(engine);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* Texts of words that nobody has read before: no cache knows them all. */
typedef struct reading {
    uint64_t seed;
    char bytes[MAX_TEXTS][MAX_TEXT_BYTES];
    slant_text texts[MAX_TEXTS];
    float scores[MAX_TEXTS * MAX_LABELS];
    slant_result results[MAX_TEXTS];
} reading;

static uint32_t next_random(reading *r)
{
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->seed >> 33);
}

static void write_text(reading *r, int i, size_t n_bytes)
{
    static const char letters[] = "etaoinshrdlucmfwypvbgk";
    char *text = r->bytes[i];
    for (size_t at = 0; at < n_bytes;) {
        size_t n = 1 + next_random(r) % 9;
        for (size_t j = 0; j < n && at < n_bytes; j++)
            text[at++] = letters[next_random(r) % (sizeof letters - 1)];
        if (at < n_bytes)
            text[at++] = next_random(r) % 12 == 0 ? '.' : ' ';
    }
    r->texts[i] = (slant_text){.text = text, .text_bytes = n_bytes};
}

/* n texts of at most max_bytes; the first has a title. */
static void classify(reading *r, slant_session *session, int n, size_t max_bytes, bool all_longest)
{
    slant_error err;
    for (int i = 0; i < n; i++)
        write_text(r, i, all_longest ? max_bytes : 1 + next_random(r) % max_bytes);
    r->texts[0].title = "A headline";
    r->texts[0].title_bytes = strlen("A headline");
    assert_int_equal(slant_classify(session, r->texts, (size_t)n, r->scores, r->results, &err),
                     SLANT_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(r->results[i].status, SLANT_OK);
}

static slant_session *open_session(const slant_engine *from, slant_truncation truncation)
{
    slant_error err;
    slant_session *session;
    slant_session_options options = {
        .n_threads = 2, .max_length = 512, .truncation = truncation, .stride = 200};
    assert_int_equal(slant_session_open(from, &options, &session, &err), SLANT_OK);
    return session;
}

/* Bytes of memory that is not a file's, in kilobytes. */
static long anonymous_kb(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kilobytes = -1;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %ld", &kilobytes) == 1)
            break;
    fclose(file);
    return kilobytes;
}

static void test_warm_session_allocates_nothing(void **state)
{
    (void)state;
    static const slant_truncation truncations[] = {SLANT_TRUNCATION_HEAD,
                                                   SLANT_TRUNCATION_HEAD_TAIL,
                                                   SLANT_TRUNCATION_WINDOW, SLANT_TRUNCATION_NONE};
    reading *r = calloc(1, sizeof *r);
    assert_non_null(r);
    for (size_t t = 0; t < sizeof truncations / sizeof *truncations; t++) {
        slant_session *session = open_session(engine, truncations[t]);
        classify(r, session, 4, MAX_TEXT_BYTES, true);
        classify(r, session, MAX_TEXTS, 300, true);
        uint64_t before = mem_alloc_count();
        for (int i = 0; i < 6; i++) {
            classify(r, session, 1 + i % 4, MAX_TEXT_BYTES / 2, false);
            classify(r, session, MAX_TEXTS - i, 300, false);
        }
        assert_int_equal(mem_alloc_count() - before, 0);
        slant_session_close(session);
    }
    free(r);
}

/* The same with a tokenizer of full size. */
static void test_embedded_model_allocates_nothing(void **state)
{
    (void)state;
    slant_error err;
    slant_engine *embedded;
    slant_engine_options options = {.adapter = SLANT_SOURCE_DIR "/models/news-bias"};
    reading *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(slant_engine_open(SLANT_SOURCE_DIR "/models/news-bias/base.slant", &options,
                                       &embedded, &err),
                     SLANT_OK);
    slant_session *session = open_session(embedded, SLANT_TRUNCATION_HEAD_TAIL);
    classify(r, session, 1, 900, true);
    classify(r, session, 8, 100, true);
    uint64_t before = mem_alloc_count();
    for (int i = 0; i < 4; i++) {
        classify(r, session, 1, 900, false);
        classify(r, session, 8 - i, 100, false);
    }
    assert_int_equal(mem_alloc_count() - before, 0);
    slant_session_close(session);
    slant_engine_close(embedded);
    free(r);
}

static void test_memory_does_not_grow(void **state)
{
    (void)state;
    reading *r = calloc(1, sizeof *r);
    assert_non_null(r);
    slant_session *session = open_session(engine, SLANT_TRUNCATION_HEAD);
    for (int i = 0; i < N_LOOPS; i++)
        classify(r, session, 1 + i % 3, MAX_TEXT_BYTES, i == 2);
    long before = anonymous_kb();
    for (int i = 0; i < 4 * N_LOOPS; i++)
        classify(r, session, 1 + i % 3, MAX_TEXT_BYTES, false);
    long growth = anonymous_kb() - before;
    slant_session_close(session);
    free(r);
    if (growth > GROWTH_KB)
        fail_msg("%d calls grew memory by %ld KB", 4 * N_LOOPS, growth);
}

/* One session after the other gives all of its memory back; but for the address sanitizer, which
 * keeps what is freed for a while. */
static void test_sessions_leave_nothing(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    reading *r = calloc(1, sizeof *r);
    assert_non_null(r);
    long before = 0;
    for (int i = 0; i < 12; i++) {
        slant_session *session = open_session(engine, SLANT_TRUNCATION_HEAD);
        classify(r, session, 2, MAX_TEXT_BYTES, true);
        slant_session_close(session);
        if (i == 3)
            before = anonymous_kb();
    }
    long growth = anonymous_kb() - before;
    free(r);
    if (growth > GROWTH_KB)
        fail_msg("8 sessions grew memory by %ld KB", growth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_session_allocates_nothing),
        cmocka_unit_test(test_embedded_model_allocates_nothing),
        cmocka_unit_test(test_memory_does_not_grow),
        cmocka_unit_test(test_sessions_leave_nothing),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
