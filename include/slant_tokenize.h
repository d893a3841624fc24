/* slant_tokenize.h: text to the token ids that a model gets.
 *
 *     slant_tokenizer *tokenizer;
 *     slant_tokens tokens;
 *     slant_tokenizer_open("meta-llama/Llama-3.2-1B", NULL, &tokenizer, &err);
 *     slant_tokenize(tokenizer, text, text_bytes, &tokens, &err);
 *     for (size_t i = 0; i < tokens.n_ids; i++)
 *         printf("%d\n", tokens.ids[i]);
 *     slant_tokenizer_close(tokenizer);
 *
 * Only the model's tokenizer is opened, not its weights. A slant_tokenizer belongs to one thread at
 * a time; what a call gives is valid until the next call on it. */
#ifndef SLANT_TOKENIZE_H
#define SLANT_TOKENIZE_H

#include <slant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slant_tokenizer slant_tokenizer;

typedef struct slant_tokenizer_options {
    bool no_special_tokens; /* leave out what the template puts in front and behind */
    bool lossy;             /* bytes that are not UTF-8 become U+FFFD instead of an error */
} slant_tokenizer_options;

/* Byte range of a token in the text; 0, 0 for one that the template adds. */
typedef struct slant_token_span {
    size_t start, end;
} slant_token_span;

typedef struct slant_tokens {
    const int32_t *ids;            /* [n_ids] */
    const slant_token_span *spans; /* [n_ids] */
    size_t n_ids;
} slant_tokens;

/* model as slant_engine_open takes it, or a tokenizer.json, or a folder that holds one; NULL: the
 * embedded default's. On success *out is owned by the caller; else *out is NULL. */
slant_status slant_tokenizer_open(const char *model, const slant_tokenizer_options *options,
                                  slant_tokenizer **out, slant_error *err);
void slant_tokenizer_close(slant_tokenizer *t);

/* Where the tokenizer came from. */
const char *slant_tokenizer_path(const slant_tokenizer *t);
/* The token as tokenizer.json spells it, in the byte-level alphabet; NULL where the id has none. */
const char *slant_tokenizer_piece(const slant_tokenizer *t, int32_t id, size_t *piece_bytes);

/* text [text_bytes]. Not UTF-8: SLANT_ERR_TEXT with the offset of the first bad byte. */
slant_status slant_tokenize(slant_tokenizer *t, const char *text, size_t text_bytes,
                            slant_tokens *out, slant_error *err);
/* The ids alone, as a JSON array: "[1,2,3]", "[]" where there are none. The fast path for corpora.
 */
slant_status slant_tokenize_json(slant_tokenizer *t, const char *text, size_t text_bytes,
                                 const char **json, size_t *json_bytes, slant_error *err);

#ifdef __cplusplus
}
#endif

#endif
