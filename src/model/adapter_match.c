/* What adapter_config.json says of one module, by PEFT's rules. */
#include "model/adapter_config.h"

#include <math.h>
#include <string.h>

/* A name stands for the module of that path and for every path that ends in ".name". */
static bool names_module(const module_set *set, const char *module)
{
    size_t length = strlen(module);
    for (int i = 0; i < set->n_names; i++) {
        size_t n = strlen(set->names[i]);
        if (n <= length && strcmp(module + length - n, set->names[i]) == 0 &&
            (n == length || module[length - n - 1] == '.'))
            return true;
    }
    return false;
}

static slant_status in_set(const module_set *set, const char *module, bool *is_in, slant_error *err)
{
    *is_in = set->pattern == NULL && names_module(set, module);
    return set->pattern == NULL ? SLANT_OK : name_pattern_match(set->pattern, module, is_in, err);
}

static slant_status is_excluded(const adapter_config *c, const char *module, bool *excluded,
                                slant_error *err)
{
    slant_status status = in_set(&c->excluded, module, excluded, err);
    for (int i = 0; status == SLANT_OK && !*excluded && i < c->kept.n_rules; i++)
        status = name_pattern_match(c->kept.rules[i].pattern, module, excluded, err);
    return status;
}

static bool whole_name(const module_set *set, const char *module)
{
    for (int i = 0; i < set->n_names; i++)
        if (strcmp(set->names[i], module) == 0)
            return true;
    return false;
}

/* layers_to_transform counts beside names alone, and not for a name that is a whole path. */
static slant_status in_layers(const adapter_config *c, const char *module, bool *is_in,
                              slant_error *err)
{
    int index = -1;
    slant_status status = SLANT_OK;
    *is_in = c->n_layers == 0 || whole_name(&c->targets, module);
    if (*is_in)
        return SLANT_OK;
    for (int i = 0; status == SLANT_OK && index < 0 && i < c->layer_patterns.n_rules; i++)
        status = name_pattern_index(c->layer_patterns.rules[i].pattern, module, &index, err);
    for (int i = 0; i < c->n_layers; i++)
        *is_in = *is_in || (index >= 0 && c->layers[i] == index);
    return status;
}

slant_status adapter_config_targets(const adapter_config *c, const char *module, bool is_head,
                                    bool *targeted, slant_error *err)
{
    bool excluded, in = false;
    *targeted = false;
    slant_status status = is_excluded(c, module, &excluded, err);
    if (status != SLANT_OK || excluded)
        return status;
    if (c->all_linear) {
        *targeted = !(is_head && c->is_sequence_classification);
        return SLANT_OK;
    }
    status = in_set(&c->targets, module, &in, err);
    if (status == SLANT_OK && in)
        status = in_layers(c, module, targeted, err);
    return status;
}

/* The first key that matches decides, as in PEFT. */
static slant_status value_of(const module_rules *set, const char *module, double usual,
                             double *value, slant_error *err)
{
    slant_status status = SLANT_OK;
    bool matches = false;
    *value = usual;
    for (int i = 0; status == SLANT_OK && !matches && i < set->n_rules; i++) {
        status = name_pattern_match(set->rules[i].pattern, module, &matches, err);
        if (matches)
            *value = set->rules[i].value;
    }
    return status;
}

slant_status adapter_config_scale(const adapter_config *c, const char *module, int *rank,
                                  float *scale, slant_error *err)
{
    double r, alpha;
    slant_status status = value_of(&c->ranks, module, c->rank, &r, err);
    if (status == SLANT_OK)
        status = value_of(&c->alphas, module, c->alpha, &alpha, err);
    if (status != SLANT_OK)
        return status;
    *rank = (int)r;
    *scale = (float)(alpha / (c->rslora ? sqrt(r) : r));
    return SLANT_OK;
}
