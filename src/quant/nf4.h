/* NF4 with and without double quantisation, to the byte as bitsandbytes makes it on a CPU. */
#ifndef SLANT_QUANT_NF4_H
#define SLANT_QUANT_NF4_H

#include "base/dtype.h"
#include "base/status.h"

#define NF4_BLOCK 64         /* weights per absmax, along the flat row-major tensor */
#define NF4_NESTED_BLOCK 256 /* absmax values per nested absmax */
#define NF4_PANEL 16         /* outputs per panel of the packed layout */

extern const float nf4_codes[16];        /* QLoRA (Dettmers et al. 2023), as in bitsandbytes */
extern const float nf4_dynamic_map[256]; /* the signed dynamic 8-bit map of double quantisation */

/* A tensor of n values in bitsandbytes' own flat layout. Pointers are borrowed or owned as the
 * function that fills it says. */
typedef struct nf4_flat {
    int64_t n_values;
    const uint8_t *codes;        /* [ceil(n_values / 2)], first value in the high nibble */
    const float *absmax;         /* [n_blocks] without double quantisation, else NULL */
    const uint8_t *absmax_codes; /* [n_blocks] with double quantisation, else NULL */
    const float *nested_absmax;  /* [ceil(n_blocks / 256)] */
    const float *nested_map;     /* [256]; nf4_dynamic_map unless the file brings another */
    const float *code_map;       /* [16]; nf4_codes unless the file brings another */
    float nested_offset;
} nf4_flat;

int64_t nf4_n_blocks(int64_t n_values);
int64_t nf4_n_nested(int64_t n_values);

/* Quantises src [n_values] into caller's buffers: codes [ceil(n/2)]; absmax_codes [n_blocks] and
 * nested_absmax [n_nested] and *nested_offset with double quantisation. scratch [n_blocks].
 * Deterministic: the mean of absmax is taken as PyTorch's fp32 mean is, so that bytes are equal.
 * (Above 32,768 blocks PyTorch's last bit depends on how many threads it has; here it has two.) */
void nf4_encode(const float *src, int64_t n_values, uint8_t *codes, uint8_t *absmax_codes,
                float *nested_absmax, float *nested_offset, float *scratch);
/* Without double quantisation: absmax [n_blocks]. A tensor may be encoded in ranges that begin at
 * multiples of NF4_BLOCK, by several threads. */
void nf4_encode_plain(const float *src, int64_t n_values, uint8_t *codes, float *absmax);
/* Double quantisation alone, over the absmax of a whole tensor: what nf4_encode does at its end. */
void nf4_encode_absmax(const float *absmax, int64_t n_blocks, uint8_t *absmax_codes,
                       float *nested_absmax, float *nested_offset);

/* absmax of block b, either way. */
float nf4_absmax(const nf4_flat *q, int64_t block);
/* Decodes values [first, first + n) into dst. first is a multiple of 2. */
void nf4_decode(const nf4_flat *q, int64_t first, int64_t n_values, float *dst);

/* The packed layout that the kernels read in place, for a matrix [n_out, n_in], n_in % 64 == 0.
 * Outputs go in panels of 16 (the last one filled with code 7, zero). A panel holds for each block
 * of 64 inputs 512 bytes: 8 runs of 64 bytes; run j, byte 4·o + b (o output 0…15, b 0…3) holds in
 * its low nibble input 8·j + b and in its high nibble input 8·j + 4 + b of output o. So one 64-byte
 * load, a mask and a shift give two registers [16 outputs][4 inputs], the operand order of vpdpbusd
 * and of an AMX B tile.
 *
 *     codes        [n_panels][n_in / 64][512]
 *     absmax_codes [n_panels][n_in / 64][16]  U8; without double quantisation absmax likewise, F32
 *
 * nested_absmax keeps bitsandbytes' flat order: block (o, b) of the matrix is flat block
 * o·(n_in / 64) + b. Outputs beyond n_out have code 7 and scale 0, and no flat block. */
size_t nf4_panel_code_bytes(int64_t n_out, int64_t n_in);
size_t nf4_panel_n_absmax(int64_t n_out, int64_t n_in);
void nf4_pack_panels(const nf4_flat *q, int64_t n_out, int64_t n_in, uint8_t *codes,
                     uint8_t *absmax_codes, float *absmax);
/* The way back, to bitsandbytes' bytes exactly. */
void nf4_unpack_panels(const uint8_t *codes, const uint8_t *absmax_codes, const float *absmax,
                       int64_t n_out, int64_t n_in, uint8_t *flat_codes, uint8_t *flat_absmax_codes,
                       float *flat_absmax);

#endif
