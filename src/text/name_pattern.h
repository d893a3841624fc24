/* Regular expressions over module names, as PEFT uses Python's re: by PCRE2, with limits, so that
 * no adapter_config.json can make opening slow. */
#ifndef SLANT_TEXT_NAME_PATTERN_H
#define SLANT_TEXT_NAME_PATTERN_H

#include "base/status.h"

typedef struct name_pattern name_pattern;

/* before + pattern + after, which must match a whole name. what stands in messages
 * ("target_modules"). Ownership: name_pattern_close. */
slant_status name_pattern_open(const char *before, const char *pattern, const char *after,
                               const char *what, name_pattern **out, slant_error *err);
slant_status name_pattern_match(const name_pattern *p, const char *name, bool *matches,
                                slant_error *err);
/* The number that group "idx" holds in a match; -1: no match. */
slant_status name_pattern_index(const name_pattern *p, const char *name, int *index,
                                slant_error *err);
const char *name_pattern_text(const name_pattern *p); /* the pattern itself */
void name_pattern_close(name_pattern *p);

#endif
