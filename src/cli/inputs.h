/* The names of files on a command line: what makes no sense is refused before anything is opened.
 */
#ifndef SLANT_CLI_INPUTS_H
#define SLANT_CLI_INPUTS_H

#include "base/status.h"

#include <stddef.h>

/* inputs [n_inputs]. Refused are folders, unless recursive, and an output (NULL: none) that is one
 * of the inputs or lies in a folder that is read. */
slant_status inputs_check(const char *const *inputs, size_t n_inputs, bool recursive,
                          const char *output, slant_error *err);

/* The files, or standard input where there are none; *n_files follows. */
const char *const *inputs_or_standard(const char *const *files, size_t *n_files);

#endif
