#include "train/tally.h"

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* Adds one label's figures; gives the weight that they have in the average. */
static double add_label(const int64_t *confusion, int n_labels, int label, tally_average average,
                        tally *sum)
{
    double correct = (double)confusion[label * n_labels + label], support = 0, predicted = 0;
    for (int i = 0; i < n_labels; i++) {
        support += (double)confusion[label * n_labels + i];
        predicted += (double)confusion[i * n_labels + label];
    }
    double weight = average == TALLY_WEIGHTED ? support : support + predicted > 0;
    sum->precision += weight * ratio(correct, predicted);
    sum->recall += weight * ratio(correct, support);
    sum->f1 += weight * ratio(2 * correct, support + predicted);
    return weight;
}

tally tally_confusion(const int64_t *confusion, int n_labels, tally_average average)
{
    tally t = {0};
    double n_rows = 0, correct = 0, weight = 0;
    for (int i = 0; i < n_labels * n_labels; i++)
        n_rows += (double)confusion[i];
    for (int label = 0; label < n_labels; label++) {
        correct += (double)confusion[label * n_labels + label];
        weight += add_label(confusion, n_labels, label, average, &t);
    }
    t.accuracy = ratio(correct, n_rows);
    if (average == TALLY_MICRO)
        return (tally){t.accuracy, t.accuracy, t.accuracy, t.accuracy};
    t.precision = ratio(t.precision, weight);
    t.recall = ratio(t.recall, weight);
    t.f1 = ratio(t.f1, weight);
    return t;
}
