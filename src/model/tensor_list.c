#include "model/tensor_list.h"

#include "model/plain.h"
#include "model/source.h"
#include "quant/quant.h"

/* Bytes given to the writer at a time. */
#define PIECE_BYTES ((size_t)8 << 20)

tensor_item *tensor_list_add(tensor_list *list, const char *name, const char *suffix,
                             tensor_view view)
{
    tensor_item *items =
        list->failed ? NULL
                     : mem_with_room(list->items, &list->cap, list->n_items + 1, sizeof *items);
    if (items != NULL) {
        list->items = items;
        view.name = arena_printf(&list->memory, "%s%s", name, suffix);
    }
    if (items == NULL || view.name == NULL) {
        list->failed = true;
        return NULL;
    }
    tensor_item *item = &list->items[list->n_items++];
    *item = (tensor_item){.view = view, .from = view.type, .block = DTYPE_U8, .makes = list->makes};
    return item;
}

void tensor_list_add_bytes(tensor_list *list, const char *name, const char *suffix,
                           const uint8_t *bytes, size_t size_bytes)
{
    tensor_list_add(list, name, suffix,
                    (tensor_view){.type = DTYPE_U8,
                                  .n_dims = 1,
                                  .shape = {(int64_t)size_bytes},
                                  .data = bytes,
                                  .size_bytes = size_bytes});
}

void tensor_list_add_floats(tensor_list *list, const char *name, const char *suffix,
                            const float *values, int64_t n)
{
    tensor_list_add(list, name, suffix,
                    (tensor_view){.type = DTYPE_F32,
                                  .n_dims = 1,
                                  .shape = {n},
                                  .data = (const uint8_t *)values,
                                  .size_bytes = (size_t)n * sizeof *values});
}

void tensor_list_free(tensor_list *list)
{
    mem_free(list->items);
    arena_free(&list->memory);
    *list = (tensor_list){0};
}

/* The embedding passes from file to file without becoming resident as a whole. */
static slant_status write_bytes(safetensors_writer *w, const tensor_item *item, slant_error *err)
{
    size_t left = item->view.size_bytes;
    slant_status status = SLANT_OK;
    for (const uint8_t *at = item->view.data; status == SLANT_OK && left > 0;) {
        size_t n = left < PIECE_BYTES ? left : PIECE_BYTES;
        status = safetensors_writer_data(w, at, n, err);
        if (item->is_mapped)
            source_forget(at, n);
        at += n;
        left -= n;
    }
    return status;
}

/* Row by row through fp32 to bf16. */
static slant_status write_converted(safetensors_writer *w, const tensor_item *item,
                                    slant_error *err)
{
    const tensor_view *v = &item->view;
    int64_t n_in = v->shape[v->n_dims - 1], n_rows = v->n_dims == 1 ? 1 : v->shape[0];
    size_t row_bytes = plain_row_bytes(item->from, n_in), n = (size_t)n_in;
    float *row = mem_alloc(n, sizeof *row + sizeof(uint16_t));
    if (row == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "tensor %s: out of memory", v->name);
    uint16_t *narrow = (uint16_t *)(row + n);
    slant_status status = SLANT_OK;
    for (int64_t o = 0; status == SLANT_OK && o < n_rows; o++) {
        const uint8_t *at = v->data + (size_t)o * row_bytes;
        quant_get(item->from)->decode_row(at, row, n);
        quant_get(DTYPE_BF16)->encode_row(row, narrow, n);
        status = safetensors_writer_data(w, narrow, n * sizeof *narrow, err);
    }
    if (item->is_mapped)
        source_forget(v->data, (size_t)n_rows * row_bytes);
    mem_free(row);
    return status;
}

static slant_status write_tensors(const tensor_list *list, merger *g, safetensors_writer *w,
                                  slant_error *err)
{
    slant_status status = SLANT_OK;
    const linear *made = NULL;
    for (size_t i = 0; status == SLANT_OK && i < list->n_items; i++)
        status = safetensors_writer_declare(w, &list->items[i].view, err);
    for (size_t i = 0; status == SLANT_OK && i < list->n_items; i++) {
        const tensor_item *item = &list->items[i];
        if (item->makes != NULL && item->makes != made)
            merger_make(g, made = item->makes);
        status = item->from == item->view.type || item->block != DTYPE_U8
                     ? write_bytes(w, item, err)
                     : write_converted(w, item, err);
    }
    return status;
}

slant_status tensor_list_save(const tensor_list *list, merger *g, const char *path,
                              size_t alignment, tensor_list_metadata metadata, const void *context,
                              slant_error *err)
{
    safetensors_writer *w = NULL;
    slant_status status = list->failed
                              ? status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path)
                              : safetensors_writer_open(path, alignment, &w, err);
    if (status == SLANT_OK)
        status = metadata(context, list, w, err);
    if (status == SLANT_OK)
        status = write_tensors(list, g, w, err);
    if (status == SLANT_OK)
        status = safetensors_writer_commit(w, err);
    else
        safetensors_writer_abort(w);
    return status;
}
