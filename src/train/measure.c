#include "model/forward.h"
#include "model/head.h"
#include "train/frozen.h"
#include "train/together.h"

#include <string.h>

void trainer_fill_batch(trainer *t, const dataset *d, const int *rows, int first, int n,
                        uint32_t first_sample)
{
    trainer_batch *b = &t->batch;
    size_t n_values = (size_t)t->labels.n;
    b->n = n;
    b->bounds[0] = 0;
    for (int i = 0; i < n; i++) {
        int row = rows == NULL ? first + i : rows[first + i];
        int length = d->lengths[row];
        int32_t *ids = b->ids + b->bounds[i];
        memcpy(ids, d->ids + d->starts[row], (size_t)length * sizeof *ids);
        b->bounds[i + 1] = b->bounds[i] + length;
        b->articles[i] = row;
        b->pooled[i] = head_pooled(ids, length, t->base.config.pad_token_id);
        b->samples[i] = first_sample + (uint32_t)i;
        if (d->labels != NULL)
            b->labels[i] = d->labels[row];
        else
            memcpy(b->values + (size_t)i * n_values, d->values + (size_t)row * n_values,
                   n_values * sizeof *b->values);
    }
}

double trainer_batch_loss(trainer *t, double scale, bool want_derivative)
{
    trainer_batch *b = &t->batch;
    loss_targets targets = {b->labels, b->values};
    return loss_mean(&t->loss, b->logits, &targets, b->n, scale,
                     want_derivative ? b->d_logits : NULL);
}

/* As many of the set's next rows as one pass holds: results do not depend on it. */
static int rows_that_fit(const trainer *t, const dataset *d, int first)
{
    const trainer_batch *b = &t->batch;
    int64_t n_ids = 0;
    int n = 0;
    while (first + n < d->n && n < b->cap_sequences && n_ids + d->lengths[first + n] <= b->cap_ids)
        n_ids += d->lengths[first + n++];
    return n;
}

static int highest(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static void count_answers(const trainer *t, int64_t *confusion)
{
    const trainer_batch *b = &t->batch;
    int n = t->labels.n;
    for (int i = 0; i < b->n; i++)
        confusion[b->labels[i] * n + highest(b->logits + i * n, n)]++;
}

/* Rows first … first + n: the sum of their losses, and their answers in the confusion. */
static slant_status measure_pass(trainer *t, const dataset *d, int first, int n, double *loss,
                                 int64_t *confusion, slant_error *err)
{
    trainer_batch *b = &t->batch;
    if (words_stop_asked(t))
        return status_fail(err, SLANT_ERR_CANCELLED, "stopped while measuring");
    trainer_fill_batch(t, d, NULL, first, n, 0);
    const kept_hidden *below = frozen_batch(t->frozen_eval, b->articles, n);
    slant_status status = forward_kept(&t->params->trained, t->work, b->ids, b->bounds, b->n,
                                       b->pooled, below, b->logits, err);
    if (status != SLANT_OK)
        return status;
    frozen_done(t->frozen_eval);
    *loss = trainer_batch_loss(t, 1, false) * n;
    if (confusion != NULL)
        count_answers(t, confusion);
    return SLANT_OK;
}

/* The next pass of each rank from row *first on. */
static slant_status measure_round(trainer *t, const dataset *d, int *first, double *sum,
                                  int64_t *confusion, slant_error *err)
{
    double own = 0;
    slant_status status = SLANT_OK;
    for (int rank = 0; rank < t->n_ranks && *first < d->n; rank++) {
        int n = rows_that_fit(t, d, *first);
        if (rank == t->rank)
            status = measure_pass(t, d, *first, n, &own, confusion, err);
        *first += n;
    }
    status = together_agree(t, status, err);
    return status == SLANT_OK ? together_add(t, own, sum, err) : status;
}

slant_status measure_set(trainer *t, const dataset *d, double *loss, int64_t *confusion,
                         slant_error *err)
{
    double sum = 0;
    size_t n = (size_t)t->labels.n * (size_t)t->labels.n;
    slant_status status = SLANT_OK;
    if (confusion != NULL)
        memset(confusion, 0, n * sizeof *confusion);
    for (int first = 0; status == SLANT_OK && first < d->n;)
        status = measure_round(t, d, &first, &sum, confusion, err);
    if (status == SLANT_OK && confusion != NULL)
        status = together_count(t, confusion, n, confusion + n, err);
    *loss = sum / d->n;
    return status;
}
