#include "text/tokenizer_tables.h"

#include "base/mem.h"
#include "text/pattern.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* More steps or template ids than any real tokenizer has mean a damaged blob. */
#define MAX_STEPS 256u
#define MAX_TEMPLATE 4096u

static const size_t record_bytes[TABLES_N_SECTIONS] = {
#define RECORD_BYTES(name, type) sizeof(type),
    TABLES_SECTION_LIST(RECORD_BYTES)
#undef RECORD_BYTES
};

static slant_status check_header(const uint8_t *blob, size_t blob_bytes, const char *name,
                                 slant_error *err)
{
    const tables_header *h = (const tables_header *)(const void *)blob;
    if ((uintptr_t)blob % TABLES_ALIGN != 0)
        return status_fail(err, SLANT_ERR_ARGUMENT, "%s: tokenizer tables are not aligned to %u",
                           name, TABLES_ALIGN);
    if (blob_bytes < sizeof *h)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tokenizer tables of %zu bytes are too short",
                           name, blob_bytes);
    if (memcmp(h->magic, TABLES_MAGIC, sizeof h->magic) != 0)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: not tokenizer tables", name);
    if (h->version != TABLES_VERSION || h->header_bytes != sizeof *h)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: tokenizer tables of version %u (this slant reads %u)", name,
                           h->version, TABLES_VERSION);
    if (h->total_bytes != blob_bytes)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: tokenizer tables say %llu bytes, %zu are there", name,
                           (unsigned long long)h->total_bytes, blob_bytes);
    for (int i = 0; i < TABLES_N_SECTIONS; i++) {
        uint64_t offset = h->sections[i].offset, count = h->sections[i].count;
        if (offset % TABLES_ALIGN != 0 || offset > blob_bytes || count > UINT32_MAX - 1 ||
            count > (blob_bytes - offset) / record_bytes[i])
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: section %d of the tokenizer tables leaves the file", name, i);
    }
    return SLANT_OK;
}

/* A step's string is put into texts, which stay UTF-8 only if it is. */
static bool string_fits(const tables *t, tables_string string)
{
    return string.offset <= t->n_text && string.size_bytes <= t->n_text - string.offset &&
           string.size_bytes <= TABLES_MAX_STEP_TEXT &&
           utf8_valid_prefix(t->text + string.offset, string.size_bytes) == string.size_bytes;
}

static bool steps_fit(const tables *t, const tables_step *steps, uint32_t n_steps, uint32_t first,
                      uint32_t end)
{
    if (n_steps > MAX_STEPS)
        return false;
    for (uint32_t i = 0; i < n_steps; i++)
        if (steps[i].kind < first || steps[i].kind >= end || steps[i].pattern >= PATTERN_N_KINDS ||
            steps[i].behavior >= SPLIT_N_BEHAVIORS || !string_fits(t, steps[i].a) ||
            !string_fits(t, steps[i].b))
            return false;
    return true;
}

static bool ids_fit(const tables *t, const uint32_t *ids, uint32_t n_ids)
{
    if (n_ids > MAX_TEMPLATE)
        return false;
    for (uint32_t i = 0; i < n_ids; i++)
        if (ids[i] >= t->n_ids)
            return false;
    return true;
}

static bool digest_fits(const char digest[FILE_DIGEST_CHARS])
{
    static const char prefix[] = "sha256:";
    size_t n_prefix = sizeof prefix - 1;
    return memcmp(digest, prefix, n_prefix) == 0 &&
           strspn(digest + n_prefix, "0123456789abcdef") == FILE_DIGEST_CHARS - 1 - n_prefix;
}

/* What is small is checked here, once, so that the code that uses it need not. */
static bool contents_fit(const tables *t)
{
    const tables_header *h = t->header;
    if (!memchr(h->digest, 0, sizeof h->digest) || !digest_fits(h->digest))
        return false;
    if (t->n_ids > INT32_MAX || h->max_text_bytes > UINT16_MAX ||
        t->n_ids != h->sections[TABLES_PIECES].count || h->vocab_probes > TABLES_MAX_PROBES ||
        h->merge_probes > TABLES_MAX_PROBES || (t->n_vocab == 0 && h->vocab_probes > 0) ||
        (t->n_merges == 0 && h->merge_probes > 0))
        return false;
    for (int byte = 0; byte < 256; byte++)
        if (h->byte_ids[byte] != TABLES_NO_ID && h->byte_ids[byte] >= t->n_ids)
            return false;
    if (h->unk_id != TABLES_NO_ID && h->unk_id >= t->n_ids)
        return false;
    return ids_fit(t, t->leading, t->n_leading) && ids_fit(t, t->trailing, t->n_trailing) &&
           steps_fit(t, t->normalize, t->n_normalize, STEP_NFC, STEP_SPLIT) &&
           steps_fit(t, t->pretokenize, t->n_pretokenize, STEP_SPLIT, STEP_N_KINDS);
}

static const void *section(const tables_header *h, tables_section which, uint32_t *count)
{
    *count = (uint32_t)h->sections[which].count;
    return (const uint8_t *)h + h->sections[which].offset;
}

slant_status tables_open(tables *t, const uint8_t *blob, size_t blob_bytes, const char *name,
                         slant_error *err)
{
    slant_status status = check_header(blob, blob_bytes, name, err);
    if (status != SLANT_OK)
        return status;
    const tables_header *h = (const tables_header *)(const void *)blob;
    *t = (tables){.header = h, .flags = h->flags, .n_ids = h->n_ids};
    uint32_t n_pieces;
    t->text = section(h, TABLES_TEXT, &t->n_text);
    t->pieces = section(h, TABLES_PIECES, &n_pieces);
    t->vocab = section(h, TABLES_VOCAB, &t->n_vocab);
    t->merges = section(h, TABLES_MERGES, &t->n_merges);
    t->normalize = section(h, TABLES_NORMALIZE, &t->n_normalize);
    t->pretokenize = section(h, TABLES_PRETOKENIZE, &t->n_pretokenize);
    t->leading = section(h, TABLES_LEADING, &t->n_leading);
    t->trailing = section(h, TABLES_TRAILING, &t->n_trailing);
    t->added.nodes = section(h, TABLES_ADDED_NODES, &t->added.n_nodes);
    t->added.edges = section(h, TABLES_ADDED_EDGES, &t->added.n_edges);
    t->normal.nodes = section(h, TABLES_NORMAL_NODES, &t->normal.n_nodes);
    t->normal.edges = section(h, TABLES_NORMAL_EDGES, &t->normal.n_edges);
    if (!contents_fit(t))
        return status_fail(err, SLANT_ERR_FORMAT, "%s: damaged tokenizer tables", name);
    return SLANT_OK;
}

bool tables_digest(const uint8_t *blob, size_t blob_bytes, char out[FILE_DIGEST_CHARS])
{
    static const char zeros[FILE_DIGEST_CHARS];
    size_t at = offsetof(tables_header, digest);
    file_digest *digest = file_digest_open();
    if (digest == NULL)
        return false;
    file_digest_update(digest, blob, at);
    file_digest_update(digest, zeros, sizeof zeros);
    file_digest_update(digest, blob + at + sizeof zeros, blob_bytes - at - sizeof zeros);
    file_digest_close(digest, out);
    return true;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0xBF58476D1CE4E5B9);
    return hash ^ hash >> 32;
}

/* The last 1 to 7 bytes as one word: two loads that may overlap. */
static uint64_t tail_word(const char *text, size_t text_bytes)
{
    if (text_bytes >= 4) {
        uint32_t first, last;
        memcpy(&first, text, 4);
        memcpy(&last, text + text_bytes - 4, 4);
        return first | (uint64_t)last << 32;
    }
    uint64_t first = (unsigned char)text[0], last = (unsigned char)text[text_bytes - 1];
    return first | (uint64_t)(unsigned char)text[text_bytes / 2] << 8 | last << 16;
}

/* Eight bytes a step; the length goes in too, so that the tail's overlap does no harm. */
uint64_t tables_hash_text(const char *text, size_t text_bytes)
{
    uint64_t hash = UINT64_C(0x9E3779B97F4A7C15) ^ text_bytes;
    for (; text_bytes >= 8; text += 8, text_bytes -= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        hash = mix(hash, word);
    }
    if (text_bytes > 0)
        hash = mix(hash, tail_word(text, text_bytes));
    return hash * UINT64_C(0x94D049BB133111EB);
}

static const char *text_at(const tables *t, uint32_t offset, size_t size_bytes)
{
    return offset <= t->n_text && size_bytes <= t->n_text - offset ? t->text + offset : NULL;
}

const char *tables_piece_text(const tables *t, uint32_t id, size_t *text_bytes)
{
    if (!(tables_piece_flags(t, id) & PIECE_PRESENT))
        return NULL;
    *text_bytes = t->pieces[id].text_bytes;
    return text_at(t, t->pieces[id].text, *text_bytes);
}

const char *tables_piece_bytes(const tables *t, uint32_t id, size_t *n_bytes)
{
    if (!(tables_piece_flags(t, id) & PIECE_PRESENT))
        return NULL;
    *n_bytes = t->pieces[id].n_bytes;
    return text_at(t, t->pieces[id].bytes, *n_bytes);
}

uint32_t tables_find_piece(const tables *t, const char *text, size_t text_bytes)
{
    if (t->n_vocab == 0 || text_bytes > t->header->max_text_bytes)
        return TABLES_NO_ID;
    uint32_t slot = tables_slot(tables_hash_text(text, text_bytes), t->n_vocab);
    for (uint32_t probe = 0; probe < t->header->vocab_probes; probe++) {
        if (t->vocab[slot] == 0)
            return TABLES_NO_ID;
        size_t found_bytes;
        const char *found = tables_piece_text(t, t->vocab[slot] - 1, &found_bytes);
        if (found != NULL && found_bytes == text_bytes && memcmp(found, text, text_bytes) == 0)
            return t->vocab[slot] - 1;
        slot = slot + 1 == t->n_vocab ? 0 : slot + 1;
    }
    return TABLES_NO_ID;
}

static const tables_node *child_node(const struct tables_trie *trie, const tables_node *node,
                                     uint8_t byte)
{
    if (node->first_edge > trie->n_edges || node->n_edges > trie->n_edges - node->first_edge)
        return NULL;
    uint32_t low = node->first_edge, high = low + node->n_edges;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trie->edges[middle].byte < byte)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == node->first_edge + node->n_edges || trie->edges[low].byte != byte ||
        trie->edges[low].node >= trie->n_nodes)
        return NULL;
    return &trie->nodes[trie->edges[low].node];
}

uint32_t tables_match_added(const struct tables_trie *trie, const char *text, size_t text_bytes,
                            size_t *match_bytes)
{
    uint32_t best = 0;
    if (trie->n_nodes == 0)
        return TABLES_NO_ID;
    const tables_node *node = &trie->nodes[0];
    for (size_t i = 0; i < text_bytes; i++) {
        node = child_node(trie, node, (uint8_t)text[i]);
        if (node == NULL)
            break;
        if (node->token != 0) {
            best = node->token;
            *match_bytes = i + 1;
        }
    }
    return best == 0 ? TABLES_NO_ID : best - 1;
}

/* Printable ASCII and Latin-1 stand for themselves; the other 68 bytes get U+0100 and on, in order.
 */
static bool byte_stands_for_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

uint32_t tables_byte_char(uint8_t byte)
{
    if (byte_stands_for_itself(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte <= 0xA0)
        return 0x121u + byte - 0x7F;
    return 0x143; /* the soft hyphen, 0xAD */
}

int tables_char_byte(uint32_t code_point)
{
    if (code_point < 0x100)
        return byte_stands_for_itself(code_point) ? (int)code_point : -1;
    if (code_point <= 0x120)
        return (int)code_point - 0x100;
    if (code_point <= 0x142)
        return (int)code_point - 0x121 + 0x7F;
    return code_point == 0x143 ? 0xAD : -1;
}
