#include "base/probe.h"
#include "base/progress.h"
#include "model/backward.h"
#include "train/frozen.h"
#include "train/together.h"

#include <math.h>
#include <string.h>

/* The epoch's order, made when it is first needed. */
static slant_status ready_order(trainer *t, int epoch, slant_error *err)
{
    if (t->order_epoch == epoch)
        return SLANT_OK;
    t->order_epoch = epoch;
    slant_status status = sampler_order(&t->sampler, epoch, t->order, err);
    for (int64_t i = t->train->n; status == SLANT_OK && i < t->length.n_samples; i++)
        t->order[i] = t->order[i - t->train->n];
    return status;
}

static slant_status not_a_number(const trainer *t, int epoch, int first, int n, slant_error *err)
{
    char rows[160] = "";
    size_t used = 0;
    (void)epoch;
    for (int i = 0; i < n && used < sizeof rows - 1; i++)
        used += (size_t)snprintf(rows + used, sizeof rows - used, "%s%s", i > 0 ? ", " : "",
                                 t->train->names[t->order[first + i]]);
    return status_fail(err, SLANT_ERR_MISMATCH,
                       "the loss is not a number in step %lld (articles %s); the last checkpoint "
                       "is as it was",
                       (long long)t->state.global_step + 1, rows);
}

/* One micro-batch: its loss, and its gradients divided by how many the step has. */
static slant_status run_micro_batch(trainer *t, int epoch, int first, int n, int n_micro,
                                    double *loss, slant_error *err)
{
    trainer_batch *b = &t->batch;
    uint32_t sample = (uint32_t)((int64_t)epoch * t->length.n_samples + first);
    trainer_fill_batch(t, t->train, t->order, first, n, sample);
    train_batch packed = {b->ids, b->bounds, b->pooled, b->samples, b->n};
    const kept_hidden *below = frozen_batch(t->frozen_train, b->articles, n);
    slant_status status = forward_record_kept(t->tape, &packed, below, b->logits, err);
    if (status != SLANT_OK)
        return status;
    frozen_done(t->frozen_train);
    *loss = trainer_batch_loss(t, t->scaler.scale / n_micro, true);
    if (!isfinite(*loss) && !t->scaler.enabled)
        return not_a_number(t, epoch, first, n, err);
    probe();
    backward(t->tape, b->d_logits);
    probe();
    return SLANT_OK;
}

/* A loss that overflowed counts as the mean of those before it (logging_nan_inf_filter). */
static void add_loss(trainer *t, double loss, int n_micro)
{
    int64_t since = t->state.global_step - t->logged_step;
    if (t->s->logging_nan_inf_filter && !isfinite(loss))
        t->loss_since_log += t->loss_since_log / (double)(1 + since);
    else
        t->loss_since_log += loss / n_micro;
}

/* Clips and updates; where half precision overflowed, only the scale changes. */
static slant_status update(trainer *t, slant_error *err)
{
    double norm = optimizer_gradient_norm(t->optim, t->params) / t->scaler.scale;
    bool finite = isfinite(norm);
    t->last_norm = norm;
    t->last_rate = t->s->learning_rate * schedule_factor(&t->schedule, t->n_scheduled);
    if (!finite && !t->scaler.enabled)
        return status_fail(err, SLANT_ERR_MISMATCH,
                           "the gradients are not numbers in step %lld; the last checkpoint is as "
                           "it was",
                           (long long)t->state.global_step + 1);
    if (finite) {
        optimizer_update(t->optim, t->params, t->last_rate, 1 / t->scaler.scale, norm);
        parameters_publish(t->params);
        t->n_scheduled++;
    }
    scaler_update(&t->scaler, !finite);
    return SLANT_OK;
}

/* This rank's batches of a step, and how many tokens they have. */
static slant_status run_own_batches(trainer *t, int epoch, int64_t first, int n_micro,
                                    int64_t *n_tokens, slant_error *err)
{
    int size = (int)t->s->per_device_train_batch_size, n_rows = (int)t->length.n_samples;
    slant_status status = SLANT_OK;
    for (int micro = t->rank; status == SLANT_OK && micro < n_micro; micro += t->n_ranks) {
        int row = (int)(first + micro) * size, left = n_rows - row;
        if (words_stop_asked(t))
            return status_fail(err, SLANT_ERR_CANCELLED, "stopped within a step");
        status = run_micro_batch(t, epoch, row, left < size ? left : size, n_micro,
                                 &t->losses[micro], err);
        *n_tokens += t->batch.bounds[t->batch.n];
    }
    return status;
}

/* Step `step` of the epoch, unless a stop is asked for on the way: then nothing has happened. */
static slant_status run_step(trainer *t, int epoch, int64_t step, slant_error *err)
{
    int64_t each = t->s->gradient_accumulation_steps * t->n_ranks, n_tokens = 0;
    int64_t first = step * each, end = first + each;
    if (end > t->length.batches_per_epoch)
        end = t->length.batches_per_epoch;
    int n_micro = (int)(end - first);
    memset(t->params->gradients, 0, t->params->n_values * sizeof(float));
    slant_status status = run_own_batches(t, epoch, first, n_micro, &n_tokens, err);
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        status = together_step(t, n_micro, &n_tokens, err);
    if (status != SLANT_OK)
        return status;
    t->tokens_seen += n_tokens;
    for (int micro = 0; micro < n_micro; micro++)
        add_loss(t, t->losses[micro], n_micro);
    status = update(t, err);
    probe();
    t->state.global_step++;
    t->state.epoch = epoch + (double)end / (double)t->length.batches_per_epoch;
    return status;
}

/* Stopped on request: the state as it was after the last whole step. */
static slant_status stop(trainer *t, slant_error *err)
{
    slant_status status = SLANT_OK;
    if (t->state.global_step == 0)
        return status_fail(err, SLANT_ERR_CANCELLED, "stopped before the first step");
    if (t->saved_step != t->state.global_step)
        status = saving_checkpoint(t, err);
    if (status != SLANT_OK)
        return status;
    return status_fail(err, SLANT_ERR_CANCELLED,
                       "stopped after step %lld of %lld; the same command with "
                       "--resume-from-checkpoint last goes on from there",
                       (long long)t->state.global_step, (long long)t->length.n_steps);
}

static slant_status run_epoch(trainer *t, int epoch, slant_error *err)
{
    int64_t steps = t->length.steps_per_epoch;
    slant_status status = together_agree(t, ready_order(t, epoch, err), err);
    int64_t step = t->state.global_step - (int64_t)epoch * steps;
    for (; status == SLANT_OK && step < steps && !t->state.should_stop; step++) {
        status = run_step(t, epoch, step, err);
        if (status != SLANT_OK)
            break;
        if (t->state.global_step >= t->length.n_steps)
            t->state.should_stop = true;
        status = trainer_after_step(t, err);
    }
    return status == SLANT_OK ? trainer_after_epoch(t, epoch, err) : status;
}

/* What an earlier sitting had no time for after its last step. */
static slant_status catch_up(trainer *t, slant_error *err)
{
    int64_t step = t->state.global_step, steps = t->length.steps_per_epoch;
    slant_status status = SLANT_OK;
    if (step >= t->length.n_steps)
        t->state.should_stop = true;
    if (step > 0 && t->acted_step < step)
        status = trainer_after_step(t, err);
    int epoch = step == 0 ? 0 : (int)((step - 1) / steps);
    bool ended = step > 0 && (step % steps == 0 || t->state.should_stop);
    if (status == SLANT_OK && ended && t->epochs_closed <= epoch)
        status = trainer_after_epoch(t, epoch, err);
    return status;
}

slant_status trainer_run(trainer *t, slant_error *err)
{
    t->started = progress_now();
    t->tokens_before = t->tokens_seen;
    slant_status status = SLANT_OK;
    if (together_is_first(t))
        status = run_log_open(&t->files, t->s->output_dir, &t->log, t->state.global_step, err);
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        status = catch_up(t, err);
    if (status == SLANT_OK && t->s->eval_on_start && t->state.global_step == 0 && t->eval != NULL)
        status = trainer_measure(t, err);
    while (status == SLANT_OK && !t->state.should_stop)
        status = run_epoch(t, (int)(t->state.global_step / t->length.steps_per_epoch), err);
    if (status == SLANT_ERR_CANCELLED)
        return stop(t, err);
    return status == SLANT_OK ? trainer_finish(t, err) : status;
}
