/* A GGUF's tokenizer metadata to a definition. */
#include "text/tokenizer_definition.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_BYTE = 6 };

static slant_status out_of_memory(const char *name, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", name);
}

static int32_t type_of(const tokenizer_gguf *gguf, size_t id)
{
    return gguf->types == NULL ? TYPE_NORMAL : gguf->types[id];
}

static text_view token_text(const tokenizer_gguf *gguf, size_t id)
{
    return (text_view){gguf->tokens[id], (uint32_t)gguf->token_bytes[id]};
}

/* Control, user and unknown tokens are found in the text before all else. All but the first two
 * make the vocabulary, where the unknown token's own id is looked up. */
static slant_status add_tokens(definition *d, const tokenizer_gguf *gguf, const char *name,
                               slant_error *err)
{
    for (size_t id = 0; id < gguf->n_tokens; id++) {
        size_t n_bytes = gguf->token_bytes[id];
        if (n_bytes > UINT16_MAX || utf8_valid_prefix(gguf->tokens[id], n_bytes) < n_bytes)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: token %zu of tokenizer.ggml.tokens is %s", name, id,
                               n_bytes > UINT16_MAX ? "too long" : "not UTF-8");
        int32_t type = type_of(gguf, id);
        if (type == TYPE_CONTROL || type == TYPE_USER || type == TYPE_UNKNOWN) {
            definition_added *added = definition_push(&d->added);
            if (added == NULL)
                return out_of_memory(name, err);
            added->content = token_text(gguf, id);
            added->id = (uint32_t)id;
            added->flags = PIECE_ADDED | (type == TYPE_USER ? 0 : PIECE_SPECIAL);
        }
        if (type != TYPE_CONTROL && type != TYPE_USER) {
            definition_token *token = definition_push(&d->vocab);
            if (token == NULL)
                return out_of_memory(name, err);
            *token = (definition_token){token_text(gguf, id), (uint32_t)id};
        }
    }
    return SLANT_OK;
}

static slant_status add_merges(definition *d, const tokenizer_gguf *gguf, const char *name,
                               slant_error *err)
{
    for (size_t i = 0; i < gguf->n_merges; i++) {
        const char *line = gguf->merges[i];
        size_t n_bytes = gguf->merge_bytes[i];
        const char *space = n_bytes == 0 ? NULL : memchr(line, ' ', n_bytes);
        if (space == NULL || n_bytes > UINT16_MAX)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: merge %zu of tokenizer.ggml.merges is no pair", name, i);
        size_t left_bytes = (size_t)(space - line);
        definition_merge *merge = definition_push(&d->merges);
        if (merge == NULL)
            return out_of_memory(name, err);
        *merge = (definition_merge){{line, (uint32_t)left_bytes},
                                    {space + 1, (uint32_t)(n_bytes - left_bytes - 1)},
                                    (uint32_t)i};
    }
    return SLANT_OK;
}

static bool push_split(definition *d, pattern_kind kind)
{
    definition_step *step = definition_push(&d->pretokenize);
    if (step == NULL)
        return false;
    step->kind = STEP_SPLIT;
    step->pattern = kind;
    step->behavior = SPLIT_ISOLATED;
    return true;
}

static bool push_normalizer(definition *d, step_kind kind, const char *a, const char *b)
{
    definition_step *step = definition_push(&d->normalize);
    if (step == NULL)
        return false;
    step->kind = kind;
    step->pattern = PATTERN_LITERAL;
    step->a = (text_view){a, (uint32_t)strlen(a)};
    step->b = (text_view){b, (uint32_t)strlen(b)};
    return true;
}

/* What each value of tokenizer.ggml.pre that is known stands for. */
typedef struct gguf_pre {
    const char *name;
    pattern_kind pattern;
    bool digits;        /* single digits are isolated before the pattern */
    bool nfc;           /* as Hugging Face has it */
    bool ignore_merges; /* a word that is a token is taken whole */
    bool add_bos;       /* where the file does not say */
} gguf_pre;

static const gguf_pre known_pres[] = {
    {"llama-bpe", PATTERN_LLAMA3, false, false, true, true},
    {"llama3", PATTERN_LLAMA3, false, false, true, true},
    {"llama-v3", PATTERN_LLAMA3, false, false, true, true},
    {"smollm", PATTERN_GPT2, true, false, false, false},
    {"qwen2", PATTERN_QWEN2, false, true, false, false},
    {"gpt-2", PATTERN_GPT2, false, false, false, false},
    {"tekken", PATTERN_TEKKEN, false, false, true, true},
};

/* NULL where the file's is not known. */
static const gguf_pre *find_pre(const tokenizer_gguf *gguf)
{
    for (size_t i = 0; gguf->pre != NULL && i < sizeof known_pres / sizeof *known_pres; i++)
        if (strcmp(gguf->pre, known_pres[i].name) == 0)
            return &known_pres[i];
    return NULL;
}

static slant_status from_gpt2(definition *d, const tokenizer_gguf *gguf, bool *add_bos,
                              const char *name, slant_error *err)
{
    const gguf_pre *pre = find_pre(gguf);
    if (pre == NULL)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: tokenizer.ggml.pre \"%s\" is not supported", name,
                           gguf->pre == NULL ? "" : gguf->pre);
    slant_status status = add_merges(d, gguf, name, err);
    if (status != SLANT_OK)
        return status;
    d->flags = TABLES_BYTE_LEVEL | (pre->ignore_merges ? TABLES_IGNORE_MERGES : 0);
    *add_bos = pre->add_bos;
    if ((pre->nfc && !push_normalizer(d, STEP_NFC, "", "")) ||
        (pre->digits && !push_split(d, PATTERN_NUMBER)) || !push_split(d, pre->pattern))
        return out_of_memory(name, err);
    return SLANT_OK;
}

typedef struct scored_token {
    float score;
    uint32_t id;
} scored_token;

static int compare_scores(const void *a, const void *b)
{
    const scored_token *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* SentencePiece merges any two neighbours that make a token, the best score first: so each way to
 * cut a token in two is a merge, ranked by the token's score. Equal scores are one rank, in which
 * the leftmost pair goes first. */
static slant_status add_scored_merges(definition *d, const tokenizer_gguf *gguf,
                                      const scored_token *tokens, size_t n_tokens, const char *name,
                                      slant_error *err)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        if (i > 0 && tokens[i].score != tokens[i - 1].score)
            rank++;
        text_view text = token_text(gguf, tokens[i].id);
        for (uint32_t cut = 1; cut < text.size_bytes; cut++) {
            if (utf8_is_continuation(text.text[cut]))
                continue;
            definition_merge *merge = definition_push(&d->merges);
            if (merge == NULL)
                return out_of_memory(name, err);
            *merge = (definition_merge){
                {text.text, cut}, {text.text + cut, text.size_bytes - cut}, rank};
        }
    }
    return SLANT_OK;
}

static slant_status add_all_merges(definition *d, const tokenizer_gguf *gguf, const char *name,
                                   slant_error *err)
{
    size_t n = 0;
    scored_token *tokens = mem_alloc(gguf->n_tokens, sizeof *tokens);
    if (tokens == NULL)
        return out_of_memory(name, err);
    for (size_t id = 0; id < gguf->n_tokens; id++)
        if (type_of(gguf, id) == TYPE_NORMAL)
            tokens[n++] = (scored_token){gguf->scores[id], (uint32_t)id};
    qsort(tokens, n, sizeof *tokens, compare_scores);
    d->merges_are_guesses = true;
    slant_status status = add_scored_merges(d, gguf, tokens, n, name, err);
    mem_free(tokens);
    return status;
}

static slant_status from_llama(definition *d, const tokenizer_gguf *gguf, bool *add_bos,
                               const char *name, slant_error *err)
{
    static const char space[] = " ", mark[] = "\xE2\x96\x81";
    if (gguf->scores == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: no tokenizer.ggml.scores", name);
    for (size_t id = 0; id < gguf->n_tokens; id++)
        if (gguf->scores[id] != gguf->scores[id])
            return status_fail(err, SLANT_ERR_FORMAT, "%s: the score of token %zu is not a number",
                               name, id);
    if (!push_normalizer(d, STEP_PREPEND, mark, "") ||
        !push_normalizer(d, STEP_REPLACE, space, mark))
        return out_of_memory(name, err);
    d->flags = TABLES_BYTE_FALLBACK | TABLES_FUSE_UNK;
    if (gguf->unknown_id >= 0 && (uint64_t)gguf->unknown_id < gguf->n_tokens)
        d->unk_token = token_text(gguf, (size_t)gguf->unknown_id);
    *add_bos = true;
    return add_all_merges(d, gguf, name, err);
}

static slant_status add_template(definition *d, const tokenizer_gguf *gguf, bool add_bos,
                                 const char *name, slant_error *err)
{
    if (gguf->add_bos >= 0)
        add_bos = gguf->add_bos;
    if (!add_bos)
        return SLANT_OK;
    if (gguf->bos_id < 0 || (uint64_t)gguf->bos_id >= gguf->n_tokens)
        return status_fail(
            err, SLANT_ERR_FORMAT,
            "%s: texts begin with a BOS token, but bos_token_id is %lld of %zu tokens", name,
            (long long)gguf->bos_id, gguf->n_tokens);
    uint32_t *id = definition_push(&d->leading);
    if (id == NULL)
        return out_of_memory(name, err);
    *id = (uint32_t)gguf->bos_id;
    return SLANT_OK;
}

slant_status definition_from_gguf(definition *d, const tokenizer_gguf *gguf, const char *name,
                                  slant_error *err)
{
    bool add_bos = false;
    slant_status status = add_tokens(d, gguf, name, err);
    if (status != SLANT_OK)
        return status;
    if (gguf->model != NULL && strcmp(gguf->model, "gpt2") == 0)
        status = from_gpt2(d, gguf, &add_bos, name, err);
    else if (gguf->model != NULL && strcmp(gguf->model, "llama") == 0)
        status = from_llama(d, gguf, &add_bos, name, err);
    else
        status = status_fail(err, SLANT_ERR_UNSUPPORTED,
                             "%s: tokenizer.ggml.model \"%s\" is not supported", name,
                             gguf->model == NULL ? "" : gguf->model);
    return status == SLANT_OK ? add_template(d, gguf, add_bos, name, err) : status;
}
