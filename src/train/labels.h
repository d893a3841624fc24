/* Labels as they stand in data: names, numbers, lists. */
#ifndef SLANT_TRAIN_LABELS_H
#define SLANT_TRAIN_LABELS_H

#include "train/dataset.h"

#include <jansson.h>

/* The set that a list of labels comes to: whole numbers give LABEL_0 … LABEL_max, names are taken
 * in alphabetical order. */
slant_status labels_from_data(label_set *set, const json_t *rows, arena *memory, slant_error *err);

/* Each row's label: an index into *labels for PROBLEM_SINGLE_LABEL, else n values a row in *values
 * (one number for regression with one label, a list of numbers otherwise). Owned by the caller.
 * names [n rows] stand in messages. */
slant_status labels_read(const label_set *set, const json_t *rows, char *const *names, int **labels,
                         float **values, slant_error *err);

#endif
