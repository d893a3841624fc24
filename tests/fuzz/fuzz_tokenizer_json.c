/* Any bytes as a tokenizer.json; one that opens must encode, and its tables must open again. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode_with(const tokenizer *t)
{
    static const char text[] = "The cat's 12 \xC3\xA9t\xC3\xA9 <s> a\n\n b";
    tokenizer_state *state = tokenizer_state_open(t);
    if (state == NULL)
        abort();
    for (int pass = 0; pass < 2; pass++) {
        tokenizer_options options = {.add_special_tokens = true, .want_offsets = pass == 1};
        tokenizer_output out;
        if (tokenizer_encode(state, text, sizeof text - 1, &options, &out, NULL) != SLANT_OK)
            continue;
        for (size_t i = 0; i < out.n_ids; i++)
            if (out.ids[i] < 0 || (size_t)out.ids[i] >= tokenizer_vocab_size(t))
                abort();
    }
    tokenizer_state_close(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tokenizer *t, *again;
    if (tokenizer_open_json((const char *)data, size, "fuzz", &t, NULL) != SLANT_OK)
        return 0;
    encode_with(t);
    size_t blob_bytes;
    const uint8_t *blob = tokenizer_blob(t, &blob_bytes);
    if (tokenizer_open_blob(blob, blob_bytes, "again", &again, NULL) != SLANT_OK)
        abort();
    tokenizer_close(again);
    tokenizer_close(t);
    return 0;
}
