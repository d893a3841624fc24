/* What kind of input a file is: by its name, else by its first bytes. */
#ifndef SLANT_DATA_SNIFF_H
#define SLANT_DATA_SNIFF_H

#include "data/feed.h"
#include "data/fields.h"

/* By the ending, a .gz or .zst behind it left aside; SLANT_INPUT_AUTO where it says nothing. */
slant_input sniff_name(const char *path);

/* By the bytes at the beginning, of which some are read but none taken. Bytes that are no text are
 * SLANT_ERR_FORMAT and called what they look like. */
slant_status sniff_bytes(feed *f, const fields *wanted, slant_input *kind, slant_error *err);

#endif
