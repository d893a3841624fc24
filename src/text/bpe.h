/* Byte pair encoding of one word: neighbours merge, the lowest rank first and the leftmost of
 * equals, until none merge. */
#ifndef SLANT_TEXT_BPE_H
#define SLANT_TEXT_BPE_H

#include "text/tokenizer_tables.h"

/* The symbols of a word, and what merging them needs. */
typedef struct bpe_word {
    uint32_t *ids;     /* [n], cap */
    uint32_t *lengths; /* [n]: of the alphabet's bytes that a symbol stands for */
    size_t n, cap;
    uint32_t *ranks, *next, *previous; /* [cap] */
    uint64_t *heap;                    /* [3 × cap]: rank in the high half, position in the low */
    size_t heap_cap;
} bpe_word;

/* Room for n symbols; false when memory is out. Empties the word. */
bool bpe_reset(bpe_word *word, size_t n);
void bpe_free(bpe_word *word);

static inline void bpe_push(bpe_word *word, uint32_t id, uint32_t length)
{
    word->ids[word->n] = id;
    word->lengths[word->n++] = length;
}

/* Merges in place. */
bool bpe_merge(const tables *t, bpe_word *word);

#endif
