/* What a model keeps open while it lives: mapped files, and pages with weights made on load. */
#ifndef SLANT_MODEL_FILES_H
#define SLANT_MODEL_FILES_H

#include "model/source.h"

typedef struct page_slab page_slab;

typedef struct model_files {
    source *base;
    safetensors *adapter; /* NULL: none */
    page_slab *slabs;
} model_files;

/* Zeroed memory aligned to 64 bytes that lives as long as the files; NULL: out of memory. Weights
 * share large slabs, so that huge pages serve them whatever the size of one. */
void *files_pages(model_files *files, size_t size_bytes);

void files_close(model_files *files); /* frees files */

#endif
