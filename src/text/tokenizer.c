/* Opening and closing tokenizers and their states, and the facts that they hold. */
#include "text/tokenizer_state.h"

#include "base/mem.h"
#include "text/tokenizer_definition.h"

#include <string.h>

static void open_added_set(added_set *set, const struct tables_trie *trie)
{
    *set = (added_set){.trie = trie, .only_start = -1};
    if (trie->n_nodes == 0)
        return;
    tables_node root = trie->nodes[0];
    if (root.first_edge > trie->n_edges || root.n_edges > trie->n_edges - root.first_edge)
        return;
    for (uint32_t i = 0; i < root.n_edges && i < 256; i++)
        set->starts[trie->edges[root.first_edge + i].byte & 0xFF] = true;
    if (root.n_edges == 1)
        set->only_start = (int)(trie->edges[root.first_edge].byte & 0xFF);
}

static slant_status open_tables(tokenizer *t, const char *name, slant_error *err)
{
    slant_status status = tables_open(&t->tables, t->blob, t->blob_bytes, name, err);
    if (status != SLANT_OK)
        return status;
    const tables *view = &t->tables;
    open_added_set(&t->added, &view->added);
    open_added_set(&t->normal, &view->normal);
    status = step_set_open(&t->normalizer, view, view->normalize, view->n_normalize, name, err);
    if (status == SLANT_OK)
        status = step_set_open(&t->pretokenizer, view, view->pretokenize, view->n_pretokenize, name,
                               err);
    for (uint32_t i = 0; i < view->n_pretokenize; i++)
        if (view->pretokenize[i].kind == STEP_METASPACE &&
            (view->pretokenize[i].flags & STEP_FIRST))
            t->keeps_origins = true;
    return status;
}

/* Takes over owned, which may be NULL; on failure too. */
static slant_status open_blob(const uint8_t *blob, size_t blob_bytes, uint8_t *owned,
                              const char *name, tokenizer **out, slant_error *err)
{
    *out = NULL;
    tokenizer *t = mem_calloc(1, sizeof *t);
    if (t == NULL) {
        mem_free_pages(owned, blob_bytes);
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", name);
    }
    t->blob = blob;
    t->blob_bytes = blob_bytes;
    t->owned = owned;
    slant_status status = open_tables(t, name, err);
    if (status != SLANT_OK) {
        tokenizer_close(t);
        return status;
    }
    *out = t;
    return SLANT_OK;
}

slant_status tokenizer_open_blob(const uint8_t *blob, size_t blob_bytes, const char *name,
                                 tokenizer **out, slant_error *err)
{
    return open_blob(blob, blob_bytes, NULL, name, out, err);
}

static slant_status open_definition(const definition *d, const char *name, tokenizer **out,
                                    slant_error *err)
{
    uint8_t *blob;
    size_t blob_bytes;
    slant_status status = tokenizer_build(d, name, &blob, &blob_bytes, err);
    return status == SLANT_OK ? open_blob(blob, blob_bytes, blob, name, out, err) : status;
}

slant_status tokenizer_open_json(const char *json, size_t json_bytes, const char *name,
                                 tokenizer **out, slant_error *err)
{
    *out = NULL;
    definition d = {0};
    slant_status status = definition_from_json(&d, json, json_bytes, name, err);
    if (status == SLANT_OK)
        status = open_definition(&d, name, out, err);
    definition_free(&d);
    return status;
}

slant_status tokenizer_open_gguf(const tokenizer_gguf *gguf, const char *name, tokenizer **out,
                                 slant_error *err)
{
    *out = NULL;
    definition d = {0};
    slant_status status = definition_from_gguf(&d, gguf, name, err);
    if (status == SLANT_OK)
        status = open_definition(&d, name, out, err);
    definition_free(&d);
    return status;
}

const uint8_t *tokenizer_blob(const tokenizer *t, size_t *blob_bytes)
{
    *blob_bytes = t->blob_bytes;
    return t->blob;
}

void tokenizer_close(tokenizer *t)
{
    if (t == NULL)
        return;
    step_set_close(&t->normalizer);
    step_set_close(&t->pretokenizer);
    mem_free_pages(t->owned, t->blob_bytes);
    mem_free(t);
}

tokenizer_state *tokenizer_state_open(const tokenizer *t)
{
    tokenizer_state *state = mem_calloc(1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->tokenizer = t;
    state->alphabet = mem_alloc((size_t)t->tables.header->max_text_bytes + 4, 1);
    state->normalizer.patterns = pattern_scratch_open();
    if (!word_cache_open(&state->cache) || state->alphabet == NULL ||
        state->normalizer.patterns == NULL) {
        tokenizer_state_close(state);
        return NULL;
    }
    return state;
}

void tokenizer_state_close(tokenizer_state *state)
{
    if (state == NULL)
        return;
    word_cache_close(&state->cache);
    bpe_free(&state->word);
    normalizer_scratch_free(&state->normalizer);
    work_free(&state->rewritten[0]);
    work_free(&state->rewritten[1]);
    span_list_free(&state->spans);
    span_list_free(&state->other_spans);
    mem_free(state->alphabet);
    mem_free(state->alphabet_bytes);
    mem_free(state->ids);
    mem_free(state->offsets);
    mem_free(state->lossy);
    mem_free(state->gaps);
    mem_free(state);
}

size_t tokenizer_vocab_size(const tokenizer *t)
{
    return t->tables.n_ids;
}

const char *tokenizer_piece(const tokenizer *t, int32_t id, size_t *piece_bytes)
{
    return id < 0 ? NULL : tables_piece_text(&t->tables, (uint32_t)id, piece_bytes);
}

bool tokenizer_bytes(const tokenizer *t, int32_t id, const uint8_t **bytes, size_t *n_bytes)
{
    *bytes = id < 0 ? NULL : (const uint8_t *)tables_piece_bytes(&t->tables, (uint32_t)id, n_bytes);
    return *bytes != NULL;
}

bool tokenizer_is_special(const tokenizer *t, int32_t id)
{
    return id >= 0 && (tables_piece_flags(&t->tables, (uint32_t)id) & PIECE_SPECIAL);
}

int32_t tokenizer_find(const tokenizer *t, const char *piece, size_t piece_bytes)
{
    uint32_t id = tables_find_piece(&t->tables, piece, piece_bytes);
    return id == TABLES_NO_ID ? -1 : (int32_t)id;
}

const char *tokenizer_digest(const tokenizer *t)
{
    return t->tables.header->digest;
}
