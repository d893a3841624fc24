/* The derivative of linear layers: what linear_forward's inputs and adapters receive. */
#ifndef SLANT_MODEL_LINEAR_BACKWARD_H
#define SLANT_MODEL_LINEAR_BACKWARD_H

#include "model/tape.h"

/* One module of the tape's layer, y = W x + scale · B A (dropped x). */
typedef struct linear_backward_job {
    int which;
    const tape_dy *dy; /* rows dy_row0 …: derivative with respect to y */
    int dy_row0;
    const acts *x; /* rows x_row0 …: what the module read; looked at only where it is adapted */
    int x_row0;
} linear_backward_job;

/* Of n_rows rows of the pass from first_row on, for modules that read the same x (at most
 * TAPE_GROUP): dx [n_rows][dx_stride] = Σ of the jobs' derivatives with respect to x, unless dx is
 * NULL; the adapters' gradients are added to. dx_stride is a whole number of panels at least. */
void linear_backward(pass *p, const linear_backward_job *jobs, int n_jobs, int first_row,
                     int n_rows, float *dx, size_t dx_stride);

#endif
