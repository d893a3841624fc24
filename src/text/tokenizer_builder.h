/* The tables while they are being made, shared by the files that make them: tokenizer_vocab.c
 * enters pieces and merges, tokenizer_build.c the rest, and lays all of it out. */
#ifndef SLANT_TEXT_TOKENIZER_BUILDER_H
#define SLANT_TEXT_TOKENIZER_BUILDER_H

#include "text/tokenizer_definition.h"
#include "text/tokenizer_trie.h"

/* A slot of the pieces' hash table. The tag and the text's place are kept beside the id, because
 * the merges, three look-ups each, are most of the work of opening a tokenizer.json. */
typedef struct vocab_slot {
    uint32_t tag, id_plus_1; /* low half of the hash; 0: empty */
    uint32_t text, text_bytes;
} vocab_slot;

typedef struct builder {
    const definition *d;
    const char *name;
    slant_error *err;
    tables_header header;
    tables view; /* over the arrays below, for look-ups while they grow */
    buf text;
    tables_piece *pieces;
    vocab_slot *slots; /* [view.n_vocab]: the hash table of the pieces while it grows … */
    uint32_t *vocab;   /* … and as the tables hold it */
    tables_merge *merges;
    tables_step *normalize, *pretokenize;
    trie_builder added, normal;
} builder;

slant_status builder_out_of_memory(const builder *b);

/* Appends a string to b->text. */
slant_status builder_append_text(builder *b, const char *text, size_t size_bytes, uint32_t *offset);

/* Numbers the ids and makes room; then enters the vocabulary, the added tokens and the merges. */
slant_status builder_count_ids(builder *b);
slant_status builder_add_vocab(builder *b);
slant_status builder_add_added(builder *b);
slant_status builder_add_merges(builder *b);

/* The id of a text of the model's vocabulary; TABLES_NO_ID where it is not there. */
uint32_t builder_find_model_piece(const builder *b, const char *text, size_t text_bytes);

#endif
