/* What is in this build, and what this CPU makes of it. SLANT_BUILT_WITH is the build's own list.
 */
#include "kernels/kernels.h"

#include <slant.h>

const char *slant_built_with(void)
{
    return SLANT_BUILT_WITH;
}

const char *slant_isa(void)
{
    return kernel_table_best()->name;
}
