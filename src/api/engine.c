/* slant_engine: opening a model and saying what it is. */
#include "api/engine.h"

#include "api/compute.h"
#include "api/default_model.h"
#include "base/thread.h"

#include <string.h>

static void describe(slant_engine *e)
{
    const model *m = e->m;
    const model_config *c = &m->config;
    const model_adapter_info *a = &m->adapter;
    e->info = (slant_engine_info){
        .model_path = m->path,
        .adapter_path = a->path,
        .architecture = model_arch_name(c->arch),
        .n_labels = c->n_labels,
        .n_layers = c->n_layers,
        .hidden_size = c->hidden_size,
        .intermediate_size = c->intermediate_size,
        .n_heads = c->n_heads,
        .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim,
        .vocab_size = c->vocab_size,
        .max_position_embeddings = c->max_position_embeddings,
        .max_length = a->max_length,
        .truncation =
            a->truncation == SLANT_TRUNCATION_DEFAULT ? SLANT_TRUNCATION_HEAD : a->truncation,
        .title_field = a->title_field,
        .temperature = a->temperature > 0 ? a->temperature : 1,
        .dtype = m->dtype,
        .compute = e->compute,
        .dtype_name = dtype_get(m->linear_type)->name,
        .isa = e->kernels->name,
        .base_digest = m->base_digest,
        .notes = m->notes,
    };
}

slant_status slant_engine_open(const char *path, const slant_engine_options *options,
                               slant_engine **out, slant_error *err)
{
    static const slant_engine_options defaults;
    const slant_engine_options *o = options == NULL ? &defaults : options;
    *out = NULL;
    arena names = {0};
    slant_engine *e = mem_calloc(1, sizeof *e);
    const char *adapter = o->adapter;
    slant_status status;
    if (e == NULL) {
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
        goto failed;
    }
    status = kernel_check_environment(err);
    if (status != SLANT_OK)
        goto failed;
    if (path == NULL) {
        const char *own_adapter;
        status = default_model_find(&path, &own_adapter, &names, err);
        if (status != SLANT_OK)
            goto failed;
        if (adapter == NULL)
            adapter = own_adapter;
    }
    model_open_options open = {.adapter = adapter,
                               .checkpoint = o->checkpoint,
                               .labels = o->labels,
                               .dtype = o->dtype,
                               .n_layers = o->n_layers,
                               .n_threads = o->n_threads > 0 ? o->n_threads : thread_available()};
    status = model_open(path, &open, &e->m, err);
    if (status != SLANT_OK)
        goto failed;
    e->kernels = kernel_table_best();
    e->compute = compute_choose(o->compute, e->kernels);
    describe(e);
    arena_free(&names);
    *out = e;
    return SLANT_OK;

failed:
    arena_free(&names);
    slant_engine_close(e);
    return status;
}

void slant_engine_close(slant_engine *engine)
{
    if (engine == NULL)
        return;
    model_close(engine->m);
    mem_free(engine);
}

const slant_engine_info *slant_engine_get_info(const slant_engine *engine)
{
    return &engine->info;
}

const char *slant_engine_label(const slant_engine *engine, int label)
{
    const model_config *c = &engine->m->config;
    return label >= 0 && label < c->n_labels ? c->labels[label] : NULL;
}
