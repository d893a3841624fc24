#include "model/bind.h"

#include "model/hold.h"
#include "model/plain.h"

#include <stdio.h>

const char *const linear_module_names[LINEAR_COUNT] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

void bind_linear_shape(const model_config *c, int which, int *n_out, int *n_in)
{
    int q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
    const int shapes[LINEAR_COUNT][2] = {{q, c->hidden_size},
                                         {kv, c->hidden_size},
                                         {kv, c->hidden_size},
                                         {c->hidden_size, q},
                                         {c->intermediate_size, c->hidden_size},
                                         {c->intermediate_size, c->hidden_size},
                                         {c->hidden_size, c->intermediate_size}};
    *n_out = shapes[which][0];
    *n_in = shapes[which][1];
}

const char *bind_module_name(int at, int which, char name[BIND_NAME_CHARS])
{
    snprintf(name, BIND_NAME_CHARS, "model.layers.%d.%s", at, linear_module_names[which]);
    return name;
}

static bool has_bias(const model_config *c, int which)
{
    if (which == LINEAR_O)
        return c->o_bias;
    return which < LINEAR_O ? c->qkv_bias : c->mlp_bias;
}

/* GGUF's q and k biases are interleaved as their rows are. */
static slant_status bias_in_order(const source *s, const char *name, int n, arena *a,
                                  const float **bias, slant_error *err)
{
    const source_tensor *t = source_find(s, name);
    int head = t->head_rows;
    if (head == 0)
        return SLANT_OK;
    float *ordered = arena_alloc(a, (size_t)n, sizeof *ordered);
    if (ordered == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: tensor %s: out of memory", s->weights, name);
    for (int o = 0; o < n; o++) {
        int in_head = o % head, half = head / 2;
        ordered[o] = (*bias)[o - in_head + 2 * (in_head % half) + in_head / half];
    }
    *bias = ordered;
    return SLANT_OK;
}

static slant_status bind_bias(model *m, int layer_index, int which, slant_error *err)
{
    char module[BIND_NAME_CHARS], name[BIND_NAME_CHARS + 8];
    int n_out, n_in;
    source *s = m->files->base;
    const float **bias = &m->layers[layer_index].linears[which].bias;
    bind_linear_shape(&m->config, which, &n_out, &n_in);
    snprintf(name, sizeof name, "%s.bias", bind_module_name(layer_index, which, module));
    slant_status status = source_vector(s, name, n_out, &m->memory, bias, err);
    return status == SLANT_OK ? bias_in_order(s, name, n_out, &m->memory, bias, err) : status;
}

static slant_status bind_norm(model *m, int layer_index, const char *module, int n,
                              const float **out, slant_error *err)
{
    char name[BIND_NAME_CHARS];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer_index, module);
    return source_vector(m->files->base, name, n, &m->memory, out, err);
}

static slant_status bind_norms(model *m, int i, slant_error *err)
{
    const model_config *c = &m->config;
    layer *l = &m->layers[i];
    slant_status status = bind_norm(m, i, "input_layernorm", c->hidden_size, &l->input_norm, err);
    if (status == SLANT_OK)
        status = bind_norm(m, i, "post_attention_layernorm", c->hidden_size, &l->post_norm, err);
    if (status == SLANT_OK && c->qk_norm)
        status = bind_norm(m, i, "self_attn.q_norm", c->head_dim, &l->q_norm, err);
    if (status == SLANT_OK && c->qk_norm)
        status = bind_norm(m, i, "self_attn.k_norm", c->head_dim, &l->k_norm, err);
    for (int which = 0; status == SLANT_OK && which < LINEAR_COUNT; which++)
        if (has_bias(c, which))
            status = bind_bias(m, i, which, err);
    return status;
}

static slant_status plan_linear(model *m, int i, int which, slant_dtype wanted, hold_job *job,
                                slant_error *err)
{
    char module[BIND_NAME_CHARS];
    int n_out, n_in;
    bind_linear_shape(&m->config, which, &n_out, &n_in);
    const char *name = arena_printf(&m->memory, "%s.weight", bind_module_name(i, which, module));
    if (name == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", m->path);
    slant_status status =
        weight_find(m->files->base, name, n_out, n_in, &m->memory, &job->from, err);
    if (status != SLANT_OK)
        return status;
    job->to = &m->layers[i].linears[which].w;
    status = hold_plan(job, wanted, m->files, err);
    return status == SLANT_OK ? status : status_context(err, status, "%s", m->path);
}

static slant_status bind_linears(model *m, slant_dtype wanted, int n_threads, slant_error *err)
{
    int n_jobs = m->config.n_layers * LINEAR_COUNT;
    hold_job *jobs = mem_calloc((size_t)n_jobs, sizeof *jobs);
    slant_status status = SLANT_OK;
    if (jobs == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", m->path);
    for (int i = 0; status == SLANT_OK && i < n_jobs; i++)
        status = plan_linear(m, i / LINEAR_COUNT, i % LINEAR_COUNT, wanted, &jobs[i], err);
    /* What is unknown or missing is said before the work begins. */
    if (status == SLANT_OK)
        status = source_check_all_taken(m->files->base, m->config.n_layers, err);
    if (status == SLANT_OK)
        status = hold_run(jobs, n_jobs, n_threads, err);
    mem_free(jobs);
    return status;
}

static slant_status bind_embedding(model *m, slant_error *err)
{
    source *s = m->files->base;
    const source_tensor *t = source_take(s, "model.embed_tokens.weight");
    if (t == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor model.embed_tokens.weight is missing",
                           s->weights);
    slant_status status =
        source_check_shape(s, t, 2, m->config.vocab_size, m->config.hidden_size, err);
    if (status != SLANT_OK)
        return status;
    if (!plain_is_row_type(t->view.type) ||
        plain_row_bytes(t->view.type, m->config.hidden_size) == 0)
        return status_fail(
            err, SLANT_ERR_UNSUPPORTED,
            "%s: tensor %s: %s is no type that an embedding of %d columns is held in",
            source_file_of(s, t), t->view.name, dtype_get(t->view.type)->name,
            m->config.hidden_size);
    m->embedding = t->view;
    return source_locate(s, t, &m->embedding_fd, &m->embedding_offset, err);
}

/* Rows of a head whose tensor may be packed: two values a byte. */
static int64_t score_rows(const model *m, const source_tensor *t, bool is_nf4)
{
    if (is_nf4)
        return (int64_t)(t->view.size_bytes * 2 / (size_t)m->config.hidden_size);
    return t->view.n_dims == 2 ? t->view.shape[0] : 0;
}

/* bitsandbytes spares the head, unless it was told what else to spare. */
static slant_status expand_score(model *m, int n_rows, slant_error *err)
{
    weight packed;
    slant_status status = weight_find(m->files->base, "score.weight", n_rows, m->config.hidden_size,
                                      &m->memory, &packed, err);
    if (status != SLANT_OK)
        return status;
    float *values = arena_alloc(&m->memory, (size_t)packed.flat.n_values, sizeof *values);
    if (values == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", m->path);
    nf4_decode(&packed.flat, 0, packed.flat.n_values, values);
    m->score = values;
    return SLANT_OK;
}

static slant_status bind_score(model *m, int *n_scores, slant_error *err)
{
    source *s = m->files->base;
    const source_tensor *t = source_find(s, "score.weight");
    *n_scores = 0;
    if (t == NULL)
        return SLANT_OK;
    bool is_nf4 = source_find(s, "score.weight.absmax") != NULL;
    int64_t n_rows = score_rows(m, t, is_nf4);
    if (n_rows < 1 || n_rows > 1 << 16 || (m->config.n_labels > 0 && n_rows != m->config.n_labels))
        n_rows = m->config.n_labels > 0 ? m->config.n_labels : 1; /* the checks below say it */
    *n_scores = (int)n_rows;
    return is_nf4 ? expand_score(m, (int)n_rows, err)
                  : source_matrix(s, "score.weight", (int)n_rows, m->config.hidden_size, &m->memory,
                                  &m->score, err);
}

slant_status bind_base(model *m, slant_dtype wanted, int n_threads, int *n_scores, slant_error *err)
{
    const model_config *c = &m->config;
    m->layers = arena_alloc(&m->memory, (size_t)c->n_layers, sizeof *m->layers);
    if (m->layers == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", m->path);
    slant_status status = bind_embedding(m, err);
    if (status == SLANT_OK)
        status = source_vector(m->files->base, "model.norm.weight", c->hidden_size, &m->memory,
                               &m->final_norm, err);
    for (int i = 0; status == SLANT_OK && i < c->n_layers; i++)
        status = bind_norms(m, i, err);
    if (status == SLANT_OK)
        status = bind_score(m, n_scores, err);
    return status == SLANT_OK ? bind_linears(m, wanted, n_threads, err) : status;
}
