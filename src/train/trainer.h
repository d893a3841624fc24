/* A run of training: what it holds, and the files that its parts live in.
 *   trainer_open.c   model, data, parameters and memory, from a recipe
 *   trainer.c        the run: epochs, steps, micro-batches
 *   together.c       what several ranks do together
 *   trainer_log.c    when something is logged, measured and saved, by the Trainer's rules
 *   trainer_words.c  what a person is told before, during and after
 *   trainer_frozen.c what is kept of frozen layers' work
 *   measure.c        scores over a set
 *   saving.c         checkpoints: written whole, checked, found again */
#ifndef SLANT_TRAIN_TRAINER_H
#define SLANT_TRAIN_TRAINER_H

#include "dist/dist.h"
#include "train/dataset.h"
#include "train/history.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/run_log.h"
#include "train/sampler.h"
#include "train/scaler.h"
#include "train/schedule.h"
#include "train/settings.h"
#include "train/tally.h"

/* A packed batch and what comes of it. */
typedef struct trainer_batch {
    int cap_sequences;
    int64_t cap_ids;
    int32_t *ids;
    int *bounds, *pooled, *labels;
    int *articles; /* their numbers in their set */
    uint32_t *samples;
    float *values, *logits, *d_logits; /* [cap_sequences][n_labels] */
    int n;
} trainer_batch;

typedef struct trainer {
    const train_settings *s;
    const slant_recipe *recipe;
    slant_train_options options;
    int rank, n_ranks;
    arena memory;

    model *opened; /* the base as it was opened */
    model base;    /* the same, with the run's labels */
    label_set labels;
    dataset *train, *eval; /* eval NULL: none */
    lora_module *modules;
    buf config; /* adapter_config.json */
    char modules_digest[FILE_DIGEST_CHARS];

    slant_compute compute;
    int n_threads;
    parameters *params;
    workspace *work;
    struct tape *tape;
    struct frozen_cache *frozen_train, *frozen_eval; /* NULL: nothing is kept */
    optimizer *optim;
    scaler scaler;
    loss_settings loss;
    run_length length;
    schedule schedule;
    sampler sampler;
    trainer_batch batch;
    int64_t logging_steps, eval_steps, save_steps; /* resolved; 0: never */

    run_state state;
    history log;
    run_log files;         /* the log as it can be watched */
    int64_t n_scheduled;   /* updates that moved the learning rate */
    double loss_since_log; /* Σ of step losses */
    double loss_total;     /* Σ of step losses up to the last log */
    int64_t logged_step, evaluated_step, saved_step;
    int64_t acted_step;    /* the last one after which everything was done */
    int64_t epochs_closed; /* after which everything was done */
    int64_t tokens_seen;   /* in all */
    double seconds_before; /* of earlier sittings */
    double started;        /* of this one */
    int64_t tokens_before; /* tokens_seen at its start */
    double last_loss, last_norm, last_rate;
    int *order; /* of epoch order_epoch: [train->n], or more where articles are dealt twice */
    int order_epoch;
    double *losses;         /* of a step's batches, by their place among those of all ranks */
    double *telling, *told; /* for exchanges of one rank's numbers and of all ranks' */
} trainer;

slant_status trainer_open(const slant_recipe *recipe, const slant_train_options *options,
                          trainer **out, slant_error *err);
void trainer_close(trainer *t);

/* From where the state stands to the end. */
slant_status trainer_run(trainer *t, slant_error *err);

/* trainer_log.c: after a step, after an epoch, at the end. */
slant_status trainer_after_step(trainer *t, slant_error *err);
slant_status trainer_after_epoch(trainer *t, int epoch, slant_error *err);
slant_status trainer_finish(trainer *t, slant_error *err);
slant_status trainer_measure(trainer *t, slant_error *err);

/* measure.c: the mean loss over a set, and its confusion [n_labels][n_labels] (single label only;
 * NULL otherwise), which has room for one of each rank behind it. Ranks share the work; the sums
 * are those of one rank alone, to the bit. */
slant_status measure_set(trainer *t, const dataset *d, double *loss, int64_t *confusion,
                         slant_error *err);
/* Rows first … first + n of `rows` (NULL: of the set itself) into t->batch. first_sample is the
 * first one's number in the run. */
void trainer_fill_batch(trainer *t, const dataset *d, const int *rows, int first, int n,
                        uint32_t first_sample);
/* The batch's loss over the logits that are there; d_logits gets its derivative times scale. */
double trainer_batch_loss(trainer *t, double scale, bool want_derivative);

/* trainer_frozen.c: what cache_frozen keeps, where it was asked for; and afterwards, for a run that
 * may go on, or not. */
slant_status trainer_open_frozen(trainer *t, slant_error *err);
void trainer_close_frozen(trainer *t, bool keep);

/* saving.c */
slant_status saving_checkpoint(trainer *t, slant_error *err);
/* The adapter as the run leaves it, into output_dir itself. Both wait for rank 0, which writes. */
slant_status saving_final(trainer *t, slant_error *err);
/* Puts the trainer where resume_from_checkpoint says; *found false: there is nothing to go on from.
 */
slant_status saving_resume(trainer *t, bool *found, slant_error *err);
/* What an earlier end of the process left half-made in output_dir goes away. */
slant_status saving_clean(const trainer *t, slant_error *err);
/* Whether output_dir holds a checkpoint. */
bool saving_any(const trainer *t);

/* trainer_words.c */
void words_note(const trainer *t, const char *fmt, ...) SLANT_PRINTF(2, 3);
void words_plan(const trainer *t, double tokens_per_second);
void words_step(const trainer *t);
void words_evaluation(const trainer *t, const log_entry *e);
void words_checkpoint(const trainer *t, const char *path);
void words_end(const trainer *t);
bool words_stop_asked(const trainer *t);

#endif
