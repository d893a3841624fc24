/* Any bytes as a page: refused, or its text and headline are UTF-8. */
#include "text/html.h"
#include "text/utf8.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    for (int lossy = 0; lossy < 2; lossy++) {
        buf text = {0}, title = {0};
        slant_error err;
        slant_status status =
            html_extract((const char *)data, size_bytes, lossy == 1, &text, &title, &err);
        if (status == SLANT_OK &&
            (utf8_valid_prefix(text.data, text.size_bytes) != text.size_bytes ||
             utf8_valid_prefix(title.data, title.size_bytes) != title.size_bytes))
            abort();
        buf_free(&text);
        buf_free(&title);
    }
    return 0;
}
