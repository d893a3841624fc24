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

/* The steps of all checkpoint-N in dir. Ownership: checkpoint_list_close, whether this succeeds or
 * not. */
typedef struct checkpoint_list {
    int64_t *steps; /* [n_steps], ascending */
    size_t n_steps, cap;
} checkpoint_list;
slant_status checkpoint_list_open(const char *dir, checkpoint_list *list, slant_error *err);
void checkpoint_list_close(checkpoint_list *list);

/* "checkpoint-12" → 12; -1: another name. */
int64_t checkpoint_step(const char *name);

#endif
