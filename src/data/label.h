/* A label as it stands in data: a whole number indexes the model's labels, a string names one. */
#ifndef SLANT_DATA_LABEL_H
#define SLANT_DATA_LABEL_H

#include "base/status.h"

#include <jansson.h>

/* The label's index in names [n_labels]; a table may have made a string of an index. -1: neither a
 * name nor an index. */
int label_find(const json_t *label, const char *const *names, int n_labels);

/* label_json is a record's (NULL: it has none); names [n_labels]. On failure err says in words what
 * is wrong with it. */
slant_status label_index(const char *label_json, const char *const *names, int n_labels, int *index,
                         slant_error *err);

#endif
