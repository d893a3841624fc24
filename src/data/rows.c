#include "data/rows.h"

#include "base/status.h"

enum { ROWS_BETWEEN_ASKS = 1024 };

static slant_status ask(const slant_rows_watch *watch, int64_t n_rows, double share,
                        slant_error *err)
{
    if (watch->progress != NULL)
        watch->progress(watch->context, n_rows, share);
    if (watch->should_stop != NULL && watch->should_stop(watch->context))
        return status_fail(err, SLANT_ERR_CANCELLED, "stopped");
    return SLANT_OK;
}

slant_status rows_each(const char *const *paths, size_t n_paths,
                       const slant_reader_options *options, const slant_rows_watch *watch,
                       rows_take take, void *context, int64_t *n_rows, slant_error *err)
{
    slant_reader *reader;
    slant_record record;
    *n_rows = 0;
    slant_status status = slant_reader_open(paths, n_paths, options, &reader, err);
    while (status == SLANT_OK) {
        status = slant_reader_next(reader, &record, err);
        if (status != SLANT_OK || record.end)
            break;
        status = take(context, &record, err);
        if (status == SLANT_OK && ++*n_rows % ROWS_BETWEEN_ASKS == 0)
            status = ask(watch, *n_rows, record.file_fraction, err);
    }
    slant_reader_close(reader);
    return status;
}
