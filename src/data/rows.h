/* Every record of some files in turn, for work that somebody watches. */
#ifndef SLANT_DATA_ROWS_H
#define SLANT_DATA_ROWS_H

#include <slant_data.h>

typedef slant_status (*rows_take)(void *context, const slant_record *record, slant_error *err);

/* Gives take each record of the paths, bad ones too, and counts them in *n_rows. Now and then tells
 * the watch how far it is, and ends with SLANT_ERR_CANCELLED where that wants to stop. */
slant_status rows_each(const char *const *paths, size_t n_paths,
                       const slant_reader_options *options, const slant_rows_watch *watch,
                       rows_take take, void *context, int64_t *n_rows, slant_error *err);

#endif
