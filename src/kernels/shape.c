/* Sizes that all instruction sets share: padding, int8 groups, panels and scratch memory. */
#include "kernels/internal.h"

int kernel_padded(int n_in)
{
    return (n_in + KERNEL_K_ALIGN - 1) / KERNEL_K_ALIGN * KERNEL_K_ALIGN;
}

/* As few groups as KERNEL_GROUP_MAX allows, as equal as multiples of KERNEL_K_ALIGN can be. */
int kernel_group(int n_in)
{
    int n_blocks = kernel_padded(n_in) / KERNEL_K_ALIGN;
    int n_groups = (n_blocks * KERNEL_K_ALIGN + KERNEL_GROUP_MAX - 1) / KERNEL_GROUP_MAX;
    return (n_blocks + n_groups - 1) / n_groups * KERNEL_K_ALIGN;
}

int kernel_n_groups(int n_in)
{
    int group = kernel_group(n_in);
    return (n_in + group - 1) / group;
}

size_t kernel_element_bytes(slant_compute compute)
{
    return compute == SLANT_COMPUTE_INT8 ? 1 : compute == SLANT_COMPUTE_F32 ? 4 : 2;
}

const char *kernel_compute_name(slant_compute compute)
{
    static const char *const names[] = {[SLANT_COMPUTE_AUTO] = "auto",
                                        [SLANT_COMPUTE_INT8] = "int8",
                                        [SLANT_COMPUTE_INT16] = "int16",
                                        [SLANT_COMPUTE_BF16] = "bf16",
                                        [SLANT_COMPUTE_F32] = "fp32"};
    return names[compute];
}

bool kernel_is_scaled(slant_compute compute)
{
    return compute == SLANT_COMPUTE_INT8 || compute == SLANT_COMPUTE_INT16;
}

/* Odd multiples of a cache line: rows then fall into different sets of the first-level cache. */
size_t kernel_acts_stride(slant_compute compute, int n_in)
{
    size_t line = 64 / kernel_element_bytes(compute);
    return ((size_t)kernel_padded(n_in) / line | 1) * line;
}

size_t kernel_panel_bytes(slant_compute compute, int n_in, int n_panels)
{
    return kernel_element_bytes(compute) * KERNEL_PANEL * (size_t)kernel_padded(n_in) *
           (size_t)n_panels;
}

size_t kernel_panel_bytes_words(slant_compute compute, int n_in, int n_panels)
{
    size_t bytes = kernel_panel_bytes(compute, n_in, n_panels);
    return compute == SLANT_COMPUTE_INT8 ? 2 * bytes : bytes;
}

/* One panel's rows in fp32. */
size_t kernel_expand_scratch_bytes(int n_in)
{
    return sizeof(float) * KERNEL_PANEL * (size_t)kernel_padded(n_in);
}

/* Keys and values packed in fp32 at most, and the tiles of one block of queries. */
size_t attention_scratch_bytes(int n_keys, int head_dim, int n_heads)
{
    size_t keys = ((size_t)n_keys + ATTENTION_TILE - 1) / ATTENTION_TILE * ATTENTION_TILE;
    size_t dims = ((size_t)head_dim + 31) / 32 * 32;
    (void)n_heads;
    return 2 * sizeof(float) * keys * dims + ATTENTION_BLOCK_BYTES;
}
