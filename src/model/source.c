/* The list of tensors that every kind of source becomes, and what is asked of it. */
#include "model/source.h"

#include "model/plain.h"
#include "model/slant_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *source_kind_name(source_kind kind)
{
    static const char *const names[] = {"hf", "bnb", "gguf", "slant"};
    return names[kind];
}

static slant_status out_of_memory(const source *s, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", s->path);
}

slant_status source_reserve(source *s, size_t n_tensors, slant_error *err)
{
    s->tensors = arena_alloc(&s->memory, n_tensors, sizeof *s->tensors);
    return s->tensors == NULL ? out_of_memory(s, err) : SLANT_OK;
}

source_tensor *source_add(source *s, const char *name, const tensor_view *view)
{
    source_tensor *t = &s->tensors[s->n_tensors++];
    *t = (source_tensor){.name = name, .view = *view};
    return t;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const source_tensor *)a)->name, ((const source_tensor *)b)->name);
}

static slant_status sort_tensors(source *s, slant_error *err)
{
    if (s->n_tensors > 0)
        qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_name);
    for (size_t i = 1; i < s->n_tensors; i++)
        if (strcmp(s->tensors[i - 1].name, s->tensors[i].name) == 0)
            return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s is there twice, as %s and %s",
                               s->weights, s->tensors[i].name, s->tensors[i - 1].view.name,
                               s->tensors[i].view.name);
    return SLANT_OK;
}

/* A file says what it is in its first bytes; names do not count. */
static slant_status open_file(source *s, slant_error *err)
{
    slant_status status = file_map_open(&s->map, s->path, err);
    if (status != SLANT_OK)
        return status;
    s->weights = s->path;
    if (s->map.size_bytes >= 4 && memcmp(s->map.data, "GGUF", 4) == 0)
        return source_gguf_open(s, err);
    return source_slant_open(s, err);
}

slant_status source_open(const char *path, source **out, slant_error *err)
{
    *out = NULL;
    source *s = mem_calloc(1, sizeof *s);
    if (s == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    slant_status status = SLANT_OK;
    s->path = arena_strdup(&s->memory, path);
    if (s->path == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    else if (file_is_dir(path))
        status = source_hf_open(s, err);
    else
        status = open_file(s, err);
    if (status == SLANT_OK)
        status = sort_tensors(s, err);
    if (status != SLANT_OK) {
        source_close(s);
        return status;
    }
    *out = s;
    return SLANT_OK;
}

void source_close(source *s)
{
    if (s == NULL)
        return;
    safetensors_close(s->st);
    gguf_close(s->g);
    file_map_close(&s->map);
    arena_free(&s->memory);
    mem_free(s);
}

const source_tensor *source_find(const source *s, const char *name)
{
    source_tensor key = {.name = name};
    return s->n_tensors == 0 ? NULL
                             : bsearch(&key, s->tensors, s->n_tensors, sizeof *s->tensors, by_name);
}

const source_tensor *source_take(source *s, const char *name)
{
    const source_tensor *t = source_find(s, name);
    if (t != NULL)
        s->tensors[t - s->tensors].taken = true;
    return t;
}

/* The view in a safetensors set whose bytes t has; t's own view may be relabelled. */
static const tensor_view *set_view_of(const source *s, const source_tensor *t)
{
    return s->st == NULL ? NULL : safetensors_find(s->st, t->view.name);
}

const char *source_file_of(const source *s, const source_tensor *t)
{
    const tensor_view *view = set_view_of(s, t);
    return view == NULL ? s->weights : safetensors_path_of(s->st, view);
}

slant_status source_check_shape(const source *s, const source_tensor *t, int n_dims, int64_t n0,
                                int64_t n1, slant_error *err)
{
    char wanted[64], found[128];
    if (plain_shape_is(&t->view, n_dims, n0, n1))
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s: expected shape %s, found %s",
                       source_file_of(s, t), t->view.name,
                       plain_shape_text(n_dims, (int64_t[]){n0, n1}, wanted, sizeof wanted),
                       plain_shape_text(t->view.n_dims, t->view.shape, found, sizeof found));
}

int source_layer_of(const char *name)
{
    static const char prefix[] = "model.layers.";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    const char *digits = name + sizeof prefix - 1;
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > 6 || digits[length] != '.')
        return -1;
    return atoi(digits);
}

slant_status source_check_all_taken(const source *s, int n_layers, slant_error *err)
{
    for (size_t i = 0; i < s->n_tensors; i++) {
        const source_tensor *t = &s->tensors[i];
        int at = source_layer_of(t->name);
        if (!t->taken && !(at >= n_layers && at < s->config.n_layers))
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: tensor %s is unknown in a %s of %d layers",
                               source_file_of(s, t), t->view.name, model_arch_name(s->config.arch),
                               s->config.n_layers);
    }
    return SLANT_OK;
}

static slant_status take_plain(source *s, const char *name, int n_dims, int64_t n0, int64_t n1,
                               arena *a, const float **out, slant_error *err)
{
    const source_tensor *t = source_take(s, name);
    if (t == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s is missing", s->weights, name);
    slant_status status = source_check_shape(s, t, n_dims, n0, n1, err);
    if (status != SLANT_OK)
        return status;
    return plain_f32(&t->view, source_file_of(s, t), a, out, err);
}

slant_status source_vector(source *s, const char *name, int n, arena *a, const float **out,
                           slant_error *err)
{
    return take_plain(s, name, 1, n, 0, a, out, err);
}

slant_status source_matrix(source *s, const char *name, int n_rows, int n, arena *a,
                           const float **out, slant_error *err)
{
    return take_plain(s, name, 2, n_rows, n, a, out, err);
}

slant_status source_locate(const source *s, const source_tensor *t, int *fd, uint64_t *offset,
                           slant_error *err)
{
    const char *file = source_file_of(s, t);
    *fd = -1;
    if (s->map.data != NULL)
        *offset = (uint64_t)(t->view.data - s->map.data);
    else {
        slant_status status = plain_offset_in_file(file, t->view.name, offset, err);
        if (status != SLANT_OK)
            return status;
    }
    *fd = open(file, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? status_errno(err, errno, "%s", file) : SLANT_OK;
}

void source_forget(const void *bytes, size_t size_bytes)
{
    const size_t page = 4096;
    size_t before = -(uintptr_t)bytes % page; /* to the first page that is all ours */
    if (size_bytes < before + page)
        return;
    size_t whole_bytes = (size_bytes - before) / page * page;
    (void)madvise((uint8_t *)bytes + before, whole_bytes, MADV_DONTNEED); /* the file has them */
}

slant_status source_tokenizer(const source *s, tokenizer **out, slant_error *err)
{
    *out = NULL;
    if (s->kind == SOURCE_GGUF)
        return source_gguf_tokenizer(s, out, err);
    if (s->kind == SOURCE_SLANT)
        return source_slant_tokenizer(s, out, err);
    return plain_tokenizer_of_dir(s->path, out, err);
}

const char *source_digest_carried(const source *s)
{
    return s->kind == SOURCE_SLANT ? safetensors_metadata(s->st, SLANT_FILE_DIGEST_KEY) : NULL;
}
