/* Any bytes as fp32 weights: encoding is defined for all of them, in parts as in whole, what it
 * gives can be decoded, and the panels give back the same bytes. */
#include "base/mem.h"
#include "quant/nf4.h"

#include <stdlib.h>
#include <string.h>

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* The flat codes of a matrix of n_out rows of 64 values survive the way to panels and back. */
static void check_panels(const nf4_flat *q, int64_t n_out)
{
    size_t n_absmax = nf4_panel_n_absmax(n_out, 64);
    uint8_t *codes = mem_alloc(nf4_panel_code_bytes(n_out, 64), 1);
    uint8_t *absmax_codes = mem_alloc(n_absmax, 1);
    uint8_t *flat_codes = mem_alloc((size_t)n_out * 32, 1);
    uint8_t *flat_absmax_codes = mem_alloc((size_t)n_out, 1);
    nf4_flat matrix = *q;
    matrix.n_values = n_out * 64;
    nf4_pack_panels(&matrix, n_out, 64, codes, absmax_codes, NULL);
    nf4_unpack_panels(codes, absmax_codes, NULL, n_out, 64, flat_codes, flat_absmax_codes, NULL);
    check(memcmp(flat_codes, q->codes, (size_t)n_out * 32) == 0);
    check(memcmp(flat_absmax_codes, q->absmax_codes, (size_t)n_out) == 0);
    mem_free(codes);
    mem_free(absmax_codes);
    mem_free(flat_codes);
    mem_free(flat_absmax_codes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    size_t n = size_bytes / sizeof(float);
    if (n == 0)
        return 0;
    int64_t n_values = (int64_t)n, n_blocks = nf4_n_blocks(n_values);
    float *values = mem_alloc(n, sizeof *values), *decoded = mem_alloc(n, sizeof *decoded);
    float *absmax = mem_alloc((size_t)n_blocks, sizeof *absmax), offset;
    float *nested_absmax = mem_alloc((size_t)nf4_n_nested(n_values), sizeof *nested_absmax);
    uint8_t *codes = mem_alloc((n + 1) / 2, 1), *absmax_codes = mem_alloc((size_t)n_blocks, 1);
    memcpy(values, data, n * sizeof *values);

    nf4_encode(values, n_values, codes, absmax_codes, nested_absmax, &offset, absmax);
    nf4_flat q = {.n_values = n_values,
                  .codes = codes,
                  .absmax_codes = absmax_codes,
                  .nested_absmax = nested_absmax,
                  .nested_map = nf4_dynamic_map,
                  .code_map = nf4_codes,
                  .nested_offset = offset};
    nf4_decode(&q, 0, n_values, decoded);
    check_panels(&q, n_values / 64);

    /* Without double quantisation an error is at most half of the widest gap between codes. */
    q.absmax = absmax;
    nf4_decode(&q, 0, n_values, decoded);
    for (size_t i = 0; i < n; i++) {
        float scale = absmax[i / 64], error = decoded[i] - values[i];
        if (scale > 1e-30f && scale < 1e30f)
            check(error <= 0.16f * scale && error >= -0.16f * scale);
    }
    mem_free(values);
    mem_free(decoded);
    mem_free(absmax);
    mem_free(nested_absmax);
    mem_free(codes);
    mem_free(absmax_codes);
    return 0;
}
