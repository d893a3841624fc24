#include "model/weight.h"

#include "model/plain.h"

#include <string.h>

static slant_status find_rows(const source *s, const source_tensor *t, weight *w, slant_error *err)
{
    const char *file = source_file_of(s, t);
    slant_status status = source_check_shape(s, t, 2, w->n_out, w->n_in, err);
    if (status != SLANT_OK)
        return status;
    if (!plain_is_row_type(t->view.type))
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "%s: tensor %s: %s is no type that linear weights are held in", file,
                           t->view.name, dtype_get(t->view.type)->name);
    w->row_bytes = plain_row_bytes(t->view.type, w->n_in);
    if (w->row_bytes == 0)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "%s: tensor %s: rows of %d values are no whole blocks of %s", file,
                           t->view.name, w->n_in, dtype_get(t->view.type)->name);
    if (t->head_rows > 0 && w->n_out % t->head_rows != 0)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s: %d rows are no whole heads of %d",
                           file, t->view.name, w->n_out, t->head_rows);
    w->form = WEIGHT_ROWS;
    w->type = t->view.type;
    w->rows = t->view.data;
    w->head_rows = t->head_rows;
    return SLANT_OK;
}

static bool has_companion(const source *s, const char *name, const char *suffix)
{
    char full[512];
    snprintf(full, sizeof full, "%s.%s", name, suffix);
    return source_find(s, full) != NULL;
}

slant_status weight_find(source *s, const char *name, int n_out, int n_in, arena *a, weight *out,
                         slant_error *err)
{
    *out = (weight){.name = name, .n_out = n_out, .n_in = n_in};
    const source_tensor *t = source_take(s, name);
    if (t != NULL) {
        out->name = t->view.name;
        return has_companion(s, name, "absmax") ? weight_find_flat(s, t, a, out, err)
                                                : find_rows(s, t, out, err);
    }
    if (s->kind == SOURCE_SLANT && has_companion(s, name, "nf4"))
        return weight_find_panels(s, name, a, out, err);
    return status_fail(err, SLANT_ERR_FORMAT, "%s: tensor %s is missing", s->weights, name);
}

/* Row s·hd/2 + i of a head in Hugging Face's order is row 2i + s of the interleaved head. */
const uint8_t *weight_row(const weight *w, int o)
{
    if (w->head_rows > 0) {
        int half = w->head_rows / 2, in_head = o % w->head_rows;
        o = o - in_head + 2 * (in_head % half) + in_head / half;
    }
    return w->rows + (size_t)o * w->row_bytes;
}
