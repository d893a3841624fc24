/* The rotary embedding's settings in config.json, old style and new. */
#ifndef SLANT_MODEL_CONFIG_ROPE_H
#define SLANT_MODEL_CONFIG_ROPE_H

#include "model/config.h"
#include "model/field.h"

/* Reads rope_theta, rope_scaling and rope_parameters of root into config, whose
 * max_position_embeddings is known. */
void config_rope_read(field_reader *r, const json_t *root, model_config *config);

/* Bounds of what frequencies are divided by. */
#define CONFIG_ROPE_MIN_FACTOR 1e-6
#define CONFIG_ROPE_MAX_FACTOR 1e9

/* Which of factors [n] is out of those bounds; -1: none. */
int config_rope_bad_factor(const float *factors, int n);

/* The same settings as the member "rope_parameters": {…}. */
void config_rope_write(const model_config *config, buf *out);

#endif
