/* The log of a run as files that can be watched while it goes on: output_dir/log.jsonl, one entry a
 * line, and output_dir/runs/, TensorBoard's event files, one for each sitting. */
#ifndef SLANT_TRAIN_RUN_LOG_H
#define SLANT_TRAIN_RUN_LOG_H

#include "train/history.h"

#include <stdio.h>

typedef struct run_log {
    FILE *lines, *events;
    char *lines_path, *events_path;
} run_log;

/* Begins with the entries that the run has so far: after a resume, what an interrupted sitting
 * logged beyond them is gone. */
slant_status run_log_open(run_log *r, const char *output_dir, const history *h, int64_t step,
                          slant_error *err);
slant_status run_log_add(run_log *r, const log_entry *e, slant_error *err);
void run_log_close(run_log *r); /* harmless on a zeroed one */

#endif
