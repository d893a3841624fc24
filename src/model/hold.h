/* How linear weights are held: as stored, or converted once on load. */
#ifndef SLANT_MODEL_HOLD_H
#define SLANT_MODEL_HOLD_H

#include "model/files.h"
#include "model/model.h"
#include "model/weight.h"

typedef enum hold_action {
    HOLD_IN_PLACE,   /* used where the file has it */
    HOLD_COPY,       /* rows as stored, put in order or aligned */
    HOLD_PACK,       /* bitsandbytes' flat NF4 into panels */
    HOLD_QUANTISE,   /* to NF4 panels, to the bytes that bitsandbytes makes on a CPU */
    HOLD_ROUND_TRIP, /* the same, but expanded again: NF4 blocks that straddle rows, as F32 rows */
    HOLD_CONVERT     /* to rows of F32 or BF16 */
} hold_action;

typedef struct hold_job {
    weight from;
    hold_action action;
    dtype type; /* of HOLD_CONVERT's rows */
    kernel_weight *to;
} hold_job;

/* Decides what becomes of from under that choice, and where it will lie: job->to is complete but
 * for the bytes. */
slant_status hold_plan(hold_job *job, slant_dtype wanted, model_files *files, slant_error *err);

/* Does the jobs, shared out over threads; which thread does which changes nothing. */
slant_status hold_run(const hold_job *jobs, int n_jobs, int n_threads, slant_error *err);

#endif
