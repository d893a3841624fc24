/* What a run tells: each event goes to whoever asked for reports, in words that can be shown. */
#include "train/trainer.h"

#include "base/progress.h"
#include "model/tape.h"
#include "train/frozen.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool words_stop_asked(const trainer *t)
{
    return t->options.should_stop != NULL && t->options.should_stop(t->options.context);
}

static double speed(const trainer *t)
{
    double seconds = progress_now() - t->started;
    return seconds > 0 ? (double)(t->tokens_seen - t->tokens_before) / seconds : 0;
}

static double mean_length(const trainer *t)
{
    return (double)t->train->starts[t->train->n] / t->train->n;
}

static double tokens_left(const trainer *t)
{
    double steps = (double)(t->length.n_steps - t->state.global_step);
    double epochs = steps / (double)t->length.steps_per_epoch;
    return epochs * mean_length(t) * t->train->n;
}

static void tell(const trainer *t, slant_train_event_kind kind, const char *text)
{
    if (t->options.report == NULL || t->rank > 0)
        return;
    double rate = t->started > 0 ? speed(t) : 0;
    slant_train_event event = {.kind = kind,
                               .text = text,
                               .step = t->state.global_step,
                               .n_steps = t->length.n_steps,
                               .epoch = t->state.epoch,
                               .loss = t->last_loss,
                               .learning_rate = t->last_rate,
                               .grad_norm = t->last_norm,
                               .tokens_per_second = rate,
                               .seconds_left = rate > 0 ? tokens_left(t) / rate : (double)NAN};
    t->options.report(t->options.context, &event);
}

static void tell_buf(const trainer *t, slant_train_event_kind kind, buf *text)
{
    if (!text->failed && text->data != NULL)
        tell(t, kind, text->data);
    buf_free(text);
}

void words_note(const trainer *t, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    tell(t, SLANT_TRAIN_NOTE, text);
}

static size_t values_in_adapter(const trainer *t)
{
    size_t n = 0;
    for (int i = 0; i < t->params->n - 1; i++)
        n += (size_t)t->params->list[i].rows * (size_t)t->params->list[i].columns;
    return n;
}

static void put_memory(const trainer *t, buf *out)
{
    int n_layers = t->base.config.n_layers;
    buf_printf(out,
               "memory: %zu MiB for weights as they are held, %zu MiB for passes, %zu MiB for "
               "what the backward pass needs",
               weights_bytes(&t->base) >> 20, t->work->pages_bytes >> 20,
               t->tape->pages_bytes >> 20);
    if (t->tape->n_recomputed > 0)
        buf_printf(out, " (%d of %d layers are computed again)", t->tape->n_recomputed,
                   n_layers - t->tape->first_layer);
    buf_printf(out, ", %zu MiB for the optimiser\n",
               (t->optim->pages_bytes + t->params->pages_bytes) >> 20);
}

static void put_frozen(const trainer *t, buf *out)
{
    if (t->frozen_train == NULL)
        return;
    size_t size_bytes = frozen_bytes(t->frozen_train);
    int n_there = frozen_n_there(t->frozen_train);
    if (t->frozen_eval != NULL)
        size_bytes += frozen_bytes(t->frozen_eval);
    buf_printf(out,
               "frozen layers: the lowest %d are run once an article and not in every epoch; "
               "%zu MiB of disk for what they give",
               t->tape->first_layer, size_bytes >> 20);
    if (n_there > 0)
        buf_printf(out, ", of which %d articles are there already", n_there);
    buf_char(out, '\n');
}

void words_plan(const trainer *t, double tokens_per_second)
{
    buf out = {0};
    size_t adapter = values_in_adapter(t),
           score = (size_t)t->labels.n * (size_t)t->base.config.hidden_size;
    buf_string(&out, "trainable: ");
    progress_count(&out, (int64_t)(adapter + score));
    buf_string(&out, " parameters (");
    progress_count(&out, (int64_t)adapter);
    buf_string(&out, " of the adapter, ");
    progress_count(&out, (int64_t)score);
    buf_printf(&out, " of the head), from layer %d up\ntraining set: ", t->tape->first_layer);
    progress_count(&out, t->train->n);
    buf_string(&out, " articles, ");
    progress_count(&out, (int64_t)t->train->starts[t->train->n]);
    buf_string(&out, " tokens an epoch");
    if (t->train->n_cut > 0) {
        buf_string(&out, "; ");
        progress_count(&out, t->train->n_cut);
        buf_string(&out, " articles are longer than the limit and cut");
    }
    buf_string(&out, "\nsteps: ");
    progress_count(&out, t->length.n_steps);
    buf_printf(&out, " (%" PRId64 " an epoch) of %" PRId64 " × %" PRId64 " articles",
               t->length.steps_per_epoch, t->s->per_device_train_batch_size,
               t->s->gradient_accumulation_steps);
    if (t->n_ranks > 1)
        buf_printf(&out, " on each of %d ranks of %d threads", t->n_ranks, t->n_threads);
    buf_char(&out, '\n');
    put_memory(t, &out);
    put_frozen(t, &out);
    if (tokens_per_second > 0) {
        buf_printf(&out, "speed: %.0f tokens/s in a first batch; expected time %s",
                   tokens_per_second, t->frozen_train == NULL ? "" : "at most ");
        progress_clock(&out, tokens_left(t) / tokens_per_second);
        buf_char(&out, '\n');
    }
    tell_buf(t, SLANT_TRAIN_PLAN, &out);
}

void words_step(const trainer *t)
{
    tell(t, SLANT_TRAIN_STEP, "");
}

void words_evaluation(const trainer *t, const log_entry *e)
{
    buf out = {0};
    buf_printf(&out, "step %" PRId64 " of %" PRId64 ":", t->state.global_step, t->length.n_steps);
    for (int i = 0; i < e->n; i++)
        if (strncmp(e->items[i].name, "eval_", 5) == 0 &&
            strstr(e->items[i].name, "per_second") == NULL)
            buf_printf(&out, " %s %.4g", e->items[i].name, e->items[i].value);
    tell_buf(t, SLANT_TRAIN_EVALUATION, &out);
}

void words_checkpoint(const trainer *t, const char *path)
{
    tell(t, SLANT_TRAIN_CHECKPOINT, path);
}

void words_end(const trainer *t)
{
    buf out = {0};
    buf_printf(&out, "%" PRId64 " steps in ", t->state.global_step);
    progress_clock(&out, t->seconds_before + progress_now() - t->started);
    buf_printf(&out, ", %.0f tokens/s; the adapter is in %s", speed(t), t->s->output_dir);
    tell_buf(t, SLANT_TRAIN_END, &out);
}
