/* How many rows of each label went to each part of a split. */
#ifndef SLANT_CLI_DATA_COUNTS_H
#define SLANT_CLI_DATA_COUNTS_H

#include "base/buf.h"

#include <slant_data.h>

void data_counts_table(const slant_split *split, buf *out);
void data_counts_json(const slant_split *split, buf *out);

#endif
