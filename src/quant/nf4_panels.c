/* NF4 codes in the order in which the kernels read them, and back. nf4.h draws the layout. */
#include "quant/nf4.h"

#include <assert.h>
#include <string.h>

#define BLOCK_BYTES (NF4_BLOCK / 2) /* codes of one output's block */
#define PANEL_BLOCK_BYTES (BLOCK_BYTES * NF4_PANEL)
#define RUNS (NF4_BLOCK / 8)   /* of eight inputs, four bytes an output */
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

void nf4_pack_panels(const nf4_flat *q, int64_t n_out, int64_t n_in, uint8_t *codes,
                     uint8_t *absmax_codes, float *absmax)
{
    assert(n_in % NF4_BLOCK == 0 && q->n_values == n_out * n_in);
    int64_t n_blocks = n_in / NF4_BLOCK;
    for (int64_t o = 0; o < n_panels(n_out) * NF4_PANEL; o++) {
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t flat_block = o * n_blocks + b;
            int64_t panel_block = o / NF4_PANEL * n_blocks + b, lane = o % NF4_PANEL;
            uint8_t *to = codes + panel_block * PANEL_BLOCK_BYTES + lane * 4;
            const uint8_t *from = q->codes + flat_block * BLOCK_BYTES;
            for (int run = 0; run < RUNS; run++)
                store_run(to + run * NF4_PANEL * 4,
                          o < n_out ? pack_run(load_run(from + run * 4)) : ZERO_CODES);
            int64_t scale = panel_block * NF4_PANEL + lane;
            if (absmax_codes != NULL)
                absmax_codes[scale] = o < n_out ? q->absmax_codes[flat_block] : 0;
            if (absmax != NULL)
                absmax[scale] = o < n_out ? q->absmax[flat_block] : 0;
        }
    }
}

void nf4_unpack_panels(const uint8_t *codes, const uint8_t *absmax_codes, const float *absmax,
                       int64_t n_out, int64_t n_in, uint8_t *flat_codes, uint8_t *flat_absmax_codes,
                       float *flat_absmax)
{
    int64_t n_blocks = n_in / NF4_BLOCK;
    for (int64_t o = 0; o < n_out; o++) {
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t flat_block = o * n_blocks + b;
            int64_t panel_block = o / NF4_PANEL * n_blocks + b, lane = o % NF4_PANEL;
            const uint8_t *from = codes + panel_block * PANEL_BLOCK_BYTES + lane * 4;
            uint8_t *to = flat_codes + flat_block * BLOCK_BYTES;
            for (int run = 0; run < RUNS; run++)
                store_run(to + run * 4, unpack_run(load_run(from + run * NF4_PANEL * 4)));
            int64_t scale = panel_block * NF4_PANEL + lane;
            if (absmax_codes != NULL)
                flat_absmax_codes[flat_block] = absmax_codes[scale];
            if (absmax != NULL)
                flat_absmax[flat_block] = absmax[scale];
        }
    }
}
