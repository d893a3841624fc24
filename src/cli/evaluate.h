/* What an evaluation looks like: as a table for a person, as JSON for a program. */
#ifndef SLANT_CLI_EVALUATE_H
#define SLANT_CLI_EVALUATE_H

#include "base/buf.h"

#include <slant_eval.h>

void evaluate_table(const slant_evaluation *e, const slant_engine *engine, buf *out);
void evaluate_json(const slant_evaluation *e, const slant_engine *engine, buf *out);

#endif
