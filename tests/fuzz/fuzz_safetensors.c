/* Any bytes as a safetensors file: refused, or every tensor lies inside them and can be found. */
#include "formats/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    safetensors *st;
    slant_error err;
    if (safetensors_open_memory(data, size_bytes, "fuzz", &st, &err) != SLANT_OK)
        return 0;
    uint32_t sum = 0;
    for (size_t i = 0; i < safetensors_count(st); i++) {
        const tensor_view *view = safetensors_at(st, i);
        if (safetensors_find(st, view->name) != view || view->data < data ||
            view->size_bytes > (size_t)(data + size_bytes - view->data))
            abort();
        for (size_t b = 0; b < view->size_bytes; b++)
            sum += view->data[b];
    }
    sum += safetensors_metadata(st, "format") != NULL;
    safetensors_close(st);
    return sum == 0xFFFFFFFFu ? -1 : 0;
}
