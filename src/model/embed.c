/* The embedding, one row at a time. Rows are read from the file rather than out of its mapping, so
 * that a corpus that meets the whole vocabulary does not make the whole table resident. */
#include "model/model.h"

#include "model/plain.h"
#include "quant/quant.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

size_t model_embed_scratch_bytes(const model *m)
{
    return plain_row_bytes(m->embedding.type, m->embedding.shape[1]);
}

static slant_status read_row(const model *m, int32_t id, uint8_t *row, size_t row_bytes,
                             slant_error *err)
{
    uint64_t at = m->embedding_offset + (uint64_t)id * row_bytes;
    for (size_t got = 0; got < row_bytes;) {
        ssize_t n = pread(m->embedding_fd, row + got, row_bytes - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_errno(err, errno, "%s: tensor %s, row %d", m->path, m->embedding.name,
                                id);
        if (n == 0)
            return status_fail(err, SLANT_ERR_IO,
                               "%s: tensor %s, row %d: the file has been cut short since it was "
                               "opened",
                               m->path, m->embedding.name, id);
        got += (size_t)n;
    }
    return SLANT_OK;
}

slant_status model_embed(const model *m, int32_t id, float *out, void *scratch, slant_error *err)
{
    if (id < 0 || id >= m->config.vocab_size)
        return status_fail(err, SLANT_ERR_MISMATCH,
                           "token id %d is not in the model's vocabulary of %d: the tokenizer is "
                           "another model's",
                           id, m->config.vocab_size);
    size_t row_bytes = model_embed_scratch_bytes(m);
    if (m->embedding_fd >= 0) {
        slant_status status = read_row(m, id, scratch, row_bytes, err);
        if (status != SLANT_OK)
            return status;
    } else {
        memcpy(scratch, m->embedding.data + (size_t)id * row_bytes, row_bytes);
    }
    quant_get(m->embedding.type)->decode_row(scratch, out, (size_t)m->config.hidden_size);
    return SLANT_OK;
}
