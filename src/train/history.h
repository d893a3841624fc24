/* What a run has logged, and where it stands: the TrainerState of transformers. */
#ifndef SLANT_TRAIN_HISTORY_H
#define SLANT_TRAIN_HISTORY_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"

#include <jansson.h>

enum { LOG_MAX_ITEMS = 24 };

/* One entry of log_history. */
typedef struct log_item {
    const char *name;
    double value;
    bool whole; /* written without a fraction */
} log_item;

typedef struct log_entry {
    log_item items[LOG_MAX_ITEMS]; /* [n], in alphabetical order */
    int n;
} log_entry;

typedef struct history {
    log_entry *entries; /* [n] */
    size_t n, cap;
    arena names;
} history;

void log_add(log_entry *e, const char *name, double value);
void log_add_whole(log_entry *e, const char *name, int64_t value);
/* NaN where it is not there. */
double log_value(const log_entry *e, const char *name);
/* One line of JSON without its end. */
void log_write(const log_entry *e, buf *out);

/* Names are copied. */
slant_status history_add(history *h, const log_entry *e, slant_error *err);
void history_free(history *h);

/* Where the run stands, beside its log. */
typedef struct run_state {
    int64_t global_step, max_steps, num_train_epochs;
    double epoch, total_flos;
    int64_t train_batch_size;
    double logging_steps, eval_steps, save_steps; /* as given */
    bool has_best;
    int64_t best_global_step;
    double best_metric;
    char *best_model_checkpoint;                             /* NULL: none; mem_free */
    int64_t early_stopping_patience, early_stopping_counter; /* patience 0: no such callback */
    double early_stopping_threshold;
    bool should_stop;
} run_state;

/* trainer_state.json, with the Trainer's keys in their order. */
void history_write(const history *h, const run_state *s, buf *out);
/* log_history of a trainer_state.json into h, which is empty, and the best so far into s. */
slant_status history_read(history *h, run_state *s, const char *path, slant_error *err);

#endif
