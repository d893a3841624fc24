#include "text/word_cache.h"

#include "base/mem.h"
#include "text/tokenizer_tables.h"

bool word_cache_open(word_cache *cache)
{
    cache->shorts = mem_alloc_pages(sizeof *cache->shorts << WORD_SHORT_BITS);
    cache->longs = mem_alloc_pages(sizeof *cache->longs << WORD_LONG_BITS);
    if (cache->shorts != NULL && cache->longs != NULL)
        return true;
    word_cache_close(cache);
    return false;
}

void word_cache_close(word_cache *cache)
{
    mem_free_pages(cache->shorts, sizeof *cache->shorts << WORD_SHORT_BITS);
    mem_free_pages(cache->longs, sizeof *cache->longs << WORD_LONG_BITS);
    *cache = (word_cache){0};
}

void word_short_put(word_short *bucket, word_key key, const int32_t *ids, uint32_t n_ids)
{
    bucket[1] = bucket[0];
    bucket[0].key = key;
    bucket[0].key.high |= (uint64_t)n_ids << WORD_COUNT_SHIFT;
    memset(bucket[0].ids, 0, sizeof bucket[0].ids);
    memcpy(bucket[0].ids, ids, n_ids * sizeof *ids);
}

word_long *word_long_find(const word_cache *cache, const char *word, uint32_t n_bytes, bool *found)
{
    uint64_t hash = tables_hash_text(word, n_bytes);
    word_long *entry = &cache->longs[hash >> (64 - WORD_LONG_BITS)];
    *found =
        (uint32_t)entry->key[WORD_LONG_BYTES] == n_bytes && memcmp(entry->key, word, n_bytes) == 0;
    return entry;
}

void word_long_put(word_long *entry, const char *word, uint32_t n_bytes, const int32_t *ids,
                   uint32_t n_ids)
{
    memcpy(entry->key, word, n_bytes);
    entry->key[WORD_LONG_BYTES] = (char)n_bytes;
    memcpy(entry->ids, ids, n_ids * sizeof *ids);
    entry->n_ids = n_ids;
}
