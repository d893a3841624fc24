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
    uint16_t *halves;  /* [n_values] in half precision, which the model then reads; or NULL */
    float *half_score; /* the score's rows, rounded to half */
    model trained;     /* the base, borrowed, with adapters and score in place */
    arena memory;
    void *pages;
    size_t pages_bytes;
} parameters;

/* modules [n_layers][LINEAR_COUNT] says what is adapted; half: the model reads the values rounded
 * to half precision, as a forward pass under autocast does. base must outlive the parameters.
 * Values start at zero. Ownership: parameters_close. */
slant_status parameters_open(const model *base, const lora_module *modules, bool half,
                             parameters **out, slant_error *err);
void parameters_close(parameters *p);

/* After values changed: what the model reads follows. */
void parameters_publish(parameters *p);

/* PEFT's start: A uniform in ±1/√n_in or, gaussian, normal with deviation 1/r; B zero; the score as
 * the base has it, else normal with deviation 0.02. */
void parameters_start(parameters *p, const model *base, uint64_t seed, bool gaussian);

/* Bytes of a model's linear weights as they are held. */
size_t weights_bytes(const model *m);

/* Lets a tape of p->trained add to p->gradients. */
void parameters_attach(const parameters *p, tape *t);

const parameter *parameters_find(const parameters *p, const char *name); /* NULL: none */

#endif
