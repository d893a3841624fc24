/* adapter_config.json from anywhere, asked about modules of every kind. */
#include "model/adapter_config.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void ask(const adapter_config *c, const char *module, bool is_head)
{
    slant_error err;
    bool targeted;
    int rank;
    float scale;
    if (adapter_config_targets(c, module, is_head, &targeted, &err) == SLANT_OK && targeted &&
        adapter_config_scale(c, module, &rank, &scale, &err) == SLANT_OK)
        assert(rank > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    adapter_config c;
    arena a = {0};
    slant_error err;
    if (adapter_config_from_json(&c, (const char *)data, size_bytes, "adapter_config.json", &a,
                                 &err) == SLANT_OK) {
        ask(&c, "model.layers.0.self_attn.q_proj", false);
        ask(&c, "model.layers.11.mlp.down_proj", false);
        ask(&c, "model.embed_tokens", false);
        ask(&c, "score", true);
    }
    adapter_config_close(&c);
    arena_free(&a);
    return 0;
}
