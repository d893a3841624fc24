/* The reference for attention: one query at a time, softmax online over tiles of keys (Milakov &
 * Gimelshein 2018), all in fp32. */
#include "kernels/tables.h"

#include <math.h>

/* The running softmax of one query: Σ p·v and Σ p, both relative to exp(max). */
typedef struct softmax_state {
    float max, sum;
    float acc[ATTENTION_MAX_HEAD_DIM];
} softmax_state;

static float dot(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Keys first … end - 1, at most one tile of them. */
static void visit_tile(const attention_args *a, const float *q, int first, int end,
                       softmax_state *s)
{
    float scores[ATTENTION_TILE];
    float max = s->max;
    for (int k = first; k < end; k++) {
        scores[k - first] = dot(q, a->k + (size_t)k * a->kv_stride, a->head_dim) * a->scale;
        max = fmaxf(max, scores[k - first]);
    }
    float rescale = expf(s->max - max);
    s->max = max;
    s->sum *= rescale;
    for (int i = 0; i < a->head_dim; i++)
        s->acc[i] *= rescale;
    for (int k = first; k < end; k++) {
        const float *v = a->v + (size_t)k * a->kv_stride;
        float p = expf(scores[k - first] - max);
        s->sum += p;
        for (int i = 0; i < a->head_dim; i++)
            s->acc[i] += p * v[i];
    }
}

static void attend(const attention_args *a, const float *q, int position, float *out)
{
    softmax_state s = {.max = ATTENTION_LOWEST};
    int first = a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
    while (first <= position) {
        int end = (first / ATTENTION_TILE + 1) * ATTENTION_TILE;
        if (end > position + 1)
            end = position + 1;
        visit_tile(a, q, first, end, &s);
        first = end;
    }
    for (int i = 0; i < a->head_dim; i++)
        out[i] = s.acc[i] / s.sum;
}

void attention_scalar(const attention_args *a)
{
    for (int h = 0; h < a->n_heads; h++)
        for (int i = 0; i < a->n_queries; i++) {
            size_t head = (size_t)h * (size_t)a->head_dim;
            attend(a, a->q + (size_t)i * a->q_stride + head, a->first_query + i,
                   a->out + (size_t)i * a->out_stride + head);
        }
}
