/* slant.json from anywhere: whatever is accepted is within bounds. */
#include "model/sidecar.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    sidecar side;
    arena a = {0};
    slant_error err;
    if (sidecar_from_json(&side, (const char *)data, size_bytes, "slant.json", &a, &err) ==
        SLANT_OK) {
        assert(side.max_length >= 0 && side.temperature >= 0);
        assert(side.base_digest == NULL || strlen(side.base_digest) == 71);
        for (int i = 0; i < side.n_labels; i++)
            assert(side.labels[i] != NULL);
    }
    arena_free(&a);
    return 0;
}
