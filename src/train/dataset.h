/* Labelled articles, tokenised and cut once, in memory for the whole run. */
#ifndef SLANT_TRAIN_DATASET_H
#define SLANT_TRAIN_DATASET_H

#include "base/file.h"
#include "data/cut.h"
#include "model/model.h"

#include <slant_data.h>

/* Which labels there are. */
typedef struct label_set {
    const char **names; /* [n] */
    int n;              /* 0: not known yet */
    problem_type problem;
} label_set;

typedef struct dataset {
    int32_t *ids;   /* [starts[n]] */
    size_t *starts; /* [n + 1] */
    int *lengths;   /* [n], in ids */
    int *labels;    /* [n], single label */
    float *values;  /* [n][n_labels], otherwise */
    char **names;   /* [n]: FILE:ROW, for messages */
    int n;
    int64_t n_bad, n_cut, n_tokens; /* rows left out, rows cut, ids before any cut */
    char digest[FILE_DIGEST_CHARS]; /* of ids and labels */
    arena memory;                   /* of the names */
} dataset;

typedef struct dataset_options {
    const char *const *paths; /* [n_paths] */
    size_t n_paths;
    slant_reader_options fields;
    cut_rule rule;
    bool skip_bad_rows;
} dataset_options;

/* Reads and tokenises. Where labels->n is 0 they are found in the data: whole numbers name LABEL_0
 * …, names are taken in alphabetical order; their memory is labels_memory's. */
slant_status dataset_open(const model *m, const dataset_options *options, label_set *labels,
                          arena *labels_memory, dataset **out, slant_error *err);
void dataset_close(dataset *d);

/* Σ of the n longest articles' ids: no batch of n has more. */
int64_t dataset_longest(const dataset *d, int n);
int dataset_longest_one(const dataset *d);

#endif
