/* Words to ids: from the cache, else by the model. */
#include "text/tokenizer_state.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <string.h>

/* Characters without a token wait here until it is known whether the next is one of them too. */
typedef struct unknown_run {
    bool waiting;
    uint32_t length;
} unknown_run;

static void push_unknown(tokenizer_state *state, unknown_run *run)
{
    if (run->waiting)
        bpe_push(&state->word, state->tokenizer->tables.header->unk_id, run->length);
    run->waiting = false;
}

/* A character of length bytes that has neither a token nor byte tokens: without an unk token it is
 * dropped in silence, as Hugging Face does (SmolLM2 has no tokens for 21 bytes). */
static slant_status add_unknown(tokenizer_state *state, unknown_run *run, uint32_t length,
                                slant_error *err)
{
    const tables *t = &state->tokenizer->tables;
    if (t->flags & TABLES_UNK_MISSING)
        return status_fail(err, SLANT_ERR_TEXT,
                           "a character has no token, and the tokenizer's unk token is not in its "
                           "vocabulary");
    if (t->header->unk_id == TABLES_NO_ID)
        return SLANT_OK;
    if (run->waiting && (t->flags & TABLES_FUSE_UNK)) {
        run->length += length;
        return SLANT_OK;
    }
    push_unknown(state, run);
    *run = (unknown_run){true, length};
    return SLANT_OK;
}

static uint32_t alphabet_length(uint8_t byte)
{
    return tables_byte_char(byte) < 0x80 ? 1 : 2;
}

static slant_status start_with_bytes(tokenizer_state *state, const char *word, uint32_t n_bytes,
                                     slant_error *err)
{
    const uint32_t *byte_ids = state->tokenizer->tables.header->byte_ids;
    unknown_run run = {0};
    slant_status status = SLANT_OK;
    for (uint32_t i = 0; status == SLANT_OK && i < n_bytes; i++) {
        uint8_t byte = (uint8_t)word[i];
        if (byte_ids[byte] == TABLES_NO_ID) {
            status = add_unknown(state, &run, alphabet_length(byte), err);
        } else {
            push_unknown(state, &run);
            bpe_push(&state->word, byte_ids[byte], alphabet_length(byte));
        }
    }
    push_unknown(state, &run);
    return status;
}

/* The <0xXX> tokens of a character, all or none. What waits in an unknown_run stays waiting:
 * Hugging Face puts it behind these, and so do we. */
static bool push_fallback(tokenizer_state *state, const char *bytes, uint32_t n_bytes)
{
    const tables *t = &state->tokenizer->tables;
    if (!(t->flags & TABLES_BYTE_FALLBACK))
        return false;
    for (uint32_t i = 0; i < n_bytes; i++)
        if (t->header->byte_ids[(uint8_t)bytes[i]] == TABLES_NO_ID)
            return false;
    for (uint32_t i = 0; i < n_bytes; i++)
        bpe_push(&state->word, t->header->byte_ids[(uint8_t)bytes[i]], 1);
    return true;
}

static slant_status start_with_characters(tokenizer_state *state, const char *word,
                                          uint32_t n_bytes, slant_error *err)
{
    const tables *t = &state->tokenizer->tables;
    unknown_run run = {0};
    slant_status status = SLANT_OK;
    for (uint32_t at = 0, length; status == SLANT_OK && at < n_bytes; at += length) {
        length = (uint32_t)utf8_length((unsigned char)word[at]);
        uint32_t id = tables_find_piece(t, word + at, length);
        if (tables_piece_flags(t, id) & PIECE_MODEL) {
            push_unknown(state, &run);
            bpe_push(&state->word, id, length);
        } else if (!push_fallback(state, word + at, length)) {
            status = add_unknown(state, &run, length, err);
        }
    }
    push_unknown(state, &run);
    return status;
}

/* The word as the vocabulary would spell it; NULL where it is longer than any token. */
static const char *in_alphabet(tokenizer_state *state, const char *word, uint32_t n_bytes,
                               size_t *text_bytes)
{
    const tables *t = &state->tokenizer->tables;
    *text_bytes = n_bytes;
    if (n_bytes > t->header->max_text_bytes)
        return NULL;
    if (!(t->flags & TABLES_BYTE_LEVEL))
        return word;
    size_t n = 0;
    for (uint32_t i = 0; i < n_bytes && n <= t->header->max_text_bytes; i++)
        n += utf8_encode(tables_byte_char((uint8_t)word[i]), state->alphabet + n);
    *text_bytes = n;
    return state->alphabet;
}

/* Leaves the word's ids, and the length of each in the alphabet's bytes, in state->word. */
static slant_status encode_word(tokenizer_state *state, const char *word, uint32_t n_bytes,
                                slant_error *err)
{
    const tables *t = &state->tokenizer->tables;
    if (!bpe_reset(&state->word, n_bytes))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (t->flags & TABLES_IGNORE_MERGES) {
        size_t text_bytes;
        const char *text = in_alphabet(state, word, n_bytes, &text_bytes);
        uint32_t id = text == NULL ? TABLES_NO_ID : tables_find_piece(t, text, text_bytes);
        if (tables_piece_flags(t, id) & PIECE_MODEL) {
            bpe_push(&state->word, id, (uint32_t)text_bytes);
            return SLANT_OK;
        }
    }
    slant_status status = t->flags & TABLES_BYTE_LEVEL
                              ? start_with_bytes(state, word, n_bytes, err)
                              : start_with_characters(state, word, n_bytes, err);
    if (status == SLANT_OK && !bpe_merge(t, &state->word))
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    return status;
}

static bool push_word(tokenizer_state *state)
{
    if (!state_reserve_ids(state, state->word.n))
        return false;
    for (size_t i = 0; i < state->word.n; i++)
        state->ids[state->n_ids++] = (int32_t)state->word.ids[i];
    return true;
}

/* Which byte of the word each byte of its spelling in the alphabet stands for. */
static bool map_alphabet(tokenizer_state *state, const char *word, uint32_t n_bytes)
{
    bool byte_level = state->tokenizer->tables.flags & TABLES_BYTE_LEVEL;
    if ((size_t)n_bytes * 2 > state->alphabet_cap) {
        size_t cap = (size_t)n_bytes * 3 + 64;
        uint32_t *map = mem_realloc(state->alphabet_bytes, cap, sizeof *map);
        if (map == NULL)
            return false;
        state->alphabet_bytes = map;
        state->alphabet_cap = cap;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < n_bytes; i++) {
        state->alphabet_bytes[n++] = i;
        if (byte_level && alphabet_length((uint8_t)word[i]) == 2)
            state->alphabet_bytes[n++] = i;
    }
    return true;
}

/* With offsets, words are always encoded anew: the cache does not keep lengths. Lengths are added
 * up from the start of the word, as Hugging Face does, also where bytes were dropped on the way. */
static slant_status encode_with_offsets(tokenizer_state *state, const text_source *source,
                                        span word, slant_error *err)
{
    const tables *t = &state->tokenizer->tables;
    const char *bytes = source->bytes + word.start;
    slant_status status = encode_word(state, bytes, word.end - word.start, err);
    if (status != SLANT_OK)
        return status;
    if (!map_alphabet(state, bytes, word.end - word.start) ||
        !state_reserve_ids(state, state->word.n))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    uint32_t at = 0;
    for (size_t i = 0; i < state->word.n; i++) {
        uint32_t length = state->word.lengths[i];
        uint32_t first = state->alphabet_bytes[at], last = state->alphabet_bytes[at + length - 1];
        size_t text_bytes = 0;
        const char *text = tables_piece_text(t, state->word.ids[i], &text_bytes);
        if (text == NULL || utf8_valid_prefix(text, text_bytes) < text_bytes) {
            text = ""; /* damaged tables */
            text_bytes = 0;
        }
        state_set_offset(state, source, word.start + first, word.start + last + 1, text,
                         text_bytes);
        state->ids[state->n_ids++] = (int32_t)state->word.ids[i];
        at += length;
    }
    return SLANT_OK;
}

static slant_status encode_long(tokenizer_state *state, const char *word, uint32_t n_bytes,
                                slant_error *err)
{
    bool found = false;
    word_long *entry = NULL;
    if (n_bytes <= WORD_LONG_BYTES)
        entry = word_long_find(&state->cache, word, n_bytes, &found);
    if (found) {
        if (!state_reserve_ids(state, WORD_LONG_IDS))
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
        memcpy(state->ids + state->n_ids, entry->ids, sizeof entry->ids);
        state->n_ids += entry->n_ids;
        return SLANT_OK;
    }
    slant_status status = encode_word(state, word, n_bytes, err);
    if (status == SLANT_OK && !push_word(state))
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (status == SLANT_OK && entry != NULL && state->word.n <= WORD_LONG_IDS)
        word_long_put(entry, word, n_bytes, (const int32_t *)state->word.ids,
                      (uint32_t)state->word.n);
    return status;
}

/* A short word that is not in its bucket. */
static slant_status encode_short(tokenizer_state *state, const char *word, uint32_t n_bytes,
                                 word_short *bucket, word_key key, slant_error *err)
{
    slant_status status = encode_word(state, word, n_bytes, err);
    if (status == SLANT_OK && !push_word(state))
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (status == SLANT_OK && state->word.n <= WORD_SHORT_IDS)
        word_short_put(bucket, key, (const int32_t *)state->word.ids, (uint32_t)state->word.n);
    return status;
}

static slant_status encode_cached(tokenizer_state *state, const text_source *source, span word,
                                  slant_error *err)
{
    const char *bytes = source->bytes + word.start;
    uint32_t n_bytes = word.end - word.start;
    if (n_bytes > WORD_SHORT_BYTES)
        return encode_long(state, bytes, n_bytes, err);
    word_key key = word_short_key(bytes, n_bytes, source->n_bytes - word.start >= 16);
    word_short *bucket = word_short_bucket(&state->cache, key);
    const word_short *entry = word_short_find(bucket, key);
    if (entry == NULL)
        return encode_short(state, bytes, n_bytes, bucket, key, err);
    if (state->ids_cap - state->n_ids < WORD_SHORT_IDS && !state_reserve_ids(state, WORD_SHORT_IDS))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    memcpy(state->ids + state->n_ids, entry->ids, sizeof entry->ids);
    state->n_ids += word_short_count(entry);
    return SLANT_OK;
}

slant_status encode_words(tokenizer_state *state, const text_source *source, slant_error *err)
{
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < state->spans.n; i++) {
        span word = state->spans.items[i];
        status = state->options.want_offsets ? encode_with_offsets(state, source, word, err)
                                             : encode_cached(state, source, word, err);
    }
    return status;
}
