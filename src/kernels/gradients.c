/* Which gradient kernels belong to which table of forward kernels. */
#include "kernels/gradients_internal.h"

#include <string.h>

/* transposed: whose panels; the rest is isa's. */
#define TABLE(isa, transposed, int8)                                                               \
    {                                                                                              \
        .name = #transposed, .has_int8 = int8,                                                     \
        .expand_transposed = expand_transposed_##transposed, .narrow = narrow_##isa,               \
        .widen = widen_##isa, .rmsnorm_backward = rmsnorm_backward_##isa,                          \
        .swiglu_backward = swiglu_backward_##isa, .softmax = softmax_##isa,                        \
        .softmax_backward = softmax_backward_##isa, .transpose = transpose_##isa,                  \
        .dropout = dropout_##isa, .copy_kept = copy_kept_##isa, .add_kept = add_kept_##isa,        \
        .outer = outer_##isa, .spread = spread_##isa, .sum_of_squares = sum_of_squares_##isa,      \
        .adamw = adamw_##isa,                                                                      \
    }

static const gradient_table scalar = TABLE(scalar, scalar, true);
static const gradient_table avx2 = TABLE(avx2, avx2, true);
static const gradient_table avxvnni = TABLE(avx2, avxvnni, true);
static const gradient_table avx512 = TABLE(avx512, avx512, false);
static const gradient_table avx512vnni = TABLE(avx512, avx512vnni, true);

/* Best first. The order of fp32 and bf16 panels is the same in all tables of kernels. */
static const gradient_table *const all_tables[] = {&avx512vnni, &avx512, &avxvnni, &avx2, &scalar};

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
    static const struct {
        const char *name;
        const gradient_table *gradients;
    } pairs[] = {{"amx", &avx512},    {"avx512bf16", &avx512vnni}, {"avx512vnni", &avx512vnni},
                 {"avx512", &avx512}, {"avxvnni", &avxvnni},       {"avx2", &avx2}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(pairs[i].name, table->name) == 0)
            return pairs[i].gradients;
    return &scalar;
}
