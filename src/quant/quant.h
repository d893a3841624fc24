/* Number formats: one table with, for each dtype that can hold weights, how to decode and (where
 * slant writes it) encode a row, and the error that an encode/decode round trip may have. */
#ifndef SLANT_QUANT_QUANT_H
#define SLANT_QUANT_QUANT_H

#include "base/dtype.h"

#include <stdbool.h>

typedef struct quant_traits {
    dtype type;
    float max_relative_rms; /* error budget of a round trip on Gaussian values, rms / rms */
    /* src: n_values / block_values blocks; dst [n_values]. n_values is a multiple of the block. */
    void (*decode_row)(const void *src, float *dst, size_t n_values);
    void (*encode_row)(const float *src, void *dst, size_t n_values); /* NULL: slant writes none */
} quant_traits;

/* NULL for types that cannot hold weights (integers, bool, NF4 nibbles alone). */
const quant_traits *quant_get(dtype type);

/* bf16: round to nearest even; NaN stays NaN. f16: IEEE binary16, round to nearest even. */
static inline float bf16_to_f32(uint16_t bits)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)bits << 16};
    return v.f;
}

static inline uint16_t bf16_from_f32(float value)
{
    union {
        float f;
        uint32_t u;
    } v = {.f = value};
    if ((v.u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)((v.u >> 16) | 0x40u);
    return (uint16_t)((v.u + 0x7FFFu + ((v.u >> 16) & 1u)) >> 16);
}

float f16_to_f32(uint16_t bits);
uint16_t f16_from_f32(float value);

#endif
