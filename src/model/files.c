#include "model/files.h"

enum { SLAB_BYTES = 32 << 20 };

/* The head of a slab, in its first 64 bytes. */
struct page_slab {
    page_slab *next;
    size_t size_bytes, used;
};

static page_slab *new_slab(model_files *files, size_t size_bytes)
{
    page_slab *slab = mem_alloc_pages(size_bytes);
    if (slab == NULL)
        return NULL;
    *slab = (page_slab){.next = files->slabs, .size_bytes = size_bytes, .used = 64};
    files->slabs = slab;
    return slab;
}

void *files_pages(model_files *files, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - 128)
        return NULL;
    size_bytes = (size_bytes + 63) & ~(size_t)63;
    page_slab *slab = files->slabs;
    if (slab == NULL || slab->size_bytes - slab->used < size_bytes)
        slab = new_slab(files, size_bytes + 64 > SLAB_BYTES ? size_bytes + 64 : SLAB_BYTES);
    if (slab == NULL)
        return NULL;
    void *pages = (uint8_t *)slab + slab->used;
    slab->used += size_bytes;
    return pages;
}

void files_close(model_files *files)
{
    if (files == NULL)
        return;
    source_close(files->base);
    safetensors_close(files->adapter);
    while (files->slabs != NULL) {
        page_slab *slab = files->slabs;
        files->slabs = slab->next;
        mem_free_pages(slab, slab->size_bytes);
    }
    mem_free(files);
}
