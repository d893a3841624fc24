/* NF4 codes in the order in which the kernels read them, and back. nf4.h draws the layout. */
#include "quant/nf4.h"

#include <assert.h>
#include <string.h>

#define BLOCK_BYTES (NF4_BLOCK / 2) /* codes of one output's block */
#define RUN_BYTES 4                 /* eight of these codes */
#define RUNS (BLOCK_BYTES / RUN_BYTES)
#define PANEL_RUN_BYTES (RUN_BYTES * NF4_PANEL)
#define PANEL_BLOCK_BYTES (BLOCK_BYTES * NF4_PANEL)
#define ZERO_CODES 0x77777777u /* eight times code 7 */

static int64_t n_panels(int64_t n_out)
{
    return (n_out + NF4_PANEL - 1) / NF4_PANEL;
}

size_t nf4_panel_code_bytes(int64_t n_out, int64_t n_in)
{
    return (size_t)n_panels(n_out) * (size_t)(n_in / NF4_BLOCK) * PANEL_BLOCK_BYTES;
}

size_t nf4_panel_n_absmax(int64_t n_out, int64_t n_in)
{
    return (size_t)n_panels(n_out) * (size_t)(n_in / NF4_BLOCK) * NF4_PANEL;
}

/* Eight codes in memory order: inputs 0 1 | 2 3 | 4 5 | 6 7, the even one in the high nibble,
 * become inputs 0 4 | 1 5 | 2 6 | 3 7, the first one in the low nibble. */
static uint32_t pack_run(uint32_t flat)
{
    uint32_t even = flat >> 4 & 0x0F0F0F0Fu, odd = flat & 0x0F0F0F0Fu;
    even |= even >> 12; /* the lower two bytes: inputs 0 4 | 2 6 */
    odd |= odd >> 12;   /* 1 5 | 3 7 */
    return (even & 0xFFu) | (odd & 0xFFu) << 8 | (even & 0xFF00u) << 8 | (odd & 0xFF00u) << 16;
}

static uint32_t unpack_run(uint32_t packed)
{
    uint32_t even = (packed & 0xFFu) | (packed >> 8 & 0xFF00u);
    uint32_t odd = (packed >> 8 & 0xFFu) | (packed >> 16 & 0xFF00u);
    even = (even | even << 12) & 0x0F0F0F0Fu;
    odd = (odd | odd << 12) & 0x0F0F0F0Fu;
    return even << 4 | odd;
}

static uint32_t load_run(const uint8_t *bytes)
{
    uint32_t run;
    memcpy(&run, bytes, sizeof run);
    return run;
}

static void store_run(uint8_t *bytes, uint32_t run)
{
    memcpy(bytes, &run, sizeof run);
}

/* The scales of 16 outputs follow each other, so block b of output o stands here among them. */
static int64_t panel_scale(int64_t o, int64_t b, int64_t n_blocks)
{
    return (o / NF4_PANEL * n_blocks + b) * NF4_PANEL + o % NF4_PANEL;
}

/* Where the codes of that block begin; its runs are PANEL_RUN_BYTES apart. */
static int64_t panel_codes(int64_t o, int64_t b, int64_t n_blocks)
{
    return (o / NF4_PANEL * n_blocks + b) * PANEL_BLOCK_BYTES + o % NF4_PANEL * RUN_BYTES;
}

static void pack_output(const nf4_flat *q, int64_t o, int64_t n_blocks, uint8_t *codes,
                        uint8_t *absmax_codes, float *absmax)
{
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t flat = o * n_blocks + b, scale = panel_scale(o, b, n_blocks);
        const uint8_t *from = q->codes + flat * BLOCK_BYTES;
        uint8_t *to = codes + panel_codes(o, b, n_blocks);
        for (int run = 0; run < RUNS; run++)
            store_run(to + run * PANEL_RUN_BYTES, pack_run(load_run(from + run * RUN_BYTES)));
        if (absmax_codes != NULL)
            absmax_codes[scale] = q->absmax_codes[flat];
        if (absmax != NULL)
            absmax[scale] = q->absmax[flat];
    }
}

/* An output beyond the last one: zeros. */
static void pack_nothing(int64_t o, int64_t n_blocks, uint8_t *codes, uint8_t *absmax_codes,
                         float *absmax)
{
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t scale = panel_scale(o, b, n_blocks);
        uint8_t *to = codes + panel_codes(o, b, n_blocks);
        for (int run = 0; run < RUNS; run++)
            store_run(to + run * PANEL_RUN_BYTES, ZERO_CODES);
        if (absmax_codes != NULL)
            absmax_codes[scale] = 0;
        if (absmax != NULL)
            absmax[scale] = 0;
    }
}

void nf4_pack_panels(const nf4_flat *q, int64_t n_out, int64_t n_in, uint8_t *codes,
                     uint8_t *absmax_codes, float *absmax)
{
    assert(n_in % NF4_BLOCK == 0 && q->n_values == n_out * n_in);
    int64_t n_blocks = n_in / NF4_BLOCK;
    for (int64_t o = 0; o < n_out; o++)
        pack_output(q, o, n_blocks, codes, absmax_codes, absmax);
    for (int64_t o = n_out; o < n_panels(n_out) * NF4_PANEL; o++)
        pack_nothing(o, n_blocks, codes, absmax_codes, absmax);
}

void nf4_unpack_panels(const uint8_t *codes, const uint8_t *absmax_codes, const float *absmax,
                       int64_t n_out, int64_t n_in, uint8_t *flat_codes, uint8_t *flat_absmax_codes,
                       float *flat_absmax)
{
    int64_t n_blocks = n_in / NF4_BLOCK;
    for (int64_t o = 0; o < n_out; o++) {
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t flat = o * n_blocks + b, scale = panel_scale(o, b, n_blocks);
            const uint8_t *from = codes + panel_codes(o, b, n_blocks);
            uint8_t *to = flat_codes + flat * BLOCK_BYTES;
            for (int run = 0; run < RUNS; run++)
                store_run(to + run * RUN_BYTES, unpack_run(load_run(from + run * PANEL_RUN_BYTES)));
            if (absmax_codes != NULL)
                flat_absmax_codes[flat] = absmax_codes[scale];
            if (absmax != NULL)
                flat_absmax[flat] = absmax[scale];
        }
    }
}
