/* Which instruction sets run here, and the table of kernels that each one gets. */
#include "kernels/internal.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

static const kernel_table scalar = {
    .name = "scalar",
    .rmsnorm = rmsnorm_scalar,
    .quantise = quantise_scalar,
    .swiglu = swiglu_scalar,
    .rope = rope_scalar,
    .add = add_scalar,
    .panel_bytes = kernel_panel_bytes,
    .expand = expand_scalar,
    .matmul = matmul_scalar,
    .attention = attention_scalar,
};

static bool runs_always(void)
{
    return true;
}

/* Best first. */
static const struct {
    const kernel_table *table;
    bool (*runs_here)(void);
} all_tables[] = {
    {&scalar, runs_always},
};

#define N_TABLES ((int)(sizeof all_tables / sizeof *all_tables))

int kernel_tables(const kernel_table **out, int cap)
{
    int n = 0;
    for (int i = 0; i < N_TABLES && n < cap; i++)
        if (all_tables[i].runs_here())
            out[n++] = all_tables[i].table;
    return n;
}

const kernel_table *kernel_table_named(const char *name)
{
    for (int i = 0; i < N_TABLES; i++)
        if (strcmp(all_tables[i].table->name, name) == 0)
            return all_tables[i].runs_here() ? all_tables[i].table : NULL;
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
