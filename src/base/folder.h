/* Folders that appear whole or not at all. A folder is written under another name beside its place,
 * every file in it and the folder itself brought to the disk, and then renamed. */
#ifndef SLANT_BASE_FOLDER_H
#define SLANT_BASE_FOLDER_H

#include "base/status.h"

/* Makes the folder and those above it; one that is there is fine. */
slant_status folder_make(const char *path, slant_error *err);

/* The name that path is written under: ".NAME.partial" beside it. Owned by the caller (mem_free);
 * NULL when memory is out. */
char *folder_partial_name(const char *path);
/* Makes an empty folder of the partial name, whatever an earlier attempt left there. */
slant_status folder_begin(const char *partial, slant_error *err);
/* Brings partial's files to the disk and gives it the name path; a folder that is there gives way
 * in the same moment. */
slant_status folder_commit(const char *partial, const char *path, slant_error *err);

/* Removes a folder with all that is in it: it loses its name first, so that it is never seen in
 * parts. One that is not there is fine. */
slant_status folder_remove(const char *path, slant_error *err);

/* Calls visit for each entry but "." and "..", in no order. Stops at the first that is not
 * SLANT_OK.
 */
slant_status folder_each(const char *path,
                         slant_status (*visit)(void *context, const char *name, slant_error *err),
                         void *context, slant_error *err);

#endif
