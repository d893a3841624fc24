/* Any bytes as a safetensors file: refused, or every tensor lies inside them and can be found. Each
 * input is tried as it is and with the header length that its last brace calls for, since mutations
 * that change the JSON's length would else never get past the length. */
#include "base/mem.h"
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

static uint32_t try_file(const uint8_t *data, size_t size_bytes)
{
    safetensors *st;
    slant_error err;
    if (safetensors_open_memory(data, size_bytes, "fuzz", &st, &err) != SLANT_OK)
        return 0;
    uint32_t sum = safetensors_metadata(st, "format") != NULL;
    for (size_t i = 0; i < safetensors_count(st); i++) {
        const tensor_view *view = safetensors_at(st, i);
        if (safetensors_find(st, view->name) != view || view->data < data ||
            view->size_bytes > (size_t)(data + size_bytes - view->data))
            abort();
        for (size_t b = 0; b < view->size_bytes; b++)
            sum += view->data[b];
    }
    safetensors_close(st);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    uint32_t sum = try_file(data, size_bytes);
    const uint8_t *brace = size_bytes > 8 ? memrchr(data + 8, '}', size_bytes - 8) : NULL;
    if (brace != NULL) {
        uint8_t *copy = mem_alloc(size_bytes, 1);
        uint64_t header_bytes = (uint64_t)(brace + 1 - (data + 8));
        memcpy(copy, data, size_bytes);
        memcpy(copy, &header_bytes, sizeof header_bytes);
        sum += try_file(copy, size_bytes);
        mem_free(copy);
    }
    return sum == UINT32_MAX ? -1 : 0;
}
