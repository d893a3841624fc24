#include "train/parameters.h"

#include "base/mem.h"
#include "base/philox.h"
#include "quant/quant.h"

#include <math.h>
#include <string.h>

#define ALIGNMENT 16 /* values; tensors start at cache lines */

static bool is_adapted(const lora_module *modules, int i, int which)
{
    return modules[i * LINEAR_COUNT + which].rank > 0;
}

static int count(const model_config *c, const lora_module *modules)
{
    int n = 1;
    for (int i = 0; i < c->n_layers * LINEAR_COUNT; i++)
        n += modules[i].rank > 0 ? 2 : 0;
    return n;
}

static bool add(parameters *p, const char *name, int rows, int columns)
{
    size_t n_values = (size_t)rows * (size_t)columns;
    p->list[p->n++] = (parameter){name, rows, columns, p->n_values};
    p->n_values += (n_values + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return name != NULL;
}

static bool add_module(parameters *p, const linear *l, const lora_module *module, int i, int which)
{
    static const char format[] = "base_model.model.model.layers.%d.%s.lora_%c.weight";
    const char *path = linear_module_names[which];
    return add(p, arena_printf(&p->memory, format, i, path, 'A'), module->rank, l->w.n_in) &&
           add(p, arena_printf(&p->memory, format, i, path, 'B'), l->w.n_out, module->rank);
}

/* Lists the tensors: layer by layer, module by module, the score last. */
static bool list_tensors(parameters *p, const model *base, const lora_module *modules)
{
    const model_config *c = &base->config;
    p->list = arena_alloc(&p->memory, (size_t)count(c, modules), sizeof *p->list);
    if (p->list == NULL)
        return false;
    for (int i = 0; i < c->n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++)
            if (is_adapted(modules, i, which) &&
                !add_module(p, &base->layers[i].linears[which], &modules[i * LINEAR_COUNT + which],
                            i, which))
                return false;
    return add(p, "base_model.model.score.weight", c->n_labels, c->hidden_size);
}

static kernel_weight matrix(const parameters *p, const parameter *t)
{
    bool half = p->halves != NULL;
    const void *data = half ? (const void *)(p->halves + t->first) : p->values + t->first;
    return (kernel_weight){
        .n_out = t->rows, .n_in = t->columns, .type = half ? DTYPE_F16 : DTYPE_F32, .data = data};
}

/* The base's layers with the adapters that are trained in place of its own. */
static bool place_adapters(parameters *p, const model *base, const lora_module *modules)
{
    const model_config *c = &base->config;
    size_t n_layers = (size_t)c->n_layers;
    layer *layers = arena_alloc(&p->memory, n_layers, sizeof *layers);
    if (layers == NULL)
        return false;
    memcpy(layers, base->layers, n_layers * sizeof *layers);
    const parameter *next = p->list;
    for (int i = 0; i < c->n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++) {
            const lora_module *module = &modules[i * LINEAR_COUNT + which];
            lora *adapter = &layers[i].linears[which].adapter;
            *adapter = (lora){0};
            if (module->rank == 0)
                continue;
            *adapter = (lora){module->rank, module->scale, matrix(p, next), matrix(p, next + 1)};
            next += 2;
        }
    p->trained = *base;
    p->trained.layers = layers;
    p->trained.score = p->halves != NULL ? p->half_score : p->values + next->first;
    return true;
}

static bool take_memory(parameters *p, bool half)
{
    const parameter *score = &p->list[p->n - 1];
    size_t n_score = (size_t)score->rows * (size_t)score->columns;
    size_t floats = 2 * p->n_values * sizeof(float);
    size_t halves = p->n_values * sizeof(uint16_t) + n_score * sizeof(float);
    p->pages_bytes = floats + (half ? halves : 0);
    p->pages = mem_alloc_pages(p->pages_bytes);
    if (p->pages == NULL)
        return false;
    p->values = p->pages;
    p->gradients = p->values + p->n_values;
    if (half) {
        p->half_score = p->gradients + p->n_values;
        p->halves = (uint16_t *)(p->half_score + n_score);
    }
    return true;
}

slant_status parameters_open(const model *base, const lora_module *modules, bool half,
                             parameters **out, slant_error *err)
{
    *out = NULL;
    parameters *p = mem_calloc(1, sizeof *p);
    if (p == NULL || !list_tensors(p, base, modules) || !take_memory(p, half) ||
        !place_adapters(p, base, modules)) {
        parameters_close(p);
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the adapter that is trained");
    }
    *out = p;
    return SLANT_OK;
}

void parameters_publish(parameters *p)
{
    const parameter *score = &p->list[p->n - 1];
    if (p->halves == NULL)
        return;
    quant_get(DTYPE_F16)->encode_row(p->values, p->halves, p->n_values);
    quant_get(DTYPE_F16)->decode_row(p->halves + score->first, p->half_score,
                                     (size_t)score->rows * (size_t)score->columns);
}

void parameters_close(parameters *p)
{
    if (p == NULL)
        return;
    mem_free_pages(p->pages, p->pages_bytes);
    arena_free(&p->memory);
    mem_free(p);
}

/* Two draws of 32 bits for value i of tensor t. */
static void draw(uint64_t seed, int t, size_t i, uint32_t out[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)i, (uint32_t)((uint64_t)i >> 32), (uint32_t)t,
                                 0x494E4954};
    philox(key, counter, out);
}

static double unit(uint32_t bits)
{
    return ((double)bits + 0.5) / 4294967296.0;
}

static void start_uniform(parameters *p, int t, uint64_t seed, double bound)
{
    const parameter *to = &p->list[t];
    for (size_t i = 0; i < (size_t)to->rows * (size_t)to->columns; i++) {
        uint32_t bits[4];
        draw(seed, t, i, bits);
        p->values[to->first + i] = (float)((2.0 * unit(bits[0]) - 1.0) * bound);
    }
}

/* Box and Muller (1958). */
static void start_normal(parameters *p, int t, uint64_t seed, double deviation)
{
    const parameter *to = &p->list[t];
    for (size_t i = 0; i < (size_t)to->rows * (size_t)to->columns; i++) {
        uint32_t bits[4];
        draw(seed, t, i, bits);
        double radius = deviation * sqrt(-2.0 * log(unit(bits[0])));
        p->values[to->first + i] = (float)(radius * cos(6.283185307179586 * unit(bits[1])));
    }
}

void parameters_start(parameters *p, const model *base, uint64_t seed, bool gaussian)
{
    memset(p->values, 0, p->n_values * sizeof *p->values);
    for (int t = 0; t < p->n - 1; t += 2) {
        const parameter *a = &p->list[t];
        if (gaussian)
            start_normal(p, t, seed, 1.0 / a->rows);
        else
            start_uniform(p, t, seed, 1.0 / sqrt((double)a->columns));
    }
    const parameter *score = &p->list[p->n - 1];
    if (base->score != NULL)
        memcpy(p->values + score->first, base->score,
               (size_t)score->rows * (size_t)score->columns * sizeof *p->values);
    else
        start_normal(p, p->n - 1, seed, 0.02);
}

static size_t weight_bytes(const kernel_weight *w)
{
    size_t n = (size_t)w->n_out * (size_t)w->n_in;
    if (w->type == DTYPE_NF4)
        return n / 2 + n / 64 * (w->absmax != NULL ? sizeof(float) : 1);
    const dtype_info *info = dtype_get(w->type);
    return n / (size_t)info->block_values * (size_t)info->block_bytes;
}

size_t weights_bytes(const model *m)
{
    size_t bytes = 0;
    for (int i = 0; i < m->config.n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++)
            bytes += weight_bytes(&m->layers[i].linears[which].w);
    return bytes;
}

void parameters_attach(const parameters *p, tape *t)
{
    const parameter *next = p->list;
    for (int i = 0; i < p->trained.config.n_layers; i++)
        for (int which = 0; which < LINEAR_COUNT; which++) {
            if (p->trained.layers[i].linears[which].adapter.rank == 0)
                continue;
            lora_gradient *g = &t->gradients[i * LINEAR_COUNT + which];
            g->a = p->gradients + next++->first;
            g->b = p->gradients + next++->first;
        }
    t->score_gradient = p->gradients + next->first;
}

const parameter *parameters_find(const parameters *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->list[i].name, name) == 0)
            return &p->list[i];
    return NULL;
}
