/* Rotary embedding (Su et al. 2021): its settings as config.json spells them, and the frequencies
 * that they give. */
#include "model/config_rope.h"

#include <math.h>
#include <string.h>

static bool rope_kind_from_name(const char *name, rope_kind *out)
{
    if (strcmp(name, "default") == 0)
        *out = ROPE_DEFAULT;
    else if (strcmp(name, "linear") == 0)
        *out = ROPE_LINEAR;
    else if (strcmp(name, "llama3") == 0)
        *out = ROPE_LLAMA3;
    else
        return false;
    return true;
}

/* Where the settings stand: rope_scaling (old) wins over rope_parameters (new) unless it is empty;
 * NULL where there is neither. */
static const json_t *rope_settings(field_reader *r, const json_t *root)
{
    const json_t *old_style = field_object(r, root, "rope_scaling");
    if (old_style != NULL && json_object_size(old_style) > 0)
        return old_style;
    return field_object(r, root, "rope_parameters");
}

/* rope_type wins over the older spelling type. */
static rope_kind read_kind(field_reader *r, const json_t *settings)
{
    rope_kind kind = ROPE_DEFAULT;
    const char *name = field_string(r, settings, "rope_type");
    if (name == NULL)
        name = field_string(r, settings, "type");
    if (name != NULL && !rope_kind_from_name(name, &kind))
        field_fail(r, SLANT_ERR_UNSUPPORTED,
                   "rope_type \"%s\" is not one that slant runs (default, linear, llama3)", name);
    return kind;
}

static double required_number(field_reader *r, const json_t *settings, const char *key, double min)
{
    if (field_get(settings, key) == NULL)
        field_fail(r, SLANT_ERR_FORMAT, "%s is missing from the rope settings", key);
    return field_number(r, settings, key, min, min, CONFIG_ROPE_MAX_FACTOR);
}

/* A later standardisation in transformers lets the top level's value win where there is one. */
static int64_t original_max_position(field_reader *r, const json_t *root, const json_t *settings,
                                     int64_t max_position)
{
    const char *key = "original_max_position_embeddings";
    int64_t inner = field_int(r, settings, key, max_position, 1, INT32_MAX);
    return field_int(r, root, key, inner, 1, INT32_MAX);
}

static void read_llama3(field_reader *r, const json_t *root, const json_t *settings,
                        model_config *config)
{
    config->rope_factor = required_number(r, settings, "factor", 1.0);
    config->rope_low_freq_factor = required_number(r, settings, "low_freq_factor", 1e-6);
    config->rope_high_freq_factor = required_number(r, settings, "high_freq_factor", 1e-6);
    config->rope_original_max_position =
        original_max_position(r, root, settings, config->max_position_embeddings);
    if (r->status == SLANT_OK && config->rope_high_freq_factor <= config->rope_low_freq_factor)
        field_fail(r, SLANT_ERR_FORMAT, "high_freq_factor (%g) must exceed low_freq_factor (%g)",
                   config->rope_high_freq_factor, config->rope_low_freq_factor);
}

static void refuse_partial(field_reader *r, const json_t *object)
{
    if (object != NULL && field_number(r, object, "partial_rotary_factor", 1.0, 0.0, 1.0) != 1.0)
        field_fail(r, SLANT_ERR_UNSUPPORTED, "a partial_rotary_factor other than 1 is not run");
}

/* Llama 4 and others give every layer type its own rope settings. */
static void refuse_nested(field_reader *r, const json_t *settings)
{
    if (field_get(settings, "full_attention") != NULL ||
        field_get(settings, "sliding_attention") != NULL)
        field_fail(r, SLANT_ERR_UNSUPPORTED, "rope settings that differ by layer type are not run");
}

void config_rope_read(field_reader *r, const json_t *root, model_config *config)
{
    const json_t *settings = rope_settings(r, root);
    config->rope_theta = field_number(r, root, "rope_theta", 10000.0, 1.0, 1e15);
    refuse_partial(r, root);
    if (settings == NULL || r->status != SLANT_OK)
        return;
    refuse_partial(r, settings);
    refuse_nested(r, settings);
    config->rope_theta = field_number(r, settings, "rope_theta", config->rope_theta, 1.0, 1e15);
    config->rope = read_kind(r, settings);
    if (config->rope == ROPE_LINEAR)
        config->rope_factor = required_number(r, settings, "factor", CONFIG_ROPE_MIN_FACTOR);
    else if (config->rope == ROPE_LLAMA3)
        read_llama3(r, root, settings, config);
}

int config_rope_bad_factor(const float *factors, int n)
{
    for (int i = 0; i < n; i++)
        if (!((double)factors[i] >= CONFIG_ROPE_MIN_FACTOR &&
              (double)factors[i] <= CONFIG_ROPE_MAX_FACTOR))
            return i;
    return -1;
}

static void write_number(buf *out, const char *key, double value)
{
    buf_printf(out, ",\"%s\":", key);
    buf_double(out, value);
}

void config_rope_write(const model_config *config, buf *out)
{
    /* ROPE_FACTORS travel as a tensor of their own beside the config. */
    const char *kind = config->rope == ROPE_LINEAR   ? "linear"
                       : config->rope == ROPE_LLAMA3 ? "llama3"
                                                     : "default";
    buf_printf(out, "\"rope_parameters\":{\"rope_type\":\"%s\"", kind);
    write_number(out, "rope_theta", config->rope_theta);
    if (config->rope == ROPE_LINEAR || config->rope == ROPE_LLAMA3)
        write_number(out, "factor", config->rope_factor);
    if (config->rope == ROPE_LLAMA3) {
        write_number(out, "low_freq_factor", config->rope_low_freq_factor);
        write_number(out, "high_freq_factor", config->rope_high_freq_factor);
        buf_printf(out, ",\"original_max_position_embeddings\":%lld",
                   (long long)config->rope_original_max_position);
    }
    buf_char(out, '}');
}

/* Llama 3.1's smoothing between the frequencies that are kept and those that are divided. */
static float llama3_scaled(const model_config *c, float inv_freq)
{
    double original = (double)c->rope_original_max_position;
    float low_wavelength = (float)(original / c->rope_low_freq_factor);
    float high_wavelength = (float)(original / c->rope_high_freq_factor);
    float wavelength = (float)(2.0 * M_PI) / inv_freq;
    float factor = (float)c->rope_factor;
    if (wavelength < high_wavelength)
        return inv_freq;
    if (wavelength > low_wavelength)
        return inv_freq / factor;
    float span = (float)(c->rope_high_freq_factor - c->rope_low_freq_factor);
    float smooth = ((float)original / wavelength - (float)c->rope_low_freq_factor) / span;
    return (1.0f - smooth) * inv_freq / factor + smooth * inv_freq;
}

void model_config_inv_freq(const model_config *config, float *inv_freq)
{
    for (int i = 0; i < config->head_dim / 2; i++) {
        float exponent = (float)(2 * i) / (float)config->head_dim;
        float plain = 1.0f / powf((float)config->rope_theta, exponent);
        switch (config->rope) {
        case ROPE_DEFAULT:
            inv_freq[i] = plain;
            break;
        case ROPE_LINEAR:
            inv_freq[i] = plain / (float)config->rope_factor;
            break;
        case ROPE_LLAMA3:
            inv_freq[i] = llama3_scaled(config, plain);
            break;
        case ROPE_FACTORS:
            inv_freq[i] = plain / config->rope_factors[i];
            break;
        }
    }
}
