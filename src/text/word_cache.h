/* From words already seen to their ids. News repeats its words: nearly all of a text is answered
 * from here, so an answer is one comparison and one copy. Words of up to 15 bytes and 4 ids have
 * entries of half a cache line; those of up to 39 bytes and 5 ids a line each; what is longer still
 * is rare and is encoded anew. */
#ifndef SLANT_TEXT_WORD_CACHE_H
#define SLANT_TEXT_WORD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_SHORT_BYTES 15u
#define WORD_SHORT_IDS 4u
#define WORD_LONG_BYTES 39u
#define WORD_LONG_IDS 5u

#define WORD_SHORT_BITS 17
#define WORD_LONG_BITS 13

/* A short word, padded with zeros; its length is the last byte. */
typedef struct word_key {
    uint64_t low, high;
} word_key;

typedef struct word_short {
    word_key key; /* how many ids there are stands above the length; all zero: empty */
    int32_t ids[WORD_SHORT_IDS];
} word_short;

typedef struct word_long {
    char key[WORD_LONG_BYTES + 1]; /* the last byte is the length, 0 in an empty entry */
    int32_t ids[WORD_LONG_IDS];
    uint32_t n_ids;
} word_long;

typedef struct word_cache {
    word_short *shorts; /* [1 << WORD_SHORT_BITS], in buckets of two: the newer one first */
    word_long *longs;   /* [1 << WORD_LONG_BITS] */
} word_cache;

bool word_cache_open(word_cache *cache); /* false when memory is out */
void word_cache_close(word_cache *cache);

#define WORD_COUNT_SHIFT 60
#define WORD_COUNT_MASK (UINT64_C(7) << WORD_COUNT_SHIFT)

/* word has 1 to WORD_SHORT_BYTES bytes; where 16 may be read from there, they are, and masked. */
static inline word_key word_short_key(const char *word, uint32_t n_bytes, bool may_read_16)
{
    word_key key = {0, 0};
    if (may_read_16) {
        memcpy(&key, word, 16);
        uint32_t low_bits = n_bytes >= 8 ? 0 : 64 - 8 * n_bytes;
        uint32_t high_bits = n_bytes > 8 ? 8 * (n_bytes - 8) : 0;
        key.low &= UINT64_MAX >> low_bits;
        key.high &= (UINT64_C(1) << high_bits) - 1;
    } else {
        memcpy(&key, word, n_bytes);
    }
    key.high |= (uint64_t)n_bytes << 56;
    return key;
}

static inline word_short *word_short_bucket(const word_cache *cache, word_key key)
{
    uint64_t hash =
        key.low * UINT64_C(0x9E3779B97F4A7C15) + key.high * UINT64_C(0xC2B2AE3D27D4EB4F);
    hash = (hash ^ hash >> 32) * UINT64_C(0xBF58476D1CE4E5B9);
    return &cache->shorts[hash >> (64 - WORD_SHORT_BITS) & ~UINT64_C(1)];
}

/* The entry of a word in its bucket; NULL where it is not there. */
static inline const word_short *word_short_find(const word_short *bucket, word_key key)
{
    for (int i = 0; i < 2; i++)
        if (((bucket[i].key.low ^ key.low) |
             ((bucket[i].key.high & ~WORD_COUNT_MASK) ^ key.high)) == 0)
            return &bucket[i];
    return NULL;
}

static inline uint32_t word_short_count(const word_short *entry)
{
    return (uint32_t)(entry->key.high >> WORD_COUNT_SHIFT) & 7;
}

/* Enters a word's ids, at most WORD_SHORT_IDS; the older entry of the bucket goes. */
void word_short_put(word_short *bucket, word_key key, const int32_t *ids, uint32_t n_ids);

/* The entry where a word of WORD_SHORT_BYTES + 1 to WORD_LONG_BYTES bytes would be, and whether it
 * is. */
word_long *word_long_find(const word_cache *cache, const char *word, uint32_t n_bytes, bool *found);
void word_long_put(word_long *entry, const char *word, uint32_t n_bytes, const int32_t *ids,
                   uint32_t n_ids);

#endif
