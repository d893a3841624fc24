/* adapter_config.json: which linear layers a LoRA adapter changes, and by what rank and scale.
 * Everything in it that would change the maths in a way that slant does not run is refused by name.
 */
#ifndef SLANT_MODEL_ADAPTER_CONFIG_H
#define SLANT_MODEL_ADAPTER_CONFIG_H

#include "base/mem.h"
#include "text/name_pattern.h"

/* A list of module names, or one pattern that matches them. */
typedef struct module_set {
    const char **names; /* [n_names] */
    int n_names;
    name_pattern *pattern; /* NULL: the names decide */
} module_set;

/* What counts for the modules whose path matches: a rank or an alpha, or nothing but the match. */
typedef struct module_rule {
    name_pattern *pattern;
    double value;
} module_rule;

typedef struct module_rules {
    module_rule *rules; /* [n_rules], the first that matches counts */
    int n_rules;
} module_rules;

typedef struct adapter_config {
    const char *file;
    int rank;
    double alpha;
    bool rslora;
    bool all_linear;
    module_set targets, excluded;
    module_set saved;            /* modules_to_save */
    module_rules kept;           /* the same, as PEFT takes them: each a pattern */
    int *layers;                 /* [n_layers] layers_to_transform */
    int n_layers;                /* 0: all */
    module_rules layer_patterns; /* how a layer's number is found in a path */
    module_rules ranks, alphas;
    bool is_sequence_classification; /* task_type SEQ_CLS: the score head is always saved */
    const char *base_model_name;     /* information; NULL: none */
    const char *bias;                /* "none", …: counts only through the tensors that are there */
    const char *task_type, *peft_version; /* information; NULL: none */
} adapter_config;

/* Ownership: adapter_config_close, whether this succeeds or not. Names live in a. */
slant_status adapter_config_from_json(adapter_config *c, const char *json, size_t json_bytes,
                                      const char *file, arena *a, slant_error *err);
void adapter_config_close(adapter_config *c);

/* What PEFT would do with a module of that path ("model.layers.0.self_attn.q_proj", "score").
 * is_head: it is the classification head, which all-linear leaves out. */
slant_status adapter_config_targets(const adapter_config *c, const char *module, bool is_head,
                                    bool *targeted, slant_error *err);
/* Rank and scale of a module that is targeted. */
slant_status adapter_config_scale(const adapter_config *c, const char *module, int *rank,
                                  float *scale, slant_error *err);

#endif
