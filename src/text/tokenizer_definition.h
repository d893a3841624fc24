/* What a tokenizer is, as read from tokenizer.json or from a GGUF: the builder makes the tables of
 * it. Strings are borrowed from the source or live in the definition's arena. */
#ifndef SLANT_TEXT_TOKENIZER_DEFINITION_H
#define SLANT_TEXT_TOKENIZER_DEFINITION_H

#include "base/mem.h"
#include "text/pattern.h"
#include "text/tokenizer.h"
#include "text/tokenizer_tables.h"

typedef struct text_view {
    const char *text; /* [size_bytes], UTF-8 */
    uint32_t size_bytes;
} text_view;

typedef struct definition_token {
    text_view text;
    uint32_t id;
} definition_token;

/* Merging left and right makes the token that is their concatenation. rank orders the merges. */
typedef struct definition_merge {
    text_view left, right;
    uint32_t rank;
} definition_merge;

typedef struct definition_added {
    text_view content;
    uint32_t id;
    uint32_t flags;  /* PIECE_SPECIAL, PIECE_LSTRIP, … */
    bool normalized; /* found in the normalized text, in its normalized form */
} definition_added;

typedef struct definition_step {
    step_kind kind;
    uint32_t flags;
    pattern_kind pattern;
    split_behavior behavior;
    text_view a, b;
} definition_step;

/* A growing array; items belong to it. */
#define DEFINITION_LIST(type)                                                                      \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n, cap;                                                                             \
    }

typedef struct definition {
    arena strings;
    DEFINITION_LIST(definition_token) vocab;
    DEFINITION_LIST(definition_merge) merges;
    DEFINITION_LIST(definition_added) added;
    DEFINITION_LIST(definition_step) normalize, pretokenize;
    DEFINITION_LIST(uint32_t) leading, trailing; /* ids of the template */
    uint32_t flags;                              /* TABLES_… */
    text_view unk_token;                         /* text NULL: none */
    /* Added tokens that the vocabulary lacks are numbered on from its size, in order: Hugging Face
     * numbers them so whatever the file says. */
    bool added_follow_vocab;
    /* Merges stand for all ways to make a token of two others: those of strings that are no tokens
     * are left out. */
    bool merges_are_guesses;
} definition;

/* Appends a zeroed item to one of the lists; NULL when memory is out. */
#define definition_push(list)                                                                      \
    (definition_grow((void **)&(list)->items, &(list)->n, &(list)->cap, sizeof *(list)->items)     \
         ? &(list)->items[(list)->n - 1]                                                           \
         : NULL)
bool definition_grow(void **items, size_t *n, size_t *cap, size_t item_bytes);
void definition_free(definition *d);

/* Makes the blob of d: *blob of *blob_bytes in pages of its own (mem_free_pages). name stands in
 * messages. */
slant_status tokenizer_build(const definition *d, const char *name, uint8_t **blob,
                             size_t *blob_bytes, slant_error *err);

slant_status definition_from_json(definition *d, const char *json, size_t json_bytes,
                                  const char *name, slant_error *err);
slant_status definition_from_gguf(definition *d, const tokenizer_gguf *gguf, const char *name,
                                  slant_error *err);

#endif
