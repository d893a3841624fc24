/* From a definition to the tables: numbers the strings, fills the hash tables and tries, and lays
 * all of it out as one blob. */
#include "text/tokenizer_definition.h"

#include "text/normalize.h"
#include "text/tokenizer_trie.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Ids beyond this are a mistake of the file: the largest vocabularies have some hundred thousand.
 */
#define MAX_IDS (UINT32_C(1) << 24)
#define MAX_TEXT (UINT32_C(1) << 30)

typedef struct builder {
    const definition *d;
    const char *name;
    slant_error *err;
    tables_header header;
    tables view; /* over the arrays below, for look-ups while they grow */
    buf text;
    tables_piece *pieces;
    uint32_t *vocab;
    tables_merge *merges;
    tables_step *normalize, *pretokenize;
    trie_builder added, normal;
} builder;

bool definition_grow(void **items, size_t *n, size_t *cap, size_t item_bytes)
{
    if (*n == *cap) {
        size_t more = *cap < 16 ? 16 : *cap * 2;
        void *grown = mem_realloc(*items, more, item_bytes);
        if (grown == NULL)
            return false;
        *items = grown;
        *cap = more;
    }
    memset((char *)*items + *n * item_bytes, 0, item_bytes);
    (*n)++;
    return true;
}

void definition_free(definition *d)
{
    arena_free(&d->strings);
    mem_free(d->vocab.items);
    mem_free(d->merges.items);
    mem_free(d->added.items);
    mem_free(d->normalize.items);
    mem_free(d->pretokenize.items);
    mem_free(d->leading.items);
    mem_free(d->trailing.items);
    *d = (definition){0};
}

static slant_status fail_memory(const builder *b)
{
    return status_fail(b->err, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", b->name);
}

static slant_status append_text(builder *b, const char *text, size_t size_bytes, uint32_t *offset)
{
    if (size_bytes > MAX_TEXT || b->text.size_bytes > MAX_TEXT - size_bytes)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                           "%s: the tokenizer's strings take more than %u bytes", b->name,
                           MAX_TEXT);
    *offset = (uint32_t)b->text.size_bytes;
    buf_append(&b->text, text, size_bytes);
    b->view.text = b->text.data;
    b->view.n_text = (uint32_t)b->text.size_bytes;
    return b->text.failed ? fail_memory(b) : SLANT_OK;
}

static slant_status append_view(builder *b, text_view string, tables_string *out)
{
    out->size_bytes = string.size_bytes;
    return append_text(b, string.text, string.size_bytes, &out->offset);
}

static slant_status count_ids(builder *b)
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
    b->vocab = mem_calloc(b->view.n_vocab, sizeof *b->vocab);
    if (b->pieces == NULL || b->vocab == NULL)
        return fail_memory(b);
    b->view.header = &b->header;
    b->view.pieces = b->pieces;
    b->view.vocab = b->vocab;
    b->view.n_ids = b->header.n_ids;
    return SLANT_OK;
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
    slant_status status = append_text(b, text.text, text.size_bytes, &piece->text);
    piece->bytes = piece->text;
    if (status == SLANT_OK && !same)
        status = append_text(b, decoded, n_decoded, &piece->bytes);
    if (status != SLANT_OK)
        return status;
    piece->text_bytes = (uint16_t)text.size_bytes;
    piece->n_bytes = (uint16_t)n_decoded;
    piece->flags = flags | PIECE_PRESENT;
    if (text.size_bytes > b->header.max_text_bytes)
        b->header.max_text_bytes = text.size_bytes;
    uint32_t slot = tables_slot(tables_hash_text(text.text, text.size_bytes), b->view.n_vocab);
    uint32_t probes = 1;
    for (; b->vocab[slot] != 0; probes++)
        slot = slot + 1 == b->view.n_vocab ? 0 : slot + 1;
    b->vocab[slot] = id + 1;
    if (probes > b->header.vocab_probes)
        b->header.vocab_probes = probes;
    return SLANT_OK;
}

static slant_status add_vocab(builder *b)
{
    for (size_t i = 0; i < b->d->vocab.n; i++) {
        const definition_token *token = &b->d->vocab.items[i];
        uint32_t other = tables_find_piece(&b->view, token->text.text, token->text.size_bytes);
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

static slant_status add_added(builder *b)
{
    uint32_t next_id = (uint32_t)b->d->vocab.n;
    for (size_t i = 0; i < b->d->added.n; i++) {
        const definition_added *added = &b->d->added.items[i];
        text_view text = added->content;
        uint32_t id = tables_find_piece(&b->view, text.text, text.size_bytes);
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

static slant_status merge_ids(const builder *b, const definition_merge *merge, tables_merge *out,
                              bool *good)
{
    char whole[UINT16_MAX];
    text_view left = merge->left, right = merge->right;
    if (left.size_bytes + (size_t)right.size_bytes > sizeof whole)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED, "%s: merge %u makes a token of %zu bytes",
                           b->name, merge->rank, left.size_bytes + (size_t)right.size_bytes);
    memcpy(whole, left.text, left.size_bytes);
    memcpy(whole + left.size_bytes, right.text, right.size_bytes);
    *out = (tables_merge){
        .left = tables_find_piece(&b->view, left.text, left.size_bytes),
        .right = tables_find_piece(&b->view, right.text, right.size_bytes),
        .id = tables_find_piece(&b->view, whole, left.size_bytes + (size_t)right.size_bytes),
        .rank = merge->rank};
    const uint32_t ids[3] = {out->left, out->right, out->id};
    *good = true;
    for (int i = 0; i < 3; i++) {
        if (tables_piece_flags(&b->view, ids[i]) & PIECE_MODEL)
            continue;
        *good = false;
        if (!b->d->merges_are_guesses)
            return status_fail(b->err, SLANT_ERR_FORMAT,
                               "%s: merge %u, \"%.*s\" and \"%.*s\": %s is not in the vocabulary",
                               b->name, merge->rank, (int)left.size_bytes, left.text,
                               (int)right.size_bytes, right.text,
                               i == 0   ? "the first"
                               : i == 1 ? "the second"
                                        : "what they make");
    }
    return SLANT_OK;
}

static slant_status add_merges(builder *b)
{
    size_t n = b->d->merges.n;
    if (n == 0)
        return SLANT_OK;
    b->view.n_merges = (uint32_t)(n + n * 2 / 3 + 1);
    b->merges = mem_alloc(b->view.n_merges, sizeof *b->merges);
    if (b->merges == NULL)
        return fail_memory(b);
    memset(b->merges, 0xFF, b->view.n_merges * sizeof *b->merges);
    for (size_t i = 0; i < n; i++) {
        tables_merge merge;
        bool good;
        slant_status status = merge_ids(b, &b->d->merges.items[i], &merge, &good);
        if (status != SLANT_OK)
            return status;
        if (!good)
            continue;
        uint32_t slot = tables_slot(tables_hash_pair(merge.left, merge.right), b->view.n_merges);
        uint32_t probes = 1;
        for (; b->merges[slot].left != TABLES_NO_ID; probes++) {
            if (b->merges[slot].left == merge.left && b->merges[slot].right == merge.right)
                break; /* said twice: the later rank counts, as in Hugging Face's map */
            slot = slot + 1 == b->view.n_merges ? 0 : slot + 1;
        }
        b->merges[slot] = merge;
        if (probes > b->header.merge_probes)
            b->header.merge_probes = probes;
    }
    return SLANT_OK;
}

static uint32_t find_model_piece(const builder *b, const char *text, size_t text_bytes)
{
    uint32_t id = tables_find_piece(&b->view, text, text_bytes);
    return tables_piece_flags(&b->view, id) & PIECE_MODEL ? id : TABLES_NO_ID;
}

static slant_status add_byte_ids(builder *b)
{
    static const char digits[] = "0123456789ABCDEF";
    bool byte_level = b->header.flags & TABLES_BYTE_LEVEL;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        size_t text_bytes = 6;
        if (byte_level)
            text_bytes = utf8_encode(tables_byte_char((uint8_t)byte), text);
        else
            memcpy(text, (char[6]){'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'}, 6);
        b->header.byte_ids[byte] = byte_level || (b->header.flags & TABLES_BYTE_FALLBACK)
                                       ? find_model_piece(b, text, text_bytes)
                                       : TABLES_NO_ID;
        if (byte_level && (b->header.flags & TABLES_BYTE_FALLBACK) &&
            b->header.byte_ids[byte] == TABLES_NO_ID)
            return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                               "%s: byte_fallback with ByteLevel and no token for byte 0x%02X",
                               b->name, byte);
    }
    b->header.unk_id = TABLES_NO_ID;
    if (b->d->unk_token.text != NULL) {
        b->header.unk_id = find_model_piece(b, b->d->unk_token.text, b->d->unk_token.size_bytes);
        if (b->header.unk_id == TABLES_NO_ID)
            b->header.flags |= TABLES_UNK_MISSING;
    }
    return SLANT_OK;
}

static slant_status copy_steps(builder *b, const definition_step *steps, size_t n_steps,
                               tables_step **out)
{
    *out = mem_calloc(n_steps, sizeof **out);
    if (*out == NULL)
        return fail_memory(b);
    for (size_t i = 0; i < n_steps; i++) {
        (*out)[i] = (tables_step){.kind = steps[i].kind,
                                  .flags = steps[i].flags,
                                  .pattern = steps[i].pattern,
                                  .behavior = steps[i].behavior};
        slant_status status = append_view(b, steps[i].a, &(*out)[i].a);
        if (status == SLANT_OK)
            status = append_view(b, steps[i].b, &(*out)[i].b);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}

static slant_status add_steps(builder *b)
{
    slant_status status = copy_steps(b, b->d->normalize.items, b->d->normalize.n, &b->normalize);
    if (status == SLANT_OK)
        status = copy_steps(b, b->d->pretokenize.items, b->d->pretokenize.n, &b->pretokenize);
    b->view.normalize = b->normalize;
    b->view.n_normalize = (uint32_t)b->d->normalize.n;
    return status;
}

/* The normalized form of an added token's content, in the trie's arena. */
static slant_status normalized_content(builder *b, const step_set *set, normalizer_scratch *scratch,
                                       text_view content, text_view *out)
{
    slant_status status =
        normalize(set, scratch, content.text, content.size_bytes, 0, false, b->err);
    if (status != SLANT_OK)
        return status;
    out->text = arena_strndup(&b->normal.strings, scratch->text.bytes, scratch->text.n);
    out->size_bytes = scratch->text.n;
    return out->text == NULL ? fail_memory(b) : SLANT_OK;
}

/* Those added tokens that are found in the normalized text enter in their own normalized form; the
 * normalizer's tables are complete by now. */
static slant_status add_tries(builder *b)
{
    step_set set = {0};
    normalizer_scratch scratch = {.patterns = pattern_scratch_open()};
    slant_status status =
        step_set_open(&set, &b->view, b->normalize, (uint32_t)b->d->normalize.n, b->name, b->err);
    if (status == SLANT_OK && scratch.patterns == NULL)
        status = fail_memory(b);
    for (size_t i = 0; status == SLANT_OK && i < b->d->added.n; i++) {
        const definition_added *added = &b->d->added.items[i];
        text_view text = added->content;
        if (added->normalized)
            status = normalized_content(b, &set, &scratch, text, &text);
        if (status == SLANT_OK &&
            !trie_add(added->normalized ? &b->normal : &b->added, text, added->id))
            status = fail_memory(b);
    }
    if (status == SLANT_OK && (!trie_finish(&b->added) || !trie_finish(&b->normal)))
        status = fail_memory(b);
    normalizer_scratch_free(&scratch);
    step_set_close(&set);
    return status;
}

/* Where the sections lie, and what is to be copied there. */
static size_t place_sections(builder *b, const void *contents[TABLES_N_SECTIONS],
                             size_t sizes[TABLES_N_SECTIONS])
{
    const definition *d = b->d;
    struct {
        const void *data;
        size_t count, item_bytes;
    } sections[TABLES_N_SECTIONS] = {
        [TABLES_TEXT] = {b->text.data, b->text.size_bytes, 1},
        [TABLES_PIECES] = {b->pieces, b->header.n_ids, sizeof *b->pieces},
        [TABLES_VOCAB] = {b->vocab, b->view.n_vocab, sizeof *b->vocab},
        [TABLES_MERGES] = {b->merges, b->view.n_merges, sizeof *b->merges},
        [TABLES_NORMALIZE] = {b->normalize, d->normalize.n, sizeof *b->normalize},
        [TABLES_PRETOKENIZE] = {b->pretokenize, d->pretokenize.n, sizeof *b->pretokenize},
        [TABLES_LEADING] = {d->leading.items, d->leading.n, sizeof(uint32_t)},
        [TABLES_TRAILING] = {d->trailing.items, d->trailing.n, sizeof(uint32_t)},
        [TABLES_ADDED_NODES] = {b->added.nodes.items, b->added.nodes.n, sizeof(tables_node)},
        [TABLES_ADDED_EDGES] = {b->added.edges.items, b->added.edges.n, sizeof(tables_edge)},
        [TABLES_NORMAL_NODES] = {b->normal.nodes.items, b->normal.nodes.n, sizeof(tables_node)},
        [TABLES_NORMAL_EDGES] = {b->normal.edges.items, b->normal.edges.n, sizeof(tables_edge)},
    };
    size_t offset = sizeof b->header;
    for (int i = 0; i < TABLES_N_SECTIONS; i++) {
        offset = (offset + TABLES_ALIGN - 1) / TABLES_ALIGN * TABLES_ALIGN;
        b->header.sections[i].offset = offset;
        b->header.sections[i].count = sections[i].count;
        contents[i] = sections[i].data;
        sizes[i] = sections[i].count * sections[i].item_bytes;
        offset += sizes[i];
    }
    return offset;
}

static slant_status assemble(builder *b, uint8_t **blob, size_t *blob_bytes)
{
    const void *contents[TABLES_N_SECTIONS];
    size_t sizes[TABLES_N_SECTIONS];
    size_t total = place_sections(b, contents, sizes);
    uint8_t *bytes = mem_alloc_pages(total);
    if (bytes == NULL)
        return fail_memory(b);
    memcpy(b->header.magic, TABLES_MAGIC, sizeof b->header.magic);
    b->header.version = TABLES_VERSION;
    b->header.header_bytes = sizeof b->header;
    b->header.total_bytes = total;
    memcpy(bytes, &b->header, sizeof b->header);
    for (int i = 0; i < TABLES_N_SECTIONS; i++)
        if (sizes[i] > 0)
            memcpy(bytes + b->header.sections[i].offset, contents[i], sizes[i]);
    char digest[FILE_DIGEST_CHARS];
    if (!tables_digest(bytes, total, digest)) {
        mem_free_pages(bytes, total);
        return fail_memory(b);
    }
    memcpy(bytes + offsetof(tables_header, digest), digest, sizeof digest);
    *blob = bytes;
    *blob_bytes = total;
    return SLANT_OK;
}

static slant_status check_template(builder *b, const uint32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++)
        if (!(tables_piece_flags(&b->view, ids[i]) & PIECE_PRESENT))
            return status_fail(b->err, SLANT_ERR_FORMAT, "%s: the template's id %u is no token's",
                               b->name, ids[i]);
    return SLANT_OK;
}

slant_status tokenizer_build(const definition *d, const char *name, uint8_t **blob,
                             size_t *blob_bytes, slant_error *err)
{
    builder b = {.d = d, .name = name, .err = err};
    b.header.flags = d->flags;
    slant_status status = count_ids(&b);
    if (status == SLANT_OK)
        status = add_vocab(&b);
    if (status == SLANT_OK)
        status = add_added(&b);
    if (status == SLANT_OK)
        status = add_merges(&b);
    if (status == SLANT_OK)
        status = add_byte_ids(&b);
    if (status == SLANT_OK)
        status = add_steps(&b);
    if (status == SLANT_OK)
        status = add_tries(&b);
    if (status == SLANT_OK)
        status = check_template(&b, d->leading.items, d->leading.n);
    if (status == SLANT_OK)
        status = check_template(&b, d->trailing.items, d->trailing.n);
    if (status == SLANT_OK)
        status = assemble(&b, blob, blob_bytes);
    trie_free(&b.added);
    trie_free(&b.normal);
    buf_free(&b.text);
    mem_free(b.pieces);
    mem_free(b.vocab);
    mem_free(b.merges);
    mem_free(b.normalize);
    mem_free(b.pretokenize);
    return status;
}
