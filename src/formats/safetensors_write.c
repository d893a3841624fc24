/* Writing a safetensors file: tensors are laid out as they are declared, the header is written
 * before the first byte of data, and the file takes its name only when all of it is there. */
#include "formats/safetensors.h"

#include <assert.h>
#include <string.h>

#define MAX_ALIGNMENT 4096
#define LENGTH_BYTES 8

static const uint8_t zeros[MAX_ALIGNMENT];

typedef struct planned_tensor {
    const char *name;  /* in the arena */
    size_t begin, end; /* within the data section */
    bool is_filler;
} planned_tensor;

struct safetensors_writer {
    file_writer file;
    arena memory;
    size_t alignment;
    buf metadata, tensors; /* JSON members, each followed by a comma */
    planned_tensor *plan;  /* [n_tensors] */
    size_t n_tensors, cap, n_fillers;
    size_t planned_bytes; /* of the data section so far */
    bool header_written;
    size_t current;       /* the tensor whose bytes come next */
    size_t written_bytes; /* of the data section */
};

slant_status safetensors_writer_open(const char *path, size_t alignment, safetensors_writer **out,
                                     slant_error *err)
{
    assert(alignment >= 1 && alignment <= MAX_ALIGNMENT && (alignment & (alignment - 1)) == 0);
    *out = NULL;
    safetensors_writer *w = mem_calloc(1, sizeof *w);
    if (w == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    w->alignment = alignment;
    slant_status status = file_writer_open(&w->file, path, err);
    if (status != SLANT_OK) {
        safetensors_writer_abort(w);
        return status;
    }
    *out = w;
    return SLANT_OK;
}

static slant_status out_of_memory(const safetensors_writer *w, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", w->file.path);
}

slant_status safetensors_writer_metadata(safetensors_writer *w, const char *key, const char *value,
                                         slant_error *err)
{
    assert(!w->header_written);
    buf_json_string(&w->metadata, key, strlen(key));
    buf_char(&w->metadata, ':');
    buf_json_string(&w->metadata, value, strlen(value));
    buf_char(&w->metadata, ',');
    return w->metadata.failed ? out_of_memory(w, err) : SLANT_OK;
}

/* Adds a tensor behind those that are planned already. */
static bool plan_tensor(safetensors_writer *w, const tensor_view *view, bool is_filler)
{
    planned_tensor *plan = mem_with_room(w->plan, &w->cap, w->n_tensors + 1, sizeof *plan);
    if (plan == NULL)
        return false;
    w->plan = plan;
    planned_tensor tensor = {.name = arena_strdup(&w->memory, view->name),
                             .begin = w->planned_bytes,
                             .is_filler = is_filler};
    if (tensor.name == NULL || !mem_add(tensor.begin, view->size_bytes, &tensor.end))
        return false;

    buf_json_string(&w->tensors, view->name, strlen(view->name));
    buf_printf(&w->tensors, ":{\"dtype\":\"%s\",\"shape\":[", dtype_get(view->type)->name);
    for (int d = 0; d < view->n_dims; d++)
        buf_printf(&w->tensors, d == 0 ? "%lld" : ",%lld", (long long)view->shape[d]);
    buf_printf(&w->tensors, "],\"data_offsets\":[%zu,%zu]},", tensor.begin, tensor.end);
    w->plan[w->n_tensors++] = tensor;
    w->planned_bytes = tensor.end;
    return !w->tensors.failed;
}

/* A tensor of zeros up to the next aligned offset, since the format allows no holes. */
static bool plan_filler(safetensors_writer *w)
{
    size_t gap = -w->planned_bytes & (w->alignment - 1);
    if (gap == 0)
        return true;
    char name[32];
    snprintf(name, sizeof name, "__pad.%zu", w->n_fillers++);
    tensor_view filler = {
        .name = name, .type = DTYPE_U8, .n_dims = 1, .shape = {(int64_t)gap}, .size_bytes = gap};
    return plan_tensor(w, &filler, true);
}

slant_status safetensors_writer_declare(safetensors_writer *w, const tensor_view *view,
                                        slant_error *err)
{
    assert(!w->header_written && view->type <= DTYPE_BOOL);
    if (!plan_filler(w) || !plan_tensor(w, view, false))
        return out_of_memory(w, err);
    return SLANT_OK;
}

/* Length, JSON and spaces up to the next aligned offset of the file. */
static slant_status write_header(safetensors_writer *w, slant_error *err)
{
    buf json = {0};
    buf_char(&json, '{');
    if (w->metadata.size_bytes > 0) {
        buf_string(&json, "\"__metadata__\":{");
        buf_append(&json, w->metadata.data, w->metadata.size_bytes - 1);
        buf_string(&json, "},");
    }
    buf_append(&json, w->tensors.data, w->tensors.size_bytes);
    if (!json.failed && json.data[json.size_bytes - 1] == ',')
        json.size_bytes--;
    buf_char(&json, '}');
    size_t alignment = w->alignment < LENGTH_BYTES ? LENGTH_BYTES : w->alignment;
    while ((LENGTH_BYTES + json.size_bytes) % alignment != 0 && !json.failed)
        buf_char(&json, ' ');

    slant_status status = json.failed ? out_of_memory(w, err) : SLANT_OK;
    if (status == SLANT_OK) {
        uint8_t length[LENGTH_BYTES];
        for (int i = 0; i < LENGTH_BYTES; i++)
            length[i] = (uint8_t)((uint64_t)json.size_bytes >> 8 * i);
        status = file_writer_write(&w->file, length, sizeof length, err);
    }
    if (status == SLANT_OK)
        status = file_writer_write(&w->file, json.data, json.size_bytes, err);
    buf_free(&json);
    w->header_written = true;
    return status;
}

/* Writes fillers, and passes tensors that are complete, until one waits for the caller's bytes. */
static slant_status advance(safetensors_writer *w, slant_error *err)
{
    slant_status status = w->header_written ? SLANT_OK : write_header(w, err);
    while (status == SLANT_OK && w->current < w->n_tensors) {
        const planned_tensor *tensor = &w->plan[w->current];
        if (tensor->is_filler) {
            status = file_writer_write(&w->file, zeros, tensor->end - tensor->begin, err);
            w->written_bytes = tensor->end;
        }
        if (w->written_bytes < tensor->end)
            break;
        w->current++;
    }
    return status;
}

slant_status safetensors_writer_data(safetensors_writer *w, const void *bytes, size_t size_bytes,
                                     slant_error *err)
{
    slant_status status = advance(w, err);
    if (status != SLANT_OK || size_bytes == 0)
        return status;
    size_t wanted = w->current == w->n_tensors ? 0 : w->plan[w->current].end - w->written_bytes;
    if (size_bytes > wanted)
        return status_fail(err, SLANT_ERR_ARGUMENT, "%s: %zu bytes given where '%s' takes %zu more",
                           w->file.path, size_bytes,
                           wanted == 0 ? "the end" : w->plan[w->current].name, wanted);
    status = file_writer_write(&w->file, bytes, size_bytes, err);
    w->written_bytes += size_bytes;
    return status;
}

slant_status safetensors_writer_commit(safetensors_writer *w, slant_error *err)
{
    slant_status status = advance(w, err);
    if (status == SLANT_OK && w->current < w->n_tensors)
        status = status_fail(err, SLANT_ERR_ARGUMENT, "%s: tensor '%s' lacks its last %zu bytes",
                             w->file.path, w->plan[w->current].name,
                             w->plan[w->current].end - w->written_bytes);
    if (status == SLANT_OK)
        status = file_writer_commit(&w->file, err);
    safetensors_writer_abort(w);
    return status;
}

void safetensors_writer_abort(safetensors_writer *w)
{
    if (w == NULL)
        return;
    file_writer_abort(&w->file);
    buf_free(&w->metadata);
    buf_free(&w->tensors);
    mem_free(w->plan);
    arena_free(&w->memory);
    mem_free(w);
}
