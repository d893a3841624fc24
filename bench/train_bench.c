/* Where a training step's time goes, and how near its gradients come to those in fp32.
 *
 *     train_bench steps 8 model=BASE train=FILE output_dir=DIR compute=bf16 …
 *     train_bench cosine 1 model=BASE adapter=DIR train=FILE output_dir=DIR lora_dropout=0 …
 *
 * Settings are slant train's. steps N: processor time and time of forward, backward and update, the
 * median of N steps after one to warm up. cosine N: the gradients of the first N batches together,
 * in bf16, int16 and int8, each tensor's cosine to the same in fp32, and the ratio of their
 * lengths. */
#include "base/mem.h"
#include "model/backward.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_STEPS = 64, PARTS = 3 };

static slant_error err;

static void check(slant_status status)
{
    if (status == SLANT_OK)
        return;
    fprintf(stderr, "train_bench: %s\n", err.message);
    exit(EXIT_FAILURE);
}

typedef struct instant {
    double processor, clock;
} instant;

static double seconds_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static instant now(void)
{
    return (instant){seconds_of(CLOCK_PROCESS_CPUTIME_ID), seconds_of(CLOCK_MONOTONIC)};
}

static slant_recipe *read_settings(int n, char **settings, const char *compute)
{
    slant_recipe *recipe;
    check(slant_recipe_open(&recipe, &err));
    for (int i = 0; i < n; i++) {
        char *value = strchr(settings[i], '=');
        if (value == NULL) {
            fprintf(stderr, "train_bench: %s is not SETTING=VALUE\n", settings[i]);
            exit(EXIT_FAILURE);
        }
        *value = '\0';
        check(slant_recipe_set(recipe, settings[i], value + 1, &err));
        *value = '=';
    }
    if (compute != NULL)
        check(slant_recipe_set(recipe, "compute", compute, &err));
    return recipe;
}

/* Forward and loss of batch `batch`, around the data's end where it has fewer. */
static void run_forward(trainer *t, int batch)
{
    trainer_batch *b = &t->batch;
    int n = (int)t->s->per_device_train_batch_size;
    if (n > t->train->n)
        n = t->train->n;
    int first = batch * n % (t->train->n - n + 1);
    trainer_fill_batch(t, t->train, NULL, first, n, (uint32_t)first);
    train_batch packed = {b->ids, b->bounds, b->pooled, b->samples, b->n};
    check(forward_record(t->tape, &packed, b->logits, &err));
    (void)trainer_batch_loss(t, 1, true);
}

/* ---- steps ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

static void run_step(trainer *t, int step, instant at[PARTS + 1])
{
    memset(t->params->gradients, 0, t->params->n_values * sizeof(float));
    at[0] = now();
    run_forward(t, step);
    at[1] = now();
    backward(t->tape, t->batch.d_logits);
    at[2] = now();
    double norm = optimizer_gradient_norm(t->optim, t->params);
    optimizer_update(t->optim, t->params, 1e-5, 1, norm);
    parameters_publish(t->params);
    at[3] = now();
}

static void time_steps(trainer *t, int n_steps)
{
    static const char *const names[] = {"forward", "backward", "update", "all"};
    double processor[PARTS + 1][MAX_STEPS], clock[PARTS + 1][MAX_STEPS];
    double tokens = 0;
    instant at[PARTS + 1];
    run_step(t, 0, at);
    for (int step = 0; step < n_steps; step++) {
        run_step(t, step + 1, at);
        tokens += t->batch.bounds[t->batch.n] / (double)n_steps;
        for (int part = 0; part <= PARTS; part++) {
            int from = part < PARTS ? part : 0, to = part < PARTS ? part + 1 : PARTS;
            processor[part][step] = at[to].processor - at[from].processor;
            clock[part][step] = at[to].clock - at[from].clock;
        }
    }
    printf("%.0f tokens a step, %d threads\n%-9s %12s %9s %9s\n", tokens, t->n_threads, "",
           "processor ms", "clock ms", "tokens/s");
    for (int part = 0; part <= PARTS; part++) {
        double seconds = median(clock[part], n_steps);
        printf("%-9s %12.1f %9.1f %9.0f\n", names[part], 1e3 * median(processor[part], n_steps),
               1e3 * seconds, tokens / seconds);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("tokens per second of processor time: %.0f; peak of memory %ld MiB\n",
           tokens / median(processor[PARTS], n_steps), usage.ru_maxrss / 1024);
}

/* ---- cosine ---- */

/* Of the first batches together; the caller frees them. */
static float *gradients(trainer *t, int n_batches)
{
    size_t n = t->params->n_values;
    memset(t->params->gradients, 0, n * sizeof(float));
    for (int i = 0; i < n_batches; i++) {
        run_forward(t, i);
        backward(t->tape, t->batch.d_logits);
    }
    float *copy = mem_alloc(n, sizeof *copy);
    if (copy == NULL)
        exit(EXIT_FAILURE);
    memcpy(copy, t->params->gradients, n * sizeof *copy);
    return copy;
}

typedef struct alikeness {
    double along, a, b;
} alikeness;

static void add(alikeness *sum, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum->along += (double)a[i] * (double)b[i];
        sum->a += (double)a[i] * (double)a[i];
        sum->b += (double)b[i] * (double)b[i];
    }
}

static double cosine(const alikeness *s)
{
    return s->a > 0 && s->b > 0 ? s->along / sqrt(s->a * s->b) : 1;
}

static void compare(const parameters *p, const float *got, const float *want, const char *compute)
{
    alikeness all = {0, 0, 0};
    double least = 1, sum = 0;
    const char *worst = "";
    int below = 0;
    for (int i = 0; i < p->n; i++) {
        const parameter *tensor = &p->list[i];
        size_t n = (size_t)tensor->rows * (size_t)tensor->columns;
        alikeness one = {0, 0, 0};
        add(&one, got + tensor->first, want + tensor->first, n);
        add(&all, got + tensor->first, want + tensor->first, n);
        sum += cosine(&one);
        below += cosine(&one) < 0.999;
        if (cosine(&one) < least) {
            least = cosine(&one);
            worst = tensor->name;
        }
    }
    printf(
        "%s: cosine %.6f of all %zu values, length × %.4f; of %d tensors mean %.6f, %d below "
        "0.999, least %.6f (%s)\n",
        compute, cosine(&all), p->n_values, sqrt(all.a / all.b), p->n, sum / p->n, below, least,
        worst);
}

static void compare_computes(int n, char **settings, int n_batches)
{
    static const char *const computes[] = {"fp32", "bf16", "int16", "int8"};
    enum { N = sizeof computes / sizeof *computes };
    float *found[N];
    for (int i = 0; i < N; i++) {
        slant_recipe *recipe = read_settings(n, settings, computes[i]);
        trainer *t;
        check(trainer_open(recipe, NULL, &t, &err));
        found[i] = gradients(t, n_batches);
        if (i > 0)
            compare(t->params, found[i], found[0], computes[i]);
        trainer_close(t);
        slant_recipe_close(recipe);
    }
    for (int i = 0; i < N; i++)
        mem_free(found[i]);
}

int main(int argc, char **argv)
{
    int n = argc < 3 ? 0 : atoi(argv[2]);
    if (n < 1 || n > MAX_STEPS) {
        fprintf(stderr, "usage: train_bench steps|cosine N SETTING=VALUE…\n");
        return EXIT_FAILURE;
    }
    if (strcmp(argv[1], "cosine") == 0) {
        compare_computes(argc - 3, argv + 3, n);
        return EXIT_SUCCESS;
    }
    slant_recipe *recipe = read_settings(argc - 3, argv + 3, NULL);
    trainer *t;
    check(trainer_open(recipe, NULL, &t, &err));
    time_steps(t, n);
    trainer_close(t);
    slant_recipe_close(recipe);
    return EXIT_SUCCESS;
}
