/* The tensors that training changes, as flat fp32 arrays: the A and B of every adapted module and
 * the score head, in PEFT's order and under PEFT's names, and the base model with them in place. */
#ifndef SLANT_TRAIN_PARAMETERS_H
#define SLANT_TRAIN_PARAMETERS_H

#include "model/tape.h"

typedef struct lora_module {
    int rank; /* 0: not adapted */
    float scale;
} lora_module;

typedef struct parameter {
    const char *name; /* as adapter_model.safetensors has it */
    int rows, columns;
    size_t first; /* index of its first value */
} parameter;

typedef struct parameters {
    parameter *list; /* [n] */
    int n;
    size_t n_values;
    float *values, *gradients; /* [n_values] */
    model trained;             /* the base, borrowed, with adapters and score from values */
    arena memory;
    void *pages;
    size_t pages_bytes;
} parameters;

/* modules [n_layers][LINEAR_COUNT] says what is adapted. base must outlive the parameters. Values
 * start at zero. Ownership: parameters_close. */
slant_status parameters_open(const model *base, const lora_module *modules, parameters **out,
                             slant_error *err);
void parameters_close(parameters *p);

/* PEFT's start: A uniform in ±1/√n_in, B zero; the score as the base has it, else normal with
 * deviation 0.02. */
void parameters_start(parameters *p, const model *base, uint64_t seed);

/* Lets a tape of p->trained add to p->gradients. */
void parameters_attach(const parameters *p, tape *t);

const parameter *parameters_find(const parameters *p, const char *name); /* NULL: none */

#endif
