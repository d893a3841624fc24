/* When a run logs, measures and saves: DefaultFlowCallback, EarlyStoppingCallback and
 * _maybe_log_save_evaluate of the Trainer. */
#include "base/progress.h"
#include "train/together.h"

#include <math.h>
#include <string.h>

static slant_status add_entry(trainer *t, const log_entry *e, slant_error *err)
{
    slant_status status = history_add(&t->log, e, err);
    if (status == SLANT_OK && together_is_first(t))
        status = run_log_add(&t->files, e, err);
    return together_agree(t, status, err);
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static slant_status log_loss(trainer *t, slant_error *err)
{
    log_entry e = {0};
    int64_t steps = t->state.global_step - t->logged_step;
    if (steps == 0)
        return SLANT_OK;
    t->last_loss = t->loss_since_log / (double)steps;
    log_add(&e, "epoch", t->state.epoch);
    log_add(&e, "grad_norm", t->last_norm);
    log_add(&e, "learning_rate", t->last_rate);
    log_add(&e, "loss", t->last_loss);
    log_add_whole(&e, "step", t->state.global_step);
    t->loss_total += t->loss_since_log;
    t->loss_since_log = 0;
    t->logged_step = t->state.global_step;
    return add_entry(t, &e, err);
}

/* metric_for_best_model under the name that it is logged by. */
static void best_name(const trainer *t, char name[64])
{
    const char *given = t->s->metric_for_best_model == NULL ? "loss" : t->s->metric_for_best_model;
    snprintf(name, 64, "%s%s", strncmp(given, "eval_", 5) == 0 ? "" : "eval_", given);
}

static bool is_better(const trainer *t, double value, double than)
{
    char name[64];
    best_name(t, name);
    size_t n = strlen(name);
    bool greater = t->s->greater_is_better == 0 ? strcmp(name + n - 4, "loss") != 0
                                                : t->s->greater_is_better == 1;
    return greater ? value > than : value < than;
}

static bool wants_best(const trainer *t)
{
    return t->s->load_best_model_at_end || t->s->save_strategy == STRATEGY_BEST ||
           t->s->metric_for_best_model != NULL || t->s->early_stopping_patience > 0;
}

/* Early stopping compares with the best before this measurement; then the best is brought up to it.
 * *is_new_best: it is one. */
static slant_status weigh(trainer *t, const log_entry *e, bool *is_new_best, slant_error *err)
{
    char name[64];
    run_state *s = &t->state;
    best_name(t, name);
    *is_new_best = false;
    if (!wants_best(t))
        return SLANT_OK;
    double value = log_value(e, name);
    if (isnan(value))
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "metric_for_best_model: %s is not among the metrics of a measurement",
                           name);
    bool gained = !s->has_best || (is_better(t, value, s->best_metric) &&
                                   fabs(value - s->best_metric) > s->early_stopping_threshold);
    s->early_stopping_counter = gained ? 0 : s->early_stopping_counter + 1;
    if (s->early_stopping_patience > 0 && s->early_stopping_counter >= s->early_stopping_patience)
        s->should_stop = true;
    if (s->has_best && !is_better(t, value, s->best_metric))
        return SLANT_OK;
    *is_new_best = s->has_best = true;
    s->best_metric = value;
    s->best_global_step = s->global_step;
    return SLANT_OK;
}

static void add_metrics(const trainer *t, const int64_t *confusion, log_entry *e)
{
    tally scores = tally_confusion(confusion, t->labels.n, (tally_average)t->s->f1_average);
    log_add(e, "eval_accuracy", scores.accuracy);
    log_add(e, "eval_f1", scores.f1);
    log_add(e, "eval_precision", scores.precision);
    log_add(e, "eval_recall", scores.recall);
}

static slant_status measure(trainer *t, log_entry *e, slant_error *err)
{
    double loss, start = progress_now();
    bool single = t->labels.problem == PROBLEM_SINGLE_LABEL;
    size_t n = (size_t)t->labels.n;
    size_t n_counts = n * n * (size_t)(t->n_ranks + 1);
    int64_t *confusion = single ? mem_alloc(n_counts, sizeof *confusion) : NULL;
    slant_status status = SLANT_OK;
    if (single && confusion == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory for a measurement");
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        status = measure_set(t, t->eval, &loss, confusion, err);
    double seconds = progress_now() - start;
    if (status == SLANT_OK) /* one clock, for a metric may decide */
        status = dist_broadcast(t->options.team, &seconds, sizeof seconds, err);
    int64_t batches = (t->eval->n - 1) / t->s->per_device_eval_batch_size + 1;
    if (status == SLANT_OK) {
        log_add(e, "epoch", t->state.epoch);
        log_add(e, "eval_loss", loss);
        log_add(e, "eval_runtime", seconds);
        log_add(e, "eval_samples_per_second", t->eval->n / seconds);
        log_add(e, "eval_steps_per_second", (double)batches / seconds);
        log_add_whole(e, "step", t->state.global_step);
        if (single)
            add_metrics(t, confusion, e);
    }
    mem_free(confusion);
    return status;
}

static slant_status measure_and_weigh(trainer *t, bool *is_new_best, slant_error *err)
{
    log_entry e = {0};
    slant_status status = measure(t, &e, err);
    if (status == SLANT_OK)
        status = add_entry(t, &e, err);
    if (status == SLANT_OK)
        status = weigh(t, &e, is_new_best, err);
    if (status != SLANT_OK)
        return status;
    t->evaluated_step = t->state.global_step;
    words_evaluation(t, &e);
    return SLANT_OK;
}

slant_status trainer_measure(trainer *t, slant_error *err)
{
    bool is_new_best;
    return measure_and_weigh(t, &is_new_best, err);
}

/* What is done after a step or an epoch. *done becomes `now` when all but the saving is: a
 * checkpoint that is written on the way, because somebody stops the run, has it all done again. */
static slant_status act(trainer *t, bool logs, bool measures, bool saves, int64_t *done,
                        int64_t now, slant_error *err)
{
    bool is_new_best = false;
    slant_status status = SLANT_OK;
    if (logs)
        status = log_loss(t, err);
    if (status == SLANT_OK && measures && t->eval != NULL &&
        t->evaluated_step != t->state.global_step)
        status = measure_and_weigh(t, &is_new_best, err);
    if (status == SLANT_OK)
        *done = now;
    if (t->s->save_strategy == STRATEGY_BEST)
        saves = is_new_best;
    if (status == SLANT_OK && saves && t->saved_step != t->state.global_step)
        status = saving_checkpoint(t, err);
    return status;
}

slant_status trainer_after_step(trainer *t, slant_error *err)
{
    const train_settings *s = t->s;
    int64_t step = t->state.global_step;
    bool is_last = step >= t->length.n_steps;
    bool logs = s->logging_strategy == STRATEGY_STEPS && is_due(step, t->logging_steps);
    bool measures = s->eval_strategy == STRATEGY_STEPS && (is_due(step, t->eval_steps) || is_last);
    bool saves = s->save_strategy == STRATEGY_STEPS && (is_due(step, t->save_steps) || is_last);
    logs = logs || (step == 1 && s->logging_first_step);
    slant_status status = act(t, logs, measures, saves, &t->acted_step, step, err);
    if (status == SLANT_OK)
        words_step(t);
    return status;
}

slant_status trainer_after_epoch(trainer *t, int epoch, slant_error *err)
{
    const train_settings *s = t->s;
    return act(t, s->logging_strategy == STRATEGY_EPOCH, s->eval_strategy == STRATEGY_EPOCH,
               s->save_strategy == STRATEGY_EPOCH, &t->epochs_closed, epoch + 1, err);
}

/* The last entry of the log. train_loss is the mean over all steps of the run. */
slant_status trainer_finish(trainer *t, slant_error *err)
{
    log_entry e = {0};
    double seconds = t->seconds_before + progress_now() - t->started;
    double steps = (double)t->state.global_step;
    double samples = t->s->max_steps > 0
                         ? steps * (double)t->s->per_device_train_batch_size *
                               (double)t->s->gradient_accumulation_steps * t->n_ranks
                         : (double)t->train->n * t->s->num_train_epochs;
    log_add(&e, "epoch", t->state.epoch);
    log_add_whole(&e, "step", t->state.global_step);
    log_add(&e, "total_flos", t->state.total_flos);
    log_add(&e, "train_loss", (t->loss_total + t->loss_since_log) / (steps > 0 ? steps : 1));
    log_add(&e, "train_runtime", seconds);
    log_add(&e, "train_samples_per_second", samples / seconds);
    log_add(&e, "train_steps_per_second", steps / seconds);
    slant_status status = add_entry(t, &e, err);
    if (status == SLANT_OK)
        status = saving_final(t, err);
    if (status != SLANT_OK)
        return status;
    trainer_close_frozen(t, false);
    words_end(t);
    return status;
}
