/* The options that choose a model and how it is held and run: the same in every command. */
#ifndef SLANT_CLI_MODEL_OPTIONS_H
#define SLANT_CLI_MODEL_OPTIONS_H

#include "cli/options.h"

typedef struct model_options {
    const char *model, *adapter, *checkpoint, *labels;
    int dtype; /* slant_dtype */
    bool load_in_4bit;
    int compute; /* slant_compute */
    int threads; /* 0: all */
} model_options;

#define MODEL_OPTION(struct_type, field, member)                                                   \
    offsetof(struct_type, field) + offsetof(model_options, member)

/* Rows of an option table for the model_options that are struct_type's member field. */
#define MODEL_OPTION_ROWS(struct_type, field)                                                      \
    OPTION_HEAD("Model"),                                                                          \
        {.type = OPTION_TEXT,                                                                      \
         .name = "model",                                                                          \
         .offset = MODEL_OPTION(struct_type, field, model),                                        \
         .value = "MODEL",                                                                         \
         .help = "a Hugging Face directory, a .gguf, a .slant, or a hub name in a local cache",    \
         .standard = "the embedded model, or SLANT_MODEL"},                                        \
        {.type = OPTION_TEXT,                                                                      \
         .name = "adapter",                                                                        \
         .offset = MODEL_OPTION(struct_type, field, adapter),                                      \
         .value = "DIR",                                                                           \
         .help = "a PEFT adapter, a Trainer checkpoint or a training output directory"},           \
        {.type = OPTION_TEXT,                                                                      \
         .name = "checkpoint",                                                                     \
         .offset = MODEL_OPTION(struct_type, field, checkpoint),                                   \
         .value = "last|best|N",                                                                   \
         .help = "which checkpoint under the adapter's directory",                                 \
         .standard = "the directory's own adapter"},                                               \
        {.type = OPTION_TEXT,                                                                      \
         .name = "labels",                                                                         \
         .offset = MODEL_OPTION(struct_type, field, labels),                                       \
         .value = "A,B,…",                                                                         \
         .help = "names for the labels, in the model's order",                                     \
         .standard = "the model's id2label"},                                                      \
        {.type = OPTION_CHOICE,                                                                    \
         .name = "dtype",                                                                          \
         .offset = MODEL_OPTION(struct_type, field, dtype),                                        \
         .choices = "auto|nf4|bf16|fp32",                                                          \
         .help = "how weights are held",                                                           \
         .standard = "auto: as they are stored"},                                                  \
        {.type = OPTION_FLAG,                                                                      \
         .name = "load-in-4bit",                                                                   \
         .offset = MODEL_OPTION(struct_type, field, load_in_4bit),                                 \
         .help = "the same as --dtype nf4: quantise on load as bitsandbytes does"},                \
        {.type = OPTION_CHOICE,                                                                    \
         .name = "compute",                                                                        \
         .offset = MODEL_OPTION(struct_type, field, compute),                                      \
         .choices = "auto|int8|int16|bf16|fp32",                                                   \
         .help = "how products are computed; fp32 is the reference",                               \
         .standard = "auto: the fastest that keeps the stated accuracy"},                          \
        {.type = OPTION_COUNT,                                                                     \
         .name = "threads",                                                                        \
         .offset = MODEL_OPTION(struct_type, field, threads),                                      \
         .value = "N",                                                                             \
         .min = 1,                                                                                 \
         .max = 1024,                                                                              \
         .help = "how many threads work; the answers do not depend on it",                         \
         .standard = "all cores that this process may use"}

/* How weights are to be held, --load-in-4bit taken into account. */
slant_status model_options_dtype(const model_options *o, slant_dtype *dtype, slant_error *err);

/* Opens the engine that o describes and tells its notes on standard error unless quiet. */
slant_status model_options_open(const model_options *o, bool quiet, slant_engine **out,
                                slant_error *err);

#endif
