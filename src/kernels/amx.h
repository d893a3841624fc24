/* The tile registers' shape. */
#ifndef SLANT_KERNELS_AMX_H
#define SLANT_KERNELS_AMX_H

#include "kernels/avx512.h"

#include <string.h>

/* gcc does not know that tile loads and the configuration read memory: this makes it finish all
 * stores to what p points at, and to any memory that others can see, before it goes on. */
static inline void amx_publish(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Tiles 0 … 3: C, two rows of two; 4, 5: A for the upper and the lower row; 6, 7: B. All of 64
 * bytes a row; B has 16 rows, the others as many as there are tokens: n_rows, 1 to 32, over both.
 */
static inline void amx_configure(int n_rows)
{
    struct {
        uint8_t palette, start_row, zero[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config;
    _Static_assert(sizeof config == 64, "the layout is the processor's");
    int upper = n_rows < 16 ? n_rows : 16;
    int lower = n_rows > 16 ? n_rows - 16 : 1; /* a tile cannot be empty */
    const uint8_t rows[8] = {(uint8_t)upper,
                             (uint8_t)upper,
                             (uint8_t)lower,
                             (uint8_t)lower,
                             (uint8_t)upper,
                             (uint8_t)lower,
                             16,
                             16};
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = rows[i];
    }
    amx_publish(&config);
    _tile_loadconfig(&config);
}

#endif
