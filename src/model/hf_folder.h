/* Writing a Hugging Face directory: config.json, model.safetensors and the tokenizer, as
 * AutoModelForSequenceClassification.from_pretrained opens them. */
#ifndef SLANT_MODEL_HF_FOLDER_H
#define SLANT_MODEL_HF_FOLDER_H

#include "model/merge.h"

/* Fills the folder dir, which is there, with m, its adapter merged into the weights: g of form BF16
 * (every tensor is then BF16) or NF4_FLAT (linear weights as bitsandbytes serialises them, the rest
 * BF16). remembered: a slant.json, or NULL. */
slant_status hf_folder_write(const model *m, merger *g, const char *remembered, const char *dir,
                             slant_error *err);

#endif
