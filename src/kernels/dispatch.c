/* Which instruction sets run here, and the table of kernels that each one gets. */
#include "kernels/cpu.h"
#include "kernels/tables.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define ACTS(isa)                                                                                  \
    .rmsnorm = rmsnorm_##isa, .quantise = quantise_##isa, .swiglu = swiglu_##isa,                  \
    .rope = rope_##isa, .add = add_##isa

static const kernel_table scalar = {
    .name = "scalar",
    .auto_compute = SLANT_COMPUTE_F32,
    ACTS(scalar),
    .panel_bytes = kernel_panel_bytes,
    .expand = expand_scalar,
    .matmul = matmul_scalar,
    .attention = attention_scalar,
};

static const kernel_table avx2 = {
    .name = "avx2",
    .auto_compute = SLANT_COMPUTE_INT16,
    ACTS(avx2),
    .panel_bytes = kernel_panel_bytes_words,
    .expand = expand_int16_avx2,
    .matmul = matmul_avx2,
    .attention = attention_avx2,
};

static const kernel_table avxvnni = {
    .name = "avxvnni",
    .auto_compute = SLANT_COMPUTE_INT8,
    ACTS(avx2),
    .panel_bytes = kernel_panel_bytes,
    .expand = expand_unsigned_avx2,
    .matmul = matmul_avxvnni,
    .attention = attention_avx2,
};

static const kernel_table avx512 = {
    .name = "avx512",
    .auto_compute = SLANT_COMPUTE_INT16,
    ACTS(avx512),
    .panel_bytes = kernel_panel_bytes_words,
    .expand = expand_int16_avx512,
    .matmul = matmul_avx512,
    .attention = attention_avx512,
};

static const kernel_table avx512vnni = {
    .name = "avx512vnni",
    .auto_compute = SLANT_COMPUTE_INT8,
    ACTS(avx512),
    .panel_bytes = kernel_panel_bytes,
    .expand = expand_unsigned_avx512,
    .matmul = matmul_avx512vnni,
    .attention = attention_avx512vnni,
};

static const kernel_table avx512bf16 = {
    .name = "avx512bf16",
    .auto_compute = SLANT_COMPUTE_INT8,
    .bf16_is_fast = true,
    ACTS(avx512),
    .panel_bytes = kernel_panel_bytes,
    .expand = expand_unsigned_avx512,
    .matmul = matmul_avx512bf16,
    .attention = attention_avx512vnni,
};

static const kernel_table amx = {
    .name = "amx",
    .auto_compute = SLANT_COMPUTE_INT8,
    .bf16_is_fast = true,
    ACTS(avx512),
    .panel_bytes = kernel_panel_bytes,
    .expand = expand_signed_avx512,
    .matmul = matmul_amx,
    .matmul_both = matmul_both_amx,
    .attention = attention_amx,
};

/* Best first, each with what it needs. */
static const struct {
    const kernel_table *table;
    unsigned needs;
} all_tables[] = {
    {&amx, CPU_AMX},       {&avx512bf16, CPU_AVX512BF16}, {&avx512vnni, CPU_AVX512VNNI},
    {&avx512, CPU_AVX512}, {&avxvnni, CPU_AVXVNNI},       {&avx2, CPU_AVX2},
    {&scalar, 0},
};

#define N_TABLES ((int)(sizeof all_tables / sizeof *all_tables))

int kernel_tables(const kernel_table **out, int cap)
{
    int n = 0;
    for (int i = 0; i < N_TABLES && n < cap; i++)
        if ((all_tables[i].needs & ~cpu_features()) == 0)
            out[n++] = all_tables[i].table;
    return n;
}

const kernel_table *kernel_table_named(const char *name)
{
    for (int i = 0; i < N_TABLES; i++)
        if (strcmp(all_tables[i].table->name, name) == 0)
            return (all_tables[i].needs & ~cpu_features()) == 0 ? all_tables[i].table : NULL;
    return NULL;
}

const kernel_table *kernel_table_best(void)
{
    const char *forced = getenv("SLANT_ISA");
    const kernel_table *table = forced && *forced ? kernel_table_named(forced) : NULL;
    if (!table)
        kernel_tables(&table, 1);
    return table;
}

slant_status kernel_check_environment(slant_error *err)
{
    const char *forced = getenv("SLANT_ISA");
    if (!forced || !*forced || kernel_table_named(forced))
        return SLANT_OK;
    const kernel_table *tables[N_TABLES];
    int n = kernel_tables(tables, N_TABLES);
    buf names = {0};
    for (int i = 0; i < n; i++)
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", tables[i]->name);
    slant_status status = status_fail(err, SLANT_ERR_ARGUMENT,
                                      "SLANT_ISA=%s: expected one of those that run here: %s",
                                      forced, names.data ? names.data : "scalar");
    buf_free(&names);
    return status;
}
