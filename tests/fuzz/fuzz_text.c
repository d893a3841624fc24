/* Any bytes as a file of unknown kind: plain, gzip or zstd, then whatever they look like. */
#include "reader_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    slant_reader_options options = {.title_field = "title", .label_field = "label", .lossy = true};
    size_t sum = read_as_file(data, size_bytes, &options);
    return sum == SIZE_MAX ? -1 : 0;
}
