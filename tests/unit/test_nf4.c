/* NF4: the same bytes as bitsandbytes on a CPU, at awkward sizes and real ones, and panels. */
#include "unit.h"

#include "base/file.h"
#include "base/mem.h"
#include "quant/nf4.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_CHARS 32 /* of SHA-256, as the goldens keep it */

static void digest(const void *bytes, size_t size_bytes, char out[DIGEST_CHARS + 1])
{
    char whole[FILE_DIGEST_CHARS];
    file_digest *sha = file_digest_open();
    assert_non_null(sha);
    file_digest_update(sha, bytes, size_bytes);
    file_digest_close(sha, whole);
    memcpy(out, whole + strlen("sha256:"), DIGEST_CHARS);
    out[DIGEST_CHARS] = '\0';
}

static void tables_are_bitsandbytes_own(void **state)
{
    (void)state;
    char found[DIGEST_CHARS + 1];
    digest(nf4_dynamic_map, sizeof nf4_dynamic_map, found);
    assert_string_equal(found, "e732639a65f497b4ad684bb166a44677");
    for (int i = 1; i < 16; i++)
        assert_true(nf4_codes[i] > nf4_codes[i - 1]);
    assert_true(nf4_codes[0] == -1 && nf4_codes[7] == 0 && nf4_codes[15] == 1);
}

/* One tensor in every form. */
typedef struct sample {
    int64_t n_values;
    float *values, *decoded, *absmax, *nested_absmax, offset;
    uint8_t *codes, *absmax_codes;
} sample;

static sample sample_init(int64_t n_values)
{
    size_t n = (size_t)n_values, n_blocks = (size_t)nf4_n_blocks(n_values);
    return (sample){
        .n_values = n_values,
        .values = mem_alloc(n, sizeof(float)),
        .decoded = mem_alloc(n, sizeof(float)),
        .absmax = mem_alloc(n_blocks, sizeof(float)),
        .nested_absmax = mem_alloc((size_t)nf4_n_nested(n_values), sizeof(float)),
        .codes = mem_alloc((n + 1) / 2, 1),
        .absmax_codes = mem_alloc(n_blocks, 1),
    };
}

static void sample_free(sample *s)
{
    mem_free(s->values);
    mem_free(s->decoded);
    mem_free(s->absmax);
    mem_free(s->nested_absmax);
    mem_free(s->codes);
    mem_free(s->absmax_codes);
}

/* The values of make_format_goldens.py, to the bit: see make_values there. */
static uint64_t hash64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static float make_value(const char *kind, int64_t i, int64_t n_values, uint64_t seed)
{
    uint64_t h = hash64((uint64_t)i * 0x2545F4914F6CDD1Du + seed);
    int64_t sum = 0, block = i / 64;
    for (int shift = 0; shift < 64; shift += 16)
        sum += (int64_t)(h >> shift & 0xFFFF);
    float value = (float)(sum - 131070) * 1.7e-7f;
    if (strcmp(kind, "bf16") == 0)
        return bf16_to_f32(bf16_from_f32(value));
    if (strcmp(kind, "holes") == 0)
        return block % 3 == 0 || block == (n_values - 1) / 64 ? 0 : value;
    if (strcmp(kind, "wild") == 0)
        return ldexpf(value, (int)(hash64((uint64_t)block) % 40) - 20);
    return strcmp(kind, "zeros") == 0 ? 0 : value;
}

static void assert_digest(const char *kind, int64_t n_values, const char *what, const void *bytes,
                          size_t size_bytes, const char *expected)
{
    char found[DIGEST_CHARS + 1];
    digest(bytes, size_bytes, found);
    if (strcmp(found, expected) != 0)
        fail_msg("%s of %lld values: %s is not bitsandbytes' own", kind, (long long)n_values, what);
}

/* A line of nf4.tsv. */
typedef struct golden {
    char kind[16];
    int64_t n_values;
    uint64_t seed;
    char codes[40], absmax[40], absmax_codes[40], nested_absmax[40], decoded[40], decoded_plain[40];
    uint32_t offset_bits;
} golden;

static void check_plain(const golden *g, sample *s)
{
    size_t n = (size_t)s->n_values, n_blocks = (size_t)nf4_n_blocks(s->n_values);
    nf4_encode_plain(s->values, s->n_values, s->codes, s->absmax);
    assert_digest(g->kind, g->n_values, "codes", s->codes, (n + 1) / 2, g->codes);
    assert_digest(g->kind, g->n_values, "absmax", s->absmax, n_blocks * 4, g->absmax);
    nf4_flat flat = {
        .n_values = s->n_values, .codes = s->codes, .absmax = s->absmax, .code_map = nf4_codes};
    nf4_decode(&flat, 0, s->n_values, s->decoded);
    assert_digest(g->kind, g->n_values, "plain decoding", s->decoded, n * 4, g->decoded_plain);
}

static void check_double(const golden *g, sample *s)
{
    size_t n = (size_t)s->n_values, n_blocks = (size_t)nf4_n_blocks(s->n_values);
    memset(s->codes, 0, (n + 1) / 2);
    nf4_encode(s->values, s->n_values, s->codes, s->absmax_codes, s->nested_absmax, &s->offset,
               s->absmax);
    uint32_t offset_bits;
    memcpy(&offset_bits, &s->offset, sizeof offset_bits);
    assert_digest(g->kind, g->n_values, "codes", s->codes, (n + 1) / 2, g->codes);
    assert_int_equal(offset_bits, g->offset_bits);
    assert_digest(g->kind, g->n_values, "absmax codes", s->absmax_codes, n_blocks, g->absmax_codes);
    assert_digest(g->kind, g->n_values, "nested absmax", s->nested_absmax,
                  (size_t)nf4_n_nested(s->n_values) * 4, g->nested_absmax);
    nf4_flat flat = {.n_values = s->n_values,
                     .codes = s->codes,
                     .absmax_codes = s->absmax_codes,
                     .nested_absmax = s->nested_absmax,
                     .nested_map = nf4_dynamic_map,
                     .code_map = nf4_codes,
                     .nested_offset = s->offset};
    /* In two calls, split within a block where there is room for that. */
    int64_t first = s->n_values / 2 & ~(int64_t)1;
    nf4_decode(&flat, 0, first, s->decoded);
    nf4_decode(&flat, first, s->n_values - first, s->decoded + first);
    assert_digest(g->kind, g->n_values, "decoding", s->decoded, n * 4, g->decoded);
}

static void bytes_are_bitsandbytes_own(void **state)
{
    (void)state;
    FILE *file = fopen(SLANT_SOURCE_DIR "/tests/golden/quant/nf4.tsv", "r");
    assert_non_null(file);
    char line[512];
    int n_cases = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        golden g;
        long long n_values;
        unsigned long long seed;
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%15s %lld %llu %39s %39s %39s %39s %8x %39s %39s", g.kind,
                                &n_values, &seed, g.codes, g.absmax, g.absmax_codes,
                                g.nested_absmax, &g.offset_bits, g.decoded, g.decoded_plain),
                         10);
        g.n_values = n_values;
        g.seed = seed;
        sample s = sample_init(g.n_values);
        for (int64_t i = 0; i < g.n_values; i++)
            s.values[i] = make_value(g.kind, i, g.n_values, g.seed);
        check_plain(&g, &s);
        check_double(&g, &s);
        sample_free(&s);
        n_cases++;
    }
    fclose(file);
    assert_true(n_cases > 80);
}

/* A value that lies on the midpoint of two codes takes the lower one; one ulp above, the upper one.
 */
static void ties_go_down(void **state)
{
    (void)state;
    float values[64] = {1.0f};
    uint8_t codes[32];
    float absmax;
    for (int t = 0; t < 15; t++) {
        float middle = (nf4_codes[t] + nf4_codes[t + 1]) / 2;
        values[2 * t + 2] = middle;
        values[2 * t + 3] = nextafterf(middle, 2);
    }
    nf4_encode_plain(values, 64, codes, &absmax);
    assert_true(absmax == 1);
    assert_int_equal(codes[0], 0xF7);
    for (int t = 0; t < 15; t++)
        assert_int_equal(codes[t + 1], t << 4 | (t + 1));
}

/* Ranges of blocks, as threads encode them, give the bytes of the whole. */
static void parts_make_the_whole(void **state)
{
    (void)state;
    enum { N = 64 * 37 + 21 };
    sample whole = sample_init(N), parts = sample_init(N);
    for (int64_t i = 0; i < N; i++)
        whole.values[i] = make_value("wild", i, N, 3);
    nf4_encode_plain(whole.values, N, whole.codes, whole.absmax);
    nf4_encode(whole.values, N, whole.codes, whole.absmax_codes, whole.nested_absmax, &whole.offset,
               whole.absmax);
    for (int64_t first = 0; first < N; first += 64 * 10) {
        int64_t n = N - first < 640 ? N - first : 640;
        nf4_encode_plain(whole.values + first, n, parts.codes + first / 2,
                         parts.absmax + first / 64);
    }
    nf4_encode_absmax(parts.absmax, nf4_n_blocks(N), parts.absmax_codes, parts.nested_absmax,
                      &parts.offset);
    assert_memory_equal(parts.codes, whole.codes, (N + 1) / 2);
    assert_memory_equal(parts.absmax, whole.absmax, (size_t)nf4_n_blocks(N) * 4);
    assert_memory_equal(parts.absmax_codes, whole.absmax_codes, (size_t)nf4_n_blocks(N));
    assert_true(parts.offset == whole.offset);
    sample_free(&whole);
    sample_free(&parts);
}

/* Weights that are no numbers give some bytes, and nothing undefined on the way. */
static void odd_numbers_do_no_harm(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e-45f, -1e-40f};
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        float values[200], nested_absmax, offset, scratch[4];
        uint8_t codes[100], absmax_codes[4];
        for (int i = 0; i < 200; i++)
            values[i] = i % 7 == 0 ? odd[k] : (float)(i - 100);
        nf4_encode(values, 200, codes, absmax_codes, &nested_absmax, &offset, scratch);
        for (int i = 0; i < 200; i++)
            values[i] = odd[k];
        nf4_encode(values, 200, codes, absmax_codes, &nested_absmax, &offset, scratch);
        assert_int_equal(absmax_codes[0], absmax_codes[1]);
    }
}

/* Input k of output o in the panels, by the drawing in nf4.h. */
static int panel_code(const uint8_t *codes, int64_t n_in, int64_t o, int64_t k)
{
    int64_t panel_block = o / 16 * (n_in / 64) + k / 64;
    int64_t run = k % 64 / 8, within = k % 8;
    uint8_t pair = codes[panel_block * 512 + run * 64 + o % 16 * 4 + within % 4];
    return within < 4 ? pair & 15 : pair >> 4;
}

static void check_panels(int64_t n_out, int64_t n_in)
{
    int64_t n = n_out * n_in, n_blocks = n_in / 64, n_filled = (n_out + 15) / 16 * 16;
    sample s = sample_init(n), back = sample_init(n);
    for (int64_t i = 0; i < n; i++)
        s.values[i] = make_value("gauss", i, n, 11);
    nf4_encode(s.values, n, s.codes, s.absmax_codes, s.nested_absmax, &s.offset, s.absmax);
    size_t code_bytes = nf4_panel_code_bytes(n_out, n_in);
    size_t n_absmax = nf4_panel_n_absmax(n_out, n_in);
    assert_int_equal(code_bytes, n_filled * n_in / 2);
    assert_int_equal(n_absmax, n_filled * n_blocks);
    uint8_t *codes = mem_alloc(code_bytes, 1), *absmax_codes = mem_alloc(n_absmax, 1);
    float *absmax = mem_alloc(n_absmax, sizeof *absmax);
    nf4_flat flat = {
        .n_values = n, .codes = s.codes, .absmax_codes = s.absmax_codes, .absmax = s.absmax};
    nf4_pack_panels(&flat, n_out, n_in, codes, absmax_codes, absmax);

    for (int64_t o = 0; o < n_filled; o++) {
        for (int64_t k = 0; k < n_in; k++) {
            uint8_t pair = o < n_out ? s.codes[(o * n_in + k) / 2] : 0x77;
            assert_int_equal(panel_code(codes, n_in, o, k), k % 2 == 0 ? pair >> 4 : pair & 15);
        }
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t at = (o / 16 * n_blocks + b) * 16 + o % 16;
            assert_int_equal(absmax_codes[at], o < n_out ? s.absmax_codes[o * n_blocks + b] : 0);
            assert_true(absmax[at] == (o < n_out ? s.absmax[o * n_blocks + b] : 0));
        }
    }
    nf4_unpack_panels(codes, absmax_codes, absmax, n_out, n_in, back.codes, back.absmax_codes,
                      back.absmax);
    assert_memory_equal(back.codes, s.codes, (size_t)n / 2);
    assert_memory_equal(back.absmax_codes, s.absmax_codes, (size_t)nf4_n_blocks(n));
    assert_memory_equal(back.absmax, s.absmax, (size_t)nf4_n_blocks(n) * 4);
    mem_free(codes);
    mem_free(absmax_codes);
    mem_free(absmax);
    sample_free(&s);
    sample_free(&back);
}

static void panels_hold_every_code_where_the_drawing_says(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 64},  {3, 128},  {15, 64},  {16, 192},
                                        {17, 64}, {33, 320}, {192, 576}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_panels(shapes[i][0], shapes[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_bitsandbytes_own),
        cmocka_unit_test(bytes_are_bitsandbytes_own),
        cmocka_unit_test(ties_go_down),
        cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(odd_numbers_do_no_harm),
        cmocka_unit_test(panels_hold_every_code_where_the_drawing_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
