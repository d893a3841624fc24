/* Which directory holds the adapter: a PEFT directory or checkpoint itself, or a choice among the
 * checkpoint-N of a training output directory. */
#ifndef SLANT_MODEL_CHECKPOINT_H
#define SLANT_MODEL_CHECKPOINT_H

#include "base/buf.h"
#include "base/status.h"

/* choice: NULL (the directory's own adapter, else its last checkpoint), "last", "best" or a number.
 * What was decided without being asked is added to notes, a line each. Ownership of *out: mem_free.
 */
slant_status checkpoint_find(const char *dir, const char *choice, char **out, buf *notes,
                             slant_error *err);

/* "checkpoint-12" → 12; -1: another name. */
int64_t checkpoint_step(const char *name);

#endif
