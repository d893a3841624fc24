/* Which gradient kernels belong to which table of forward kernels. */
#include "kernels/gradients_internal.h"

#include <string.h>

/* transposed: whose panels; the rest is isa's. */
#define TABLE(isa, transposed)                                                                     \
    {                                                                                              \
        .name = #transposed,                                                                       \
        .expand_transposed = expand_transposed_##transposed,                                       \
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
        .outer = outer_##isa,                                                                      \
        .spread = spread_##isa,                                                                    \
        .sum_of_squares = sum_of_squares_##isa,                                                    \
        .adamw = adamw_##isa,                                                                      \
    }

static const gradient_table scalar = TABLE(scalar, scalar);
static const gradient_table avx2 = TABLE(avx2, avx2);
static const gradient_table avxvnni = TABLE(avx2, avxvnni);
static const gradient_table avx512 = TABLE(avx512, avx512);
static const gradient_table avx512vnni = TABLE(avx512, avx512vnni);
static const gradient_table amx = TABLE(avx512, amx);

/* Best first. */
static const gradient_table *const all_tables[] = {&amx,     &avx512vnni, &avx512,
                                                   &avxvnni, &avx2,       &scalar};

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
    const char *name = strcmp(table->name, "avx512bf16") == 0 ? "avx512vnni" : table->name;
    for (int i = 0; i < N_TABLES; i++)
        if (strcmp(all_tables[i]->name, name) == 0)
            return all_tables[i];
    return &scalar;
}
