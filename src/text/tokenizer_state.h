/* The inside of tokenizer and tokenizer_state, shared by the files that encode: encode.c takes an
 * article apart, pretokenize.c finds its words, encode_words.c gives their ids. */
#ifndef SLANT_TEXT_TOKENIZER_STATE_H
#define SLANT_TEXT_TOKENIZER_STATE_H

#include "text/bpe.h"
#include "text/normalize.h"
#include "text/tokenizer.h"
#include "text/tokenizer_tables.h"
#include "text/word_cache.h"

/* A trie of added tokens, and the bytes that one of them can begin with. */
typedef struct added_set {
    const struct tables_trie *trie;
    int only_start; /* the one byte that all begin with; −1: several do, and starts says which */
    bool starts[256];
} added_set;

struct tokenizer {
    tables tables;
    const uint8_t *blob; /* [blob_bytes] */
    size_t blob_bytes;
    uint8_t *owned; /* the blob where it is ours, else NULL */
    added_set added, normal;
    step_set normalizer, pretokenizer;
    bool keeps_origins; /* the pre-tokenizer asks where a word came from */
};

/* A text that words are taken from: the article itself, or what the normalizer or the pre-tokenizer
 * made of it. */
typedef struct text_source {
    const char *bytes;  /* [n_bytes] */
    const span *origin; /* [n_bytes]: where each byte came from; NULL: it stands at its own place */
    uint32_t n_bytes;
} text_source;

/* Where U+FFFD stands for ill-formed bytes, the text and the article run apart: from at on in the
 * text, it is source in the article, and so on byte by byte until the next gap. */
typedef struct lossy_gap {
    uint32_t at, source;
} lossy_gap;

struct tokenizer_state {
    const tokenizer *tokenizer;
    word_cache cache;
    bpe_word word;
    normalizer_scratch normalizer;
    work_text rewritten[2]; /* by the pre-tokenizer */
    span_list spans, other_spans;
    char *alphabet; /* [max_text_bytes + 2]: a word in the model's alphabet */
    uint32_t
        *alphabet_bytes; /* [alphabet_cap]: which byte of the word each byte of it stands for */
    size_t alphabet_cap;

    int32_t *ids;              /* [n_ids], ids_cap */
    tokenizer_offset *offsets; /* [n_ids] where asked for, offsets_cap */
    size_t n_ids, ids_cap, offsets_cap, n_leading;

    /* Of the article at hand. */
    tokenizer_options options;
    text_source article;
    char *lossy; /* [lossy_cap] */
    size_t lossy_cap;
    lossy_gap *gaps; /* [n_gaps] */
    size_t n_gaps, gaps_cap;
};

/* Room for more ids (and offsets where they are asked for) beyond n_ids. */
bool state_reserve_ids(tokenizer_state *state, size_t more);

/* Writes the offset of the id that is about to be pushed: source bytes [start, end), less the white
 * space that the post-processor trims, which it counts in the token's text. */
void state_set_offset(tokenizer_state *state, const text_source *source, uint32_t start,
                      uint32_t end, const char *text, size_t text_bytes);

/* Finds the words of source bytes [within): they go to state->spans, and *source becomes the text
 * that they are ranges of. */
slant_status pretokenize(tokenizer_state *state, text_source *source, span within,
                         slant_error *err);

/* Pushes the ids of the words state->spans of source. */
slant_status encode_words(tokenizer_state *state, const text_source *source, slant_error *err);

#endif
