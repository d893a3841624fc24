/* Quantising to NF4 and back in bitsandbytes' own flat layout. The panels that kernels read are in
 * nf4_panels.c, the tables in nf4_tables.c. */
#include "quant/nf4.h"

#include "quant/mean.h"

#include <math.h>
#include <string.h>

/* Midpoints of neighbouring codes, in fp32. A value's code is the number of those below it. */
static const float thresholds[15] = {
    -0.8480964f,  -0.6106329f,   -0.45999527f, -0.33967942f, -0.2346074f,
    -0.13791174f, -0.045525018f, 0.03979015f,  0.12025525f,  0.20352125f,
    0.29201376f,  0.38931254f,   0.50166345f,  0.6427869f,   0.86147845f,
};

/* bitsandbytes divides by no less than this, so that blocks of zeros give zeros. */
#define MIN_ABSMAX 1e-38f

int64_t nf4_n_blocks(int64_t n_values)
{
    return (n_values + NF4_BLOCK - 1) / NF4_BLOCK;
}

int64_t nf4_n_nested(int64_t n_values)
{
    return (nf4_n_blocks(n_values) + NF4_NESTED_BLOCK - 1) / NF4_NESTED_BLOCK;
}

/* The largest magnitude. Without their sign, floats compare like the integers of their bits, and
 * NaN compares above all else and so is not lost. */
static float block_absmax(const float *src, int n_values)
{
    int32_t largest = 0;
    for (int i = 0; i < n_values; i++) {
        int32_t bits;
        memcpy(&bits, &src[i], sizeof bits);
        bits &= 0x7FFFFFFF;
        largest = bits > largest ? bits : largest;
    }
    float absmax;
    memcpy(&absmax, &largest, sizeof absmax);
    return absmax;
}

/* codes [NF4_BLOCK / 2] of scaled [NF4_BLOCK]. Every threshold is compared: vectors do that faster
 * than they could search. NaN is below none, so its code is 15, as in PyTorch. */
static void encode_scaled(const float *scaled, uint8_t *codes)
{
    int32_t code[NF4_BLOCK];
    for (int i = 0; i < NF4_BLOCK; i++) {
        code[i] = 15;
        for (int t = 0; t < 15; t++)
            code[i] -= scaled[i] <= thresholds[t];
    }
    for (int i = 0; i < NF4_BLOCK / 2; i++)
        codes[i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
}

static float encode_block(const float *src, uint8_t *codes)
{
    float scaled[NF4_BLOCK], absmax = block_absmax(src, NF4_BLOCK);
    float inverse = 1.0f / (absmax < MIN_ABSMAX ? MIN_ABSMAX : absmax);
    for (int i = 0; i < NF4_BLOCK; i++)
        scaled[i] = src[i] * inverse;
    encode_scaled(scaled, codes);
    return absmax;
}

/* A block that the tensor's end cuts short is divided rather than multiplied by the inverse, stores
 * an absmax of MIN_ABSMAX at least, and a last odd value shares its byte with a zero. */
static float encode_last_block(const float *src, int n_values, uint8_t *codes)
{
    float scaled[NF4_BLOCK] = {0}, absmax = block_absmax(src, n_values);
    uint8_t block_codes[NF4_BLOCK / 2];
    if (absmax < MIN_ABSMAX)
        absmax = MIN_ABSMAX;
    for (int i = 0; i < n_values; i++)
        scaled[i] = src[i] / absmax;
    encode_scaled(scaled, block_codes);
    memcpy(codes, block_codes, (size_t)(n_values + 1) / 2);
    return absmax;
}

void nf4_encode_plain(const float *src, int64_t n_values, uint8_t *codes, float *absmax)
{
    int64_t n_full = n_values / NF4_BLOCK;
    for (int64_t b = 0; b < n_full; b++)
        absmax[b] = encode_block(src + b * NF4_BLOCK, codes + b * (NF4_BLOCK / 2));
    if (n_values % NF4_BLOCK != 0)
        absmax[n_full] = encode_last_block(src + n_full * NF4_BLOCK, (int)(n_values % NF4_BLOCK),
                                           codes + n_full * (NF4_BLOCK / 2));
}

/* The code of a value in [-1, 1] in the dynamic map. bitsandbytes first rounds the value to one of
 * 65,536 steps and then takes the map's value nearest to that step, the lower one of two as near.
 */
static uint8_t encode_dynamic(float value)
{
    float clamped = value > -1.0f ? fminf(value, 1.0f) : -1.0f; /* NaN is as good as -1 */
    int step = (int)((clamped + 1.0f) * 0.5f * 65535.0f + 0.5f);
    float rounded = -1.0f + 2.0f * (float)step / 65535.0f;
    int code = 0;
    for (int half = 128; half > 0; half /= 2) { /* without branches: they could not be predicted */
        const float *below = &nf4_dynamic_map[code + half - 1];
        code += half * (0.5f * (below[0] + below[1]) < rounded);
    }
    return (uint8_t)code;
}

void nf4_encode_absmax(const float *absmax, int64_t n_blocks, uint8_t *absmax_codes,
                       float *nested_absmax, float *nested_offset)
{
    float offset = n_blocks == 0 ? 0.0f : mean_as_torch(absmax, n_blocks);
    for (int64_t first = 0; first < n_blocks; first += NF4_NESTED_BLOCK) {
        int64_t end = first + NF4_NESTED_BLOCK < n_blocks ? first + NF4_NESTED_BLOCK : n_blocks;
        float largest = 0;
        for (int64_t b = first; b < end; b++)
            largest = fmaxf(largest, fabsf(absmax[b] - offset));
        nested_absmax[first / NF4_NESTED_BLOCK] = largest;
        float inverse = 1.0f / largest;
        for (int64_t b = first; b < end; b++)
            absmax_codes[b] = largest == 0 ? 0 : encode_dynamic((absmax[b] - offset) * inverse);
    }
    *nested_offset = offset;
}

void nf4_encode(const float *src, int64_t n_values, uint8_t *codes, uint8_t *absmax_codes,
                float *nested_absmax, float *nested_offset, float *scratch)
{
    nf4_encode_plain(src, n_values, codes, scratch);
    nf4_encode_absmax(scratch, nf4_n_blocks(n_values), absmax_codes, nested_absmax, nested_offset);
}

float nf4_absmax(const nf4_flat *q, int64_t block)
{
    if (q->absmax != NULL)
        return q->absmax[block];
    return q->nested_map[q->absmax_codes[block]] * q->nested_absmax[block / NF4_NESTED_BLOCK] +
           q->nested_offset;
}

void nf4_decode(const nf4_flat *q, int64_t first, int64_t n_values, float *dst)
{
    float values[16]; /* the code map times the block's absmax */
    for (int64_t i = first, block = -1; i < first + n_values; i++) {
        if (i / NF4_BLOCK != block) {
            block = i / NF4_BLOCK;
            float absmax = nf4_absmax(q, block);
            for (int c = 0; c < 16; c++)
                values[c] = q->code_map[c] * absmax;
        }
        uint8_t pair = q->codes[i / 2];
        dst[i - first] = values[i % 2 == 0 ? pair >> 4 : pair & 15];
    }
}
