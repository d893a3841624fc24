#include "api/scores.h"

#include <math.h>

slant_function scores_function(slant_function asked, const model_config *config)
{
    if (asked != SLANT_FUNCTION_DEFAULT)
        return asked;
    if (config->problem == PROBLEM_REGRESSION)
        return SLANT_FUNCTION_NONE;
    if (config->problem == PROBLEM_MULTI_LABEL || config->n_labels == 1)
        return SLANT_FUNCTION_SIGMOID;
    return SLANT_FUNCTION_SOFTMAX;
}

static void softmax(float temperature, float *x, int n)
{
    float highest = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        highest = x[i] > highest ? x[i] : highest;
    for (int i = 0; i < n; i++) {
        x[i] = expf((x[i] - highest) / temperature);
        sum += x[i];
    }
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

void scores_apply(slant_function function, float temperature, float *logits, int n_labels)
{
    if (function == SLANT_FUNCTION_SOFTMAX)
        softmax(temperature, logits, n_labels);
    else if (function == SLANT_FUNCTION_SIGMOID)
        for (int i = 0; i < n_labels; i++)
            logits[i] = 1.0f / (1.0f + expf(-logits[i]));
}

int scores_best(const float *scores, int n_labels)
{
    int best = 0;
    for (int i = 1; i < n_labels; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}
