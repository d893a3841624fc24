#include "base/dtype.h"

static const dtype_info infos[DTYPE_COUNT] = {
#define DTYPE_INFO(name, text, block_values, block_bytes) {text, block_values, block_bytes},
    DTYPE_LIST(DTYPE_INFO)
#undef DTYPE_INFO
};

const dtype_info *dtype_get(dtype type)
{
    return &infos[type];
}
