/* AdamW over the parameters, with clipping by the norm of all gradients. The moments may live in a
 * mapped file ("paged"): under pressure the kernel writes them out instead of the weights. */
#ifndef SLANT_TRAIN_OPTIMIZER_H
#define SLANT_TRAIN_OPTIMIZER_H

#include "train/parameters.h"

typedef struct optimizer_settings {
    float beta1, beta2, eps, weight_decay;
    float max_grad_norm;    /* 0: gradients are not clipped */
    const char *paged_file; /* the moments' file, deleted on close; NULL: in memory */
} optimizer_settings;

typedef struct optimizer {
    optimizer_settings settings;
    const gradient_table *kernels;
    int n_threads;
    size_t n_values;
    bool is_paged;      /* the moments are a mapped file */
    float *m, *v;       /* [n_values], in the parameters' order */
    int64_t n_updates;  /* made so far */
    size_t pages_bytes; /* of m and v together */
    double *norms;      /* [n tensors]: Σ g² of each */
} optimizer;

slant_status optimizer_open(const parameters *p, const optimizer_settings *settings,
                            const gradient_table *kernels, int n_threads, optimizer **out,
                            slant_error *err);
void optimizer_close(optimizer *o);

/* The norm of all gradients; infinite or NaN where one of them is. */
double optimizer_gradient_norm(optimizer *o, const parameters *p);
/* One update with gradients times `unscale`, clipped by their norm, which is what
 * optimizer_gradient_norm said times unscale. */
void optimizer_update(optimizer *o, parameters *p, double lr, double unscale, double norm);

#endif
