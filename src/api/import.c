/* slant_import: open a base, write it as .slant. */
#include "model/slant_file.h"

#include <slant_model.h>

slant_status slant_import(const char *source, const char *out, const slant_import_options *options,
                          slant_error *err)
{
    static const slant_import_options defaults;
    const slant_import_options *o = options == NULL ? &defaults : options;
    model_open_options open = {.labels = o->labels,
                               .dtype = o->dtype,
                               .n_layers = o->n_layers,
                               .n_threads = o->n_threads,
                               .base_only = true,
                               .want_digest = true};
    model *m;
    slant_status status = model_open(source, &open, &m, err);
    if (status != SLANT_OK)
        return status;
    status = slant_file_write(m, out, err);
    model_close(m);
    return status;
}
