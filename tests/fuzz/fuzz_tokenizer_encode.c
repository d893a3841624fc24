/* Any text through a tokenizer of each kind: from the cache and past it must give the same ids,
 * offsets must lie inside the text, byte-level tokens must spell it, and our own patterns must
 * split as PCRE2 does. */
#include "tokenizer_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tokenizer *tokenizers[N_KINDS];
static tokenizer_state *states[N_KINDS];

static int32_t *encode(size_t kind, const char *text, size_t n, tokenizer_options options,
                       tokenizer_output *out)
{
    if (tokenizer_encode(states[kind], text, n, &options, out, NULL) != SLANT_OK)
        abort();
    int32_t *ids = malloc((out->n_ids + 1) * sizeof *ids);
    if (out->n_ids > 0)
        memcpy(ids, out->ids, out->n_ids * sizeof *ids);
    return ids;
}

static void check_same(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    if (n_a != n_b || memcmp(a, b, n_a * sizeof *a) != 0)
        abort();
}

/* With special tokens taken as text, byte-level tokens put together are the text. */
static void check_spelling(size_t kind, const char *text, size_t n)
{
    tokenizer_output out;
    size_t at = 0;
    free(encode(kind, text, n, (tokenizer_options){.split_special_tokens = true}, &out));
    for (size_t i = 0; i < out.n_ids; i++) {
        const uint8_t *bytes;
        size_t n_bytes;
        if (out.ids[i] >= 266) /* an added token may have taken spaces with it */
            return;
        if (!tokenizer_bytes(tokenizers[kind], out.ids[i], &bytes, &n_bytes) || n_bytes > n - at ||
            memcmp(bytes, text + at, n_bytes) != 0)
            abort();
        at += n_bytes;
    }
    if (at != n)
        abort();
}

static void check_kind(size_t kind, const char *text, size_t n)
{
    tokenizer_output first, second, third;
    int32_t *a = encode(kind, text, n, (tokenizer_options){0}, &first);
    int32_t *b = encode(kind, text, n, (tokenizer_options){0}, &second);
    int32_t *c = encode(kind, text, n, (tokenizer_options){.want_offsets = true}, &third);
    check_same(a, first.n_ids, b, second.n_ids);
    check_same(a, first.n_ids, c, third.n_ids);
    for (size_t i = 0; i < third.n_ids; i++)
        if (third.offsets[i].start > third.offsets[i].end || third.offsets[i].end > n)
            abort();
    if (kinds[kind].byte_level && strcmp(kinds[kind].normalizer, "null") == 0)
        check_spelling(kind, text, n);
    free(a);
    free(b);
    free(c);
}

/* Pairs of kinds that differ in who runs the pattern. */
static void check_patterns(const char *text, size_t n)
{
    static const size_t pairs[][2] = {{0, 1}, {2, 3}, {4, 5}};
    for (size_t i = 0; i < 3; i++) {
        tokenizer_output ours, pcre2;
        int32_t *a = encode(pairs[i][0], text, n, (tokenizer_options){0}, &ours);
        int32_t *b = encode(pairs[i][1], text, n, (tokenizer_options){0}, &pcre2);
        check_same(a, ours.n_ids, b, pcre2.n_ids);
        free(a);
        free(b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    for (size_t i = 0; i < N_KINDS && tokenizers[i] == NULL; i++) {
        tokenizers[i] = open_kind(i);
        states[i] = tokenizer_state_open(tokenizers[i]);
        if (states[i] == NULL)
            abort();
    }
    tokenizer_output out;
    tokenizer_options lossy = {.lossy = true, .want_offsets = true};
    if (tokenizer_encode(states[0], text, size, &lossy, &out, NULL) != SLANT_OK)
        abort();
    for (size_t i = 0; i < out.n_ids; i++)
        if (out.offsets[i].start > out.offsets[i].end || out.offsets[i].end > size)
            abort();
    if (utf8_valid_prefix(text, size) < size)
        return 0;
    for (size_t i = 0; i < N_KINDS; i++)
        check_kind(i, text, size);
    check_patterns(text, size);
    return 0;
}
