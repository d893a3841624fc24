#include "model/digest.h"

#include "model/plain.h"

#include <string.h>

/* What an adapter builds on is the body; the heads beside it come and go with the task. */
static bool counts(const source_tensor *t, int n_layers)
{
    return strncmp(t->name, "model.", 6) == 0 && source_layer_of(t->name) < n_layers;
}

static void add_header(file_digest *digest, const source_tensor *t)
{
    char shape[128], line[256];
    plain_shape_text(t->view.n_dims, t->view.shape, shape, sizeof shape);
    file_digest_update(digest, t->name, strlen(t->name));
    snprintf(line, sizeof line, " %s %s\n", dtype_get(t->view.type)->name, shape);
    file_digest_update(digest, line, strlen(line));
}

/* Interleaved rows count in Hugging Face's order, as a .slant holds them. */
static void add_rows(file_digest *digest, const source_tensor *t)
{
    int64_t n_rows = t->view.shape[0];
    size_t row_bytes = t->view.size_bytes / (size_t)n_rows;
    int half = t->head_rows / 2;
    for (int64_t o = 0; o < n_rows; o++) {
        int64_t in_head = o % t->head_rows;
        int64_t stored = o - in_head + 2 * (in_head % half) + in_head / half;
        file_digest_update(digest, t->view.data + (size_t)stored * row_bytes, row_bytes);
    }
}

/* In pieces, so that no tensor is resident as a whole for it. */
static void add_bytes(file_digest *digest, const uint8_t *bytes, size_t size_bytes)
{
    const size_t piece_bytes = (size_t)8 << 20;
    while (size_bytes > 0) {
        size_t n = size_bytes < piece_bytes ? size_bytes : piece_bytes;
        file_digest_update(digest, bytes, n);
        source_forget(bytes, n);
        bytes += n;
        size_bytes -= n;
    }
}

slant_status digest_base(const source *s, int n_layers, char out[FILE_DIGEST_CHARS],
                         slant_error *err)
{
    file_digest *digest = file_digest_open();
    if (digest == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", s->path);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const source_tensor *t = &s->tensors[i];
        if (!counts(t, n_layers))
            continue;
        add_header(digest, t);
        if (t->head_rows > 0)
            add_rows(digest, t);
        else
            add_bytes(digest, t->view.data, t->view.size_bytes);
    }
    file_digest_close(digest, out);
    return SLANT_OK;
}
