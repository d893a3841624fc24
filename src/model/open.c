/* Opening a model: source, tokenizer, weights, adapter, labels, in that order. */
#include "model/adapter.h"
#include "model/bind.h"
#include "model/digest.h"
#include "model/hub.h"
#include "model/plain.h"
#include "model/slant_file.h"
#include "quant/nf4.h"

#include "base/thread.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct opening {
    model *m;
    const model_open_options *options;
    sidecar side;
    int n_scores; /* rows of the head that answers; 0: none */
    bool base_has_score;
    buf notes;
    slant_error *err;
} opening;

static slant_status out_of_memory(const opening *o)
{
    return status_fail(o->err, SLANT_ERR_MEMORY, "%s: out of memory", o->m->path);
}

void model_set_embedding(model *m, const tensor_view *view, int fd, uint64_t offset)
{
    if (m->embedding_fd >= 0)
        close(m->embedding_fd);
    m->embedding = *view;
    m->embedding_fd = fd;
    m->embedding_offset = offset;
}

static slant_status keep_layers(opening *o)
{
    int wanted = o->options->n_layers;
    if (wanted < 0 || wanted > o->m->config.n_layers)
        return status_fail(o->err, SLANT_ERR_ARGUMENT, "%s: %d layers asked for, but it has %d",
                           o->m->path, wanted, o->m->config.n_layers);
    if (wanted > 0)
        o->m->config.n_layers = wanted;
    return SLANT_OK;
}

static slant_status open_source(opening *o, const char *name)
{
    model *m = o->m;
    char *path = NULL;
    slant_status status = hub_resolve(name, &path, o->err);
    if (status == SLANT_OK)
        status = source_open(path, &m->files->base, o->err);
    mem_free(path);
    if (status != SLANT_OK)
        return status;
    m->path = m->files->base->path;
    m->source_kind = source_kind_name(m->files->base->kind);
    m->config = m->files->base->config;
    return keep_layers(o);
}

static slant_status open_tokenizer(opening *o)
{
    model *m = o->m;
    slant_status status = source_tokenizer(m->files->base, &m->tokenizer, o->err);
    if (status == SLANT_OK && m->tokenizer == NULL && m->adapter.path != NULL) {
        status = plain_tokenizer_of_dir(m->adapter.path, &m->tokenizer, o->err);
        if (m->tokenizer != NULL)
            buf_string(&o->notes, "the tokenizer is the adapter's, for the base holds none\n");
    }
    if (status == SLANT_OK && m->tokenizer != NULL &&
        tokenizer_vocab_size(m->tokenizer) > (size_t)m->config.vocab_size)
        buf_printf(&o->notes,
                   "the tokenizer has %zu ids and the embedding %d rows: a text that needs the ids "
                   "beyond cannot be read\n",
                   tokenizer_vocab_size(m->tokenizer), m->config.vocab_size);
    return status;
}

static slant_dtype held_as(dtype type)
{
    switch (type) {
    case DTYPE_NF4:
        return SLANT_DTYPE_NF4;
    case DTYPE_BF16:
        return SLANT_DTYPE_BF16;
    case DTYPE_F32:
        return SLANT_DTYPE_F32;
    default:
        return SLANT_DTYPE_AUTO;
    }
}

/* NF4 blocks that straddle rows cannot be panels: those weights are held expanded. */
static void note_expanded(opening *o)
{
    const model *m = o->m;
    bool wanted = o->options->dtype == SLANT_DTYPE_NF4 ||
                  (o->options->dtype == SLANT_DTYPE_AUTO && m->files->base->kind == SOURCE_BNB);
    int n_expanded = 0;
    for (int i = 0; wanted && i < m->config.n_layers * LINEAR_COUNT; i++) {
        const kernel_weight *w = &m->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT].w;
        n_expanded += w->type != DTYPE_NF4 && w->n_in % NF4_BLOCK != 0;
    }
    if (n_expanded > 0)
        buf_printf(&o->notes,
                   "%d linear weights have rows that are no multiple of %d: their NF4 values are "
                   "held exactly, as fp32\n",
                   n_expanded, NF4_BLOCK);
}

static slant_status bind_weights(opening *o)
{
    model *m = o->m;
    int n_threads = o->options->n_threads > 0 ? o->options->n_threads : thread_available();
    slant_status status = bind_base(m, o->options->dtype, n_threads, &o->n_scores, o->err);
    if (status != SLANT_OK)
        return status;
    o->base_has_score = o->n_scores > 0;
    m->linear_type = m->layers[0].linears[LINEAR_Q].w.type;
    m->dtype = held_as(m->linear_type);
    note_expanded(o);
    return SLANT_OK;
}

static slant_status take_digest(opening *o)
{
    model *m = o->m;
    char digest[FILE_DIGEST_CHARS];
    const char *carried = source_digest_carried(m->files->base);
    if (carried != NULL && m->config.n_layers == m->files->base->config.n_layers) {
        m->base_digest = carried;
        return SLANT_OK;
    }
    if (!o->options->want_digest)
        return SLANT_OK;
    slant_status status = digest_base(m->files->base, m->config.n_layers, digest, o->err);
    if (status == SLANT_OK && (m->base_digest = arena_strdup(&m->memory, digest)) == NULL)
        status = out_of_memory(o);
    return status;
}

static slant_status check_digest(opening *o, const char *what, const char *trained_on,
                                 const char *found)
{
    if (trained_on == NULL || found == NULL) {
        buf_printf(&o->notes,
                   "the %s cannot be checked against the adapter's: %s; it is taken because "
                   "it fits\n",
                   what,
                   trained_on == NULL ? "the adapter names no digest" : "its digest is unknown");
        return SLANT_OK;
    }
    if (strcmp(trained_on, found) == 0)
        return SLANT_OK;
    return status_fail(o->err, SLANT_ERR_MISMATCH,
                       "%s: the adapter was trained on another %s: expected %s, found %s",
                       o->m->adapter.path, what, trained_on, found);
}

/* A model that an adapter was merged into carries what the adapter remembered. */
static slant_status open_own_sidecar(opening *o)
{
    model *m = o->m;
    const source *s = m->files->base;
    slant_status status = SLANT_OK;
    if (s->kind == SOURCE_HF || s->kind == SOURCE_BNB)
        status = sidecar_read(&o->side, s->path, &m->memory, o->err);
    const char *json =
        s->kind == SOURCE_SLANT ? safetensors_metadata(s->st, SLANT_FILE_SIDECAR_KEY) : NULL;
    if (json != NULL)
        status = sidecar_from_json(&o->side, json, strlen(json), s->path, &m->memory, o->err);
    m->adapter.max_length = o->side.max_length;
    m->adapter.truncation = o->side.truncation;
    m->adapter.title_field = o->side.title_field;
    m->adapter.temperature = o->side.temperature;
    return status;
}

static slant_status open_adapter(opening *o)
{
    model *m = o->m;
    if (o->options->adapter == NULL && o->options->checkpoint != NULL)
        return status_fail(o->err, SLANT_ERR_ARGUMENT,
                           "a checkpoint is chosen, but no adapter is given");
    if (o->options->adapter == NULL)
        return open_own_sidecar(o);
    slant_status status = adapter_open(m, o->options->adapter, o->options->checkpoint, o->n_scores,
                                       &o->n_scores, &o->side, &o->notes, o->err);
    if (status == SLANT_OK)
        status = check_digest(o, "base", o->side.base_digest, m->base_digest);
    return status;
}

static slant_status check_tokenizer(opening *o)
{
    const model *m = o->m;
    if (m->adapter.path == NULL || m->tokenizer == NULL || o->side.tokenizer_digest == NULL)
        return SLANT_OK;
    return check_digest(o, "tokenizer", o->side.tokenizer_digest, tokenizer_digest(m->tokenizer));
}

/* Names nobody chose, which a causal base may carry: LABEL_0, LABEL_1, … */
static bool are_generic(const model_config *c)
{
    for (int i = 0; i < c->n_labels; i++) {
        char name[24];
        snprintf(name, sizeof name, "LABEL_%d", i);
        if (strcmp(name, c->labels[i]) != 0)
            return false;
    }
    return true;
}

static slant_status use_labels(opening *o, const char **labels, int n_labels, const char *whose)
{
    if (n_labels != o->n_scores)
        return status_fail(o->err, SLANT_ERR_MISMATCH, "%s: %d labels for a head of %d", whose,
                           n_labels, o->n_scores);
    o->m->config.labels = labels;
    o->m->config.n_labels = n_labels;
    return SLANT_OK;
}

/* "Left,Center,Right" into names; commas separate, nothing else is touched. */
static slant_status split_labels(opening *o, const char *list, const char ***labels, int *n_labels)
{
    int n = 1;
    for (const char *c = list; *c != '\0'; c++)
        n += *c == ',';
    *labels = arena_alloc(&o->m->memory, (size_t)n, sizeof **labels);
    if (*labels == NULL)
        return out_of_memory(o);
    *n_labels = n;
    for (int i = 0; i < n; i++) {
        size_t length = strcspn(list, ",");
        if (length == 0)
            return status_fail(o->err, SLANT_ERR_ARGUMENT, "labels: name %d of %d is empty", i + 1,
                               n);
        if (((*labels)[i] = arena_strndup(&o->m->memory, list, length)) == NULL)
            return out_of_memory(o);
        list += length + 1;
    }
    return SLANT_OK;
}

static slant_status name_labels(opening *o)
{
    model_config *c = &o->m->config;
    if (o->options->labels != NULL) {
        const char **labels;
        int n_labels = 0;
        slant_status status = split_labels(o, o->options->labels, &labels, &n_labels);
        if (status != SLANT_OK)
            return status;
        if (o->n_scores == 0) { /* a base alone: names for the head to come */
            c->labels = labels;
            c->n_labels = n_labels;
            return SLANT_OK;
        }
        return use_labels(o, labels, n_labels, "labels");
    }
    if (o->n_scores == 0)
        return SLANT_OK;
    if (o->side.n_labels > 0)
        return use_labels(o, o->side.labels, o->side.n_labels, "slant.json");
    if (c->n_labels == 0 || (c->n_labels != o->n_scores && !o->base_has_score && are_generic(c)))
        return model_config_default_labels(c, o->n_scores, &o->m->memory, o->err);
    return use_labels(o, c->labels, c->n_labels, "the base's id2label");
}

static slant_status check_head(opening *o)
{
    if (o->n_scores > 0 || o->options->base_only)
        return SLANT_OK;
    return status_fail(o->err, SLANT_ERR_MISMATCH,
                       "%s: a base without a score head answers nothing; give the adapter that was "
                       "trained on it",
                       o->m->path);
}

static slant_status keep_notes(opening *o)
{
    if (o->notes.failed)
        return out_of_memory(o);
    o->m->notes = arena_strndup(&o->m->memory, o->notes.data == NULL ? "" : o->notes.data,
                                o->notes.size_bytes);
    return o->m->notes == NULL ? out_of_memory(o) : SLANT_OK;
}

static slant_status run_stages(opening *o, const char *path)
{
    slant_status (*const stages[])(opening *) = {bind_weights,   take_digest,     open_adapter,
                                                 open_tokenizer, check_tokenizer, check_head,
                                                 name_labels,    keep_notes};
    slant_status status = open_source(o, path);
    for (size_t i = 0; status == SLANT_OK && i < sizeof stages / sizeof *stages; i++)
        status = stages[i](o);
    return status;
}

slant_status model_open(const char *path, const model_open_options *options, model **out,
                        slant_error *err)
{
    static const model_open_options defaults = {0};
    opening o = {.options = options == NULL ? &defaults : options, .err = err};
    *out = NULL;
    o.m = mem_calloc(1, sizeof *o.m);
    if (o.m == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    o.m->path = path;
    o.m->embedding_fd = -1;
    o.m->files = mem_calloc(1, sizeof *o.m->files);
    slant_status status = o.m->files == NULL ? out_of_memory(&o) : run_stages(&o, path);
    buf_free(&o.notes);
    if (status != SLANT_OK) {
        model_close(o.m);
        return status;
    }
    *out = o.m;
    return SLANT_OK;
}

void model_close(model *m)
{
    if (m == NULL)
        return;
    if (m->embedding_fd >= 0)
        close(m->embedding_fd);
    tokenizer_close(m->tokenizer);
    files_close(m->files);
    arena_free(&m->memory);
    mem_free(m);
}
