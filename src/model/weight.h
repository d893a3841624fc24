/* The weight of one linear layer as its source has it: rows of some type, bitsandbytes' flat NF4,
 * or NF4 in the kernels' own panels. */
#ifndef SLANT_MODEL_WEIGHT_H
#define SLANT_MODEL_WEIGHT_H

#include "kernels/kernels.h"
#include "model/source.h"
#include "quant/nf4.h"

typedef enum weight_form { WEIGHT_ROWS, WEIGHT_NF4_FLAT, WEIGHT_NF4_PANELS } weight_form;

typedef struct weight {
    const char *name; /* as the file has it */
    weight_form form;
    int n_out, n_in;
    /* WEIGHT_ROWS */
    dtype type;
    const uint8_t *rows; /* [n_out][row_bytes] as stored, not aligned */
    size_t row_bytes;
    int head_rows; /* as in source_tensor */
    /* WEIGHT_NF4_FLAT */
    nf4_flat flat;
    /* WEIGHT_NF4_PANELS */
    kernel_weight panels;
} weight;

/* Looks up name ("model.layers.0.mlp.up_proj.weight") and checks everything about it; what is small
 * and unaligned is copied into a. */
slant_status weight_find(source *s, const char *name, int n_out, int n_in, arena *a, weight *out,
                         slant_error *err);

/* Row o of WEIGHT_ROWS, in Hugging Face's order. */
const uint8_t *weight_row(const weight *w, int o);

/* The same weight as bitsandbytes' flat layout: codes [n_out · n_in / 2] and absmax_codes or absmax
 * [n_out · n_in / 64] are filled from WEIGHT_NF4_PANELS. */
nf4_flat weight_unpack(const weight *w, uint8_t *codes, uint8_t *absmax_codes, float *absmax);

/* For weight.c: the two NF4 forms. */
slant_status weight_find_flat(source *s, const source_tensor *codes, arena *a, weight *w,
                              slant_error *err);
slant_status weight_find_panels(source *s, const char *name, arena *a, weight *w, slant_error *err);

#endif
