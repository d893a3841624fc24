/* The metadata of a GGUF from anywhere as a config: whatever is accepted is within bounds and has
 * frequencies. */
#include "formats/gguf.h"
#include "model/config.h"

#include <assert.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    gguf *g;
    model_config config;
    arena a = {0};
    slant_error err;
    float inv_freq[1024];
    if (gguf_open_memory(data, size_bytes, "fuzz", &g, &err) != SLANT_OK)
        return 0;
    if (model_config_from_gguf(&config, g, "fuzz", &a, &err) == SLANT_OK) {
        model_config_inv_freq(&config, inv_freq);
        for (int i = 0; i < config.head_dim / 2; i++)
            assert(isfinite(inv_freq[i]));
        assert(config.vocab_size > 0 && config.n_heads % config.n_kv_heads == 0);
    }
    arena_free(&a);
    gguf_close(g);
    return 0;
}
