/* Attention with AVX2 in fp32: six queries at a time against tiles of 64 keys, softmax online
 * (Milakov & Gimelshein 2018). Keys are laid out once with the tile's 64 side by side, so that a
 * product runs along keys; values once without what lies between their rows, so that a sum runs
 * along dimensions and rows do not share cache sets. */
#include "kernels/tables.h"
#include "kernels/tile_avx2.h"

#define TILE_VECTORS (ATTENTION_TILE / LANES)

TILE_FUNCTION tile_attention(const tile *t, int tokens)
{
    tile_rows_f32(t, tokens, t->w_row_bytes);
}
TILE_KERNELS(tile_attention)

typedef struct query_block {
    const attention_args *args;
    const float *keys;   /* [n_tiles][head_dim][64] */
    const float *values; /* [n_keys][n_dims] */
    size_t n_dims;       /* head_dim in whole pairs of registers, zeros beyond it */
    const float *q;      /* [n][q_stride] */
    int n, first;        /* queries, and the position of the first */
    float max[TILE_TOKENS];
    __m256 sums[TILE_TOKENS]; /* in lanes until the end, so that their order is fixed */
    alignas(32) float p[TILE_TOKENS][ATTENTION_TILE];
    alignas(32) float acc[TILE_TOKENS][ATTENTION_MAX_HEAD_DIM];
} query_block;

static int first_visible(const attention_args *a, int position)
{
    return a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
}

/* Eight keys from `key` on, dimensions d … d + 7: out [8][64]. */
static void pack_eight_keys(const attention_args *a, int key, int d, float *out)
{
    __m256i row[LANES];
    int left = a->head_dim - d;
    for (int i = 0; i < LANES; i++) {
        const float *k = a->k + (size_t)(key + i) * a->kv_stride + d;
        row[i] =
            _mm256_castps_si256(key + i < a->n_keys ? load_first(k, left) : _mm256_setzero_ps());
    }
    transpose8(row);
    for (int i = 0; i < LANES && i < left; i++)
        _mm256_store_ps(out + i * ATTENTION_TILE, _mm256_castsi256_ps(row[i]));
}

static void pack_keys(const attention_args *a, float *packed)
{
    for (int tile0 = 0; tile0 < a->n_keys; tile0 += ATTENTION_TILE)
        for (int lane = 0; lane < ATTENTION_TILE; lane += LANES) {
            float *out = packed + (size_t)tile0 * (size_t)a->head_dim + lane;
            for (int d = 0; d < a->head_dim; d += LANES)
                pack_eight_keys(a, tile0 + lane, d, out + d * ATTENTION_TILE);
        }
}

static void pack_values(const attention_args *a, size_t n_dims, float *packed)
{
    for (int key = 0; key < a->n_keys; key++)
        for (int d = 0; d < (int)n_dims; d += LANES)
            _mm256_store_ps(packed + (size_t)key * n_dims + d,
                            load_first(a->v + (size_t)key * a->kv_stride + d, a->head_dim - d));
}

/* Turns a row of raw products into weights p = exp(scale · score − max), 0 for keys outside first …
 * last, and gives the factor that what was summed before must be multiplied by. A tile without a
 * visible key changes nothing. */
static float softmax_tile(query_block *b, int query, int tile0)
{
    int last = b->first + query, first = first_visible(b->args, last);
    __m256 row[TILE_VECTORS], scale = _mm256_set1_ps(b->args->scale);
    __m256 old = _mm256_set1_ps(b->max[query]), highest = old;
    __m256i visible[TILE_VECTORS];
    for (int v = 0; v < TILE_VECTORS; v++) {
        int key0 = tile0 + v * LANES;
        visible[v] = _mm256_andnot_si256(first_lanes(first - key0), first_lanes(last - key0 + 1));
        row[v] = _mm256_mul_ps(_mm256_load_ps(b->p[query] + v * LANES), scale);
        highest =
            _mm256_max_ps(highest, _mm256_blendv_ps(old, row[v], _mm256_castsi256_ps(visible[v])));
    }
    b->max[query] = max_lanes(highest);
    __m256 max = _mm256_set1_ps(b->max[query]);
    __m256 rescale = exp_avx2(_mm256_sub_ps(old, max));
    __m256 sums = _mm256_mul_ps(b->sums[query], rescale);
    for (int v = 0; v < TILE_VECTORS; v++) {
        __m256 p =
            _mm256_and_ps(_mm256_castsi256_ps(visible[v]), exp_avx2(_mm256_sub_ps(row[v], max)));
        sums = _mm256_add_ps(sums, p);
        _mm256_store_ps(b->p[query] + v * LANES, p);
    }
    b->sums[query] = sums;
    return _mm256_cvtss_f32(rescale);
}

/* p: raw products of the queries and the tile's first n_keys keys, in whole chunks of 16. */
static void score_tile(query_block *b, int tile0, int n_keys)
{
    tile t = {
        .x = (const char *)b->q,
        .x_stride_bytes = b->args->q_stride * sizeof(float),
        .w_row_bytes = ATTENTION_TILE * sizeof(float),
        .n = b->args->head_dim,
        .out_stride = ATTENTION_TILE,
    };
    for (int k = 0; k < n_keys; k += 2 * LANES) {
        t.w = (const char *)(b->keys + (size_t)tile0 * (size_t)b->args->head_dim + k);
        t.out = b->p[0] + k;
        tile_attention_kernels[b->n - 1](&t);
    }
}

/* acc += Σ p · value over the tile's first n_keys keys. */
static void gather_values(query_block *b, int tile0, int n_keys)
{
    tile t = {
        .x = (const char *)b->p[0],
        .x_stride_bytes = ATTENTION_TILE * sizeof(float),
        .w_row_bytes = b->n_dims * sizeof(float),
        .n = n_keys,
        .out_stride = ATTENTION_MAX_HEAD_DIM,
        .accumulate = true,
    };
    for (size_t d = 0; d < b->n_dims; d += (size_t)(2 * LANES)) {
        t.w = (const char *)(b->values + (size_t)tile0 * b->n_dims + d);
        t.out = b->acc[0] + d;
        tile_attention_kernels[b->n - 1](&t);
    }
}

static void visit_tile(query_block *b, int tile0)
{
    int n_keys = b->first + b->n - tile0;
    n_keys = n_keys < ATTENTION_TILE ? n_keys : ATTENTION_TILE;
    score_tile(b, tile0, n_keys);
    for (int i = 0; i < b->n; i++) {
        __m256 rescale = _mm256_set1_ps(softmax_tile(b, i, tile0));
        for (size_t d = 0; d < b->n_dims; d += LANES)
            _mm256_store_ps(b->acc[i] + d, _mm256_mul_ps(_mm256_load_ps(b->acc[i] + d), rescale));
    }
    gather_values(b, tile0, n_keys);
}

static void start_block(query_block *b, int head, int first)
{
    const attention_args *a = b->args;
    b->q = a->q + (size_t)first * a->q_stride + (size_t)head * (size_t)a->head_dim;
    b->n = a->n_queries - first < TILE_TOKENS ? a->n_queries - first : TILE_TOKENS;
    b->first = a->first_query + first;
    for (int i = 0; i < b->n; i++) {
        b->max[i] = ATTENTION_LOWEST;
        b->sums[i] = _mm256_setzero_ps();
        for (size_t d = 0; d < b->n_dims; d += LANES)
            _mm256_store_ps(b->acc[i] + d, _mm256_setzero_ps());
    }
}

static void finish_block(const query_block *b, int head, int first)
{
    const attention_args *a = b->args;
    for (int i = 0; i < b->n; i++) {
        __m256 sum = _mm256_set1_ps(sum_lanes(b->sums[i]));
        float *out =
            a->out + (size_t)(first + i) * a->out_stride + (size_t)head * (size_t)a->head_dim;
        for (int d = 0; d < a->head_dim; d += LANES)
            store_first(out + d, a->head_dim - d,
                        _mm256_div_ps(_mm256_load_ps(b->acc[i] + d), sum));
    }
}

void attention_avx2(const attention_args *a)
{
    size_t n_tiles = ((size_t)a->n_keys + ATTENTION_TILE - 1) / ATTENTION_TILE;
    float *keys = a->scratch, *values = keys + n_tiles * ATTENTION_TILE * (size_t)a->head_dim;
    query_block b = {.args = a, .keys = keys, .values = values};
    b.n_dims = ((size_t)a->head_dim + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);
    pack_keys(a, keys);
    pack_values(a, b.n_dims, values);
    for (int head = 0; head < a->n_heads; head++)
        for (int first = 0; first < a->n_queries; first += TILE_TOKENS) {
            start_block(&b, head, first);
            int tile0 = first_visible(a, b.first) / ATTENTION_TILE * ATTENTION_TILE;
            for (; tile0 < b.first + b.n; tile0 += ATTENTION_TILE)
                visit_tile(&b, tile0);
            finish_block(&b, head, first);
        }
}
