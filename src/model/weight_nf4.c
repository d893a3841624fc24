/* NF4 weights out of files: bitsandbytes' companions of a tensor, and the panels of a .slant. */
#include "model/field.h"
#include "model/plain.h"
#include "model/weight.h"

#include <string.h>

/* Reading one weight's tensors, the first error kept. */
typedef struct nf4_reader {
    source *s;
    const char *name; /* of the weight */
    arena *a;
    slant_error *err;
    slant_status status;
} nf4_reader;

static void fail_memory(nf4_reader *r)
{
    r->status = status_fail(r->err, SLANT_ERR_MEMORY, "%s: tensor %s: out of memory", r->s->weights,
                            r->name);
}

static const source_tensor *take_companion(nf4_reader *r, const char *suffix, bool required)
{
    char full[512];
    snprintf(full, sizeof full, "%s.%s", r->name, suffix);
    const source_tensor *t = source_take(r->s, full);
    if (t == NULL && required && r->status == SLANT_OK)
        r->status =
            status_fail(r->err, SLANT_ERR_FORMAT, "%s: tensor %s is missing", r->s->weights, full);
    return t;
}

/* t's bytes where they are n values of that type, whatever the shape says; NULL and an error else.
 */
static const uint8_t *values_of(nf4_reader *r, const source_tensor *t, dtype type, int64_t n)
{
    if (t == NULL || r->status != SLANT_OK)
        return NULL;
    size_t size_bytes = (size_t)n * (size_t)dtype_get(type)->block_bytes;
    if (t->view.type != type || t->view.size_bytes != size_bytes)
        r->status =
            status_fail(r->err, SLANT_ERR_FORMAT,
                        "%s: tensor %s: expected %lld values of %s, found %zu bytes of %s",
                        source_file_of(r->s, t), t->view.name, (long long)n, dtype_get(type)->name,
                        t->view.size_bytes, dtype_get(t->view.type)->name);
    return r->status == SLANT_OK ? t->view.data : NULL;
}

static const float *floats_of(nf4_reader *r, const source_tensor *t, int64_t n)
{
    const uint8_t *bytes = values_of(r, t, DTYPE_F32, n);
    if (bytes == NULL)
        return NULL;
    const uint8_t *aligned = plain_aligned(&t->view, r->a);
    if (aligned == NULL)
        fail_memory(r);
    return (const float *)(const void *)aligned;
}

/* A code table: the one that all files of today carry is ours already and needs no copy. */
static const float *map_of(nf4_reader *r, const char *suffix, bool required, const float *usual,
                           int64_t n)
{
    const source_tensor *t = take_companion(r, suffix, required);
    if (t == NULL)
        return usual;
    const uint8_t *bytes = values_of(r, t, DTYPE_F32, n);
    if (bytes != NULL && memcmp(bytes, usual, (size_t)n * sizeof *usual) == 0)
        return usual;
    return floats_of(r, t, n);
}

static void expect_int(field_reader *f, const json_t *state, const char *key, int64_t wanted)
{
    int64_t found = field_int(f, state, key, -1, -1, INT32_MAX);
    if (found != wanted)
        field_fail(f, SLANT_ERR_UNSUPPORTED, "%s: expected %lld, found %lld", key,
                   (long long)wanted, (long long)found);
}

static void expect_string(field_reader *f, const json_t *state, const char *key, const char *wanted)
{
    const char *found = field_string(f, state, key);
    if (found == NULL || strcmp(found, wanted) != 0)
        field_fail(f, SLANT_ERR_UNSUPPORTED, "%s: expected \"%s\", found \"%s\"", key, wanted,
                   found == NULL ? "" : found);
}

static void expect_shape(field_reader *f, const json_t *state, const weight *w)
{
    const json_t *shape = field_array(f, state, "shape");
    const json_t *rows = json_array_get(shape, 0), *columns = json_array_get(shape, 1);
    if (json_array_size(shape) != 2 || json_integer_value(rows) != w->n_out ||
        json_integer_value(columns) != w->n_in)
        field_fail(f, SLANT_ERR_FORMAT, "shape: expected [%d, %d], found [%lld, %lld]", w->n_out,
                   w->n_in, (long long)json_integer_value(rows),
                   (long long)json_integer_value(columns));
}

/* The JSON that bitsandbytes keeps beside each weight. *is_nested: double quantisation. */
static void read_quant_state(nf4_reader *r, weight *w, bool *is_nested)
{
    const source_tensor *t = take_companion(r, "quant_state.bitsandbytes__nf4", true);
    if (t == NULL || values_of(r, t, DTYPE_U8, (int64_t)t->view.size_bytes) == NULL)
        return;
    json_t *state;
    r->status =
        field_parse((const char *)t->view.data, t->view.size_bytes, t->view.name, &state, r->err);
    if (r->status != SLANT_OK)
        return;
    field_reader f = {.file = t->view.name, .err = r->err};
    expect_string(&f, state, "quant_type", "nf4");
    expect_int(&f, state, "blocksize", NF4_BLOCK);
    expect_shape(&f, state, w);
    *is_nested = field_get(state, "nested_blocksize") != NULL;
    if (*is_nested) {
        expect_int(&f, state, "nested_blocksize", NF4_NESTED_BLOCK);
        expect_string(&f, state, "nested_dtype", "float32");
        w->flat.nested_offset = (float)field_number(&f, state, "nested_offset", 0.0, -1e30, 1e30);
    }
    json_decref(state);
    if (f.status != SLANT_OK)
        r->status = status_context(r->err, f.status, "%s", source_file_of(r->s, t));
}

/* bnb_4bit_quant_storage may dress the bytes as another type: what counts is how many there are. */
static void read_codes(nf4_reader *r, const source_tensor *codes, weight *w)
{
    size_t size_bytes = ((size_t)w->n_out * (size_t)w->n_in + 1) / 2;
    if (r->status == SLANT_OK && codes->view.size_bytes != size_bytes)
        r->status = status_fail(r->err, SLANT_ERR_FORMAT,
                                "%s: tensor %s: expected %zu bytes for NF4 [%d, %d], found %zu",
                                source_file_of(r->s, codes), codes->view.name, size_bytes, w->n_out,
                                w->n_in, codes->view.size_bytes);
    w->flat.n_values = (int64_t)w->n_out * w->n_in;
    w->flat.codes = codes->view.data;
}

slant_status weight_find_flat(source *s, const source_tensor *codes, arena *a, weight *w,
                              slant_error *err)
{
    nf4_reader r = {.s = s, .name = codes->name, .a = a, .err = err};
    bool is_nested = false;
    w->form = WEIGHT_NF4_FLAT;
    read_codes(&r, codes, w);
    read_quant_state(&r, w, &is_nested);
    int64_t n_blocks = nf4_n_blocks(w->flat.n_values);
    w->flat.code_map = map_of(&r, "quant_map", true, nf4_codes, 16);
    const source_tensor *absmax = take_companion(&r, "absmax", true);
    if (is_nested) {
        w->flat.absmax_codes = values_of(&r, absmax, DTYPE_U8, n_blocks);
        w->flat.nested_absmax = floats_of(&r, take_companion(&r, "nested_absmax", true),
                                          nf4_n_nested(w->flat.n_values));
        w->flat.nested_map = map_of(&r, "nested_quant_map", true, nf4_dynamic_map, 256);
    } else {
        w->flat.absmax = floats_of(&r, absmax, n_blocks);
    }
    return r.status;
}

slant_status weight_find_panels(source *s, const char *name, arena *a, weight *w, slant_error *err)
{
    nf4_reader r = {.s = s, .name = name, .a = a, .err = err};
    if (w->n_in % NF4_BLOCK != 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: tensor %s.nf4: %d inputs are no whole blocks", s->weights, name,
                           w->n_in);
    w->form = WEIGHT_NF4_PANELS;
    kernel_weight *p = &w->panels;
    *p = (kernel_weight){.n_out = w->n_out, .n_in = w->n_in, .type = DTYPE_NF4};
    int64_t n_absmax = (int64_t)nf4_panel_n_absmax(w->n_out, w->n_in);
    p->data = values_of(&r, take_companion(&r, "nf4", true), DTYPE_U8,
                        (int64_t)nf4_panel_code_bytes(w->n_out, w->n_in));
    p->code_map = map_of(&r, "quant_map", false, nf4_codes, 16);
    const source_tensor *absmax = take_companion(&r, "absmax", true);
    if (absmax != NULL && absmax->view.type == DTYPE_F32) {
        p->absmax = floats_of(&r, absmax, n_absmax);
    } else {
        p->absmax_codes = values_of(&r, absmax, DTYPE_U8, n_absmax);
        p->nested_absmax = floats_of(&r, take_companion(&r, "nested_absmax", true),
                                     nf4_n_nested((int64_t)w->n_out * w->n_in));
        p->nested_map = map_of(&r, "nested_quant_map", false, nf4_dynamic_map, 256);
        const float *offset = floats_of(&r, take_companion(&r, "nested_offset", true), 1);
        p->nested_offset = offset == NULL ? 0.0f : *offset;
    }
    return r.status;
}

nf4_flat weight_unpack(const weight *w, uint8_t *codes, uint8_t *absmax_codes, float *absmax)
{
    const kernel_weight *p = &w->panels;
    bool is_nested = p->absmax_codes != NULL;
    nf4_unpack_panels(p->data, p->absmax_codes, p->absmax, w->n_out, w->n_in, codes,
                      is_nested ? absmax_codes : NULL, is_nested ? NULL : absmax);
    return (nf4_flat){.n_values = (int64_t)w->n_out * w->n_in,
                      .codes = codes,
                      .absmax = is_nested ? NULL : absmax,
                      .absmax_codes = is_nested ? absmax_codes : NULL,
                      .nested_absmax = p->nested_absmax,
                      .nested_map = p->nested_map,
                      .code_map = p->code_map,
                      .nested_offset = p->nested_offset};
}
