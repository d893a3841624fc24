#include "train/tally.h"

#include "eval/metrics.h"

tally tally_confusion(const int64_t *confusion, int n_labels, tally_average average)
{
    metrics_summary all = metrics_summarise(confusion, n_labels);
    const metrics_scores *scores = average == TALLY_MICRO      ? &all.micro
                                   : average == TALLY_WEIGHTED ? &all.weighted
                                                               : &all.macro;
    return (tally){all.accuracy, scores->precision, scores->recall, scores->f1};
}
