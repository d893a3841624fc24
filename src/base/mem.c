#include "base/mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic uint64_t alloc_count;
static _Atomic uint64_t fail_at; /* 0: never */
static _Atomic bool fail_sticky;

static bool allocation_allowed(void)
{
    uint64_t count = atomic_fetch_add(&alloc_count, 1) + 1;
    uint64_t at = atomic_load(&fail_at);
    if (at == 0)
        return true;
    return atomic_load(&fail_sticky) ? count < at : count != at;
}

uint64_t mem_alloc_count(void)
{
    return atomic_load(&alloc_count);
}

void mem_fail_at(uint64_t nth, bool sticky)
{
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, nth == 0 ? 0 : atomic_load(&alloc_count) + nth);
}

bool mem_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool mem_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

void *mem_alloc(size_t n_items, size_t item_bytes)
{
    size_t size_bytes;
    if (!mem_mul(n_items, item_bytes, &size_bytes) || !allocation_allowed())
        return NULL;
    return malloc(size_bytes == 0 ? 1 : size_bytes);
}

void *mem_calloc(size_t n_items, size_t item_bytes)
{
    size_t size_bytes;
    if (!mem_mul(n_items, item_bytes, &size_bytes) || !allocation_allowed())
        return NULL;
    return calloc(1, size_bytes == 0 ? 1 : size_bytes);
}

void *mem_realloc(void *pointer, size_t n_items, size_t item_bytes)
{
    size_t size_bytes;
    if (!mem_mul(n_items, item_bytes, &size_bytes) || !allocation_allowed())
        return NULL;
    return realloc(pointer, size_bytes == 0 ? 1 : size_bytes);
}

char *mem_strndup(const char *string, size_t size_bytes)
{
    size_t with_end;
    if (!mem_add(size_bytes, 1, &with_end))
        return NULL;
    char *copy = mem_alloc(with_end, 1);
    if (copy != NULL) {
        memcpy(copy, string, size_bytes);
        copy[size_bytes] = '\0';
    }
    return copy;
}

void *mem_with_room(void *array, size_t *cap, size_t need, size_t item_bytes)
{
    enum { LEAST = 16 };
    if (need <= *cap)
        return array;
    size_t more = *cap > SIZE_MAX / 2 ? need : 2 * *cap;
    more = more < need ? need : more < LEAST ? LEAST : more;
    void *grown = mem_realloc(array, more, item_bytes);
    if (grown != NULL)
        *cap = more;
    return grown;
}

char *mem_strdup(const char *string)
{
    return mem_strndup(string, strlen(string));
}

void mem_free(void *pointer)
{
    free(pointer);
}

/* Where the address sanitizer watches, pages come from where it can: with a fence at the very last
 * byte, which a mapping has at the end of a page alone. */
#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif

#ifdef WATCHED
static void *map_pages(size_t size_bytes)
{
    void *pages;
    return posix_memalign(&pages, 64, size_bytes) == 0 ? memset(pages, 0, size_bytes) : NULL;
}

static void unmap_pages(void *pages, size_t size_bytes)
{
    (void)size_bytes;
    free(pages);
}
#else
static void *map_pages(size_t size_bytes)
{
    void *pages =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (size_bytes >= ((size_t)4 << 20))
        (void)madvise(pages, size_bytes, MADV_HUGEPAGE); /* a hint: refusal costs only speed */
#endif
    return pages;
}

static void unmap_pages(void *pages, size_t size_bytes)
{
    munmap(pages, size_bytes);
}
#endif

void *mem_alloc_pages(size_t size_bytes)
{
    return allocation_allowed() ? map_pages(size_bytes == 0 ? 1 : size_bytes) : NULL;
}

void mem_free_pages(void *pointer, size_t size_bytes)
{
    if (pointer != NULL)
        unmap_pages(pointer, size_bytes == 0 ? 1 : size_bytes);
}

struct arena_block {
    arena_block *next;
    size_t cap;
    alignas(16) unsigned char bytes[];
};

void *arena_alloc(arena *a, size_t n_items, size_t item_bytes)
{
    size_t size_bytes;
    if (!mem_mul(n_items, item_bytes, &size_bytes) || size_bytes > SIZE_MAX - 64)
        return NULL;
    size_bytes = (size_bytes + 15) & ~(size_t)15;
    if (a->blocks == NULL || a->blocks->cap - a->used < size_bytes) {
        size_t cap = size_bytes > 16384 ? size_bytes : 16384;
        arena_block *block = mem_alloc(1, sizeof *block + cap);
        if (block == NULL)
            return NULL;
        block->next = a->blocks;
        block->cap = cap;
        a->blocks = block;
        a->used = 0;
    }
    void *piece = a->blocks->bytes + a->used;
    a->used += size_bytes;
    return memset(piece, 0, size_bytes);
}

char *arena_strndup(arena *a, const char *string, size_t size_bytes)
{
    size_t with_end;
    if (!mem_add(size_bytes, 1, &with_end))
        return NULL;
    char *copy = arena_alloc(a, with_end, 1);
    if (copy != NULL && size_bytes > 0)
        memcpy(copy, string, size_bytes);
    return copy;
}

char *arena_strdup(arena *a, const char *string)
{
    return arena_strndup(a, string, strlen(string));
}

char *arena_printf(arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    char *text = length < 0 ? NULL : arena_alloc(a, (size_t)length + 1, 1);
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, fmt, again);
    va_end(again);
    va_end(args);
    return text;
}

void arena_free(arena *a)
{
    arena_block *block = a->blocks;
    while (block != NULL) {
        arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
    a->blocks = NULL;
    a->used = 0;
}
