#include "eval/metrics.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

metrics_label metrics_of_label(const int64_t *confusion, int n_labels, int label)
{
    metrics_label m = {0};
    double correct = (double)confusion[label * n_labels + label];
    for (int other = 0; other < n_labels; other++) {
        m.support += confusion[label * n_labels + other];
        m.predicted += confusion[other * n_labels + label];
    }
    m.scores.precision = ratio(correct, (double)m.predicted);
    m.scores.recall = ratio(correct, (double)m.support);
    m.scores.f1 = ratio(2 * correct, (double)m.support + (double)m.predicted);
    return m;
}

static void add_weighted(metrics_scores *sum, const metrics_scores *scores, double weight)
{
    sum->precision += weight * scores->precision;
    sum->recall += weight * scores->recall;
    sum->f1 += weight * scores->f1;
}

static void divide(metrics_scores *sum, double weight)
{
    sum->precision = ratio(sum->precision, weight);
    sum->recall = ratio(sum->recall, weight);
    sum->f1 = ratio(sum->f1, weight);
}

metrics_summary metrics_summarise(const int64_t *confusion, int n_labels)
{
    metrics_summary m = {0};
    int64_t n_correct = 0;
    int n_occurring = 0;
    for (int label = 0; label < n_labels; label++) {
        metrics_label one = metrics_of_label(confusion, n_labels, label);
        bool occurs = one.support + one.predicted > 0;
        add_weighted(&m.macro, &one.scores, occurs);
        add_weighted(&m.weighted, &one.scores, (double)one.support);
        n_occurring += occurs;
        n_correct += confusion[label * n_labels + label];
        m.n_rows += one.support;
    }
    divide(&m.macro, n_occurring);
    divide(&m.weighted, (double)m.n_rows);
    m.accuracy = ratio((double)n_correct, (double)m.n_rows);
    m.micro = (metrics_scores){m.accuracy, m.accuracy, m.accuracy};
    return m;
}

double metrics_log_loss(double probability)
{
    return -log(fmin(fmax(probability, DBL_EPSILON), 1 - DBL_EPSILON));
}
