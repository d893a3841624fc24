/* Which part each row of a data set goes to: the sizes of the parts first, then each label's rows
 * by largest remainder, then chance. */
#ifndef SLANT_DATA_SPLIT_H
#define SLANT_DATA_SPLIT_H

#include "base/mem.h"
#include "base/status.h"

#define SPLIT_MAX_PARTS 64
#define SPLIT_NO_PART (-1)

typedef struct split_plan {
    size_t n_labels, n_parts;
    int64_t *whole; /* [n_labels][n_parts]: rows of each label in each part */
    int64_t *kept;  /* [n_labels][n_parts]: as many of them as the fraction asks for */
} split_plan;

/* label_rows [n_labels]: how many rows each label has; ratios [n_parts], all above 0; fraction
 * above 0, at most 1. Sums over parts and labels hold exactly, and no count is a whole row away
 * from its share. memory owns the plan. A part that would get no row is an error; names [n_parts].
 */
slant_status split_plan_make(split_plan *plan, const int64_t *label_rows, size_t n_labels,
                             const double *ratios, const char *const *names, size_t n_parts,
                             double fraction, arena *memory, slant_error *err);

/* labels [n_rows] into parts [n_rows]: a part's index, or SPLIT_NO_PART of rows that the fraction
 * leaves out. The rows of one label are shuffled by the seed and the label alone. */
slant_status split_assign(const split_plan *plan, const int *labels, size_t n_rows, uint64_t seed,
                          int8_t *parts, slant_error *err);

/* shares [n] ≥ 0, which sum to total, into whole numbers with that sum: each is rounded down and
 * those with the largest remainders get one more, the first of equals first. */
void split_largest_remainder(const double *shares, size_t n, int64_t total, int64_t *counts);

#endif
