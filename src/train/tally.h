/* What a measurement during training tells of its answers: scikit-learn's figures of the same name
 * with zero_division=0. */
#ifndef SLANT_TRAIN_TALLY_H
#define SLANT_TRAIN_TALLY_H

#include <stdint.h>

#define TALLY_MAX_LABELS 256

/* Over labels: each that occurs counts the same; all rows together; each as often as it is true. */
typedef enum tally_average { TALLY_MACRO, TALLY_MICRO, TALLY_WEIGHTED } tally_average;

typedef struct tally {
    double accuracy, precision, recall, f1;
} tally;

/* confusion [n_labels][n_labels]: rows with true label i that were given label j. */
tally tally_confusion(const int64_t *confusion, int n_labels, tally_average average);

#endif
