/* Hub names ("meta-llama/Llama-3.2-1B") in the local caches: slant's own, then Hugging Face's. */
#ifndef SLANT_MODEL_HUB_H
#define SLANT_MODEL_HUB_H

#include "base/status.h"

/* What to open for a name that was given as a model or an adapter: the path itself where it exists;
 * else, where it reads as a hub name, its snapshot's directory, with what follows the name
 * ("org/name/checkpoint-12") as a folder below it. Ownership: mem_free. */
slant_status hub_resolve(const char *name, char **path, slant_error *err);

#endif
