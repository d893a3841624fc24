/* What answers and figures rest on, in words for a person: the model, the adapter, calibration. */
#ifndef SLANT_CLI_FOUNDATION_H
#define SLANT_CLI_FOUNDATION_H

#include "base/buf.h"

#include <slant.h>

/* The first words of what stands under every table that shows scores. */
#define FOUNDATION_CAVEAT "A supplementary tool, not an arbiter of political bias."

/* Lines "  model           …", each with its newline. */
void foundation_append(buf *out, const slant_engine *engine);
/* "  NAME            words" in the same columns. */
void foundation_line(buf *out, const char *name, const char *words);
/* The model and the adapter, how they are held and run, on standard error. */
void foundation_say(const slant_engine *engine);

/* Bytes that would steer a terminal become '?'. */
void foundation_plain(buf *out, const char *bytes, size_t size_bytes);

#endif
