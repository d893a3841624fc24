/* A base and its adapter as one: W' = W + scale · B A in fp32, then rounded to what is written. One
 * linear layer at a time, in memory that the largest of them takes. */
#ifndef SLANT_MODEL_MERGE_H
#define SLANT_MODEL_MERGE_H

#include "model/model.h"
#include "quant/nf4.h"

typedef enum merge_form {
    MERGE_BF16,       /* rows */
    MERGE_NF4_PANELS, /* double quantisation, in the kernels' panels; F32 rows where NF4 blocks
                         straddle rows, as everywhere in slant */
    MERGE_NF4_FLAT    /* the same in bitsandbytes' own layout */
} merge_form;

/* bitsandbytes' JSON beside a weight, filled up with spaces to one length for all. */
#define MERGE_STATE_BYTES 256

/* What rounding changed; NF4 weights that go over as they are do not count. */
typedef struct merge_error {
    double relative; /* ‖W' − what is written‖ / ‖W'‖, Frobenius, over the weights below */
    double worst;    /* the same of the one weight where it is highest, … */
    int worst_layer, worst_which; /* … which is this one */
    int n_changed;                /* weights that the adapter changes */
} merge_error;

/* Where merger_make leaves a weight. Pointers stay what they are as long as the merger is open. */
typedef struct merged_weight {
    const kernel_weight *w; /* MERGE_BF16 and MERGE_NF4_PANELS */
    nf4_flat flat;          /* MERGE_NF4_FLAT */
    char *flat_state;       /* [MERGE_STATE_BYTES]: its JSON */
} merged_weight;

typedef struct merger merger;

/* m must outlive the merger. */
slant_status merger_open(const model *m, merge_form form, int n_threads, merger **out,
                         slant_error *err);
void merger_close(merger *g);

merge_form merger_form(const merger *g);
/* The weight that l will come to, complete but for the bytes. Valid until the next call. */
const merged_weight *merger_plan(merger *g, const linear *l);
/* Fills in the bytes; which thread does which changes nothing. */
void merger_make(merger *g, const linear *l);
/* Of all weights that were made. */
merge_error merger_error(const merger *g);

#endif
