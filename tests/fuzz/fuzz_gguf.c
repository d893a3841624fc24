/* Any bytes as a GGUF file: refused, or every tensor lies inside them and every value can be read.
 */
#include "formats/gguf.h"

#include <stdlib.h>

static size_t read_metadata(const gguf *g, const char *key)
{
    int64_t integer;
    double number;
    const char *const *strings;
    const size_t *string_bytes;
    const int32_t *ints;
    const float *floats;
    size_t n = 0, sum = 0;
    if (!gguf_has(g, key))
        abort();
    sum += gguf_int(g, key, &integer) && integer != 0;
    sum += gguf_double(g, key, &number) && number > 0;
    const char *string = gguf_string(g, key);
    if (string != NULL)
        while (*string != '\0')
            sum += (unsigned char)*string++;
    if (gguf_array_strings(g, key, &strings, &string_bytes, &n))
        for (size_t i = 0; i < n; i++)
            for (size_t b = 0; b < string_bytes[i]; b++)
                sum += (unsigned char)strings[i][b];
    if (gguf_array_ints(g, key, &ints, &n))
        for (size_t i = 0; i < n; i++)
            sum += ints[i] != 0;
    if (gguf_array_floats(g, key, &floats, &n))
        for (size_t i = 0; i < n; i++)
            sum += floats[i] > 0;
    return sum + gguf_array_count(g, key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    gguf *g;
    slant_error err;
    if (gguf_open_memory(data, size_bytes, "fuzz", &g, &err) != SLANT_OK)
        return 0;
    size_t sum = 0;
    for (size_t i = 0; i < gguf_count(g); i++) {
        const tensor_view *view = gguf_at(g, i);
        if (gguf_find(g, view->name) != view)
            abort();
        for (size_t b = 0; b < view->size_bytes; b++)
            sum += view->data[b];
    }
    for (size_t i = 0; i < gguf_metadata_count(g); i++)
        sum += read_metadata(g, gguf_metadata_key(g, i)) + gguf_metadata_type(g, i);
    gguf_close(g);
    return sum == SIZE_MAX ? -1 : 0;
}
