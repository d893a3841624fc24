#include "train/optimizer.h"

#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file of that size, mapped; its name goes away at once, the file with the mapping. */
static slant_status map_file(const char *path, size_t size_bytes, void **out, slant_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_errno(err, errno, "%s", path);
    int failed = posix_fallocate(fd, 0, (off_t)size_bytes);
    void *map = MAP_FAILED;
    if (failed == 0) {
        map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        failed = map == MAP_FAILED ? errno : 0;
    }
    unlink(path);
    close(fd);
    *out = map;
    return failed == 0 ? SLANT_OK : status_errno(err, failed, "%s", path);
}

static slant_status map_moments(optimizer *o, slant_error *err)
{
    void *pages = NULL;
    slant_status status = SLANT_OK;
    if (o->settings.paged_file != NULL)
        status = map_file(o->settings.paged_file, o->pages_bytes, &pages, err);
    else if ((pages = mem_alloc_pages(o->pages_bytes)) == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory for the optimiser's state");
    if (status != SLANT_OK)
        return status;
    o->m = pages;
    o->v = o->m + o->n_values;
    return SLANT_OK;
}

slant_status optimizer_open(const parameters *p, const optimizer_settings *settings,
                            const gradient_table *kernels, int n_threads, optimizer **out,
                            slant_error *err)
{
    *out = NULL;
    optimizer *o = mem_calloc(1, sizeof *o);
    if (o == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the optimiser");
    o->settings = *settings;
    o->is_paged = settings->paged_file != NULL;
    o->kernels = kernels;
    o->n_threads = n_threads;
    o->n_values = p->n_values;
    o->pages_bytes = 2 * p->n_values * sizeof(float);
    o->norms = mem_alloc((size_t)p->n, sizeof *o->norms);
    slant_status status =
        o->norms == NULL ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for the optimiser")
                         : map_moments(o, err);
    if (status != SLANT_OK) {
        optimizer_close(o);
        return status;
    }
    *out = o;
    return SLANT_OK;
}

void optimizer_close(optimizer *o)
{
    if (o == NULL)
        return;
    if (o->is_paged && o->m != NULL)
        munmap(o->m, o->pages_bytes);
    else
        mem_free_pages(o->m, o->pages_bytes);
    mem_free(o->norms);
    mem_free(o);
}

typedef struct norm_team {
    const optimizer *o;
    const parameters *p;
} norm_team;

static void norm_share(void *context, int thread, int n_threads)
{
    const norm_team *team = context;
    for (int i = thread; i < team->p->n; i += n_threads) {
        const parameter *t = &team->p->list[i];
        team->o->norms[i] = team->o->kernels->sum_of_squares(team->p->gradients + t->first,
                                                             (size_t)t->rows * (size_t)t->columns);
    }
}

/* Each tensor's sum is one thread's, and they are added in order: threads do not matter. */
double optimizer_gradient_norm(optimizer *o, const parameters *p)
{
    norm_team team = {o, p};
    double sum = 0;
    thread_run(o->n_threads, norm_share, &team);
    for (int i = 0; i < p->n; i++)
        sum += o->norms[i];
    return sqrt(sum);
}

typedef struct update_team {
    optimizer *o;
    parameters *p;
    adamw_step step;
} update_team;

static void update_share(void *context, int thread, int n_threads)
{
    update_team *team = context;
    int first, end;
    /* Blocks of 16 values, so that counts fit an int. */
    thread_share((int)(team->p->n_values / 16), 1, thread, n_threads, &first, &end);
    size_t at = (size_t)first * 16;
    team->o->kernels->adamw(&team->step, team->p->gradients + at, team->p->values + at,
                            team->o->m + at, team->o->v + at, (size_t)(end - first) * 16);
}

void optimizer_update(optimizer *o, parameters *p, double lr, double unscale, double norm)
{
    const optimizer_settings *s = &o->settings;
    double clip = 1.0, t = (double)++o->n_updates;
    if (s->max_grad_norm > 0 && (double)s->max_grad_norm / (norm + 1e-6) < 1.0)
        clip = (double)s->max_grad_norm / (norm + 1e-6);
    update_team team = {.o = o,
                        .p = p,
                        .step = {.lr = (float)lr,
                                 .beta1 = s->beta1,
                                 .beta2 = s->beta2,
                                 .eps = s->eps,
                                 .weight_decay = s->weight_decay,
                                 .correction1 = (float)(1.0 - pow((double)s->beta1, t)),
                                 .correction2 = (float)sqrt(1.0 - pow((double)s->beta2, t)),
                                 .gradient_scale = (float)(unscale * clip)}};
    thread_run(o->n_threads, update_share, &team);
}
