#include "cli/model_options.h"

#include "cli/cli.h"

slant_status model_options_open(const model_options *o, bool quiet, slant_engine **out,
                                slant_error *err)
{
    *out = NULL;
    bool want_other = o->dtype != SLANT_DTYPE_AUTO && o->dtype != SLANT_DTYPE_NF4;
    if (o->load_in_4bit && want_other)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "--load-in-4bit means --dtype nf4, and another --dtype was given");
    slant_engine_options options = {
        .adapter = o->adapter,
        .checkpoint = o->checkpoint,
        .labels = o->labels,
        .dtype = o->load_in_4bit ? SLANT_DTYPE_NF4 : (slant_dtype)o->dtype,
        .compute = (slant_compute)o->compute,
        .n_threads = o->threads,
    };
    slant_status status = slant_engine_open(o->model, &options, out, err);
    if (status == SLANT_OK && !quiet)
        cli_say_lines(slant_engine_get_info(*out)->notes);
    return status;
}
