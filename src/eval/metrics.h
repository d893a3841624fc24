/* How far answers agree with the truth: scikit-learn's figures of the same names, with
 * zero_division=0. */
#ifndef SLANT_EVAL_METRICS_H
#define SLANT_EVAL_METRICS_H

#include <stdint.h>

typedef struct metrics_scores {
    double precision, recall, f1;
} metrics_scores;

typedef struct metrics_label {
    metrics_scores scores;
    int64_t support;   /* rows whose label it is */
    int64_t predicted; /* rows that were given it */
} metrics_label;

typedef struct metrics_summary {
    int64_t n_rows;
    double accuracy;
    metrics_scores macro;    /* mean over the labels that occur in truth or answers: the others, of
                                which the rows say nothing, are left out, as scikit-learn does */
    metrics_scores micro;    /* over all rows together: the accuracy */
    metrics_scores weighted; /* mean over labels, each as often as it is the truth */
} metrics_summary;

/* confusion [n_labels][n_labels]: how many rows of label i (first index) were given label j. */
metrics_label metrics_of_label(const int64_t *confusion, int n_labels, int label);
metrics_summary metrics_summarise(const int64_t *confusion, int n_labels);

/* One row's part of the log loss, which is the mean over rows: −ln of the probability that the true
 * label was given, kept away from 0 and 1 by a double's epsilon. */
double metrics_log_loss(double probability);

#endif
