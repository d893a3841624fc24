#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t received;

static void on_signal(int number)
{
    received = number;
}

/* SA_RESETHAND: the second signal finds the default action. SIGUSR1 is what mpirun passes on
 * without killing the ranks a second later, and what a batch system sends ahead of time. */
void interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

bool interrupt_asked(void)
{
    return received != 0;
}

bool interrupt_should_stop(void *context)
{
    (void)context;
    return interrupt_asked();
}

void interrupt_end(void)
{
    if (received == 0)
        return;
    signal(received, SIG_DFL);
    raise(received);
}
