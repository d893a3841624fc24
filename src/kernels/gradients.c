/* Which gradient kernels belong to which table of forward kernels. */
#include "kernels/gradients_internal.h"

#include <string.h>

#define TABLE(isa)                                                                                 \
    {                                                                                              \
        .name = #isa,                                                                              \
        .expand_transposed = expand_transposed_##isa,                                              \
        .narrow = narrow_##isa,                                                                    \
        .widen = widen_##isa,                                                                      \
        .rmsnorm_backward = rmsnorm_backward_##isa,                                                \
        .swiglu_backward = swiglu_backward_##isa,                                                  \
        .softmax = softmax_##isa,                                                                  \
        .softmax_backward = softmax_backward_##isa,                                                \
        .transpose = transpose_##isa,                                                              \
        .dropout = dropout_##isa,                                                                  \
        .copy_kept = copy_kept_##isa,                                                              \
        .add_kept = add_kept_##isa,                                                                \
        .sum_of_squares = sum_of_squares_##isa,                                                    \
        .adamw = adamw_##isa,                                                                      \
    }

static const gradient_table scalar = TABLE(scalar);
static const gradient_table avx512 = TABLE(avx512);

/* Best first. The order of fp32 and bf16 panels is the same in all tables of kernels. */
static const gradient_table *const all_tables[] = {&avx512, &scalar};

#define N_TABLES ((int)(sizeof all_tables / sizeof *all_tables))

int gradient_tables(const gradient_table **out, int cap)
{
    int n = 0;
    for (int i = 0; i < N_TABLES && n < cap; i++)
        if (kernel_table_named(all_tables[i]->name) != NULL)
            out[n++] = all_tables[i];
    return n;
}

const gradient_table *gradient_table_for(const kernel_table *table)
{
    bool has_avx512 = strncmp(table->name, "avx512", 6) == 0 || strcmp(table->name, "amx") == 0;
    return has_avx512 ? &avx512 : &scalar;
}
