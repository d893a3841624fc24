#include "model/plain.h"

#include "base/buf.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "quant/quant.h"

#include <stdio.h>
#include <string.h>

enum { TOKENIZER_MAX_BYTES = 256 << 20 };

bool plain_shape_is(const tensor_view *view, int n_dims, int64_t n0, int64_t n1)
{
    return view->n_dims == n_dims && view->shape[0] == n0 && (n_dims == 1 || view->shape[1] == n1);
}

const char *plain_shape_text(int n_dims, const int64_t *shape, char *text, size_t cap)
{
    size_t used = (size_t)snprintf(text, cap, "[");
    for (int i = 0; i < n_dims && used < cap; i++)
        used += (size_t)snprintf(text + used, cap - used, "%s%lld", i > 0 ? ", " : "",
                                 (long long)shape[i]);
    if (used < cap)
        snprintf(text + used, cap - used, "]");
    return text;
}

bool plain_is_float(dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

bool plain_is_row_type(dtype type)
{
    return plain_is_float(type) || type == DTYPE_Q8_0 || type == DTYPE_Q4_0 || type == DTYPE_Q4_1 ||
           type == DTYPE_Q5_0 || type == DTYPE_Q5_1;
}

size_t plain_row_bytes(dtype type, int64_t n)
{
    const dtype_info *info = dtype_get(type);
    return n % info->block_values != 0
               ? 0
               : (size_t)(n / info->block_values) * (size_t)info->block_bytes;
}

bool plain_is_aligned(const void *data, dtype type)
{
    size_t alignment = type == DTYPE_F32  ? sizeof(float)
                       : type == DTYPE_U8 ? 1
                                          : sizeof(uint16_t); /* blocks begin with an f16 scale */
    return (uintptr_t)data % alignment == 0;
}

const uint8_t *plain_aligned(const tensor_view *view, arena *a)
{
    if (plain_is_aligned(view->data, view->type))
        return view->data;
    uint8_t *copy = arena_alloc(a, view->size_bytes, 1);
    return copy == NULL ? NULL : memcpy(copy, view->data, view->size_bytes);
}

slant_status plain_f32(const tensor_view *view, const char *file, arena *a, const float **out,
                       slant_error *err)
{
    if (!plain_is_row_type(view->type))
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: tensor %s: expected F32, F16 or BF16, found %s", file, view->name,
                           dtype_get(view->type)->name);
    const uint8_t *data = plain_aligned(view, a);
    size_t n = 1;
    for (int i = 0; i < view->n_dims; i++)
        n *= (size_t)view->shape[i];
    float *values = NULL;
    if (data != NULL && view->type == DTYPE_F32) {
        *out = (const float *)(const void *)data;
        return SLANT_OK;
    }
    if (data != NULL)
        values = arena_alloc(a, n, sizeof *values);
    if (values == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: tensor %s: out of memory", file, view->name);
    quant_get(view->type)->decode_row(data, values, n);
    *out = values;
    return SLANT_OK;
}

slant_status plain_offset_in_file(const char *file, const char *tensor, uint64_t *offset,
                                  slant_error *err)
{
    file_map map;
    safetensors *st = NULL;
    slant_status status = file_map_open(&map, file, err);
    if (status != SLANT_OK)
        return status;
    status = safetensors_open_memory(map.data, map.size_bytes, file, &st, err);
    const tensor_view *view = status == SLANT_OK ? safetensors_find(st, tensor) : NULL;
    if (view != NULL)
        *offset = (uint64_t)(view->data - map.data);
    else if (status == SLANT_OK)
        status = status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s is missing", file, tensor);
    safetensors_close(st);
    file_map_close(&map);
    return status;
}

slant_status plain_tokenizer_of_dir(const char *dir, tokenizer **out, slant_error *err)
{
    *out = NULL;
    buf json = {0};
    slant_status status = SLANT_OK;
    char *path = file_join(dir, "tokenizer.json");
    if (path == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
    else if (file_exists(path))
        status = file_read(path, TOKENIZER_MAX_BYTES, &json, err);
    if (status == SLANT_OK && json.size_bytes > 0)
        status = tokenizer_open_json(json.data, json.size_bytes, path, out, err);
    buf_free(&json);
    mem_free(path);
    return status;
}
