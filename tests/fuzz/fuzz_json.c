/* Any bytes as JSON, as JSONL, and as one value, where jansson says whether it is one. */
#include "reader_input.h"

#include <jansson.h>

/* Beyond jansson, slant takes numbers that no double holds, lone surrogates, which are refused with
 * the text that they are in, and U+0000 in names. jansson takes a NUL for the end. */
static void compare_with_jansson(const char *text, size_t text_bytes)
{
    json_scan scan;
    json_value value;
    json_error_t error;
    if (utf8_valid_prefix(text, text_bytes) < text_bytes || memchr(text, '\0', text_bytes) != NULL)
        return;
    json_scan_init(&scan, text, text_bytes);
    bool ours =
        json_scan_value(&scan, &value, NULL) == SLANT_OK && json_scan_end(&scan, NULL) == SLANT_OK;
    json_t *json = json_loadb(text, text_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json != NULL)
        require(ours);
    else if (ours)
        require(memmem(text, text_bytes, "\\u", 2) != NULL ||
                json_error_code(&error) == json_error_numeric_overflow ||
                json_error_code(&error) == json_error_stack_overflow);
    if (json_is_string(json)) {
        buf decoded = {0};
        json_string_decode(&value, &decoded);
        require(decoded.size_bytes == json_string_length(json));
        require(memcmp(decoded.size_bytes > 0 ? decoded.data : "", json_string_value(json),
                       decoded.size_bytes) == 0);
        buf_free(&decoded);
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    slant_reader_options options = {
        .input = SLANT_INPUT_JSON, .title_field = "title", .label_field = "label"};
    size_t sum = read_as_file(data, size_bytes, &options);
    options.input = SLANT_INPUT_JSONL;
    sum += read_as_file(data, size_bytes, &options);
    if (size_bytes > 0)
        compare_with_jansson((const char *)data, size_bytes);
    return sum == SIZE_MAX ? -1 : 0;
}
