/* What a GGUF file says beside its tensors, by key. */
#include "formats/gguf_file.h"

#include <string.h>

static gguf_entry *find_entry(const gguf *g, const char *key)
{
    size_t i = name_table_find(&g->keys, key);
    return i == NAME_TABLE_NONE ? NULL : &g->entries[i];
}

static gguf_entry *find_array(const gguf *g, const char *key)
{
    gguf_entry *e = find_entry(g, key);
    return e != NULL && e->type == GGUF_ARRAY ? e : NULL;
}

static bool is_signed(gguf_type type)
{
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

static bool is_unsigned(gguf_type type)
{
    return type == GGUF_U8 || type == GGUF_U16 || type == GGUF_U32 || type == GGUF_U64 ||
           type == GGUF_BOOL;
}

/* Item i of an entry of integers or bools. */
static bool read_int(const gguf_entry *e, size_t i, int64_t *out)
{
    size_t item_bytes = gguf_item_bytes(e->item_type);
    uint64_t bits = 0;
    if (!is_signed(e->item_type) && !is_unsigned(e->item_type))
        return false;
    memcpy(&bits, e->data + i * item_bytes, item_bytes);
    if (is_signed(e->item_type)) {
        unsigned unused_bits = 64 - 8 * (unsigned)item_bytes;
        *out = (int64_t)(bits << unused_bits) >> unused_bits;
        return true;
    }
    *out = (int64_t)bits;
    return bits <= INT64_MAX;
}

/* Item i of an entry of floats. */
static bool read_float(const gguf_entry *e, size_t i, double *out)
{
    const uint8_t *item = e->data + i * gguf_item_bytes(e->item_type);
    float f32;
    if (e->item_type == GGUF_F64) {
        memcpy(out, item, sizeof *out);
        return true;
    }
    if (e->item_type != GGUF_F32)
        return false;
    memcpy(&f32, item, sizeof f32);
    *out = f32;
    return true;
}

bool gguf_has(const gguf *g, const char *key)
{
    return find_entry(g, key) != NULL;
}

bool gguf_int(const gguf *g, const char *key, int64_t *out)
{
    const gguf_entry *e = find_entry(g, key);
    return e != NULL && e->type != GGUF_ARRAY && read_int(e, 0, out);
}

bool gguf_double(const gguf *g, const char *key, double *out)
{
    const gguf_entry *e = find_entry(g, key);
    int64_t integer;
    if (e == NULL || e->type == GGUF_ARRAY || e->type == GGUF_BOOL)
        return false;
    if (read_float(e, 0, out))
        return true;
    if (!read_int(e, 0, &integer))
        return false;
    *out = (double)integer;
    return true;
}

const char *gguf_string(const gguf *g, const char *key)
{
    const gguf_entry *e = find_entry(g, key);
    return e == NULL ? NULL : e->string;
}

size_t gguf_array_count(const gguf *g, const char *key)
{
    const gguf_entry *e = find_array(g, key);
    return e == NULL ? 0 : e->n_items;
}

/* Lists where each string of the array stands in the file. */
static bool make_strings(gguf_entry *e)
{
    const char **strings = mem_alloc(e->n_items, sizeof *strings);
    size_t *string_bytes = mem_alloc(e->n_items, sizeof *string_bytes);
    if (strings == NULL || string_bytes == NULL) {
        mem_free(strings);
        mem_free(string_bytes);
        return false;
    }
    const uint8_t *at = e->data;
    for (size_t i = 0; i < e->n_items; i++) {
        uint64_t length;
        memcpy(&length, at, sizeof length);
        strings[i] = (const char *)at + sizeof length;
        string_bytes[i] = (size_t)length;
        at += sizeof length + length;
    }
    e->strings = strings;
    e->string_bytes = string_bytes;
    return true;
}

bool gguf_array_strings(const gguf *g, const char *key, const char *const **strings,
                        const size_t **string_bytes, size_t *n)
{
    gguf_entry *e = find_array(g, key);
    if (e == NULL || e->item_type != GGUF_STRING || (e->strings == NULL && !make_strings(e)))
        return false;
    *strings = e->strings;
    *string_bytes = e->string_bytes;
    *n = e->n_items;
    return true;
}

static bool make_ints(gguf_entry *e)
{
    int32_t *ints = mem_alloc(e->n_items, sizeof *ints);
    for (size_t i = 0; i < e->n_items && ints != NULL; i++) {
        int64_t value;
        if (!read_int(e, i, &value) || value < INT32_MIN || value > INT32_MAX) {
            mem_free(ints);
            return false;
        }
        ints[i] = (int32_t)value;
    }
    e->ints = ints;
    return ints != NULL;
}

bool gguf_array_ints(const gguf *g, const char *key, const int32_t **values, size_t *n)
{
    gguf_entry *e = find_array(g, key);
    if (e == NULL || e->item_type == GGUF_STRING || (e->ints == NULL && !make_ints(e)))
        return false;
    *values = e->ints;
    *n = e->n_items;
    return true;
}

static bool make_floats(gguf_entry *e)
{
    float *floats = mem_alloc(e->n_items, sizeof *floats);
    for (size_t i = 0; i < e->n_items && floats != NULL; i++) {
        double value;
        if (!read_float(e, i, &value)) {
            mem_free(floats);
            return false;
        }
        floats[i] = (float)value;
    }
    e->floats = floats;
    return floats != NULL;
}

bool gguf_array_floats(const gguf *g, const char *key, const float **values, size_t *n)
{
    gguf_entry *e = find_array(g, key);
    if (e == NULL || (e->floats == NULL && !make_floats(e)))
        return false;
    *values = e->floats;
    *n = e->n_items;
    return true;
}

size_t gguf_metadata_count(const gguf *g)
{
    return g->n_entries;
}

const char *gguf_metadata_key(const gguf *g, size_t i)
{
    return g->entries[i].key;
}

gguf_type gguf_metadata_type(const gguf *g, size_t i)
{
    return g->entries[i].type;
}
