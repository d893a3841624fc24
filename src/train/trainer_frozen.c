/* Which of a run's sets have the work of frozen layers kept, and for how long. */
#include "train/frozen.h"
#include "train/trainer.h"

#include "model/tape.h"

#include <string.h>
#include <unistd.h>

/* Each rank has files of its own, for each sees articles of its own. */
static char *path_of(const trainer *t, const char *set)
{
    char name[64];
    snprintf(name, sizeof name, ".frozen-%s-%d", set, t->rank);
    return file_join(t->s->output_dir, name);
}

static slant_status open_set(trainer *t, const char *set, const dataset *d, bool half,
                             frozen_cache **out, slant_error *err)
{
    const char *digest = t->base.base_digest;
    frozen_key key = {.base_digest = digest == NULL ? "unknown" : digest,
                      .weights = dtype_get(t->base.linear_type)->name,
                      .compute = t->compute,
                      .isa = t->work->kernels->name,
                      .half = half,
                      .layer = t->tape->first_layer,
                      .n_layers = t->base.config.n_layers,
                      .hidden_size = t->base.config.hidden_size};
    char *path = path_of(t, set);
    slant_status status = path == NULL
                              ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for training")
                              : frozen_open(path, &key, d, t->batch.cap_sequences, out, err);
    mem_free(path);
    return status;
}

/* What a run that was given up left behind. */
static void remove_file(const trainer *t, const char *set)
{
    char *path = path_of(t, set);
    if (path != NULL)
        unlink(path);
    mem_free(path);
}

/* Why nothing can be kept; NULL: it can. An embedding that an adapter brings is not among what the
 * base's digest speaks of. */
static const char *hindrance(const trainer *t)
{
    if (t->tape->first_layer == 0)
        return "the lowest layer is adapted, so that none is frozen";
    if (strncmp(t->base.embedding.name, "base_model.", 11) == 0)
        return "the adapter brings an embedding of its own";
    return NULL;
}

slant_status trainer_open_frozen(trainer *t, slant_error *err)
{
    const char *why = t->s->cache_frozen ? hindrance(t) : NULL;
    if (why != NULL)
        words_note(t, "cache_frozen: nothing is kept: %s", why);
    if (!t->s->cache_frozen || why != NULL) {
        remove_file(t, "train");
        remove_file(t, "eval");
        return SLANT_OK;
    }
    slant_status status = open_set(t, "train", t->train, t->tape->half, &t->frozen_train, err);
    if (status == SLANT_OK && t->eval != NULL)
        status = open_set(t, "eval", t->eval, false, &t->frozen_eval, err);
    return status;
}

void trainer_close_frozen(trainer *t, bool keep)
{
    frozen_close(t->frozen_train, keep);
    frozen_close(t->frozen_eval, keep);
    t->frozen_train = t->frozen_eval = NULL;
}
