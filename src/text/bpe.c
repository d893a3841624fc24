#include "text/bpe.h"

#include "base/mem.h"

#include <string.h>

/* Up to here the next pair is found by looking at all of them; beyond, by a heap. */
#define SCAN_MAX 48u
#define NO_RANK UINT32_MAX
#define NONE UINT32_MAX

void bpe_free(bpe_word *word)
{
    mem_free(word->ids);
    mem_free(word->heap);
    *word = (bpe_word){0};
}

bool bpe_reset(bpe_word *word, size_t n)
{
    word->n = 0;
    if (n <= word->cap)
        return true;
    if (n >= NONE / 4)
        return false;
    size_t cap = n < 256 ? 256 : n + n / 2;
    uint32_t *arrays = mem_alloc(cap, 5 * sizeof *arrays);
    if (arrays == NULL)
        return false;
    mem_free(word->ids);
    word->ids = arrays;
    word->lengths = arrays + cap;
    word->ranks = arrays + 2 * cap;
    word->next = arrays + 3 * cap;
    word->previous = arrays + 4 * cap;
    word->cap = cap;
    return true;
}

static uint32_t pair_rank(const tables *t, uint32_t left, uint32_t right)
{
    const tables_merge *merge = tables_find_merge(t, left, right);
    return merge == NULL ? NO_RANK : merge->rank;
}

static size_t lowest_rank(const uint32_t *ranks, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (ranks[i] < ranks[best])
            best = i;
    return best;
}

static void close_gap(uint32_t *array, size_t at, size_t n)
{
    memmove(array + at, array + at + 1, (n - at - 1) * sizeof *array);
}

/* ranks[i] is that of the pair (i, i + 1). */
static void merge_by_scan(const tables *t, bpe_word *word)
{
    uint32_t *ids = word->ids, *ranks = word->ranks;
    for (size_t i = 0; i + 1 < word->n; i++)
        ranks[i] = pair_rank(t, ids[i], ids[i + 1]);
    while (word->n > 1) {
        size_t at = lowest_rank(ranks, word->n - 1);
        const tables_merge *merge =
            ranks[at] == NO_RANK ? NULL : tables_find_merge(t, ids[at], ids[at + 1]);
        if (merge == NULL)
            break;
        ids[at] = merge->id;
        word->lengths[at] += word->lengths[at + 1];
        close_gap(ids, at + 1, word->n);
        close_gap(word->lengths, at + 1, word->n);
        if (at + 2 < word->n)
            close_gap(ranks, at, word->n - 1);
        word->n--;
        if (at > 0)
            ranks[at - 1] = pair_rank(t, ids[at - 1], ids[at]);
        if (at + 1 < word->n)
            ranks[at] = pair_rank(t, ids[at], ids[at + 1]);
    }
}

static void heap_push(bpe_word *word, size_t *n_heap, uint64_t key)
{
    size_t at = (*n_heap)++;
    while (at > 0 && word->heap[(at - 1) / 2] > key) {
        word->heap[at] = word->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    word->heap[at] = key;
}

static uint64_t heap_pop(bpe_word *word, size_t *n_heap)
{
    uint64_t top = word->heap[0], moving = word->heap[--*n_heap];
    size_t at = 0;
    for (size_t child = 1; child < *n_heap; child = 2 * at + 1) {
        if (child + 1 < *n_heap && word->heap[child + 1] < word->heap[child])
            child++;
        if (word->heap[child] >= moving)
            break;
        word->heap[at] = word->heap[child];
        at = child;
    }
    word->heap[at] = moving;
    return top;
}

/* Puts the pair at position left, if it merges, on the heap. */
static void queue_pair(const tables *t, bpe_word *word, size_t *n_heap, uint32_t left)
{
    uint32_t right = word->next[left];
    if (right == NONE)
        return;
    uint32_t rank = pair_rank(t, word->ids[left], word->ids[right]);
    if (rank != NO_RANK)
        heap_push(word, n_heap, (uint64_t)rank << 32 | left);
}

static void link_symbols(bpe_word *word)
{
    for (uint32_t i = 0; i < word->n; i++) {
        word->previous[i] = i == 0 ? NONE : i - 1;
        word->next[i] = i + 1 == word->n ? NONE : i + 1;
    }
}

static void compact(bpe_word *word)
{
    size_t n = 0;
    for (uint32_t i = 0; i != NONE; i = word->next[i], n++) {
        word->ids[n] = word->ids[i];
        word->lengths[n] = word->lengths[i];
    }
    word->n = n;
}

/* Symbols stay where they are and are linked; an absorbed one has no length. An entry of the heap
 * has gone stale when the pair at its position has another rank by now. Each merge adds at most two
 * entries and removes one symbol, so the heap never holds more than 3 × n. */
static bool merge_by_heap(const tables *t, bpe_word *word)
{
    size_t n_heap = 0;
    if (word->heap_cap < 3 * word->cap) {
        uint64_t *heap = mem_alloc(word->cap, 3 * sizeof *heap);
        if (heap == NULL)
            return false;
        mem_free(word->heap);
        word->heap = heap;
        word->heap_cap = 3 * word->cap;
    }
    link_symbols(word);
    for (uint32_t i = 0; i + 1 < word->n; i++)
        queue_pair(t, word, &n_heap, i);
    while (n_heap > 0) {
        uint64_t top = heap_pop(word, &n_heap);
        uint32_t left = (uint32_t)top, right = word->next[left];
        if (word->lengths[left] == 0 || right == NONE)
            continue;
        const tables_merge *merge = tables_find_merge(t, word->ids[left], word->ids[right]);
        if (merge == NULL || merge->rank != top >> 32)
            continue;
        word->ids[left] = merge->id;
        word->lengths[left] += word->lengths[right];
        word->lengths[right] = 0;
        word->next[left] = word->next[right];
        if (word->next[left] != NONE)
            word->previous[word->next[left]] = left;
        if (word->previous[left] != NONE)
            queue_pair(t, word, &n_heap, word->previous[left]);
        queue_pair(t, word, &n_heap, left);
    }
    compact(word);
    return true;
}

bool bpe_merge(const tables *t, bpe_word *word)
{
    if (t->n_merges == 0 || word->n < 2)
        return true;
    if (word->n > SCAN_MAX)
        return merge_by_heap(t, word);
    merge_by_scan(t, word);
    return true;
}
