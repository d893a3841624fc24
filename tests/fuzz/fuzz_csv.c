/* Any bytes as a CSV and as a TSV. */
#include "reader_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    slant_reader_options options = {
        .input = SLANT_INPUT_CSV, .title_field = "title", .label_field = "label"};
    size_t sum = read_as_file(data, size_bytes, &options);
    options.input = SLANT_INPUT_TSV;
    sum += read_as_file(data, size_bytes, &options);
    return sum == SIZE_MAX ? -1 : 0;
}
