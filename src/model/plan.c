#include "model/plan.h"

#include "base/mem.h"

void *plan_piece(planner *p, size_t n_items, size_t item_bytes)
{
    size_t size_bytes, end;
    if (!mem_mul(n_items, item_bytes, &size_bytes) || !mem_add(size_bytes, 63, &size_bytes) ||
        !mem_add(p->used, size_bytes & ~(size_t)63, &end)) {
        p->overflow = true;
        return NULL;
    }
    void *start = p->base == NULL ? NULL : p->base + p->used;
    p->used = end;
    return start;
}

void plan_acts(planner *p, acts *x, slant_compute compute, int n_tokens, int n_in)
{
    size_t rows = (size_t)n_tokens;
    x->compute = compute;
    x->n_in = n_in;
    x->stride = kernel_acts_stride(compute, n_in);
    x->data = plan_piece(p, rows * x->stride, kernel_element_bytes(compute));
    if (kernel_is_scaled(compute))
        x->scales = plan_piece(p, rows * (size_t)kernel_n_groups(n_in), sizeof *x->scales);
    if (compute == SLANT_COMPUTE_INT8)
        x->sums = plan_piece(p, rows * (size_t)kernel_n_groups(n_in), sizeof *x->sums);
}

size_t plan_to_panel(size_t n_out)
{
    return (n_out + KERNEL_PANEL - 1) / KERNEL_PANEL * KERNEL_PANEL;
}
