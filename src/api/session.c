/* slant_session: articles to scores. Texts become ids, ids are cut, the windows of many articles
 * are packed end to end into passes of bounded size, and their logits come back to their article.
 */
#include "data/cut.h"
#include "api/engine.h"
#include "api/scores.h"
#include "base/thread.h"
#include "model/forward.h"
#include "model/head.h"

#include <stdio.h>
#include <string.h>

typedef struct sequence_origin {
    size_t article;
    size_t n_ids;
} sequence_origin;

struct slant_session {
    const slant_engine *engine;
    slant_session_options options;
    slant_function function;
    float temperature;
    cut_rule rule;
    tokenizer_state *tokens;
    workspace *work;

    int32_t *ids; /* [ids_cap], the pass that is being filled */
    size_t ids_cap;
    int bounds[PASS_SEQUENCES + 1], pooled[PASS_SEQUENCES];
    sequence_origin origins[PASS_SEQUENCES];
    int n_sequences, longest;
    float *logits; /* [PASS_SEQUENCES][n_labels] */

    char *joined; /* [joined_cap]: title, newline, text */
    size_t joined_cap;
    double *sums;    /* [sums_cap][n_labels]: logits × ids over an article's windows */
    double *weights; /* [sums_cap] */
    size_t sums_cap;
};

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while classifying");
}

static slant_status make_rule(slant_session *s, slant_error *err)
{
    const slant_engine_info *info = &s->engine->info;
    slant_truncation asked = s->options.truncation;
    s->rule.truncation = asked != SLANT_TRUNCATION_DEFAULT ? asked : info->truncation;
    int64_t limit = s->options.max_length > 0 ? s->options.max_length
                    : info->max_length > 0    ? info->max_length
                                              : info->max_position_embeddings;
    s->rule.max_length = (size_t)limit;
    s->rule.stride = s->options.stride > 0 ? (size_t)s->options.stride
                     : limit > 1           ? (size_t)limit / 2
                                           : 1;
    if (s->rule.truncation == SLANT_TRUNCATION_WINDOW && s->rule.stride > s->rule.max_length)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "a stride of %zu ids would skip text between windows of %zu",
                           s->rule.stride, s->rule.max_length);
    return SLANT_OK;
}

slant_status slant_session_open(const slant_engine *engine, const slant_session_options *options,
                                slant_session **out, slant_error *err)
{
    *out = NULL;
    if (engine->m->tokenizer == NULL)
        return status_fail(err, SLANT_ERR_NOT_FOUND,
                           "%s: no tokenizer.json, so no text can be read", engine->m->path);
    slant_session *s = mem_calloc(1, sizeof *s);
    if (s == NULL)
        return out_of_memory(err);
    s->engine = engine;
    if (options != NULL)
        s->options = *options;
    if (s->options.n_threads <= 0)
        s->options.n_threads = thread_available();
    s->function = scores_function(s->options.function, &engine->m->config);
    s->temperature = s->options.raw ? 1 : engine->info.temperature;
    slant_status status = make_rule(s, err);
    if (status == SLANT_OK) {
        s->tokens = tokenizer_state_open(engine->m->tokenizer);
        s->logits =
            mem_alloc((size_t)PASS_SEQUENCES * (size_t)engine->info.n_labels, sizeof *s->logits);
        if (s->tokens == NULL || s->logits == NULL)
            status = out_of_memory(err);
    }
    if (status != SLANT_OK) {
        slant_session_close(s);
        return status;
    }
    *out = s;
    return SLANT_OK;
}

void slant_session_close(slant_session *s)
{
    if (s == NULL)
        return;
    workspace_close(s->work);
    tokenizer_state_close(s->tokens);
    mem_free(s->ids);
    mem_free(s->logits);
    mem_free(s->joined);
    mem_free(s->sums);
    mem_free(s->weights);
    mem_free(s);
}

static slant_status ready_workspace(slant_session *s, int n_tokens, slant_error *err)
{
    const slant_engine *e = s->engine;
    if (s->work != NULL && s->work->max_tokens >= n_tokens && s->work->max_sequence >= s->longest)
        return SLANT_OK;
    int max_tokens = n_tokens > PASS_TOKENS ? n_tokens : PASS_TOKENS;
    int max_sequence = s->longest > PASS_TOKENS ? s->longest : PASS_TOKENS;
    workspace_close(s->work);
    s->work = NULL;
    return workspace_open(e->m, e->kernels, e->compute, s->options.n_threads, max_tokens,
                          max_sequence, &s->work, err);
}

/* Runs the pass that has been filled and adds its logits to their articles' sums. */
static slant_status run_pass(slant_session *s, slant_error *err)
{
    if (s->n_sequences == 0)
        return SLANT_OK;
    size_t n_labels = (size_t)s->engine->info.n_labels;
    slant_status status = ready_workspace(s, s->bounds[s->n_sequences], err);
    if (status == SLANT_OK)
        status = forward(s->engine->m, s->work, s->ids, s->bounds, s->n_sequences, s->pooled,
                         s->logits, err);
    if (status != SLANT_OK)
        return status;
    for (int i = 0; i < s->n_sequences; i++) {
        const sequence_origin *from = &s->origins[i];
        for (size_t label = 0; label < n_labels; label++)
            s->sums[from->article * n_labels + label] +=
                (double)s->logits[(size_t)i * n_labels + label] * (double)from->n_ids;
        s->weights[from->article] += (double)from->n_ids;
    }
    s->n_sequences = 0;
    s->longest = 0;
    return SLANT_OK;
}

/* Adds the article's windows to the pass, running passes as they fill. */
static slant_status add_windows(slant_session *s, size_t article, const cut_ids *ids,
                                slant_error *err)
{
    size_t n_windows = cut_n_windows(ids, &s->rule);
    for (size_t i = 0; i < n_windows; i++) {
        size_t most = cut_window_ids(ids, &s->rule);
        if (s->n_sequences > 0 && (s->n_sequences == PASS_SEQUENCES ||
                                   (size_t)s->bounds[s->n_sequences] + most > PASS_TOKENS)) {
            slant_status status = run_pass(s, err);
            if (status != SLANT_OK)
                return status;
        }
        size_t at = (size_t)s->bounds[s->n_sequences];
        int32_t *ids_here = mem_with_room(s->ids, &s->ids_cap, at + most, sizeof *s->ids);
        if (ids_here == NULL)
            return out_of_memory(err);
        s->ids = ids_here;
        size_t n = cut_window(ids, &s->rule, i, s->ids + at);
        s->pooled[s->n_sequences] =
            head_pooled(s->ids + at, (int)n, s->engine->m->config.pad_token_id);
        s->origins[s->n_sequences] = (sequence_origin){article, n};
        s->bounds[++s->n_sequences] = (int)(at + n);
        if ((int)n > s->longest)
            s->longest = (int)n;
    }
    return SLANT_OK;
}

static slant_status article_failed(slant_result *r, slant_status status, const char *message)
{
    r->status = status;
    snprintf(r->message, sizeof r->message, "%s", message);
    return SLANT_OK;
}

/* Title, newline, text where there is a title; else the text where it lies. NULL when memory is
 * out. */
static const char *whole_text(slant_session *s, const slant_text *text, size_t *size_bytes)
{
    *size_bytes = text->text_bytes;
    if (text->title == NULL)
        return text->text == NULL ? "" : text->text;
    if (!mem_add(text->title_bytes, text->text_bytes, size_bytes) ||
        !mem_add(*size_bytes, 1, size_bytes))
        return NULL;
    char *joined = mem_with_room(s->joined, &s->joined_cap, *size_bytes, 1);
    if (joined == NULL)
        return NULL;
    s->joined = joined;
    memcpy(joined, text->title, text->title_bytes);
    joined[text->title_bytes] = '\n';
    if (text->text_bytes > 0)
        memcpy(joined + text->title_bytes + 1, text->text, text->text_bytes);
    return joined;
}

/* Errors of the article stay in r; what is returned ends the whole call. */
static slant_status add_article(slant_session *s, size_t article, const slant_text *text,
                                slant_result *r, slant_error *err)
{
    slant_error own;
    size_t size_bytes;
    const char *whole = whole_text(s, text, &size_bytes);
    *r = (slant_result){.status = SLANT_OK, .label = -1};
    if (whole == NULL)
        return out_of_memory(err);
    if (size_bytes == 0 && !s->options.pipeline_empty)
        return article_failed(r, SLANT_ERR_TEXT, "the article is empty");

    tokenizer_options how = {.add_special_tokens = true, .lossy = s->options.lossy};
    tokenizer_output tokens;
    slant_status status = tokenizer_encode(s->tokens, whole, size_bytes, &how, &tokens, &own);
    if (status == SLANT_ERR_MEMORY)
        return status_fail(err, status, "%s", own.message);
    if (status != SLANT_OK)
        return article_failed(r, status, own.message);
    cut_ids ids = {tokens.ids, tokens.n_ids, tokens.n_leading, tokens.n_trailing};
    r->tokens = (int64_t)tokens.n_ids;
    if (tokens.n_ids == 0 ||
        (tokens.n_ids == tokens.n_leading + tokens.n_trailing && !s->options.pipeline_empty))
        return article_failed(r, SLANT_ERR_TEXT, "the article has no token");
    if (cut_window_ids(&ids, &s->rule) > INT32_MAX / 4)
        return article_failed(r, SLANT_ERR_TEXT,
                              "the article has more tokens than one pass can hold");
    r->truncated = s->rule.truncation != SLANT_TRUNCATION_WINDOW &&
                   cut_window_ids(&ids, &s->rule) < tokens.n_ids;
    r->tokens_read = r->truncated ? (int64_t)cut_window_ids(&ids, &s->rule) : r->tokens;
    return add_windows(s, article, &ids, err);
}

static void finish_article(const slant_session *s, size_t article, float *scores, slant_result *r)
{
    size_t n_labels = (size_t)s->engine->info.n_labels;
    for (size_t label = 0; label < n_labels; label++)
        scores[label] = (float)(s->sums[article * n_labels + label] / s->weights[article]);
    scores_apply(s->function, s->temperature, scores, (int)n_labels);
    r->label = scores_best(scores, (int)n_labels);
}

slant_status slant_classify(slant_session *s, const slant_text *texts, size_t n, float *scores,
                            slant_result *results, slant_error *err)
{
    size_t n_labels = (size_t)s->engine->info.n_labels, cap = s->sums_cap;
    double *sums = mem_with_room(s->sums, &cap, n, n_labels * sizeof *sums);
    if (sums == NULL && n > 0)
        return out_of_memory(err);
    s->sums = sums;
    double *weights = mem_with_room(s->weights, &s->sums_cap, n, sizeof *weights);
    if (weights == NULL && n > 0)
        return out_of_memory(err);
    s->weights = weights;
    if (n == 0)
        return SLANT_OK;
    memset(s->sums, 0, n * n_labels * sizeof *s->sums);
    memset(s->weights, 0, n * sizeof *s->weights);
    s->n_sequences = 0;
    s->longest = 0;

    for (size_t i = 0; i < n; i++) {
        slant_status status = add_article(s, i, &texts[i], &results[i], err);
        if (status != SLANT_OK)
            return status;
    }
    slant_status status = run_pass(s, err);
    if (status != SLANT_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        if (results[i].status == SLANT_OK)
            finish_article(s, i, scores + i * n_labels, &results[i]);
    return SLANT_OK;
}
