/* A model in memory: weights as they are held, adapter, head, tokenizer. Immutable once open. */
#ifndef SLANT_MODEL_MODEL_H
#define SLANT_MODEL_MODEL_H

#include "kernels/kernels.h"
#include "model/config.h"
#include "text/tokenizer.h"

/* A low-rank update beside a linear layer: y += scale · B(A x) (Hu et al. 2021). */
typedef struct lora {
    int rank;        /* 0: none */
    float scale;     /* alpha / r, or alpha / sqrt(r) with rsLoRA */
    kernel_weight a; /* [rank, n_in], F32, F16 or BF16 as saved */
    kernel_weight b; /* [n_out, rank] */
} lora;

typedef struct linear {
    kernel_weight w;   /* [n_out, n_in] */
    const float *bias; /* [n_out]; NULL: none */
    lora adapter;
} linear;

enum { LINEAR_Q, LINEAR_K, LINEAR_V, LINEAR_O, LINEAR_GATE, LINEAR_UP, LINEAR_DOWN, LINEAR_COUNT };

/* "self_attn.q_proj", … in the order above. */
extern const char *const linear_module_names[LINEAR_COUNT];

typedef struct layer {
    const float *input_norm, *post_norm; /* [hidden_size] */
    const float *q_norm, *k_norm;        /* [head_dim]; NULL: none */
    linear linears[LINEAR_COUNT];
} layer;

typedef struct model_adapter_info {
    const char *path;            /* NULL: no adapter */
    int rank;                    /* the highest */
    int n_modules;               /* linear layers that it changes */
    const char *base_model_name; /* information only; may be NULL */
    /* From slant.json, the adapter's or a merged model's; zero or NULL where it is absent or
     * silent. */
    int max_length;
    slant_truncation truncation;
    const char *title_field;
    float temperature;
    const char *base_digest, *tokenizer_digest;
} model_adapter_info;

typedef struct model {
    model_config config;
    const char *path;
    const char *source_kind; /* "hf", "bnb", "gguf", "slant" */
    tensor_view embedding;   /* [vocab_size, hidden_size], any dtype that quant knows */
    int embedding_fd;        /* the file that holds it, read by row with pread; -1: use the view */
    uint64_t embedding_offset;
    layer *layers;           /* [n_layers] */
    const float *final_norm; /* [hidden_size] */
    const float *score;      /* [n_labels][hidden_size], fp32 */
    tokenizer *tokenizer;    /* NULL: the directory holds none */
    slant_dtype dtype;       /* how the linear weights are held */
    dtype linear_type;       /* the stored type of layer 0's q_proj, for words */
    const char *base_digest; /* "sha256:…"; NULL: unknown */
    model_adapter_info adapter;
    const char *notes; /* one a line; "" where there is nothing to say */
    arena memory;
    struct model_files *files; /* maps that the pointers above lead into */
} model;

typedef struct model_open_options {
    const char *adapter, *checkpoint, *labels;
    slant_dtype dtype;
    int n_layers;     /* keep the first n; 0: all */
    int n_threads;    /* for quantising on load */
    bool base_only;   /* import and inspect: a base without labels and head is fine */
    bool want_digest; /* compute the base's digest where the file carries none (reads every tensor)
                       */
} model_open_options;

/* path: a Hugging Face directory, .gguf, .slant, or a hub name in a local cache. Bounded and
 * strict: a wrong shape, dtype, offset, a missing or an unknown tensor is an error that names it.
 * Ownership: model_close. */
slant_status model_open(const char *path, const model_open_options *options, model **out,
                        slant_error *err);
void model_close(model *m);

/* Another embedding takes the place of the one that is there: the rows that begin at offset of fd,
 * which becomes the model's. */
void model_set_embedding(model *m, const tensor_view *view, int fd, uint64_t offset);

/* Row id of the embedding as fp32 into out [hidden_size]; scratch of at least the row's bytes. */
slant_status model_embed(const model *m, int32_t id, float *out, void *scratch, slant_error *err);
size_t model_embed_scratch_bytes(const model *m);

#endif
