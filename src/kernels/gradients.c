/* Which gradient kernels belong to which table of forward kernels. */
#include "kernels/gradients_internal.h"

#include <string.h>

static const gradient_table scalar = {
    .name = "scalar",
    .expand_transposed = expand_transposed_scalar,
    .narrow = narrow_scalar,
    .widen = widen_scalar,
    .rmsnorm_backward = rmsnorm_backward_scalar,
    .swiglu_backward = swiglu_backward_scalar,
    .softmax = softmax_scalar,
    .softmax_backward = softmax_backward_scalar,
    .transpose = transpose_scalar,
    .drop = drop_scalar,
    .add_kept = add_kept_scalar,
    .sum_of_squares = sum_of_squares_scalar,
    .adamw = adamw_scalar,
};

/* Best first; the order of fp32 and bf16 panels is the same in all tables. */
static const gradient_table *const all_tables[] = {&scalar};

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
    for (int i = 0; i < N_TABLES; i++)
        if (strcmp(all_tables[i]->name, table->name) == 0)
            return all_tables[i];
    return &scalar;
}
