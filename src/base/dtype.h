/* The element types of tensors, whatever file they come from: one list with their sizes. */
#ifndef SLANT_BASE_DTYPE_H
#define SLANT_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

/* name, values per block, bytes per block. NF4 stands for packed nibbles alone (two values a
 * byte, the first in the high nibble); its scales are tensors of their own. */
#define DTYPE_LIST(X)                                                                              \
    X(F64, "F64", 1, 8)                                                                            \
    X(F32, "F32", 1, 4)                                                                            \
    X(F16, "F16", 1, 2)                                                                            \
    X(BF16, "BF16", 1, 2)                                                                          \
    X(I64, "I64", 1, 8)                                                                            \
    X(I32, "I32", 1, 4)                                                                            \
    X(I16, "I16", 1, 2)                                                                            \
    X(I8, "I8", 1, 1)                                                                              \
    X(U8, "U8", 1, 1)                                                                              \
    X(BOOL, "BOOL", 1, 1)                                                                          \
    X(Q8_0, "Q8_0", 32, 34)                                                                        \
    X(Q4_0, "Q4_0", 32, 18)                                                                        \
    X(Q4_1, "Q4_1", 32, 20)                                                                        \
    X(Q5_0, "Q5_0", 32, 22)                                                                        \
    X(Q5_1, "Q5_1", 32, 24)                                                                        \
    X(NF4, "NF4", 2, 1)

typedef enum dtype {
#define DTYPE_ENUM(name, text, block_values, block_bytes) DTYPE_##name,
    DTYPE_LIST(DTYPE_ENUM)
#undef DTYPE_ENUM
        DTYPE_COUNT
} dtype;

typedef struct dtype_info {
    const char *name;
    int block_values, block_bytes;
} dtype_info;

const dtype_info *dtype_get(dtype type);

#define TENSOR_MAX_DIMS 4

/* A tensor inside memory that somebody else owns. Row-major, shape[n_dims - 1] runs fastest. */
typedef struct tensor_view {
    const char *name;
    dtype type;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    const uint8_t *data; /* [size_bytes] */
    size_t size_bytes;
} tensor_view;

#endif
