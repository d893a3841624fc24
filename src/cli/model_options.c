#include "cli/model_options.h"

#include "cli/cli.h"

slant_status model_options_dtype(const model_options *o, slant_dtype *dtype, slant_error *err)
{
    *dtype = o->load_in_4bit ? SLANT_DTYPE_NF4 : (slant_dtype)o->dtype;
    if (o->load_in_4bit && o->dtype != SLANT_DTYPE_AUTO && o->dtype != SLANT_DTYPE_NF4)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--load-in-4bit means --dtype nf4, and another --dtype was given");
    return SLANT_OK;
}

slant_status model_options_open(const model_options *o, bool quiet, slant_engine **out,
                                slant_error *err)
{
    slant_engine_options options = {
        .adapter = o->adapter,
        .checkpoint = o->checkpoint,
        .labels = o->labels,
        .compute = (slant_compute)o->compute,
        .n_threads = o->threads,
    };
    *out = NULL;
    slant_status status = model_options_dtype(o, &options.dtype, err);
    if (status == SLANT_OK)
        status = slant_engine_open(o->model, &options, out, err);
    if (status == SLANT_OK && !quiet)
        cli_say_lines(slant_engine_get_info(*out)->notes);
    return status;
}
