/* Damaged tables: the input is a list of changes to good ones, four bytes each (a place of 24 bits
 * and a value). Whatever opens must encode without leaving its memory. */
#include "tokenizer_kinds.h"

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *good[N_KINDS], *damaged[N_KINDS];
static size_t n_good[N_KINDS];

static void make_good(size_t kind)
{
    tokenizer *t = open_kind(kind);
    const uint8_t *blob = tokenizer_blob(t, &n_good[kind]);
    good[kind] = malloc(n_good[kind]);
    damaged[kind] = aligned_alloc(TABLES_ALIGN,
                                  (n_good[kind] + TABLES_ALIGN - 1) / TABLES_ALIGN * TABLES_ALIGN);
    memcpy(good[kind], blob, n_good[kind]);
    memcpy(damaged[kind], blob, n_good[kind]);
    tokenizer_close(t);
}

static void encode_with(const tokenizer *t)
{
    static const char text[] =
        "The th\xC3\xA9 1111 <s> <l> <r> w\xC3\xA9 aaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa the\n\n in";
    tokenizer_state *state = tokenizer_state_open(t);
    if (state == NULL)
        return;
    for (int pass = 0; pass < 2; pass++) {
        tokenizer_options options = {.add_special_tokens = true, .want_offsets = pass == 1};
        tokenizer_output out;
        if (tokenizer_encode(state, text, sizeof text - 1, &options, &out, NULL) != SLANT_OK)
            continue;
        for (size_t i = 0; i < out.n_ids; i++) {
            const uint8_t *bytes;
            size_t n_bytes;
            if (out.ids[i] < 0 || (size_t)out.ids[i] >= tokenizer_vocab_size(t))
                abort();
            if (tokenizer_bytes(t, out.ids[i], &bytes, &n_bytes))
                for (size_t b = 0; b < n_bytes; b++)
                    (void)*(const volatile uint8_t *)&bytes[b];
        }
    }
    tokenizer_state_close(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t kind = data[0] % N_KINDS;
    if (good[kind] == NULL)
        make_good(kind);
    for (size_t i = 1; i + 4 <= size; i += 4)
        damaged[kind][(data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) %
                      n_good[kind]] = data[i + 3];
    tokenizer *t;
    if (tokenizer_open_blob(damaged[kind], n_good[kind], "damaged", &t, NULL) == SLANT_OK) {
        encode_with(t);
        tokenizer_close(t);
    }
    memcpy(damaged[kind], good[kind], n_good[kind]);
    return 0;
}
