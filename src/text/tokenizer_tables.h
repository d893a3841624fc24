/* The tokenizer's tables as one flat, position-independent blob (little-endian, 64-byte aligned):
 * a header, then sections of fixed-size records. It is used in place, from memory or from a mapped
 * file. Opening checks the header and the few small sections; the large ones are not scanned:
 * every look-up here checks the offset or id that it read before it follows it, so that a damaged
 * blob can give wrong ids but never a read outside of it. */
#ifndef SLANT_TEXT_TOKENIZER_TABLES_H
#define SLANT_TEXT_TOKENIZER_TABLES_H

#include "base/file.h"
#include "base/status.h"

#define TABLES_MAGIC "slanttok"
#define TABLES_VERSION 1u
#define TABLES_ALIGN 64u

/* Sections: name, record type. */
#define TABLES_SECTION_LIST(X)                                                                     \
    X(TEXT, char)               /* all strings, one after the other */                             \
    X(PIECES, tables_piece)     /* [n_ids] */                                                      \
    X(VOCAB, uint32_t)          /* hash slots over the piece texts: id + 1, 0 empty */             \
    X(MERGES, tables_merge)     /* hash slots over (left, right) */                                \
    X(NORMALIZE, tables_step)   /* normalizer, in order */                                         \
    X(PRETOKENIZE, tables_step) /* pre-tokenizer, in order */                                      \
    X(LEADING, uint32_t)        /* ids that the template puts in front */                          \
    X(TRAILING, uint32_t)       /* and behind */                                                   \
    X(ADDED_NODES, tables_node) /* trie of the added tokens found in the text as it is */          \
    X(ADDED_EDGES, tables_edge)                                                                    \
    X(NORMAL_NODES, tables_node) /* trie of those found in the normalized text */                  \
    X(NORMAL_EDGES, tables_edge)

typedef enum tables_section {
#define TABLES_SECTION_ENUM(name, type) TABLES_##name,
    TABLES_SECTION_LIST(TABLES_SECTION_ENUM)
#undef TABLES_SECTION_ENUM
        TABLES_N_SECTIONS
} tables_section;

/* A string in TEXT. */
typedef struct tables_string {
    uint32_t offset, size_bytes;
} tables_string;

enum {
    PIECE_PRESENT = 1, /* the id has a token */
    PIECE_SPECIAL = 2, /* control token: split_special_tokens turns it into ordinary text */
    PIECE_LSTRIP = 4,  /* added token that swallows the white space to its left, right … */
    PIECE_RSTRIP = 8,
    PIECE_SINGLE_WORD = 16, /* … or must not touch a word character */
    PIECE_MODEL = 32,       /* in the model's own vocabulary */
    PIECE_ADDED = 64        /* among the added tokens */
};

/* A token: its text as tokenizer.json spells it, and the bytes that it stands for. */
typedef struct tables_piece {
    uint32_t text, bytes; /* offsets in TEXT */
    uint16_t text_bytes, n_bytes;
    uint32_t flags;
} tables_piece;

/* A merge of two neighbours; the lower rank goes first. left is UINT32_MAX in an empty slot. */
typedef struct tables_merge {
    uint32_t left, right, rank, id;
} tables_merge;

typedef enum step_kind {
    /* normalizers */
    STEP_NFC,
    STEP_NFD,
    STEP_NFKC,
    STEP_NFKD,
    STEP_LOWERCASE,
    STEP_STRIP,   /* flags: STEP_LEFT, STEP_RIGHT */
    STEP_PREPEND, /* a, unless the text is empty */
    STEP_REPLACE, /* what pattern finds becomes b */
    /* pre-tokenizers */
    STEP_SPLIT,        /* by pattern, with behavior and STEP_INVERT */
    STEP_PREFIX_SPACE, /* " " before a piece that has none */
    STEP_METASPACE,    /* " " becomes a, and a goes in front: STEP_FIRST or STEP_ALWAYS */
    STEP_N_KINDS
} step_kind;

enum { STEP_LEFT = 1, STEP_RIGHT = 2, STEP_INVERT = 4, STEP_FIRST = 8, STEP_ALWAYS = 16 };

typedef enum split_behavior {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS,
    SPLIT_N_BEHAVIORS
} split_behavior;

/* The longest search in a hash table; only strings made to collide take more. */
#define TABLES_MAX_PROBES 4096u

/* The longest pattern or other string of a step. */
#define TABLES_MAX_STEP_TEXT 65536u

/* One step of the normalizer or the pre-tokenizer. */
typedef struct tables_step {
    uint32_t kind, flags;
    uint32_t pattern; /* pattern_kind */
    uint32_t behavior;
    tables_string a; /* the pattern's text, or the string that the kind speaks of */
    tables_string b;
} tables_step;

/* A trie over bytes: node 0 is the root; edges of a node are sorted by byte. */
typedef struct tables_node {
    uint32_t first_edge, n_edges;
    uint32_t token; /* id + 1 of the added token that ends here, 0 none */
} tables_node;

typedef struct tables_edge {
    uint32_t byte, node;
} tables_edge;

enum {
    TABLES_BYTE_LEVEL = 1,    /* the model's alphabet is GPT-2's 256 characters */
    TABLES_BYTE_FALLBACK = 2, /* unknown characters become <0xXX> tokens */
    TABLES_FUSE_UNK = 4,      /* neighbouring unknown characters become one */
    TABLES_IGNORE_MERGES = 8, /* a whole word that is a token is taken as it is */
    TABLES_TRIM_OFFSETS = 16, /* offsets leave out the spaces at both ends … */
    TABLES_KEEP_PREFIX = 32,  /* … but a single space at the start of the text is not trimmed */
    TABLES_UNK_MISSING = 64   /* the unk token that the file names is not in its vocabulary */
};

#define TABLES_NO_ID UINT32_MAX

typedef struct tables_header {
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t total_bytes;
    char digest[FILE_DIGEST_CHARS]; /* of all else, with this field zeroed */
    uint32_t n_ids, flags;
    uint32_t max_text_bytes;             /* the longest piece text */
    uint32_t vocab_probes, merge_probes; /* the longest search in the hash tables */
    uint32_t unk_id;                     /* TABLES_NO_ID: none */
    uint32_t byte_ids[256];              /* of single bytes (byte level or fallback) */
    struct {
        uint64_t offset, count;
    } sections[TABLES_N_SECTIONS];
} tables_header;

/* A blob, checked and taken apart. Everything points into it. */
typedef struct tables {
    const tables_header *header;
    const char *text;
    const tables_piece *pieces; /* [n_ids] */
    const uint32_t *vocab;
    const tables_merge *merges;
    const tables_step *normalize, *pretokenize;
    const uint32_t *leading, *trailing;
    struct tables_trie {
        const tables_node *nodes;
        const tables_edge *edges;
        uint32_t n_nodes, n_edges;
    } added, normal;
    uint32_t n_text, n_vocab, n_merges, n_normalize, n_pretokenize, n_leading, n_trailing;
    uint32_t n_ids, flags;
} tables;

slant_status tables_open(tables *t, const uint8_t *blob, size_t blob_bytes, const char *name,
                         slant_error *err);

/* SHA-256 over the blob with the digest field zeroed. False when memory is out. */
bool tables_digest(const uint8_t *blob, size_t blob_bytes, char out[FILE_DIGEST_CHARS]);

/* The id of a piece of the vocabulary, TABLES_NO_ID where there is none. */
uint32_t tables_find_piece(const tables *t, const char *text, size_t text_bytes);

/* The text of a piece, or its bytes; NULL where the id has none. */
const char *tables_piece_text(const tables *t, uint32_t id, size_t *text_bytes);
const char *tables_piece_bytes(const tables *t, uint32_t id, size_t *n_bytes);

/* A string of a step, which tables_open has checked. */
static inline const char *tables_string_text(const tables *t, tables_string string)
{
    return string.size_bytes == 0 ? "" : t->text + string.offset;
}

/* Flags of a piece; 0 where there is none. */
static inline uint32_t tables_piece_flags(const tables *t, uint32_t id)
{
    return id < t->n_ids ? t->pieces[id].flags : 0;
}

/* Where hash slots begin to be searched; the same in the builder and in the look-ups. */
static inline uint32_t tables_slot(uint64_t hash, uint32_t n_slots)
{
    return (uint32_t)(((hash >> 32) * n_slots) >> 32);
}

static inline uint64_t tables_hash_pair(uint32_t left, uint32_t right)
{
    uint64_t key = (uint64_t)left << 32 | right;
    key *= UINT64_C(0x9E3779B97F4A7C15);
    key ^= key >> 29;
    return key * UINT64_C(0xBF58476D1CE4E5B9);
}

uint64_t tables_hash_text(const char *text, size_t text_bytes);

/* The merge of two neighbours; NULL where they do not merge. */
static inline const tables_merge *tables_find_merge(const tables *t, uint32_t left, uint32_t right)
{
    uint32_t slot = tables_slot(tables_hash_pair(left, right), t->n_merges);
    for (uint32_t probe = 0; probe < t->header->merge_probes; probe++) {
        const tables_merge *merge = &t->merges[slot];
        if (merge->left == left && merge->right == right)
            return merge->id < t->n_ids ? merge : NULL;
        if (merge->left == TABLES_NO_ID)
            return NULL;
        slot = slot + 1 == t->n_merges ? 0 : slot + 1;
    }
    return NULL;
}

/* The longest added token of the trie that begins at text; TABLES_NO_ID where none does. */
uint32_t tables_match_added(const struct tables_trie *trie, const char *text, size_t text_bytes,
                            size_t *match_bytes);

/* GPT-2's alphabet: the character that stands for a byte, and back (-1: no byte). */
uint32_t tables_byte_char(uint8_t byte);
int tables_char_byte(uint32_t code_point);

#endif
