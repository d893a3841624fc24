/* Attention with AMX: sixteen queries at a time against tiles of 64 keys, both products in bf16
 * tile registers, the softmax between them in fp32. Keys and values are packed once a call in the
 * order of B tiles; Q and P are A tiles. In fp32 compute the AVX-512 version answers. */
#include "kernels/amx.h"
#include "kernels/attention_avx512.h"
#include "kernels/tables.h"

#define QUERIES 16
#define TILE_BYTES 1024 /* of a tile register: 16 rows of 64 bytes */
#define DIM_CHUNK 32    /* dimensions of an A tile's row */
#define MAX_CHUNKS (ATTENTION_MAX_HEAD_DIM / DIM_CHUNK)

/* Where a call's operands lie. A tile of keys has n_chunks × 4 B tiles for Q·Kᵀ, ordered
 * [chunk][16 keys], and as many bytes of values for P·V, ordered [32 keys][16 dimensions]. */
typedef struct packed {
    int n_chunks;
    size_t tile_bytes; /* of 64 keys, and of 64 values */
    char *keys, *values;
} packed;

typedef struct query_block {
    alignas(64) char q[MAX_CHUNKS * TILE_BYTES]; /* [chunk][query][32] bf16 */
    alignas(64) char p[2 * TILE_BYTES];          /* [32 keys][query][32] bf16 */
    alignas(64) float scores[QUERIES][ATTENTION_TILE];
    alignas(64) float products[QUERIES][4 * LANES];
    alignas(64) float acc[QUERIES][ATTENTION_MAX_HEAD_DIM];
    float rescale[QUERIES];
    query_state state[QUERIES];
} query_block;

/* Up to 16 floats of a row of head_dim that starts at d; zeros past its end. */
static inline __m512 load_dims(const float *row, int d, int head_dim)
{
    return _mm512_maskz_loadu_ps(first_lanes(head_dim - d < 0 ? 0 : head_dim - d), row + d);
}

/* 32 dimensions of a row as bf16 in order. */
static inline __m512i load_chunk(const float *row, int d, int head_dim)
{
    return (__m512i)_mm512_cvtne2ps_pbh(load_dims(row, d + LANES, head_dim),
                                        load_dims(row, d, head_dim));
}

static void pack_key_tile(const attention_args *a, int n_chunks, int key0, char *out)
{
    for (int chunk = 0; chunk < n_chunks; chunk++)
        for (int part = 0; part < ATTENTION_TILE; part += 16, out += TILE_BYTES) {
            __m512i rows[16];
            for (int i = 0; i < 16; i++) {
                int key = key0 + part + i;
                rows[i] = key < a->n_keys ? load_chunk(a->k + (size_t)key * a->kv_stride,
                                                       chunk * DIM_CHUNK, a->head_dim)
                                          : _mm512_setzero_si512();
            }
            transpose16(rows);
            for (int i = 0; i < 16; i++)
                _mm512_store_si512(out + 64 * i, rows[i]);
        }
}

/* Pairs of keys side by side for each dimension. */
static inline __m512i value_pair(const attention_args *a, int key, int d)
{
    const float *first = a->v + (size_t)key * a->kv_stride;
    __m512 low = key < a->n_keys ? load_dims(first, d, a->head_dim) : _mm512_setzero_ps();
    __m512 high =
        key + 1 < a->n_keys ? load_dims(first + a->kv_stride, d, a->head_dim) : _mm512_setzero_ps();
    return pair_bf16(low, high);
}

static void pack_value_tile(const attention_args *a, int n_chunks, int key0, char *out)
{
    for (int part = 0; part < ATTENTION_TILE; part += 32)
        for (int d = 0; d < n_chunks * DIM_CHUNK; d += LANES, out += TILE_BYTES)
            for (int i = 0; i < 16; i++)
                _mm512_store_si512(out + 64 * i, value_pair(a, key0 + part + 2 * i, d));
}

static packed pack(const attention_args *a)
{
    int n_chunks = (a->head_dim + DIM_CHUNK - 1) / DIM_CHUNK;
    int n_tiles = (a->n_keys + ATTENTION_TILE - 1) / ATTENTION_TILE;
    packed p = {.n_chunks = n_chunks, .tile_bytes = (size_t)n_chunks * 4 * TILE_BYTES};
    p.keys = a->scratch;
    p.values = p.keys + p.tile_bytes * (size_t)n_tiles;
    int from = first_visible(a, a->first_query) / ATTENTION_TILE;
    for (int tile = from; tile < n_tiles; tile++) {
        pack_key_tile(a, n_chunks, tile * ATTENTION_TILE, p.keys + p.tile_bytes * (size_t)tile);
        pack_value_tile(a, n_chunks, tile * ATTENTION_TILE, p.values + p.tile_bytes * (size_t)tile);
    }
    return p;
}

static void start_block(query_block *b, const attention_args *a, int n_chunks, int head, int first)
{
    for (int i = 0; i < QUERIES; i++) {
        int query = first + i;
        const float *q = a->q + (size_t)query * a->q_stride + (size_t)head * (size_t)a->head_dim;
        for (int chunk = 0; chunk < n_chunks; chunk++)
            _mm512_store_si512(b->q + chunk * TILE_BYTES + 64 * i,
                               query < a->n_queries ? load_chunk(q, chunk * DIM_CHUNK, a->head_dim)
                                                    : _mm512_setzero_si512());
        for (int d = 0; d < n_chunks * DIM_CHUNK; d += LANES)
            _mm512_store_ps(b->acc[i] + d, _mm512_setzero_ps());
        b->state[i] = (query_state){ATTENTION_LOWEST, _mm512_setzero_ps()};
    }
}

/* scores = Q·Kᵀ for 64 keys. */
static void score_tile(query_block *b, int n_chunks, const char *keys)
{
    amx_publish(b->q);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int chunk = 0; chunk < n_chunks; chunk++, keys += 4 * TILE_BYTES) {
        _tile_loadd(4, b->q + chunk * TILE_BYTES, 64);
        _tile_loadd(6, keys, 64);
        _tile_loadd(7, keys + TILE_BYTES, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, keys + 2 * TILE_BYTES, 64);
        _tile_loadd(7, keys + 3 * TILE_BYTES, 64);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 7);
    }
    _tile_stored(0, b->scores[0], sizeof b->scores[0]);
    _tile_stored(1, b->scores[0] + 16, sizeof b->scores[0]);
    _tile_stored(2, b->scores[0] + 32, sizeof b->scores[0]);
    _tile_stored(3, b->scores[0] + 48, sizeof b->scores[0]);
}

/* scores to weights in bf16, and each query's factor for what it has summed. */
static void weigh_tile(query_block *b, const attention_args *a, int first_position, int n_queries,
                       int tile0)
{
    for (int i = 0; i < n_queries; i++) {
        __m512 row[TILE_VECTORS];
        int position = first_position + i;
        for (int v = 0; v < TILE_VECTORS; v++)
            row[v] = _mm512_load_ps(b->scores[i] + v * LANES);
        b->rescale[i] =
            softmax_tile(&b->state[i], row, a->scale, first_visible(a, position), position, tile0);
        for (int half = 0; half < 2; half++)
            _mm512_store_si512(b->p + half * TILE_BYTES + 64 * i,
                               (__m512i)_mm512_cvtne2ps_pbh(row[2 * half + 1], row[2 * half]));
    }
}

/* products = P·V for 64 dimensions from d on; acc = acc · rescale + products. */
static void gather_dims(query_block *b, int n_queries, int d, int n_groups, const char *values,
                        size_t half_bytes)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int half = 0; half < 2; half++, values += half_bytes) {
        _tile_loadd(4, b->p + half * TILE_BYTES, 64);
        _tile_loadd(6, values, 64);
        _tile_loadd(7, values + TILE_BYTES, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (n_groups > 2) {
            _tile_loadd(6, values + 2 * TILE_BYTES, 64);
            _tile_loadd(7, values + 3 * TILE_BYTES, 64);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 7);
        }
    }
    _tile_stored(0, b->products[0], sizeof b->products[0]);
    _tile_stored(1, b->products[0] + 16, sizeof b->products[0]);
    _tile_stored(2, b->products[0] + 32, sizeof b->products[0]);
    _tile_stored(3, b->products[0] + 48, sizeof b->products[0]);
    for (int i = 0; i < n_queries; i++)
        for (int g = 0; g < n_groups; g++) {
            float *acc = b->acc[i] + d + g * LANES;
            __m512 scaled = _mm512_mul_ps(_mm512_load_ps(acc), _mm512_set1_ps(b->rescale[i]));
            _mm512_store_ps(acc, _mm512_add_ps(scaled, _mm512_load_ps(b->products[i] + g * LANES)));
        }
}

static void gather_values(query_block *b, int n_queries, int n_chunks, const char *values)
{
    int n_groups = 2 * n_chunks;
    size_t half_bytes = (size_t)n_groups * TILE_BYTES;
    amx_publish(b->p);
    for (int g = 0; g < n_groups; g += 4)
        gather_dims(b, n_queries, g * LANES, n_groups - g < 4 ? n_groups - g : 4,
                    values + (size_t)g * TILE_BYTES, half_bytes);
}

static void finish_block(const query_block *b, const attention_args *a, int n_queries, int head,
                         int first)
{
    for (int i = 0; i < n_queries; i++) {
        __m512 inverse = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(b->state[i].sums));
        float *out =
            a->out + (size_t)(first + i) * a->out_stride + (size_t)head * (size_t)a->head_dim;
        for (int d = 0; d < a->head_dim; d += LANES)
            _mm512_mask_storeu_ps(out + d, first_lanes(a->head_dim - d),
                                  _mm512_mul_ps(_mm512_load_ps(b->acc[i] + d), inverse));
    }
}

static void attend(const attention_args *a, const packed *p, int head, int first)
{
    query_block b;
    int n_queries = a->n_queries - first < QUERIES ? a->n_queries - first : QUERIES;
    int first_position = a->first_query + first, last = first_position + n_queries - 1;
    start_block(&b, a, p->n_chunks, head, first);
    for (int tile = first_visible(a, first_position) / ATTENTION_TILE;
         tile <= last / ATTENTION_TILE; tile++) {
        score_tile(&b, p->n_chunks, p->keys + p->tile_bytes * (size_t)tile);
        weigh_tile(&b, a, first_position, n_queries, tile * ATTENTION_TILE);
        gather_values(&b, n_queries, p->n_chunks, p->values + p->tile_bytes * (size_t)tile);
    }
    finish_block(&b, a, n_queries, head, first);
}

void attention_amx(const attention_args *a)
{
    if (a->compute == SLANT_COMPUTE_F32) {
        attention_avx512(a);
        return;
    }
    packed p = pack(a);
    amx_configure(2 * QUERIES);
    for (int head = 0; head < a->n_heads; head++)
        for (int first = 0; first < a->n_queries; first += QUERIES)
            attend(a, &p, head, first);
}
