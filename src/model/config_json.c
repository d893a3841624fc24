/* A config written back in config.json's own words, so that a .slant is read by the same code as
 * everything else. */
#include "model/config_rope.h"

#include <string.h>

static void member_int(buf *out, const char *key, int64_t value)
{
    buf_printf(out, ",\"%s\":%lld", key, (long long)value);
}

static void member_id(buf *out, const char *key, int64_t id)
{
    if (id >= 0)
        member_int(out, key, id);
}

static void write_windows(const model_config *c, buf *out)
{
    int window = 0;
    for (int i = 0; i < c->n_layers; i++)
        window = c->layer_window[i] > window ? c->layer_window[i] : window;
    if (c->arch == ARCH_MISTRAL && window == 0)
        buf_string(out, ",\"sliding_window\":null");
    if (window == 0)
        return;
    member_int(out, "sliding_window", window);
    buf_string(out, ",\"use_sliding_window\":true,\"layer_types\":[");
    for (int i = 0; i < c->n_layers; i++)
        buf_printf(out, "%s\"%s_attention\"", i > 0 ? "," : "",
                   c->layer_window[i] > 0 ? "sliding" : "full");
    buf_char(out, ']');
}

static void write_labels(const model_config *c, buf *out)
{
    static const char *const problems[] = {[PROBLEM_REGRESSION] = "regression",
                                           [PROBLEM_SINGLE_LABEL] = "single_label_classification",
                                           [PROBLEM_MULTI_LABEL] = "multi_label_classification"};
    if (c->n_labels > 0) {
        buf_string(out, ",\"id2label\":{");
        for (int i = 0; i < c->n_labels; i++) {
            buf_printf(out, "%s\"%d\":", i > 0 ? "," : "", i);
            buf_json_string(out, c->labels[i], strlen(c->labels[i]));
        }
        buf_char(out, '}');
    }
    if (c->problem != PROBLEM_UNSET)
        buf_printf(out, ",\"problem_type\":\"%s\"", problems[c->problem]);
}

void model_config_to_json(const model_config *c, buf *out)
{
    buf_printf(out, "{\"model_type\":\"%s\"", model_arch_name(c->arch));
    member_int(out, "hidden_size", c->hidden_size);
    member_int(out, "intermediate_size", c->intermediate_size);
    member_int(out, "num_hidden_layers", c->n_layers);
    member_int(out, "num_attention_heads", c->n_heads);
    member_int(out, "num_key_value_heads", c->n_kv_heads);
    member_int(out, "head_dim", c->head_dim);
    member_int(out, "vocab_size", c->vocab_size);
    member_int(out, "max_position_embeddings", c->max_position_embeddings);
    buf_string(out, ",\"rms_norm_eps\":");
    buf_double(out, c->rms_norm_eps);
    buf_printf(out, ",\"attention_bias\":%s,\"mlp_bias\":%s,", c->o_bias ? "true" : "false",
               c->mlp_bias ? "true" : "false");
    config_rope_write(c, out);
    write_windows(c, out);
    member_id(out, "pad_token_id", c->pad_token_id);
    member_id(out, "eos_token_id", c->eos_token_id);
    member_id(out, "bos_token_id", c->bos_token_id);
    write_labels(c, out);
    if (c->torch_dtype != NULL) {
        buf_string(out, ",\"dtype\":");
        buf_json_string(out, c->torch_dtype, strlen(c->torch_dtype));
    }
    buf_char(out, '}');
}
