/* What training minimises: transformers' three losses for classifiers, and their derivatives. */
#ifndef SLANT_TRAIN_LOSS_H
#define SLANT_TRAIN_LOSS_H

#include "model/config.h"

typedef struct loss_settings {
    problem_type problem; /* not UNSET */
    int n_labels;
    float label_smoothing;      /* single label only: each row's loss is (1 − s)·nll + s·mean of all
                                   labels' nll, as the Trainer smooths */
    const float *class_weights; /* [n_labels]; NULL: all 1. As torch's CrossEntropyLoss(weight) */
} loss_settings;

/* What a row is: a label for PROBLEM_SINGLE_LABEL, else n_labels values. */
typedef struct loss_targets {
    const int *labels;   /* [n_rows] */
    const float *values; /* [n_rows][n_labels] */
} loss_targets;

/* The mean loss over the rows of logits [n_rows][n_labels]; d_logits (may be NULL) receives its
 * derivative times scale. */
double loss_mean(const loss_settings *settings, const float *logits, const loss_targets *targets,
                 int n_rows, double scale, float *d_logits);

#endif
