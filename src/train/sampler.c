#include "train/sampler.h"

#include "base/mem.h"
#include "base/mt19937.h"

#include <stdlib.h>

/* torch.randperm: the generator's seed is the run's plus the epoch (accelerate). */
static void random_order(uint64_t seed, int n, int *order)
{
    mt19937 g;
    mt19937_seed(&g, (uint32_t)seed);
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = 0; i < n - 1; i++) {
        int other = i + (int)(mt19937_next(&g) % (uint32_t)(n - i));
        int held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
}

typedef struct sized_sample {
    int length, place, sample;
} sized_sample;

/* Longest first; samples of one length stay in order, as Python's sort leaves them. */
static int compare_sizes(const void *a, const void *b)
{
    const sized_sample *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

static void sort_portion(const int *lengths, int *order, int n, sized_sample *sized)
{
    for (int i = 0; i < n; i++)
        sized[i] = (sized_sample){lengths[order[i]], i, order[i]};
    qsort(sized, (size_t)n, sizeof *sized, compare_sizes);
    for (int i = 0; i < n; i++)
        order[i] = sized[i].sample;
}

/* transformers' get_length_grouped_indices: portions of at most 50 batches, each sorted; the
 * longest article of all comes first. */
static void group_by_length(const sampler *s, int *order, sized_sample *sized)
{
    int n_batches = s->n_samples / (s->grouped_samples * 4), longest = 0;
    int portion = (n_batches > 50 ? 50 : n_batches < 1 ? 1 : n_batches) * s->grouped_samples;
    for (int first = 0; first < s->n_samples; first += portion) {
        int left = s->n_samples - first;
        sort_portion(s->lengths, order + first, left < portion ? left : portion, sized);
        if (s->lengths[order[first]] > s->lengths[order[longest]])
            longest = first;
    }
    int held = order[0];
    order[0] = order[longest];
    order[longest] = held;
}

slant_status sampler_order(const sampler *s, int epoch, int *order, slant_error *err)
{
    if (s->strategy == SAMPLING_SEQUENTIAL) {
        for (int i = 0; i < s->n_samples; i++)
            order[i] = i;
        return SLANT_OK;
    }
    random_order(s->seed + (uint64_t)epoch, s->n_samples, order);
    if (s->strategy != SAMPLING_GROUP_BY_LENGTH || s->n_samples == 0)
        return SLANT_OK;
    sized_sample *sized = mem_alloc((size_t)s->n_samples, sizeof *sized);
    if (sized == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory while ordering the articles");
    group_by_length(s, order, sized);
    mem_free(sized);
    return SLANT_OK;
}
