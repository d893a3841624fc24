/* config.json from anywhere: whatever is accepted is within bounds, has frequencies, and reads back
 * as what it says. */
#include "model/config.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void check(const model_config *config, arena *a)
{
    float inv_freq[1024];
    model_config again;
    buf once = {0}, twice = {0};
    slant_error err;
    model_config_inv_freq(config, inv_freq);
    for (int i = 0; i < config->head_dim / 2; i++)
        assert(isfinite(inv_freq[i]));
    model_config_to_json(config, &once);
    slant_status status =
        model_config_from_json(&again, once.data, once.size_bytes, "again", a, &err);
    assert(status == SLANT_OK);
    (void)status;
    model_config_to_json(&again, &twice);
    assert(strcmp(once.data, twice.data) == 0);
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    model_config config;
    arena a = {0};
    slant_error err;
    if (model_config_from_json(&config, (const char *)data, size_bytes, "config.json", &a, &err) ==
        SLANT_OK)
        check(&config, &a);
    arena_free(&a);
    return 0;
}
