/* Ctrl-C, SIGTERM and SIGUSR1: the first asks the work to stop at the next batch, the second ends
 * it. */
#ifndef SLANT_CLI_INTERRUPT_H
#define SLANT_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void);
bool interrupt_asked(void);
bool interrupt_should_stop(void *context); /* the same, as the library asks */
/* Ends the process the way the signal would have, so that a shell sees why. Returns if none came.
 */
void interrupt_end(void);

#endif
