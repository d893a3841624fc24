/* Where the transposed expansions of fp32 and bf16 write: a panel holds, for each output of w, one
 * line of 16 inputs. */
#ifndef SLANT_KERNELS_TRANSPOSED_H
#define SLANT_KERNELS_TRANSPOSED_H

#include "kernels/internal.h"

#include <string.h>

/* Where a panel of the result begins, and its line for output o of the range. */
typedef struct panel_writer {
    char *data;
    size_t panel_bytes;
    size_t line_bytes; /* per output: 64 in fp32, 32 in bf16 */
} panel_writer;

static inline panel_writer writer_of(const kernel_panels *out, int length)
{
    return (panel_writer){.data = out->data,
                          .panel_bytes = kernel_panel_bytes(out->compute, length, 1),
                          .line_bytes = out->compute == SLANT_COMPUTE_BF16 ? 32 : 64};
}

static inline char *line_at(const panel_writer *w, int panel, int o)
{
    return w->data + (size_t)panel * w->panel_bytes + (size_t)o * w->line_bytes;
}

/* Lines of outputs that w does not have. */
static inline void zero_lines(const panel_writer *w, int n_panels, int first, int length)
{
    for (int p = 0; p < n_panels && first < length; p++)
        memset(line_at(w, p, first), 0, (size_t)(length - first) * w->line_bytes);
}

#endif
