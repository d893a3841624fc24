/* What the layers below the lowest adapted one make of each article: the same in every epoch, so
 * that it need be computed but once. It is kept in fp32, as the forward pass computes it, in a
 * scratch file that is mapped. The file names what it was made from and tells which articles it
 * holds, so that a resumed run goes on with it, and any other begins it anew. */
#ifndef SLANT_TRAIN_FROZEN_H
#define SLANT_TRAIN_FROZEN_H

#include "model/pass.h"
#include "train/dataset.h"

/* Everything that the values depend on. */
typedef struct frozen_key {
    const char *base_digest, *weights; /* and how the base's weights are held */
    slant_compute compute;
    const char *isa;
    bool half; /* the tape's */
    int layer; /* that the values enter */
    int n_layers, hidden_size;
} frozen_key;

typedef struct frozen_cache frozen_cache;

/* The file at path for the articles of d, taking all of its room on the disk now. cap_articles: of
 * a batch. */
slant_status frozen_open(const char *path, const frozen_key *key, const dataset *d,
                         int cap_articles, frozen_cache **out, slant_error *err);
/* Without keep the file goes away. Closing NULL is harmless. */
void frozen_close(frozen_cache *c, bool keep);

/* Where the articles' rows are kept and whether they are all there. NULL where c is NULL. Valid
 * until the next call. */
const kept_hidden *frozen_batch(frozen_cache *c, const int *articles, int n);
/* After a pass over that batch: its rows are there from now on. */
void frozen_done(frozen_cache *c);

size_t frozen_bytes(const frozen_cache *c);
int frozen_n_there(const frozen_cache *c); /* articles */

#endif
