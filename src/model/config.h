/* A model's shape and settings, whatever file they came from. */
#ifndef SLANT_MODEL_CONFIG_H
#define SLANT_MODEL_CONFIG_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"

typedef enum model_arch { ARCH_LLAMA, ARCH_MISTRAL, ARCH_QWEN2, ARCH_QWEN3 } model_arch;

typedef enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_FACTORS } rope_kind;

typedef enum problem_type {
    PROBLEM_UNSET,
    PROBLEM_REGRESSION,
    PROBLEM_SINGLE_LABEL,
    PROBLEM_MULTI_LABEL
} problem_type;

typedef struct model_config {
    model_arch arch;
    int hidden_size, intermediate_size, n_layers, n_heads, n_kv_heads, head_dim;
    int vocab_size;
    int64_t max_position_embeddings;
    float rms_norm_eps;
    bool qkv_bias, o_bias, mlp_bias; /* which linear layers carry a bias */
    bool qk_norm;                    /* RMSNorm over head_dim on q and k before RoPE (qwen3) */
    rope_kind rope;
    double rope_theta, rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    int64_t rope_original_max_position;
    const float
        *rope_factors; /* ROPE_FACTORS (GGUF rope_freqs): [head_dim / 2], divides inv_freq */
    int *layer_window; /* [n_layers]: 0 full attention, else the sliding window */
    int64_t pad_token_id, eos_token_id, bos_token_id; /* -1 where absent */
    int n_labels;                                     /* 0: the file names none (a causal base) */
    const char **labels;                              /* [n_labels] */
    problem_type problem;
    const char *torch_dtype; /* as the file says; NULL where absent */
    bool quantised_nf4;      /* quantization_config: bitsandbytes NF4 */
} model_config;

/* Everything that the config points to lives in a. */
slant_status model_config_from_json(model_config *config, const char *json, size_t json_bytes,
                                    const char *name, arena *a, slant_error *err);

/* The same from a GGUF's metadata, and from which tensors it holds (biases, rope_freqs). */
typedef struct gguf gguf;
slant_status model_config_from_gguf(model_config *config, const gguf *g, const char *name, arena *a,
                                    slant_error *err);

/* What must hold of a shape whatever file it came from. */
slant_status model_config_check(const model_config *config, const char *name, slant_error *err);

/* inv_freq [head_dim / 2] as transformers computes it (fp32 arithmetic where it uses fp32). */
void model_config_inv_freq(const model_config *config, float *inv_freq);

/* The config in config.json's own words, as a .slant carries it: model_config_from_json of it gives
 * the same config, rope_factors aside. */
void model_config_to_json(const model_config *config, buf *out);

const char *model_arch_name(model_arch arch);
bool model_arch_from_name(const char *name, model_arch *out);
/* Labels LABEL_0 …; SLANT_ERR_MEMORY only. */
slant_status model_config_default_labels(model_config *config, int n_labels, arena *a,
                                         slant_error *err);

#endif
