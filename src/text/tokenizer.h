/* The BPE tokenizer: text to ids as Hugging Face tokenizers gives them.
 *
 * A tokenizer is immutable after opening and may be shared by threads; what encoding needs beside
 * it (the cache from pre-token to ids, scratch) lives in a tokenizer_state that belongs to one
 * thread. Its tables are one flat blob, so that a .slant file can hold them ready for use. */
#ifndef SLANT_TEXT_TOKENIZER_H
#define SLANT_TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/status.h"

typedef struct tokenizer tokenizer;
typedef struct tokenizer_state tokenizer_state;

/* From the bytes of a tokenizer.json. name stands in messages. Ownership: tokenizer_close. */
slant_status tokenizer_open_json(const char *json, size_t json_bytes, const char *name,
                                 tokenizer **out, slant_error *err);

/* What a GGUF's metadata says of its tokenizer; all borrowed for the call only. */
typedef struct tokenizer_gguf {
    const char *model; /* "gpt2" or "llama" */
    const char *pre;   /* "llama-bpe", "smollm", "qwen2", …; NULL where absent */
    size_t n_tokens;
    const char *const *tokens; /* [n_tokens], UTF-8 in the byte-level alphabet of GPT-2 */
    const size_t *token_bytes; /* [n_tokens] */
    const int32_t
        *types; /* [n_tokens] or NULL: 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte */
    const float *scores; /* [n_tokens] or NULL; "llama" needs them */
    size_t n_merges;
    const char *const *merges; /* [n_merges] "left right" */
    const size_t *merge_bytes;
    int64_t bos_id, eos_id, unknown_id, pad_id; /* -1 where absent */
    int add_bos;                                /* 1, 0, or -1 where absent (pre decides) */
} tokenizer_gguf;

slant_status tokenizer_open_gguf(const tokenizer_gguf *gguf, const char *name, tokenizer **out,
                                 slant_error *err);

/* From a blob of tokenizer_blob, used in place: blob (aligned to 64 bytes) must outlive the
 * tokenizer. Every offset is checked before use; opening copies nothing. */
slant_status tokenizer_open_blob(const uint8_t *blob, size_t blob_bytes, const char *name,
                                 tokenizer **out, slant_error *err);
/* The tables as one flat blob, owned by the tokenizer. */
const uint8_t *tokenizer_blob(const tokenizer *t, size_t *blob_bytes);

/* Appends a tokenizer.json that gives the same ids; name stands in messages. What it cannot say is
 * SLANT_ERR_UNSUPPORTED. */
slant_status tokenizer_to_json(const tokenizer *t, const char *name, buf *out, slant_error *err);

void tokenizer_close(tokenizer *t);

tokenizer_state *tokenizer_state_open(const tokenizer *t); /* NULL when memory is out */
void tokenizer_state_close(tokenizer_state *state);

/* Ids of one text. offsets (may be NULL) receives the byte range of each id in text; special ids of
 * the template have start = end = 0. Results are valid until the next call on this state; nothing
 * is allocated once the state has grown to the longest text. Text must be UTF-8 (SLANT_ERR_TEXT
 * with the byte offset otherwise); with lossy each maximal ill-formed subpart counts as U+FFFD, as
 * the Unicode standard recommends. */
typedef struct tokenizer_offset {
    size_t start, end; /* bytes */
} tokenizer_offset;

typedef struct tokenizer_output {
    const int32_t *ids;              /* [n_ids] */
    const tokenizer_offset *offsets; /* [n_ids]; NULL unless asked for */
    size_t n_ids;
    size_t n_leading;  /* special ids that the template puts in front */
    size_t n_trailing; /* and behind */
} tokenizer_output;

typedef struct tokenizer_options {
    bool add_special_tokens;   /* apply the template (BOS …) */
    bool split_special_tokens; /* special tokens inside the text are ordinary text */
    bool lossy;
    bool want_offsets;
} tokenizer_options;

slant_status tokenizer_encode(tokenizer_state *state, const char *text, size_t text_bytes,
                              const tokenizer_options *options, tokenizer_output *out,
                              slant_error *err);

/* Facts. */
size_t tokenizer_vocab_size(const tokenizer *t); /* 1 + the highest id */
/* The token as tokenizer.json spells it (byte-level alphabet); NULL where the id has none. */
const char *tokenizer_piece(const tokenizer *t, int32_t id, size_t *piece_bytes);
/* The bytes that the id stands for in text (specials: their content). False where the id has none.
 */
bool tokenizer_bytes(const tokenizer *t, int32_t id, const uint8_t **bytes, size_t *n_bytes);
bool tokenizer_is_special(const tokenizer *t, int32_t id);
int32_t tokenizer_find(const tokenizer *t, const char *piece, size_t piece_bytes); /* -1: none */
/* "sha256:…" over the blob: equal tables give the same digest whatever file they came from. */
const char *tokenizer_digest(const tokenizer *t);

#endif
