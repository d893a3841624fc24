#include "train/together.h"

#include "train/saving_files.h"

#include <stdio.h>
#include <string.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for what ranks exchange");
}

bool together_is_first(const trainer *t)
{
    return dist_rank(t->options.team) == 0;
}

slant_status together_agree(const trainer *t, slant_status status, slant_error *err)
{
    return dist_agree(t->options.team, status, err);
}

int64_t together_dealt(const trainer *t)
{
    int64_t n = t->train->n, round = t->s->per_device_train_batch_size * t->n_ranks;
    if (!t->s->even_batches || t->n_ranks == 1)
        return n;
    return t->s->dataloader_drop_last ? n / round * round : (n + round - 1) / round * round;
}

/* A rank tells of a step the losses of its batches, then how many tokens they had. */
static size_t told_of(const trainer *t, int64_t n_micro)
{
    return (size_t)((n_micro + t->n_ranks - 1) / t->n_ranks) + 1;
}

slant_status together_room(trainer *t, int64_t n_micro, slant_error *err)
{
    size_t each = told_of(t, n_micro);
    t->losses = arena_alloc(&t->memory, (size_t)n_micro, sizeof *t->losses);
    t->telling = arena_alloc(&t->memory, each, sizeof *t->telling);
    t->told = arena_alloc(&t->memory, each * (size_t)t->n_ranks, sizeof *t->told);
    return t->losses == NULL || t->telling == NULL || t->told == NULL ? out_of_memory(err)
                                                                      : SLANT_OK;
}

/* Where the run stands that is not in training_state.json. */
typedef struct standing {
    int64_t saved_step, best_global_step;
    double best_metric;
    bool has_best;
} standing;

static slant_status share_standing(trainer *t, slant_error *err)
{
    run_state *s = &t->state;
    standing now = {t->saved_step, s->best_global_step, s->best_metric, s->has_best};
    slant_status status = dist_broadcast(t->options.team, &now, sizeof now, err);
    t->saved_step = now.saved_step;
    s->best_global_step = now.best_global_step;
    s->best_metric = now.best_metric;
    s->has_best = now.has_best;
    return status;
}

static slant_status share_values(trainer *t, slant_error *err)
{
    size_t size_bytes = t->params->n_values * sizeof(float);
    float *arrays[] = {t->params->values, t->optim->m, t->optim->v};
    slant_status status = SLANT_OK;
    for (int i = 0; status == SLANT_OK && i < 3; i++)
        status = dist_broadcast(t->options.team, arrays[i], size_bytes, err);
    parameters_publish(t->params);
    return status;
}

/* Rank 0's training_state.json, which also says what it trains on. */
static slant_status share_state(trainer *t, slant_error *err)
{
    buf text = {0};
    if (together_is_first(t))
        saving_put_state(t, &text);
    size_t size_bytes = text.size_bytes;
    slant_status status = together_agree(t, text.failed ? out_of_memory(err) : SLANT_OK, err);
    if (status == SLANT_OK)
        status = dist_broadcast(t->options.team, &size_bytes, sizeof size_bytes, err);
    if (status == SLANT_OK && !together_is_first(t) && !buf_reserve(&text, size_bytes))
        status = out_of_memory(err);
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        status = dist_broadcast(t->options.team, text.data, size_bytes, err);
    if (status == SLANT_OK && !together_is_first(t))
        status = saving_take_state(t, text.data, size_bytes, "differs from rank 0's", err);
    buf_free(&text);
    return together_agree(t, status, err);
}

/* Different instruction sets round differently: values would drift apart. */
static slant_status check_kernels(const trainer *t, slant_error *err)
{
    const char *name = t->work->kernels->name;
    char first[32] = "";
    snprintf(first, sizeof first, "%s", name);
    slant_status status = dist_broadcast(t->options.team, first, sizeof first, err);
    if (status == SLANT_OK && strncmp(first, name, sizeof first - 1) != 0)
        status = status_fail(err, SLANT_ERR_MISMATCH,
                             "computes with %s, and rank 0 with %s: SLANT_ISA makes them the same",
                             name, first);
    return together_agree(t, status, err);
}

slant_status together_start(trainer *t, slant_error *err)
{
    if (t->n_ranks == 1)
        return SLANT_OK;
    slant_status status = check_kernels(t, err);
    if (status == SLANT_OK)
        status = share_state(t, err);
    if (status == SLANT_OK)
        status = share_standing(t, err);
    return status == SLANT_OK ? share_values(t, err) : status;
}

slant_status together_step(trainer *t, int n_micro, int64_t *n_tokens, slant_error *err)
{
    int n_ranks = t->n_ranks;
    size_t each = told_of(t, n_micro);
    for (int micro = t->rank; micro < n_micro; micro += n_ranks)
        t->telling[micro / n_ranks] = t->losses[micro];
    t->telling[each - 1] = (double)*n_tokens;
    slant_status status =
        dist_gather(t->options.team, t->telling, each * sizeof *t->telling, t->told, err);
    if (status != SLANT_OK)
        return status;
    for (int micro = 0; micro < n_micro; micro++)
        t->losses[micro] = t->told[(size_t)(micro % n_ranks) * each + (size_t)(micro / n_ranks)];
    *n_tokens = 0;
    for (int r = 0; r < n_ranks; r++)
        *n_tokens += (int64_t)t->told[(size_t)r * each + each - 1];
    return dist_sum(t->options.team, t->params->gradients, t->params->n_values, err);
}

slant_status together_add(trainer *t, double mine, double *sum, slant_error *err)
{
    slant_status status = dist_gather(t->options.team, &mine, sizeof mine, t->told, err);
    for (int r = 0; status == SLANT_OK && r < t->n_ranks; r++)
        *sum += t->told[r];
    return status;
}

slant_status together_count(trainer *t, int64_t *counts, size_t n, int64_t *all, slant_error *err)
{
    slant_status status = dist_gather(t->options.team, counts, n * sizeof *counts, all, err);
    if (status != SLANT_OK)
        return status;
    memcpy(counts, all, n * sizeof *counts);
    for (size_t i = n; i < n * (size_t)t->n_ranks; i++)
        counts[i % n] += all[i];
    return SLANT_OK;
}
