/* Attention with AVX-512 in fp32: four queries at a time against tiles of 64 keys. Keys are laid
 * out once with the tile's 64 side by side, so that a product runs along keys; values once without
 * what lies between their rows, so that a sum runs along dimensions and rows do not share cache
 * sets. */
#include "kernels/attention_avx512.h"
#include "kernels/tables.h"

#include <string.h>

#define QUERIES 4
#define GROUPS 4 /* of so many queries, that pass a tile while it is in the first-level cache */

/* Keys and values of a call, zeros past the last. */
typedef struct packed {
    size_t n_dims; /* head_dim in whole registers */
    float *keys;   /* [n_tiles][n_dims][64] */
    float *values; /* [n_tiles · 64][n_dims] */
} packed;

typedef struct query_group {
    const attention_args *args;
    const packed *packed;
    const float *q[QUERIES]; /* [head_dim]; queries past the last repeat it */
    int position[QUERIES];
    int n; /* queries that exist */
    query_state state[QUERIES];
    float acc[QUERIES][ATTENTION_MAX_HEAD_DIM];
    float p[QUERIES][ATTENTION_TILE];
    float rescale[QUERIES];
} query_group;

/* Sixteen keys and values from `key` on, dimensions d … d + 15. */
static void pack_square(const attention_args *a, const packed *p, int key, int d)
{
    size_t tile0 = (size_t)(key / ATTENTION_TILE * ATTENTION_TILE);
    float *keys = p->keys + tile0 * p->n_dims + (size_t)d * ATTENTION_TILE + key % ATTENTION_TILE;
    float *values = p->values + (size_t)key * p->n_dims + d;
    __m512i row[LANES];
    for (int i = 0; i < LANES; i++) {
        bool exists = key + i < a->n_keys;
        size_t at = (size_t)(exists ? key + i : 0) * a->kv_stride;
        int head_dim = exists ? a->head_dim : 0;
        row[i] = _mm512_castps_si512(load_dims(a->k + at, d, head_dim));
        _mm512_store_ps(values + (size_t)i * p->n_dims, load_dims(a->v + at, d, head_dim));
    }
    transpose16(row);
    for (int i = 0; i < LANES; i++)
        _mm512_store_si512(keys + i * ATTENTION_TILE, row[i]);
}

static packed pack(const attention_args *a)
{
    int n_keys = (a->n_keys + ATTENTION_TILE - 1) / ATTENTION_TILE * ATTENTION_TILE;
    packed p = {.n_dims = ((size_t)a->head_dim + LANES - 1) / LANES * LANES, .keys = a->scratch};
    p.values = p.keys + (size_t)n_keys * p.n_dims;
    int from = first_visible(a, a->first_query) / ATTENTION_TILE * ATTENTION_TILE;
    for (int key = from; key < n_keys; key += LANES)
        for (int d = 0; d < a->head_dim; d += LANES)
            pack_square(a, &p, key, d);
    return p;
}

static void score_tile(query_group *g, int tile0)
{
    const attention_args *a = g->args;
    const float *keys = g->packed->keys + (size_t)tile0 * g->packed->n_dims;
    __m512 row[QUERIES][TILE_VECTORS];
    for (int i = 0; i < QUERIES; i++)
        for (int v = 0; v < TILE_VECTORS; v++)
            row[i][v] = _mm512_setzero_ps();
    for (int d = 0; d < a->head_dim; d++, keys += ATTENTION_TILE)
        for (int v = 0; v < TILE_VECTORS; v++) {
            __m512 k = _mm512_load_ps(keys + v * LANES);
            for (int i = 0; i < QUERIES; i++)
                row[i][v] = _mm512_fmadd_ps(_mm512_set1_ps(g->q[i][d]), k, row[i][v]);
        }
    for (int i = 0; i < QUERIES; i++) {
        g->rescale[i] = softmax_tile(&g->state[i], row[i], a->scale,
                                     first_visible(a, g->position[i]), g->position[i], tile0);
        for (int v = 0; v < TILE_VECTORS; v++)
            _mm512_storeu_ps(g->p[i] + v * LANES, row[i][v]);
    }
}

/* acc = acc · rescale + Σ p · value over n_keys keys, n_vectors · 16 dimensions from d on. */
static inline __attribute__((always_inline)) void gather_dims(query_group *g, const float *values,
                                                              int n_keys, size_t d, int n_vectors)
{
    __m512 acc[QUERIES][4];
    for (int i = 0; i < QUERIES; i++)
        for (int v = 0; v < n_vectors; v++)
            acc[i][v] = _mm512_mul_ps(_mm512_set1_ps(g->rescale[i]),
                                      _mm512_loadu_ps(g->acc[i] + d + v * LANES));
    for (int k = 0; k < n_keys; k++, values += g->packed->n_dims)
        for (int v = 0; v < n_vectors; v++) {
            __m512 x = _mm512_load_ps(values + d + v * LANES);
            for (int i = 0; i < QUERIES; i++)
                acc[i][v] = _mm512_fmadd_ps(_mm512_set1_ps(g->p[i][k]), x, acc[i][v]);
        }
    for (int i = 0; i < QUERIES; i++)
        for (int v = 0; v < n_vectors; v++)
            _mm512_storeu_ps(g->acc[i] + d + v * LANES, acc[i][v]);
}

static void gather_values(query_group *g, int tile0, int n_keys)
{
    const float *values = g->packed->values + (size_t)tile0 * g->packed->n_dims;
    size_t d = 0;
    for (; d + 4 * LANES <= g->packed->n_dims; d += 4 * LANES)
        gather_dims(g, values, n_keys, d, 4);
    for (; d < g->packed->n_dims; d += LANES)
        gather_dims(g, values, n_keys, d, 1);
}

static void start_group(query_group *g, const attention_args *a, const packed *p, int head,
                        int first)
{
    g->args = a;
    g->packed = p;
    g->n = a->n_queries - first < QUERIES ? a->n_queries - first : QUERIES;
    for (int i = 0; i < QUERIES; i++) {
        int query = first + (i < g->n ? i : g->n - 1);
        g->q[i] = a->q + (size_t)query * a->q_stride + (size_t)head * (size_t)a->head_dim;
        g->position[i] = a->first_query + query;
        g->state[i] = (query_state){ATTENTION_LOWEST, _mm512_setzero_ps()};
        memset(g->acc[i], 0, p->n_dims * sizeof *g->acc[i]);
    }
}

/* Nothing where none of the group's queries sees a key of the tile. */
static void visit_tile(query_group *g, int tile0)
{
    int last = g->position[g->n - 1], n_keys = last - tile0 + 1;
    if (n_keys <= 0 || first_visible(g->args, g->position[0]) >= tile0 + ATTENTION_TILE)
        return;
    score_tile(g, tile0);
    gather_values(g, tile0, n_keys < ATTENTION_TILE ? n_keys : ATTENTION_TILE);
}

static void finish_group(const query_group *g, int head, int first)
{
    const attention_args *a = g->args;
    for (int i = 0; i < g->n; i++) {
        float sum = _mm512_reduce_add_ps(g->state[i].sums);
        float *out =
            a->out + (size_t)(first + i) * a->out_stride + (size_t)head * (size_t)a->head_dim;
        for (int d = 0; d < a->head_dim; d++)
            out[d] = g->acc[i][d] / sum;
    }
}

static void attend(const attention_args *a, const packed *p, int head, int first)
{
    query_group groups[GROUPS];
    int n = 0;
    for (; n < GROUPS && first + n * QUERIES < a->n_queries; n++)
        start_group(&groups[n], a, p, head, first + n * QUERIES);
    int last = groups[n - 1].position[QUERIES - 1];
    int tile0 = first_visible(a, groups[0].position[0]) / ATTENTION_TILE * ATTENTION_TILE;
    for (; tile0 <= last; tile0 += ATTENTION_TILE)
        for (int i = 0; i < n; i++)
            visit_tile(&groups[i], tile0);
    for (int i = 0; i < n; i++)
        finish_group(&groups[i], head, first + i * QUERIES);
}

void attention_avx512(const attention_args *a)
{
    packed p = pack(a);
    for (int head = 0; head < a->n_heads; head++)
        for (int first = 0; first < a->n_queries; first += GROUPS * QUERIES)
            attend(a, &p, head, first);
}
