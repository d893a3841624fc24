/* slant bench for a person: the document of slant_bench as tables. */
#ifndef SLANT_CLI_BENCH_TABLE_H
#define SLANT_CLI_BENCH_TABLE_H

#include "base/buf.h"

#include <jansson.h>

void bench_table_append(buf *out, const json_t *document);

#endif
