#include "train/schedule.h"

#include <math.h>

static double share(int64_t part, int64_t whole)
{
    return (double)part / (double)(whole < 1 ? 1 : whole);
}

double schedule_factor(const schedule *s, int64_t k)
{
    if (s->kind == SCHEDULE_CONSTANT)
        return 1.0;
    if (k < s->n_warmup)
        return share(k, s->n_warmup);
    if (s->kind == SCHEDULE_CONSTANT_WITH_WARMUP)
        return 1.0;
    int64_t falling = s->n_total - s->n_warmup;
    if (s->kind == SCHEDULE_LINEAR)
        return fmax(0.0, share(s->n_total - k, falling));
    return fmax(0.0, 0.5 * (1.0 + cos(3.14159265358979323846 * share(k - s->n_warmup, falling))));
}

int64_t schedule_warmup(double warmup_steps, int64_t n_total)
{
    return warmup_steps >= 1 ? (int64_t)warmup_steps
                             : (int64_t)ceil((double)n_total * warmup_steps);
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

run_length schedule_length(int64_t n_samples, int64_t batch_size, int64_t accumulation,
                           double epochs, int64_t max_steps, bool drop_last)
{
    run_length r = {.n_samples = n_samples};
    r.batches_per_epoch = drop_last ? n_samples / batch_size : divide_up(n_samples, batch_size);
    r.steps_per_epoch = divide_up(r.batches_per_epoch, accumulation);
    if (r.steps_per_epoch < 1)
        r.steps_per_epoch = 1;
    r.n_steps = max_steps > 0 ? max_steps : (int64_t)ceil(epochs * (double)r.steps_per_epoch);
    r.n_epochs = max_steps > 0 ? divide_up(max_steps, r.steps_per_epoch) : (int64_t)ceil(epochs);
    return r;
}
