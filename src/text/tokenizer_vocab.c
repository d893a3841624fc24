/* Pieces and merges: from strings to ids, and into their hash tables. */
#include "text/tokenizer_builder.h"

#include "text/utf8.h"

#include <string.h>

/* Ids beyond this are a mistake of the file: the largest vocabularies have some hundred thousand.
 */
#define MAX_IDS (UINT32_C(1) << 24)

slant_status builder_count_ids(builder *b)
{
    uint32_t highest = 0;
    bool any = false;
    for (size_t i = 0; i < b->d->vocab.n; i++, any = true)
        if (b->d->vocab.items[i].id > highest)
            highest = b->d->vocab.items[i].id;
    for (size_t i = 0; i < b->d->added.n; i++, any = true)
        if (b->d->added.items[i].id > highest)
            highest = b->d->added.items[i].id;
    if (!any)
        return status_fail(b->err, SLANT_ERR_FORMAT, "%s: the tokenizer's vocabulary is empty",
                           b->name);
    if (highest >= MAX_IDS)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED, "%s: token id %u is beyond %u", b->name,
                           highest, MAX_IDS);
    b->header.n_ids = highest + 1;
    b->pieces = mem_calloc(b->header.n_ids, sizeof *b->pieces);
    size_t n_strings = b->d->vocab.n + b->d->added.n;
    b->view.n_vocab = (uint32_t)(n_strings + n_strings / 2 + 1);
    b->slots = mem_calloc(b->view.n_vocab, sizeof *b->slots);
    b->vocab = mem_calloc(b->view.n_vocab, sizeof *b->vocab);
    if (b->pieces == NULL || b->slots == NULL || b->vocab == NULL)
        return builder_out_of_memory(b);
    b->view.header = &b->header;
    b->view.pieces = b->pieces;
    b->view.n_ids = b->header.n_ids;
    return SLANT_OK;
}

/* Keeps the longest search. One that is very long is stopped here, or a file whose strings are made
 * to collide would take hours. */
static slant_status count_probes(const builder *b, uint32_t probes, uint32_t *most)
{
    if (probes > TABLES_MAX_PROBES)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                           "%s: the tokenizer's strings collide in more than %u places", b->name,
                           TABLES_MAX_PROBES);
    if (probes > *most)
        *most = probes;
    return SLANT_OK;
}

/* The slot of a text: the one that holds it, or the empty one where it would go. There always is an
 * empty one, for there are more slots than strings. */
static uint32_t find_slot(const builder *b, uint64_t hash, const char *text, size_t text_bytes,
                          uint32_t *probes)
{
    uint32_t at = tables_slot(hash, b->view.n_vocab);
    for (*probes = 1; b->slots[at].id_plus_1 != 0; (*probes)++) {
        const vocab_slot *slot = &b->slots[at];
        if (slot->tag == (uint32_t)hash && slot->text_bytes == text_bytes &&
            memcmp(b->text.data + slot->text, text, text_bytes) == 0)
            break;
        at = at + 1 == b->view.n_vocab ? 0 : at + 1;
    }
    return at;
}

static uint32_t find_hashed(const builder *b, uint64_t hash, const char *text, size_t text_bytes)
{
    uint32_t probes;
    uint32_t slot = find_slot(b, hash, text, text_bytes, &probes);
    return b->slots[slot].id_plus_1 == 0 ? TABLES_NO_ID : b->slots[slot].id_plus_1 - 1;
}

static uint32_t find_text(const builder *b, const char *text, size_t text_bytes)
{
    return find_hashed(b, tables_hash_text(text, text_bytes), text, text_bytes);
}

/* GPT-2's alphabet back to bytes; false where a character is not of the alphabet. */
static bool decode_byte_level(text_view piece, char *bytes, size_t *n_bytes)
{
    *n_bytes = 0;
    size_t length;
    for (size_t at = 0; at < piece.size_bytes; at += length) {
        int byte = tables_char_byte(utf8_decode(piece.text + at, &length));
        if (byte < 0)
            return false;
        bytes[(*n_bytes)++] = (char)byte;
    }
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of a <0xXX> token; -1 for any other. */
static int fallback_byte(text_view piece)
{
    if (piece.size_bytes != 6 || memcmp(piece.text, "<0x", 3) != 0 || piece.text[5] != '>')
        return -1;
    int high = hex_digit(piece.text[3]), low = hex_digit(piece.text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What a token of the model stands for in text: bytes must hold piece.size_bytes. */
static size_t decode_piece(const builder *b, text_view piece, char *bytes)
{
    static const char metaspace[3] = {(char)0xE2, (char)0x96, (char)0x81};
    size_t n_bytes = 0;
    if (b->header.flags & TABLES_BYTE_LEVEL) {
        if (decode_byte_level(piece, bytes, &n_bytes))
            return n_bytes;
    } else if (b->header.flags & TABLES_BYTE_FALLBACK) {
        int byte = fallback_byte(piece);
        if (byte >= 0) {
            bytes[0] = (char)byte;
            return 1;
        }
        for (size_t at = 0; at < piece.size_bytes;) {
            bool space = piece.size_bytes - at >= 3 && memcmp(piece.text + at, metaspace, 3) == 0;
            bytes[n_bytes++] = space ? ' ' : piece.text[at];
            at += space ? 3 : 1;
        }
        return n_bytes;
    }
    memcpy(bytes, piece.text, piece.size_bytes);
    return piece.size_bytes;
}

/* Enters a string under an id, and into the hash table. */
static slant_status add_piece(builder *b, text_view text, uint32_t id, uint32_t flags)
{
    tables_piece *piece = &b->pieces[id];
    if (text.size_bytes > UINT16_MAX)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                           "%s: token %u has %u bytes; at most %u are supported", b->name, id,
                           text.size_bytes, UINT16_MAX);
    if (piece->flags & PIECE_PRESENT)
        return status_fail(b->err, SLANT_ERR_FORMAT, "%s: two tokens have the id %u", b->name, id);
    char decoded[UINT16_MAX];
    size_t n_decoded = text.size_bytes;
    if (flags & PIECE_MODEL)
        n_decoded = decode_piece(b, text, decoded);
    bool same = !(flags & PIECE_MODEL) ||
                (n_decoded == text.size_bytes && memcmp(decoded, text.text, n_decoded) == 0);
    slant_status status = builder_append_text(b, text.text, text.size_bytes, &piece->text);
    piece->bytes = piece->text;
    if (status == SLANT_OK && !same)
        status = builder_append_text(b, decoded, n_decoded, &piece->bytes);
    if (status != SLANT_OK)
        return status;
    piece->text_bytes = (uint16_t)text.size_bytes;
    piece->n_bytes = (uint16_t)n_decoded;
    piece->flags = flags | PIECE_PRESENT;
    if (text.size_bytes > b->header.max_text_bytes)
        b->header.max_text_bytes = text.size_bytes;
    uint64_t hash = tables_hash_text(text.text, text.size_bytes);
    uint32_t probes;
    uint32_t slot = find_slot(b, hash, text.text, text.size_bytes, &probes);
    b->slots[slot] = (vocab_slot){(uint32_t)hash, id + 1, piece->text, text.size_bytes};
    b->vocab[slot] = id + 1;
    return count_probes(b, probes, &b->header.vocab_probes);
}

slant_status builder_add_vocab(builder *b)
{
    for (size_t i = 0; i < b->d->vocab.n; i++) {
        const definition_token *token = &b->d->vocab.items[i];
        uint32_t other = find_text(b, token->text.text, token->text.size_bytes);
        if (other != TABLES_NO_ID)
            return status_fail(b->err, SLANT_ERR_FORMAT,
                               "%s: the token \"%.*s\" has two ids, %u and %u", b->name,
                               (int)token->text.size_bytes, token->text.text, other, token->id);
        slant_status status = add_piece(b, token->text, token->id, PIECE_MODEL);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}

slant_status builder_add_added(builder *b)
{
    uint32_t next_id = (uint32_t)b->d->vocab.n;
    for (size_t i = 0; i < b->d->added.n; i++) {
        const definition_added *added = &b->d->added.items[i];
        text_view text = added->content;
        uint32_t id = find_text(b, text.text, text.size_bytes);
        if (tables_piece_flags(&b->view, id) & PIECE_ADDED)
            return status_fail(b->err, SLANT_ERR_FORMAT,
                               "%s: the added token \"%.*s\" stands twice", b->name,
                               (int)text.size_bytes, text.text);
        if (id == TABLES_NO_ID) {
            if (b->d->added_follow_vocab && added->id != next_id)
                return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                                   "%s: the added token \"%.*s\" says id %u where %u comes next",
                                   b->name, (int)text.size_bytes, text.text, added->id, next_id);
            next_id++;
            slant_status status = add_piece(b, text, added->id, added->flags);
            if (status != SLANT_OK)
                return status;
        } else if (id != added->id) {
            return status_fail(
                b->err, SLANT_ERR_FORMAT,
                "%s: the added token \"%.*s\" says id %u, the vocabulary has it as %u", b->name,
                (int)text.size_bytes, text.text, added->id, id);
        } else {
            /* A special token that also is in the vocabulary stands for its content as it is. */
            b->pieces[id].flags |= added->flags;
            b->pieces[id].bytes = b->pieces[id].text;
            b->pieces[id].n_bytes = b->pieces[id].text_bytes;
        }
    }
    return SLANT_OK;
}

/* The hashes of a merge's three strings, taken first so that their slots are fetched ahead of use.
 */
typedef struct merge_hashes {
    uint64_t left, right, whole;
} merge_hashes;

#define MERGE_BATCH 32

/* Copies what a merge makes; false where that is longer than a token may be. */
static bool join_merge(const definition_merge *merge, char whole[UINT16_MAX], size_t *whole_bytes)
{
    *whole_bytes = merge->left.size_bytes + (size_t)merge->right.size_bytes;
    if (*whole_bytes > UINT16_MAX)
        return false;
    memcpy(whole, merge->left.text, merge->left.size_bytes);
    memcpy(whole + merge->left.size_bytes, merge->right.text, merge->right.size_bytes);
    return true;
}

static slant_status hash_merge(const builder *b, const definition_merge *merge, merge_hashes *out)
{
    char whole[UINT16_MAX];
    size_t whole_bytes;
    if (!join_merge(merge, whole, &whole_bytes))
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED, "%s: merge %u makes a token of %zu bytes",
                           b->name, merge->rank, whole_bytes);
    *out = (merge_hashes){tables_hash_text(merge->left.text, merge->left.size_bytes),
                          tables_hash_text(merge->right.text, merge->right.size_bytes),
                          tables_hash_text(whole, whole_bytes)};
    __builtin_prefetch(&b->slots[tables_slot(out->left, b->view.n_vocab)]);
    __builtin_prefetch(&b->slots[tables_slot(out->right, b->view.n_vocab)]);
    __builtin_prefetch(&b->slots[tables_slot(out->whole, b->view.n_vocab)]);
    return SLANT_OK;
}

/* The ids of a merge. *good is false, where merges are guesses, if one of the strings is no token;
 * else that is an error. */
static slant_status merge_ids(const builder *b, const definition_merge *merge,
                              const merge_hashes *hashes, tables_merge *out, bool *good)
{
    static const char *const parts[3] = {"the first", "the second", "what they make"};
    char whole[UINT16_MAX];
    size_t whole_bytes;
    text_view left = merge->left, right = merge->right;
    join_merge(merge, whole, &whole_bytes);
    const uint32_t ids[3] = {find_hashed(b, hashes->left, left.text, left.size_bytes),
                             find_hashed(b, hashes->right, right.text, right.size_bytes),
                             find_hashed(b, hashes->whole, whole, whole_bytes)};
    *out = (tables_merge){.left = ids[0], .right = ids[1], .rank = merge->rank, .id = ids[2]};
    *good = true;
    for (int i = 0; *good && i < 3; i++)
        *good = tables_piece_flags(&b->view, ids[i]) & PIECE_MODEL;
    if (*good || b->d->merges_are_guesses)
        return SLANT_OK;
    int missing = 0;
    while (tables_piece_flags(&b->view, ids[missing]) & PIECE_MODEL)
        missing++;
    return status_fail(b->err, SLANT_ERR_FORMAT,
                       "%s: merge %u, \"%.*s\" and \"%.*s\": %s is not in the vocabulary", b->name,
                       out->rank, (int)left.size_bytes, left.text, (int)right.size_bytes,
                       right.text, parts[missing]);
}

/* Said twice, a merge has its later rank, as in Hugging Face's map. */
static slant_status enter_merge(builder *b, const tables_merge *merge)
{
    uint32_t slot = tables_slot(tables_hash_pair(merge->left, merge->right), b->view.n_merges);
    uint32_t probes = 1;
    while (b->merges[slot].left != TABLES_NO_ID &&
           (b->merges[slot].left != merge->left || b->merges[slot].right != merge->right)) {
        slot = slot + 1 == b->view.n_merges ? 0 : slot + 1;
        probes++;
    }
    b->merges[slot] = *merge;
    return count_probes(b, probes, &b->header.merge_probes);
}

static slant_status add_merge_batch(builder *b, const definition_merge *merges, size_t n)
{
    merge_hashes hashes[MERGE_BATCH] = {0};
    tables_merge found[MERGE_BATCH];
    bool good[MERGE_BATCH];
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < n; i++)
        status = hash_merge(b, &merges[i], &hashes[i]);
    for (size_t i = 0; status == SLANT_OK && i < n; i++) {
        status = merge_ids(b, &merges[i], &hashes[i], &found[i], &good[i]);
        uint64_t hash = tables_hash_pair(found[i].left, found[i].right);
        __builtin_prefetch(&b->merges[tables_slot(hash, b->view.n_merges)], 1);
    }
    for (size_t i = 0; status == SLANT_OK && i < n; i++)
        if (good[i])
            status = enter_merge(b, &found[i]);
    return status;
}

slant_status builder_add_merges(builder *b)
{
    size_t n = b->d->merges.n;
    if (n == 0)
        return SLANT_OK;
    if (n > UINT32_MAX / 2)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED, "%s: %zu merges", b->name, n);
    b->view.n_merges = (uint32_t)(n + n * 2 / 3 + 1);
    b->merges = mem_alloc(b->view.n_merges, sizeof *b->merges);
    if (b->merges == NULL)
        return builder_out_of_memory(b);
    memset(b->merges, 0xFF, b->view.n_merges * sizeof *b->merges);
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < n; i += MERGE_BATCH)
        status =
            add_merge_batch(b, b->d->merges.items + i, n - i < MERGE_BATCH ? n - i : MERGE_BATCH);
    return status;
}

uint32_t builder_find_model_piece(const builder *b, const char *text, size_t text_bytes)
{
    uint32_t id = find_text(b, text, text_bytes);
    return tables_piece_flags(&b->view, id) & PIECE_MODEL ? id : TABLES_NO_ID;
}
