/* The list of files that are to be read: the paths as given, folders replaced by what is in them.
 */
#ifndef SLANT_DATA_INPUTS_H
#define SLANT_DATA_INPUTS_H

#include "base/mem.h"
#include "base/status.h"

typedef struct input {
    const char *path;
    uint64_t size_bytes;
    slant_status status; /* SLANT_OK, or why this path cannot be read */
    const char *problem; /* in words, where status says so */
} input;

typedef struct inputs {
    arena strings;
    input *items; /* [n_items], room for cap */
    size_t n_items, cap;
    uint64_t total_bytes;
    bool size_known; /* false where any is a pipe or the like */
} inputs;

/* "-" is standard input. Folders are walked where recursive is set: files in name order, hidden
 * ones and links to folders left out. A path that cannot be read becomes an item with a status. */
slant_status inputs_open(inputs *list, const char *const *paths, size_t n_paths, bool recursive,
                         slant_error *err);
void inputs_close(inputs *list);

#endif
