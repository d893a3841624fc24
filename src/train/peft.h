/* Adapters as PEFT writes them: adapter_config.json and adapter_model.safetensors. */
#ifndef SLANT_TRAIN_PEFT_H
#define SLANT_TRAIN_PEFT_H

#include "train/parameters.h"
#include "train/settings.h"

/* adapter_config.json for a new adapter, with peft 0.21.2's keys; base_name stands in it. */
slant_status peft_config(const train_settings *s, const char *base_name, buf *out,
                         slant_error *err);

/* Which modules of m the configuration adapts, by PEFT's rules: out [n_layers][LINEAR_COUNT], owned
 * by the caller (mem_free). name stands in messages. */
slant_status peft_modules(const char *config, size_t config_bytes, const char *name, const model *m,
                          lora_module **out, slant_error *err);

/* Both files into dir, each whole or not at all. */
slant_status peft_write(const char *dir, const parameters *p, const char *config,
                        size_t config_bytes, slant_error *err);

/* Values out of an adapter_model.safetensors that holds exactly the parameters. */
slant_status peft_read(parameters *p, const char *path, slant_error *err);
/* Values out of the adapter that is open over m. */
void peft_take(parameters *p, const model *m);

#endif
