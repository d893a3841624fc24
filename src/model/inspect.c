#include "model/inspect.h"

#include "model/bind.h"
#include "model/plain.h"
#include "quant/nf4.h"

#include <string.h>

static size_t held_bytes(const kernel_weight *w)
{
    if (w->type != DTYPE_NF4)
        return (size_t)w->n_out * plain_row_bytes(w->type, w->n_in);
    size_t n_absmax = nf4_panel_n_absmax(w->n_out, w->n_in);
    size_t bytes = nf4_panel_code_bytes(w->n_out, w->n_in);
    if (w->absmax_codes == NULL)
        return bytes + n_absmax * sizeof *w->absmax;
    return bytes + n_absmax +
           (size_t)nf4_n_nested((int64_t)w->n_out * w->n_in) * sizeof *w->nested_absmax;
}

size_t inspect_weight_bytes(const model *m)
{
    size_t bytes = 0;
    for (int i = 0; i < m->config.n_layers * LINEAR_COUNT; i++) {
        const linear *l = &m->layers[i / LINEAR_COUNT].linears[i % LINEAR_COUNT];
        bytes += held_bytes(&l->w);
        if (l->adapter.rank > 0)
            bytes += held_bytes(&l->adapter.a) + held_bytes(&l->adapter.b);
    }
    return bytes;
}

static const char *rope_name(rope_kind kind)
{
    static const char *const names[] = {[ROPE_DEFAULT] = "default",
                                        [ROPE_LINEAR] = "linear",
                                        [ROPE_LLAMA3] = "llama3",
                                        [ROPE_FACTORS] = "factors"};
    return names[kind];
}

static void write_rope(document *d, const model_config *c)
{
    document_open(d, "rope", '{');
    document_string(d, "type", rope_name(c->rope));
    document_number(d, "theta", c->rope_theta);
    if (c->rope == ROPE_LINEAR || c->rope == ROPE_LLAMA3)
        document_number(d, "factor", c->rope_factor);
    if (c->rope == ROPE_LLAMA3) {
        document_number(d, "low_freq_factor", c->rope_low_freq_factor);
        document_number(d, "high_freq_factor", c->rope_high_freq_factor);
        document_int(d, "original_max_position_embeddings", c->rope_original_max_position);
    }
    document_close(d, '}');
}

static int n_sliding_layers(const model_config *c, int *window)
{
    int n = 0;
    *window = 0;
    for (int i = 0; i < c->n_layers; i++)
        if (c->layer_window[i] > 0) {
            *window = c->layer_window[i];
            n++;
        }
    return n;
}

static void write_shape(document *d, const model_config *c)
{
    int window, n_sliding = n_sliding_layers(c, &window);
    document_open(d, "shape", '{');
    document_int(d, "layers", c->n_layers);
    document_int(d, "hidden_size", c->hidden_size);
    document_int(d, "intermediate_size", c->intermediate_size);
    document_int(d, "attention_heads", c->n_heads);
    document_int(d, "key_value_heads", c->n_kv_heads);
    document_int(d, "head_dim", c->head_dim);
    document_int(d, "vocab_size", c->vocab_size);
    document_int(d, "max_position_embeddings", c->max_position_embeddings);
    document_number(d, "rms_norm_eps", c->rms_norm_eps);
    if (n_sliding > 0) {
        document_int(d, "sliding_layers", n_sliding);
        document_int(d, "sliding_window", window);
    }
    document_close(d, '}');
    write_rope(d, c);
}

static void write_labels(document *d, const model *m)
{
    static const char *const problems[] = {[PROBLEM_REGRESSION] = "regression",
                                           [PROBLEM_SINGLE_LABEL] = "single_label_classification",
                                           [PROBLEM_MULTI_LABEL] = "multi_label_classification"};
    const model_config *c = &m->config;
    document_bool(d, "head", m->score != NULL);
    document_open(d, "labels", '[');
    for (int i = 0; i < c->n_labels; i++)
        document_string(d, NULL, c->labels[i]);
    document_close(d, ']');
    document_string(d, "problem_type", problems[c->problem]);
    if (c->pad_token_id >= 0)
        document_int(d, "pad_token_id", c->pad_token_id);
}

static void write_tokenizer(document *d, const tokenizer *t)
{
    if (t == NULL) {
        document_json(d, "tokenizer", "null");
        return;
    }
    document_open(d, "tokenizer", '{');
    document_int(d, "ids", (int64_t)tokenizer_vocab_size(t));
    document_string(d, "digest", tokenizer_digest(t));
    document_close(d, '}');
}

static void write_here(document *d, const model *m, const inspect_here *here)
{
    document_open(d, "here", '{');
    document_string(d, "weights", dtype_get(m->linear_type)->name);
    document_string(d, "compute", here->compute);
    document_string(d, "isa", here->isa);
    document_int(d, "threads", here->n_threads);
    document_int(d, "weight_bytes", (int64_t)inspect_weight_bytes(m));
    document_int(d, "embedding_bytes_on_disk", (int64_t)m->embedding.size_bytes);
    document_int(d, "workspace_tokens", here->workspace_tokens);
    document_int(d, "workspace_bytes", (int64_t)here->workspace_bytes);
    document_close(d, '}');
}

static void write_notes(document *d, const char *notes, arena *a)
{
    document_open(d, "notes", '[');
    while (*notes != '\0') {
        size_t length = strcspn(notes, "\n");
        const char *line = arena_strndup(a, notes, length);
        if (line == NULL)
            d->out.failed = true;
        document_string(d, NULL, line);
        notes += length + (notes[length] == '\n');
    }
    document_close(d, ']');
}

void inspect_tensor(document *d, const char *name, const tensor_view *view)
{
    document_open(d, NULL, '{');
    document_string(d, "name", name);
    document_string(d, "dtype", dtype_get(view->type)->name);
    document_open(d, "shape", '[');
    for (int i = 0; i < view->n_dims; i++)
        document_int(d, NULL, view->shape[i]);
    document_close(d, ']');
    document_int(d, "bytes", (int64_t)view->size_bytes);
    document_close(d, '}');
}

static int64_t n_parameters(const model *m)
{
    const model_config *c = &m->config;
    int64_t n = (int64_t)c->vocab_size * c->hidden_size + c->hidden_size;
    for (int i = 0; i < c->n_layers; i++) {
        n += 2 * c->hidden_size + (c->qk_norm ? 2 * c->head_dim : 0);
        for (int which = 0; which < LINEAR_COUNT; which++) {
            const linear *l = &m->layers[i].linears[which];
            n += (int64_t)l->w.n_out * l->w.n_in + (l->bias != NULL ? l->w.n_out : 0);
        }
    }
    return n + (m->score == NULL ? 0 : (int64_t)c->n_labels * c->hidden_size);
}

static bool is_kept(const model *m, const source_tensor *t)
{
    return source_layer_of(t->name) < m->config.n_layers;
}

static void write_tensors(document *d, const model *m)
{
    const source *s = m->files->base;
    int64_t stored_bytes = 0;
    for (size_t i = 0; i < s->n_tensors; i++)
        stored_bytes += is_kept(m, &s->tensors[i]) ? (int64_t)s->tensors[i].view.size_bytes : 0;
    document_int(d, "stored_bytes", stored_bytes);
    document_open(d, "tensors", '[');
    for (size_t i = 0; i < s->n_tensors; i++)
        if (is_kept(m, &s->tensors[i]))
            inspect_tensor(d, s->tensors[i].name, &s->tensors[i].view);
    document_close(d, ']');
}

void inspect_model(document *d, const model *m, const inspect_here *here)
{
    arena scratch = {0};
    document_string(d, "kind", "model");
    document_string(d, "path", m->path);
    document_string(d, "source", m->source_kind);
    document_string(d, "architecture", model_arch_name(m->config.arch));
    document_int(d, "parameters", n_parameters(m));
    document_string(d, "digest", m->base_digest);
    write_shape(d, &m->config);
    write_labels(d, m);
    write_tokenizer(d, m->tokenizer);
    write_here(d, m, here);
    write_notes(d, m->notes, &scratch);
    write_tensors(d, m);
    arena_free(&scratch);
}
