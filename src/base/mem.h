/* Memory: every allocation of slant goes through here, so that sizes are checked for overflow,
 * tests can count allocations, and tests can make any one of them fail. */
#ifndef SLANT_BASE_MEM_H
#define SLANT_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Like malloc/calloc/realloc of n_items × item_bytes; NULL on overflow or when memory is out.
 * A size of zero gives a unique pointer. Ownership: mem_free. */
void *mem_alloc(size_t n_items, size_t item_bytes);
void *mem_calloc(size_t n_items, size_t item_bytes);
void *mem_realloc(void *pointer, size_t n_items, size_t item_bytes);
/* array, of *cap items, with room for need of them and more, what is in it kept; *cap follows. NULL
 * when memory is out: array and *cap are then as they were. */
void *mem_with_room(void *array, size_t *cap, size_t need, size_t item_bytes);
char *mem_strdup(const char *string);
char *mem_strndup(const char *string, size_t size_bytes);
void mem_free(void *pointer);

/* Large numeric buffers: zeroed, aligned to 64 bytes, backed by huge pages where the system offers
 * them. Ownership: mem_free_pages with the same size. */
void *mem_alloc_pages(size_t size_bytes);
void mem_free_pages(void *pointer, size_t size_bytes);

/* a × b and a + b into *out; false on overflow. */
bool mem_mul(size_t a, size_t b, size_t *out);
bool mem_add(size_t a, size_t b, size_t *out);

/* How many allocations (of all three kinds, growths included) the process has made. */
uint64_t mem_alloc_count(void);

/* For tests: the n-th allocation from now (1 = the next) fails, and if sticky all after it; 0:
 * none. */
void mem_fail_at(uint64_t nth, bool sticky);

/* An arena hands out pieces that are freed together. Pieces are aligned to 16 bytes. */
typedef struct arena_block arena_block;
typedef struct arena {
    arena_block *blocks;
    size_t used; /* of the newest block */
} arena;

void *arena_alloc(arena *a, size_t n_items, size_t item_bytes); /* zeroed; NULL when out */
char *arena_strndup(arena *a, const char *string, size_t size_bytes);
char *arena_strdup(arena *a, const char *string);
char *arena_printf(arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(arena *a); /* leaves an empty arena that can be used again */

#endif
