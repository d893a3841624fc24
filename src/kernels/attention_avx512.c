/* Attention with AVX-512 in fp32: four queries at a time against tiles of 64 keys. Keys are laid
 * out once with the tile's 64 side by side, so that a product runs along keys; values are read
 * where they lie, so that a sum runs along dimensions. */
#include "kernels/attention_avx512.h"
#include "kernels/tables.h"

#define QUERIES 4

typedef struct query_block {
    const attention_args *args;
    const float *keys;       /* [n_tiles][head_dim][64] */
    const float *q[QUERIES]; /* [head_dim]; queries past the last repeat it */
    int position[QUERIES];
    int n; /* queries that exist */
    query_state state[QUERIES];
    float acc[QUERIES][ATTENTION_MAX_HEAD_DIM];
    float p[QUERIES][ATTENTION_TILE];
    float rescale[QUERIES];
} query_block;

static void pack_keys(const attention_args *a, float *packed)
{
    int n_tiles = (a->n_keys + ATTENTION_TILE - 1) / ATTENTION_TILE;
    for (int tile = 0; tile < n_tiles; tile++)
        for (int lane = 0; lane < ATTENTION_TILE; lane++) {
            int key = tile * ATTENTION_TILE + lane;
            float *out = packed + (size_t)tile * ATTENTION_TILE * (size_t)a->head_dim + lane;
            const float *k = a->k + (size_t)key * a->kv_stride;
            for (int d = 0; d < a->head_dim; d++)
                out[d * ATTENTION_TILE] = key < a->n_keys ? k[d] : 0.0f;
        }
}

static void score_tile(query_block *b, int tile0)
{
    const attention_args *a = b->args;
    const float *keys = b->keys + (size_t)tile0 * (size_t)a->head_dim;
    __m512 row[QUERIES][TILE_VECTORS];
    for (int i = 0; i < QUERIES; i++)
        for (int v = 0; v < TILE_VECTORS; v++)
            row[i][v] = _mm512_setzero_ps();
    for (int d = 0; d < a->head_dim; d++, keys += ATTENTION_TILE)
        for (int v = 0; v < TILE_VECTORS; v++) {
            __m512 k = _mm512_load_ps(keys + v * LANES);
            for (int i = 0; i < QUERIES; i++)
                row[i][v] = _mm512_fmadd_ps(_mm512_set1_ps(b->q[i][d]), k, row[i][v]);
        }
    for (int i = 0; i < QUERIES; i++) {
        b->rescale[i] = softmax_tile(&b->state[i], row[i], a->scale,
                                     first_visible(a, b->position[i]), b->position[i], tile0);
        for (int v = 0; v < TILE_VECTORS; v++)
            _mm512_storeu_ps(b->p[i] + v * LANES, row[i][v]);
    }
}

/* acc = acc · rescale + Σ p · value over the tile's keys, 64 dimensions at a time. */
static void gather_values(query_block *b, int tile0, int n_keys)
{
    const attention_args *a = b->args;
    for (int d = 0; d < a->head_dim; d += 4 * LANES) {
        __m512 acc[QUERIES][4];
        __mmask16 real[4];
        for (int v = 0; v < 4; v++)
            real[v] =
                first_lanes(a->head_dim - d - v * LANES < 0 ? 0 : a->head_dim - d - v * LANES);
        for (int i = 0; i < QUERIES; i++)
            for (int v = 0; v < 4; v++)
                acc[i][v] =
                    _mm512_mul_ps(_mm512_set1_ps(b->rescale[i]),
                                  _mm512_maskz_loadu_ps(real[v], b->acc[i] + d + v * LANES));
        for (int k = 0; k < n_keys; k++) {
            const float *value = a->v + (size_t)(tile0 + k) * a->kv_stride + d;
            for (int v = 0; v < 4; v++) {
                __m512 x = _mm512_maskz_loadu_ps(real[v], value + v * LANES);
                for (int i = 0; i < QUERIES; i++)
                    acc[i][v] = _mm512_fmadd_ps(_mm512_set1_ps(b->p[i][k]), x, acc[i][v]);
            }
        }
        for (int i = 0; i < QUERIES; i++)
            for (int v = 0; v < 4; v++)
                _mm512_mask_storeu_ps(b->acc[i] + d + v * LANES, real[v], acc[i][v]);
    }
}

static void start_block(query_block *b, const attention_args *a, int head, int first)
{
    b->n = a->n_queries - first < QUERIES ? a->n_queries - first : QUERIES;
    for (int i = 0; i < QUERIES; i++) {
        int query = first + (i < b->n ? i : b->n - 1);
        b->q[i] = a->q + (size_t)query * a->q_stride + (size_t)head * (size_t)a->head_dim;
        b->position[i] = a->first_query + query;
        b->state[i] = (query_state){ATTENTION_LOWEST, _mm512_setzero_ps()};
        for (int d = 0; d < a->head_dim; d++)
            b->acc[i][d] = 0.0f;
    }
}

static void finish_block(const query_block *b, int head, int first)
{
    const attention_args *a = b->args;
    for (int i = 0; i < b->n; i++) {
        float sum = _mm512_reduce_add_ps(b->state[i].sums);
        float *out =
            a->out + (size_t)(first + i) * a->out_stride + (size_t)head * (size_t)a->head_dim;
        for (int d = 0; d < a->head_dim; d++)
            out[d] = b->acc[i][d] / sum;
    }
}

void attention_avx512(const attention_args *a)
{
    query_block b = {.args = a, .keys = a->scratch};
    pack_keys(a, a->scratch);
    for (int head = 0; head < a->n_heads; head++)
        for (int first = 0; first < a->n_queries; first += QUERIES) {
            start_block(&b, a, head, first);
            int last = b.position[b.n - 1];
            int tile = first_visible(a, b.position[0]) / ATTENTION_TILE;
            for (; tile <= last / ATTENTION_TILE; tile++) {
                int tile0 = tile * ATTENTION_TILE, n_keys = last - tile0 + 1;
                score_tile(&b, tile0);
                gather_values(&b, tile0, n_keys < ATTENTION_TILE ? n_keys : ATTENTION_TILE);
            }
            finish_block(&b, head, first);
        }
}
