/* The number formats that weights come in: how each is decoded, and encoded where slant writes it.
 * NF4 and its scales are in nf4.c. Rows come straight out of mapped files and need not be aligned.
 */
#include "quant/quant.h"

#include <string.h>

#define GGML_BLOCK 32 /* values that share a scale in the GGUF formats */

float f16_to_f32(uint16_t bits)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)(bits & 0x7FFFu) << 13}, tiny = {.u = 113u << 23};
    uint32_t exponent = v.u & (0x1Fu << 23);
    v.u += exponent == 0x1Fu << 23 ? 224u << 23 : 112u << 23; /* infinities and NaN stay such */
    if (exponent == 0) { /* subnormal: m · 2^-24 = (1 + m / 1024) · 2^-14 - 2^-14, exactly */
        v.u += 1u << 23;
        v.f -= tiny.f;
    }
    v.u |= (uint32_t)(bits & 0x8000u) << 16;
    return v.f;
}

uint16_t f16_from_f32(float value)
{
    union {
        float f;
        uint32_t u;
    } v = {.f = value}, half = {.f = 0.5f};
    uint32_t sign = v.u >> 16 & 0x8000u;
    uint32_t magnitude = v.u & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
    if (magnitude >= 143u << 23) /* 65536 and above */
        return (uint16_t)(sign | 0x7C00u);
    if (magnitude < 113u << 23) {
        /* Subnormal: beside 0.5 the last bit of a float is 2^-24, so the addition itself rounds. */
        v.u = magnitude;
        v.f += half.f;
        return (uint16_t)(sign | (v.u - half.u));
    }
    magnitude -= 112u << 23;
    magnitude += 0xFFFu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | magnitude >> 13);
}

static uint16_t load_u16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint32_t load_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void f64_decode_row(const void *src, float *dst, size_t n_values)
{
    for (size_t i = 0; i < n_values; i++) {
        double value;
        memcpy(&value, (const uint8_t *)src + i * sizeof value, sizeof value);
        dst[i] = (float)value;
    }
}

static void f32_decode_row(const void *src, float *dst, size_t n_values)
{
    memcpy(dst, src, n_values * sizeof *dst);
}

static void f32_encode_row(const float *src, void *dst, size_t n_values)
{
    memcpy(dst, src, n_values * sizeof *src);
}

static void f16_decode_row(const void *src, float *dst, size_t n_values)
{
    for (size_t i = 0; i < n_values; i++)
        dst[i] = f16_to_f32(load_u16((const uint8_t *)src + 2 * i));
}

static void f16_encode_row(const float *src, void *dst, size_t n_values)
{
    for (size_t i = 0; i < n_values; i++) {
        uint16_t bits = f16_from_f32(src[i]);
        memcpy((uint8_t *)dst + 2 * i, &bits, sizeof bits);
    }
}

static void bf16_decode_row(const void *src, float *dst, size_t n_values)
{
    for (size_t i = 0; i < n_values; i++)
        dst[i] = bf16_to_f32(load_u16((const uint8_t *)src + 2 * i));
}

static void bf16_encode_row(const float *src, void *dst, size_t n_values)
{
    for (size_t i = 0; i < n_values; i++) {
        uint16_t bits = bf16_from_f32(src[i]);
        memcpy((uint8_t *)dst + 2 * i, &bits, sizeof bits);
    }
}

/* f16 d, int8 q[32]: d · q. */
static void q8_0_decode_row(const void *src, float *dst, size_t n_values)
{
    const uint8_t *block = src;
    for (size_t i = 0; i < n_values; i += GGML_BLOCK, block += 34) {
        float d = f16_to_f32(load_u16(block));
        for (int j = 0; j < GGML_BLOCK; j++)
            dst[i + j] = d * (float)(int8_t)block[2 + j];
    }
}

/* Of the four formats below, byte j of a block's nibbles holds value j low and value j + 16 high.
 */

/* f16 d, nibbles[16]: d · (q - 8). */
static void q4_0_decode_row(const void *src, float *dst, size_t n_values)
{
    const uint8_t *block = src;
    for (size_t i = 0; i < n_values; i += GGML_BLOCK, block += 18) {
        float d = f16_to_f32(load_u16(block));
        for (int j = 0; j < 16; j++) {
            dst[i + j] = d * (float)((block[2 + j] & 15) - 8);
            dst[i + j + 16] = d * (float)((block[2 + j] >> 4) - 8);
        }
    }
}

/* f16 d, f16 m, nibbles[16]: d · q + m. */
static void q4_1_decode_row(const void *src, float *dst, size_t n_values)
{
    const uint8_t *block = src;
    for (size_t i = 0; i < n_values; i += GGML_BLOCK, block += 20) {
        float d = f16_to_f32(load_u16(block)), m = f16_to_f32(load_u16(block + 2));
        for (int j = 0; j < 16; j++) {
            dst[i + j] = d * (float)(block[4 + j] & 15) + m;
            dst[i + j + 16] = d * (float)(block[4 + j] >> 4) + m;
        }
    }
}

/* f16 d, u32 fifth bits, nibbles[16]: d · (q - 16). */
static void q5_0_decode_row(const void *src, float *dst, size_t n_values)
{
    const uint8_t *block = src;
    for (size_t i = 0; i < n_values; i += GGML_BLOCK, block += 22) {
        float d = f16_to_f32(load_u16(block));
        uint32_t fifth = load_u32(block + 2);
        for (int j = 0; j < 16; j++) {
            int low = (block[6 + j] & 15) | (int)(fifth >> j & 1) << 4;
            int high = (block[6 + j] >> 4) | (int)(fifth >> (j + 16) & 1) << 4;
            dst[i + j] = d * (float)(low - 16);
            dst[i + j + 16] = d * (float)(high - 16);
        }
    }
}

/* f16 d, f16 m, u32 fifth bits, nibbles[16]: d · q + m. */
static void q5_1_decode_row(const void *src, float *dst, size_t n_values)
{
    const uint8_t *block = src;
    for (size_t i = 0; i < n_values; i += GGML_BLOCK, block += 24) {
        float d = f16_to_f32(load_u16(block)), m = f16_to_f32(load_u16(block + 2));
        uint32_t fifth = load_u32(block + 4);
        for (int j = 0; j < 16; j++) {
            int low = (block[8 + j] & 15) | (int)(fifth >> j & 1) << 4;
            int high = (block[8 + j] >> 4) | (int)(fifth >> (j + 16) & 1) << 4;
            dst[i + j] = d * (float)low + m;
            dst[i + j + 16] = d * (float)high + m;
        }
    }
}

/* Budgets: a float format rounds within half a unit of its last bit, so its rms stays below 2^-p of
 * its p bits; the block formats' were measured with their own encoders on Gaussian values. */
static const quant_traits traits[] = {
    {DTYPE_F64, 1e-7f, f64_decode_row, NULL},
    {DTYPE_F32, 0.0f, f32_decode_row, f32_encode_row},
    {DTYPE_F16, 2.5e-4f, f16_decode_row, f16_encode_row},
    {DTYPE_BF16, 2e-3f, bf16_decode_row, bf16_encode_row},
    {DTYPE_Q8_0, 0.006f, q8_0_decode_row, NULL},
    {DTYPE_Q4_0, 0.095f, q4_0_decode_row, NULL},
    {DTYPE_Q4_1, 0.085f, q4_1_decode_row, NULL},
    {DTYPE_Q5_0, 0.048f, q5_0_decode_row, NULL},
    {DTYPE_Q5_1, 0.042f, q5_1_decode_row, NULL},
};

const quant_traits *quant_get(dtype type)
{
    for (size_t i = 0; i < sizeof traits / sizeof *traits; i++)
        if (traits[i].type == type)
            return &traits[i];
    return NULL;
}
