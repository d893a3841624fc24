#include "train/loss.h"

#include <math.h>
#include <stddef.h>

static double weight_of(const loss_settings *s, int label)
{
    return s->class_weights == NULL ? 1.0 : (double)s->class_weights[label];
}

/* log Σ exp of a row. */
static double log_sum_exp(const float *row, int n)
{
    double max = row[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = fmax(max, (double)row[i]);
    for (int i = 0; i < n; i++)
        sum += exp((double)row[i] - max);
    return max + log(sum);
}

static double total_weight(const loss_settings *s, const int *labels, int n_rows)
{
    double total = 0;
    for (int r = 0; r < n_rows; r++)
        total += weight_of(s, labels[r]);
    return total;
}

/* One row's cross-entropy, its share of the mean being `share`, the smoothed part's `smooth_share`;
 * its derivative into d_row. */
static double cross_entropy_row(const loss_settings *s, const float *row, int label, double share,
                                double smooth_share, double scale, float *d_row)
{
    int n = s->n_labels;
    double lse = log_sum_exp(row, n), nll = lse - (double)row[label], all = 0;
    for (int i = 0; i < n; i++)
        all += lse - (double)row[i];
    double smooth = (double)s->label_smoothing;
    double hard = (1.0 - smooth) * share, soft = smooth * smooth_share / n;
    for (int i = 0; d_row != NULL && i < n; i++) {
        double p = exp((double)row[i] - lse);
        d_row[i] = (float)(scale * (hard * (p - (i == label)) + soft * (n * p - 1.0)));
    }
    return hard * nll + soft * all;
}

static double cross_entropy(const loss_settings *s, const float *logits, const int *labels,
                            int n_rows, double scale, float *d_logits)
{
    double total = total_weight(s, labels, n_rows), loss = 0;
    for (int r = 0; r < n_rows; r++) {
        size_t at = (size_t)r * (size_t)s->n_labels;
        loss += cross_entropy_row(s, logits + at, labels[r], weight_of(s, labels[r]) / total,
                                  1.0 / n_rows, scale, d_logits == NULL ? NULL : d_logits + at);
    }
    return loss;
}

/* Binary cross-entropy with logits: max(x, 0) − x·y + log(1 + exp(−|x|)). */
static double binary_cross_entropy(const loss_settings *s, const float *logits, const float *values,
                                   int n_rows, double scale, float *d_logits)
{
    size_t n = (size_t)n_rows * (size_t)s->n_labels;
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)logits[i], y = (double)values[i];
        loss += fmax(x, 0) - x * y + log1p(exp(-fabs(x)));
        if (d_logits != NULL)
            d_logits[i] = (float)(scale * (1.0 / (1.0 + exp(-x)) - y) / (double)n);
    }
    return loss / (double)n;
}

static double squared_error(const loss_settings *s, const float *logits, const float *values,
                            int n_rows, double scale, float *d_logits)
{
    size_t n = (size_t)n_rows * (size_t)s->n_labels;
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        double error = (double)logits[i] - (double)values[i];
        loss += error * error;
        if (d_logits != NULL)
            d_logits[i] = (float)(scale * 2.0 * error / (double)n);
    }
    return loss / (double)n;
}

double loss_mean(const loss_settings *settings, const float *logits, const loss_targets *targets,
                 int n_rows, double scale, float *d_logits)
{
    if (settings->problem == PROBLEM_SINGLE_LABEL)
        return cross_entropy(settings, logits, targets->labels, n_rows, scale, d_logits);
    if (settings->problem == PROBLEM_MULTI_LABEL)
        return binary_cross_entropy(settings, logits, targets->values, n_rows, scale, d_logits);
    return squared_error(settings, logits, targets->values, n_rows, scale, d_logits);
}
