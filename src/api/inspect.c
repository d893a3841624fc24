/* slant_inspect: one document about whatever is at a path. */
#include "api/compute.h"
#include "api/default_model.h"
#include "base/thread.h"
#include "model/hub.h"
#include "model/inspect.h"
#include "model/workspace.h"

#include <slant_model.h>

enum { WORKSPACE_TOKENS = 512 };

static slant_status how_it_runs(const model *m, const slant_inspect_options *o, inspect_here *here,
                                slant_error *err)
{
    workspace *w;
    const kernel_table *kernels = kernel_table_best();
    slant_compute compute = compute_choose(o->compute, kernels);
    int n_threads = o->n_threads > 0 ? o->n_threads : thread_available();
    slant_status status =
        workspace_open(m, kernels, compute, n_threads, WORKSPACE_TOKENS, WORKSPACE_TOKENS, &w, err);
    if (status != SLANT_OK)
        return status;
    *here = (inspect_here){.isa = kernels->name,
                           .compute = kernel_compute_name(compute),
                           .n_threads = n_threads,
                           .workspace_bytes = w->pages_bytes,
                           .workspace_tokens = WORKSPACE_TOKENS};
    workspace_close(w);
    return SLANT_OK;
}

static slant_status describe_model(document *d, const char *path, const slant_inspect_options *o,
                                   slant_error *err)
{
    model_open_options open = {.adapter = o->adapter,
                               .checkpoint = o->checkpoint,
                               .dtype = o->dtype,
                               .n_layers = o->n_layers,
                               .n_threads = o->n_threads,
                               .base_only = true,
                               .want_digest = o->digest};
    model *m;
    inspect_here here;
    slant_status status = model_open(path, &open, &m, err);
    if (status != SLANT_OK)
        return status;
    status = how_it_runs(m, o, &here, err);
    if (status == SLANT_OK)
        inspect_model(d, m, &here);
    if (status == SLANT_OK && m->adapter.path != NULL) {
        document_open(d, "adapter", '{');
        status = inspect_adapter(d, m->adapter.path, NULL, err);
        document_close(d, '}');
    }
    model_close(m);
    return status;
}

/* The embedded model is a base and the adapter beside it. */
static slant_status find_default(slant_inspect_options *o, const char **path, arena *names,
                                 slant_error *err)
{
    const char *adapter;
    slant_status status = default_model_find(path, &adapter, names, err);
    if (status == SLANT_OK && o->adapter == NULL)
        o->adapter = adapter;
    return status;
}

static slant_status describe(document *d, const char *name, slant_inspect_options *o,
                             slant_error *err)
{
    arena names = {0};
    char *path = NULL;
    slant_status status = SLANT_OK;
    if (name == NULL)
        status = find_default(o, &name, &names, err);
    if (status == SLANT_OK)
        status = hub_resolve(name, &path, err);
    bool is_adapter = false;
    if (status == SLANT_OK && o->adapter == NULL)
        status = inspect_is_adapter(path, &is_adapter, err);
    document_open(d, NULL, '{');
    if (status == SLANT_OK)
        status = is_adapter ? inspect_adapter(d, path, o->checkpoint, err)
                            : describe_model(d, path, o, err);
    document_close(d, '}');
    mem_free(path);
    arena_free(&names);
    return status;
}

slant_status slant_inspect(const char *path, const slant_inspect_options *options, char **json,
                           slant_error *err)
{
    slant_inspect_options o = options == NULL ? (slant_inspect_options){0} : *options;
    document d = {0};
    *json = NULL;
    slant_status status = kernel_check_environment(err);
    if (status == SLANT_OK)
        status = describe(&d, path, &o, err);
    if (status == SLANT_OK && d.out.failed)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (status != SLANT_OK) {
        buf_free(&d.out);
        return status;
    }
    *json = d.out.data;
    return SLANT_OK;
}

void slant_free(void *pointer)
{
    mem_free(pointer);
}
