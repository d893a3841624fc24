/* Builds the tries of the added tokens, as the tables hold them. */
#ifndef SLANT_TEXT_TOKENIZER_TRIE_H
#define SLANT_TEXT_TOKENIZER_TRIE_H

#include "text/tokenizer_definition.h"

/* A string on its way into the trie. */
typedef struct trie_entry {
    text_view text;
    uint32_t id;
} trie_entry;

typedef struct trie_builder {
    arena strings; /* for strings that the entries own */
    DEFINITION_LIST(trie_entry) entries;
    DEFINITION_LIST(tables_node) nodes;
    DEFINITION_LIST(tables_edge) edges;
} trie_builder;

/* All return false when memory is out. An empty string is left out. */
bool trie_add(trie_builder *trie, text_view text, uint32_t id);
bool trie_finish(trie_builder *trie); /* fills nodes and edges; both stay empty without entries */
void trie_free(trie_builder *trie);

#endif
