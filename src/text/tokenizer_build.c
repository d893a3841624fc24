/* From a definition to the tables: numbers the strings, fills the hash tables and tries, and lays
 * all of it out as one blob. */
#include "text/tokenizer_builder.h"

#include "text/normalize.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Ids beyond this are a mistake of the file: the largest vocabularies have some hundred thousand.
 */
#define MAX_IDS (UINT32_C(1) << 24)
#define MAX_TEXT (UINT32_C(1) << 30)

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

slant_status builder_out_of_memory(const builder *b)
{
    return status_fail(b->err, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", b->name);
}

slant_status builder_append_text(builder *b, const char *text, size_t size_bytes, uint32_t *offset)
{
    if (size_bytes > MAX_TEXT || b->text.size_bytes > MAX_TEXT - size_bytes)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                           "%s: the tokenizer's strings take more than %u bytes", b->name,
                           MAX_TEXT);
    *offset = (uint32_t)b->text.size_bytes;
    buf_append(&b->text, text, size_bytes);
    b->view.text = b->text.data;
    b->view.n_text = (uint32_t)b->text.size_bytes;
    return b->text.failed ? builder_out_of_memory(b) : SLANT_OK;
}

static slant_status append_view(builder *b, text_view string, tables_string *out)
{
    out->size_bytes = string.size_bytes;
    if (string.size_bytes > TABLES_MAX_STEP_TEXT)
        return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                           "%s: a pattern or replacement of %u bytes; at most %u are supported",
                           b->name, string.size_bytes, TABLES_MAX_STEP_TEXT);
    return builder_append_text(b, string.text, string.size_bytes, &out->offset);
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
                                       ? builder_find_model_piece(b, text, text_bytes)
                                       : TABLES_NO_ID;
        if (byte_level && (b->header.flags & TABLES_BYTE_FALLBACK) &&
            b->header.byte_ids[byte] == TABLES_NO_ID)
            return status_fail(b->err, SLANT_ERR_UNSUPPORTED,
                               "%s: byte_fallback with ByteLevel and no token for byte 0x%02X",
                               b->name, byte);
    }
    b->header.unk_id = TABLES_NO_ID;
    if (b->d->unk_token.text != NULL) {
        b->header.unk_id =
            builder_find_model_piece(b, b->d->unk_token.text, b->d->unk_token.size_bytes);
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
        return builder_out_of_memory(b);
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
    return out->text == NULL ? builder_out_of_memory(b) : SLANT_OK;
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
        status = builder_out_of_memory(b);
    for (size_t i = 0; status == SLANT_OK && i < b->d->added.n; i++) {
        const definition_added *added = &b->d->added.items[i];
        text_view text = added->content;
        if (added->normalized)
            status = normalized_content(b, &set, &scratch, text, &text);
        if (status == SLANT_OK &&
            !trie_add(added->normalized ? &b->normal : &b->added, text, added->id))
            status = builder_out_of_memory(b);
    }
    if (status == SLANT_OK && (!trie_finish(&b->added) || !trie_finish(&b->normal)))
        status = builder_out_of_memory(b);
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
        return builder_out_of_memory(b);
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
        return builder_out_of_memory(b);
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
    slant_status status = builder_count_ids(&b);
    if (status == SLANT_OK)
        status = builder_add_vocab(&b);
    if (status == SLANT_OK)
        status = builder_add_added(&b);
    if (status == SLANT_OK)
        status = builder_add_merges(&b);
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
    mem_free(b.slots);
    mem_free(b.vocab);
    mem_free(b.merges);
    mem_free(b.normalize);
    mem_free(b.pretokenize);
    return status;
}
