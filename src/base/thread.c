/* One team of threads for the process. A call's shares are handed out one at a time to whoever is
 * awake, the caller among them, so that a thread which the system has put aside holds nobody up;
 * and who waits, spins for some microseconds and then sleeps. (An OpenMP team was four times slower
 * than this where other programs used the same cores: it spins for milliseconds, and its shares
 * belong to threads.) A second caller at the same time runs its shares alone: the cores have work
 * enough. */
#include "base/thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_SHARES = 0xFFFF, SPINS = 2000 };

/* A job's number, how many shares it has and how many are taken, in one word, so that a share is
 * taken of the job that was meant or not at all. */
typedef uint64_t ticket;

static ticket make_ticket(uint32_t number, uint32_t n_shares, uint32_t taken)
{
    return (uint64_t)number << 32 | (uint64_t)n_shares << 16 | taken;
}

static uint32_t ticket_shares(ticket t)
{
    return (uint32_t)(t >> 16) & 0xFFFF;
}

static uint32_t ticket_taken(ticket t)
{
    return (uint32_t)t & 0xFFFF;
}

static struct {
    pthread_mutex_t lock; /* held by the caller whose job it is */
    int n_workers;
    uint32_t number;
    _Atomic ticket current;
    _Atomic uint32_t news;     /* counts jobs: workers sleep on it */
    _Atomic uint32_t finished; /* shares of the current job: the caller sleeps on it */
    void (*body)(void *context, int thread, int n_threads);
    void *context;
} team = {.lock = PTHREAD_MUTEX_INITIALIZER};

int thread_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online <= INT_MAX ? (int)online : 1;
}

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int n_sleepers)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n_sleepers, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Returns once *word is no longer value, or without reason: the caller looks again. */
static void wait_for_change(_Atomic uint32_t *word, uint32_t value)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value)
            return;
        relax();
    }
    sleep_while(word, value);
}

/* Takes one share of the current job and runs it; false where none is left. */
static bool run_one_share(void)
{
    ticket t = atomic_load(&team.current);
    do
        if (ticket_taken(t) == ticket_shares(t))
            return false;
    while (!atomic_compare_exchange_weak(&team.current, &t, t + 1));
    /* The job stands as long as this share has not finished. */
    int n_shares = (int)ticket_shares(t);
    team.body(team.context, (int)ticket_taken(t), n_shares);
    if (atomic_fetch_add(&team.finished, 1) + 1 == (uint32_t)n_shares)
        wake(&team.finished, 1);
    return true;
}

static void *work(void *unused)
{
    (void)unused;
    for (;;) {
        uint32_t news = atomic_load(&team.news);
        while (run_one_share())
            ;
        wait_for_change(&team.news, news);
    }
    return NULL;
}

/* A child of fork has none of its parent's workers. */
static void forget_workers(void)
{
    pthread_mutex_init(&team.lock, NULL);
    team.n_workers = 0;
}

/* As many as asked for, or as many as the system gives: the shares are run all the same. */
static void hire(int n_workers)
{
    pthread_attr_t detached;
    if (team.n_workers >= n_workers || pthread_attr_init(&detached) != 0)
        return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (pthread_t id; team.n_workers < n_workers; team.n_workers++)
        if (pthread_create(&id, &detached, work, NULL) != 0)
            break;
    pthread_attr_destroy(&detached);
}

static void register_fork_handler(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

void thread_run(int n_threads, void (*body)(void *context, int thread, int n_threads),
                void *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (n_threads <= 1 || n_threads > MAX_SHARES || pthread_mutex_trylock(&team.lock) != 0) {
        for (int share = 0; share < n_threads || share == 0; share++)
            body(context, share, n_threads < 1 ? 1 : n_threads);
        return;
    }
    pthread_once(&once, register_fork_handler);
    hire(n_threads - 1);
    team.body = body;
    team.context = context;
    atomic_store(&team.finished, 0);
    atomic_store(&team.current, make_ticket(++team.number, (uint32_t)n_threads, 0));
    atomic_fetch_add(&team.news, 1);
    wake(&team.news, n_threads - 1);
    while (run_one_share())
        ;
    uint32_t finished;
    while ((finished = atomic_load(&team.finished)) < (uint32_t)n_threads)
        wait_for_change(&team.finished, finished);
    pthread_mutex_unlock(&team.lock);
}

void thread_share(int n_items, int granule, int thread, int n_threads, int *first, int *end)
{
    int n_granules = (n_items + granule - 1) / granule;
    int each = n_granules / n_threads, more = n_granules % n_threads;
    int start = thread * each + (thread < more ? thread : more);
    int stop = start + each + (thread < more ? 1 : 0);
    *first = start * granule < n_items ? start * granule : n_items;
    *end = stop * granule < n_items ? stop * granule : n_items;
}
