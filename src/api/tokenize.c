/* slant_tokenizer: a model's tokenizer without its weights. */
#include "api/default_model.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/hub.h"
#include "model/source.h"
#include "text/tokenizer.h"

#include <slant_tokenize.h>
#include <stdio.h>
#include <string.h>

#define TOKENIZER_MAX_BYTES ((size_t)256 << 20)

/* An id's digits and a comma, with how many bytes that is: one store and one addition an id. */
typedef struct id_text {
    char digits[7];
    uint8_t n_bytes;
} id_text;
#define ID_TEXT_MAX 999999 /* six digits and the comma; higher ids are printed the slow way */

struct slant_tokenizer {
    slant_tokenizer_options options;
    arena names;
    char *path;
    source *from; /* whose memory the tables may lie in; NULL where they are the tokenizer's own */
    tokenizer *tokens;
    tokenizer_state *state;
    id_text *id_texts; /* [n_id_texts] */
    size_t n_id_texts;
    buf json;
};

_Static_assert(sizeof(slant_token_span) == sizeof(tokenizer_offset) &&
                   offsetof(slant_token_span, start) == offsetof(tokenizer_offset, start) &&
                   offsetof(slant_token_span, end) == offsetof(tokenizer_offset, end),
               "spans are handed out as they are");

static slant_status open_json(slant_tokenizer *t, const char *path, slant_error *err)
{
    buf text = {0};
    slant_status status = file_read(path, TOKENIZER_MAX_BYTES, &text, err);
    if (status == SLANT_OK)
        status = tokenizer_open_json(text.data, text.size_bytes, path, &t->tokens, err);
    buf_free(&text);
    return status;
}

static slant_status open_source(slant_tokenizer *t, const char *path, slant_error *err)
{
    slant_status status = source_open(path, &t->from, err);
    if (status == SLANT_OK)
        status = source_tokenizer(t->from, &t->tokens, err);
    if (status == SLANT_OK && t->tokens == NULL)
        status = status_fail(err, SLANT_ERR_NOT_FOUND, "%s: holds no tokenizer", path);
    return status;
}

static bool is_json(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".json") == 0;
}

/* A folder needs no more than its tokenizer.json. */
static slant_status open_tables(slant_tokenizer *t, slant_error *err)
{
    if (is_json(t->path))
        return open_json(t, t->path, err);
    if (!file_is_dir(t->path))
        return open_source(t, t->path, err);
    const char *json = arena_printf(&t->names, "%s/tokenizer.json", t->path);
    if (json == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    return open_json(t, json, err);
}

static slant_status make_id_texts(slant_tokenizer *t, slant_error *err)
{
    size_t n_ids = tokenizer_vocab_size(t->tokens);
    t->n_id_texts = n_ids <= ID_TEXT_MAX ? n_ids : ID_TEXT_MAX + 1;
    t->id_texts = mem_alloc(t->n_id_texts, sizeof *t->id_texts);
    if (t->id_texts == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    for (size_t id = 0; id < t->n_id_texts; id++) {
        char text[24] = {0};
        int n_bytes = snprintf(text, sizeof text, "%zu,", id);
        memcpy(t->id_texts[id].digits, text, sizeof t->id_texts[id].digits);
        t->id_texts[id].n_bytes = (uint8_t)n_bytes;
    }
    return SLANT_OK;
}

slant_status slant_tokenizer_open(const char *model, const slant_tokenizer_options *options,
                                  slant_tokenizer **out, slant_error *err)
{
    *out = NULL;
    slant_tokenizer *t = mem_calloc(1, sizeof *t);
    slant_status status = SLANT_OK;
    if (t == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (options != NULL)
        t->options = *options;
    if (model == NULL) {
        const char *no_adapter;
        status = default_model_find(&model, &no_adapter, &t->names, err);
    }
    if (status == SLANT_OK)
        status = hub_resolve(model, &t->path, err);
    if (status == SLANT_OK)
        status = open_tables(t, err);
    if (status == SLANT_OK && (t->state = tokenizer_state_open(t->tokens)) == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (status != SLANT_OK) {
        slant_tokenizer_close(t);
        return status;
    }
    *out = t;
    return SLANT_OK;
}

void slant_tokenizer_close(slant_tokenizer *t)
{
    if (t == NULL)
        return;
    tokenizer_state_close(t->state);
    tokenizer_close(t->tokens);
    source_close(t->from);
    arena_free(&t->names);
    mem_free(t->path);
    mem_free(t->id_texts);
    buf_free(&t->json);
    mem_free(t);
}

const char *slant_tokenizer_path(const slant_tokenizer *t)
{
    return t->path;
}

const char *slant_tokenizer_piece(const slant_tokenizer *t, int32_t id, size_t *piece_bytes)
{
    return tokenizer_piece(t->tokens, id, piece_bytes);
}

static slant_status encode(slant_tokenizer *t, const char *text, size_t text_bytes,
                           bool want_offsets, tokenizer_output *out, slant_error *err)
{
    tokenizer_options options = {.add_special_tokens = !t->options.no_special_tokens,
                                 .lossy = t->options.lossy,
                                 .want_offsets = want_offsets};
    return tokenizer_encode(t->state, text, text_bytes, &options, out, err);
}

slant_status slant_tokenize(slant_tokenizer *t, const char *text, size_t text_bytes,
                            slant_tokens *out, slant_error *err)
{
    tokenizer_output ids;
    slant_status status = encode(t, text, text_bytes, true, &ids, err);
    if (status == SLANT_OK)
        *out = (slant_tokens){
            .ids = ids.ids, .spans = (const slant_token_span *)ids.offsets, .n_ids = ids.n_ids};
    return status;
}

slant_status slant_tokenize_json(slant_tokenizer *t, const char *text, size_t text_bytes,
                                 const char **json, size_t *json_bytes, slant_error *err)
{
    tokenizer_output ids;
    slant_status status = encode(t, text, text_bytes, false, &ids, err);
    if (status == SLANT_OK && t->id_texts == NULL)
        status = make_id_texts(t, err);
    if (status != SLANT_OK)
        return status;
    size_t most;
    buf_clear(&t->json);
    if (!mem_mul(ids.n_ids, 12, &most) || !buf_reserve(&t->json, most + sizeof(id_text)))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    char *at = t->json.data;
    *at++ = '[';
    for (size_t i = 0; i < ids.n_ids; i++) {
        size_t id = (size_t)ids.ids[i];
        if (id < t->n_id_texts) {
            memcpy(at, &t->id_texts[id], sizeof(id_text));
            at += t->id_texts[id].n_bytes;
        } else {
            at += snprintf(at, 12, "%zu,", id);
        }
    }
    at -= ids.n_ids > 0; /* the last comma */
    *at++ = ']';
    *json = t->json.data;
    *json_bytes = (size_t)(at - t->json.data);
    return SLANT_OK;
}
