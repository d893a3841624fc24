/* Attention with AMX, sixteen queries at a time against tiles of 64 keys, both products in bf16
 * tile registers and the softmax between them in fp32.
 *
 * Everything is computed transposed, S^T = K·Q^T and O^T = V^T·P^T, so that a vector holds sixteen
 * queries: maxima, sums and factors are vectors, no step runs across lanes, and weights of two keys
 * pair up into a row of P^T as they come. The scores of the next tile of keys are on their way
 * while those of this one become weights.
 *
 * Keys (rows in bf16) and values (transposed) are packed once a call as A tiles; Q^T and P^T are B
 * tiles. In fp32 compute the AVX-512 version answers. */
#include "kernels/amx.h"
#include "kernels/attention_avx512.h"
#include "kernels/tables.h"

#define TILE_BYTES 1024 /* of a tile register: 16 rows of 64 bytes */
#define DIM_CHUNK 32    /* dimensions of a row of K, dimension pairs of Q^T times two */
#define KEY_CHUNK 32    /* keys of a row of V^T */
#define MAX_CHUNKS (ATTENTION_MAX_HEAD_DIM / DIM_CHUNK)

/* Where a call's operands lie. A tile of 64 keys has [n_chunks][16 keys of 64] A tiles of K and
 * [2 · 32 keys][16 dimensions of n_chunks · 32] A tiles of V^T. */
typedef struct packed {
    int n_chunks;
    size_t tile_bytes; /* of 64 keys, and of 64 values */
    char *keys, *values;
} packed;

typedef struct query_block {
    alignas(64) char q[MAX_CHUNKS * TILE_BYTES];          /* [chunk][dimension pair][query] */
    alignas(64) char p[2 * TILE_BYTES];                   /* [32 keys][key pair][query] */
    alignas(64) float scores[2][ATTENTION_TILE][LANES];   /* of this tile and the next */
    alignas(64) float acc[ATTENTION_MAX_HEAD_DIM][LANES]; /* O^T */
    __m512 max, sums;                                     /* of scaled scores; of weights */
    float scale;                                          /* to scores in powers of two */
    int first_position, n_queries;
} query_block;

/* 32 dimensions of a row as bf16 in order. */
static inline __m512i load_chunk(const float *row, int d, int head_dim)
{
    return (__m512i)_mm512_cvtne2ps_pbh(load_dims(row, d + LANES, head_dim),
                                        load_dims(row, d, head_dim));
}

static void pack_key_tile(const attention_args *a, int n_chunks, int key0, char *out)
{
    for (int chunk = 0; chunk < n_chunks; chunk++)
        for (int key = key0; key < key0 + ATTENTION_TILE; key++, out += 64)
            _mm512_store_si512(out, key < a->n_keys ? load_chunk(a->k + (size_t)key * a->kv_stride,
                                                                 chunk * DIM_CHUNK, a->head_dim)
                                                    : _mm512_setzero_si512());
}

/* Values of keys (low, high) in the words of each lane, to nearest even. */
static inline __m512i pair_words(__m512 low, __m512 high)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* Pairs of keys side by side for each of 16 dimensions. */
static inline __m512i value_pair(const attention_args *a, int key, int d)
{
    const float *first = a->v + (size_t)key * a->kv_stride;
    __m512 low = key < a->n_keys ? load_dims(first, d, a->head_dim) : _mm512_setzero_ps();
    __m512 high =
        key + 1 < a->n_keys ? load_dims(first + a->kv_stride, d, a->head_dim) : _mm512_setzero_ps();
    return pair_words(low, high);
}

static void pack_value_tile(const attention_args *a, int n_chunks, int key0, char *out)
{
    for (int part = 0; part < ATTENTION_TILE; part += KEY_CHUNK)
        for (int d = 0; d < n_chunks * DIM_CHUNK; d += LANES, out += TILE_BYTES) {
            __m512i rows[16];
            for (int i = 0; i < 16; i++)
                rows[i] = value_pair(a, key0 + part + 2 * i, d);
            transpose16(rows);
            for (int i = 0; i < 16; i++)
                _mm512_store_si512(out + 64 * i, rows[i]);
        }
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
    int n_queries = a->n_queries - first < LANES ? a->n_queries - first : LANES;
    const float *q = a->q + (size_t)first * a->q_stride + (size_t)head * (size_t)a->head_dim;
    for (int chunk = 0; chunk < n_chunks; chunk++) {
        __m512i rows[LANES];
        for (int i = 0; i < LANES; i++)
            rows[i] = i < n_queries
                          ? load_chunk(q + (size_t)i * a->q_stride, chunk * DIM_CHUNK, a->head_dim)
                          : _mm512_setzero_si512();
        transpose16(rows);
        for (int i = 0; i < LANES; i++)
            _mm512_store_si512(b->q + chunk * TILE_BYTES + 64 * i, rows[i]);
    }
    for (int d = 0; d < n_chunks * DIM_CHUNK; d++)
        _mm512_store_ps(b->acc[d], _mm512_setzero_ps());
    b->max = _mm512_set1_ps(ATTENTION_LOWEST);
    b->sums = _mm512_setzero_ps();
    b->scale = a->scale * LOG2_E;
    b->first_position = a->first_query + first;
    b->n_queries = n_queries;
}

/* scores = K·Q^T for 64 keys. */
static void score_tile(query_block *b, int n_chunks, const char *keys, int buffer)
{
    float(*scores)[LANES] = b->scores[buffer];
    amx_publish(b->q);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int chunk = 0; chunk < n_chunks; chunk++, keys += 4 * TILE_BYTES) {
        _tile_loadd(6, b->q + chunk * TILE_BYTES, 64);
        _tile_loadd(4, keys, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, keys + TILE_BYTES, 64);
        _tile_dpbf16ps(1, 5, 6);
        _tile_loadd(4, keys + 2 * TILE_BYTES, 64);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(5, keys + 3 * TILE_BYTES, 64);
        _tile_dpbf16ps(3, 5, 6);
    }
    _tile_stored(0, scores[0], 64);
    _tile_stored(1, scores[16], 64);
    _tile_stored(2, scores[32], 64);
    _tile_stored(3, scores[48], 64);
}

/* Weights p = 2^(scale · score − max) of a tile, as P^T in bf16; 0 where the key is not visible.
 * Gives the factor that what was summed before must be multiplied by. */
static inline __attribute__((always_inline)) __m512 weigh_tile(query_block *b, int buffer,
                                                               int tile0, int window,
                                                               bool all_visible)
{
    float(*scores)[LANES] = b->scores[buffer];
    __m512 highest[4] = {_mm512_set1_ps(ATTENTION_LOWEST), _mm512_set1_ps(ATTENTION_LOWEST),
                         _mm512_set1_ps(ATTENTION_LOWEST), _mm512_set1_ps(ATTENTION_LOWEST)};
    const __m512 scale = _mm512_set1_ps(b->scale);
    for (int i = 0; i < ATTENTION_TILE; i += 4)
        for (int j = 0; j < 4; j++) {
            __mmask16 seen =
                all_visible ? 0xFFFF : seeing_lanes(b->first_position, window, tile0 + i + j);
            highest[j] =
                _mm512_mask_max_ps(highest[j], seen, highest[j], _mm512_load_ps(scores[i + j]));
        }
    __m512 higher =
        _mm512_max_ps(_mm512_max_ps(highest[0], highest[1]), _mm512_max_ps(highest[2], highest[3]));
    __m512 max = _mm512_max_ps(b->max, _mm512_mul_ps(higher, scale));
    __m512 rescale = power_of_two(_mm512_sub_ps(b->max, max));
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    for (int i = 0; i < ATTENTION_TILE; i += 2) {
        __m512 p0 = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores[i]), scale, max));
        __m512 p1 = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores[i + 1]), scale, max));
        if (!all_visible) {
            p0 = _mm512_maskz_mov_ps(seeing_lanes(b->first_position, window, tile0 + i), p0);
            p1 = _mm512_maskz_mov_ps(seeing_lanes(b->first_position, window, tile0 + i + 1), p1);
        }
        even = _mm512_add_ps(even, p0);
        odd = _mm512_add_ps(odd, p1);
        _mm512_store_si512(b->p + 32 * i, pair_words(p0, p1));
    }
    b->max = max;
    b->sums = _mm512_fmadd_ps(b->sums, rescale, _mm512_add_ps(even, odd));
    return rescale;
}

static __m512 weigh(query_block *b, int buffer, int tile0, int window)
{
    return all_see(b->first_position, b->n_queries, window, tile0)
               ? weigh_tile(b, buffer, tile0, window, true)
               : weigh_tile(b, buffer, tile0, window, false);
}

/* acc · rescale, where a maximum has risen. */
static void rescale_dims(query_block *b, int n_dims, __m512 rescale)
{
    if (_mm512_cmp_ps_mask(rescale, _mm512_set1_ps(1.0f), _CMP_NEQ_UQ) == 0)
        return;
    for (int d = 0; d < n_dims; d++)
        _mm512_store_ps(b->acc[d], _mm512_mul_ps(_mm512_load_ps(b->acc[d]), rescale));
}

/* acc += V^T·P^T, 64 dimensions or the last 32 at a time. */
static void gather_values(query_block *b, int n_chunks, const char *values)
{
    int n_groups = 2 * n_chunks;
    size_t half_bytes = (size_t)n_groups * TILE_BYTES;
    amx_publish(b->p);
    _tile_loadd(6, b->p, 64);
    _tile_loadd(7, b->p + TILE_BYTES, 64);
    for (int g = 0; g < n_groups; g += 4, values += 4 * TILE_BYTES) {
        float *acc = b->acc[g * LANES];
        bool four = n_groups - g > 2;
        _tile_loadd(0, acc, 64);
        _tile_loadd(4, values, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(1, acc + 16 * LANES, 64);
        _tile_loadd(5, values + TILE_BYTES, 64);
        _tile_dpbf16ps(1, 5, 6);
        if (four) {
            _tile_loadd(2, acc + 32 * LANES, 64);
            _tile_loadd(4, values + 2 * TILE_BYTES, 64);
            _tile_dpbf16ps(2, 4, 6);
            _tile_loadd(3, acc + 48 * LANES, 64);
            _tile_loadd(5, values + 3 * TILE_BYTES, 64);
            _tile_dpbf16ps(3, 5, 6);
        }
        const char *later = values + half_bytes;
        _tile_loadd(4, later, 64);
        _tile_dpbf16ps(0, 4, 7);
        _tile_loadd(5, later + TILE_BYTES, 64);
        _tile_dpbf16ps(1, 5, 7);
        _tile_stored(0, acc, 64);
        _tile_stored(1, acc + 16 * LANES, 64);
        if (four) {
            _tile_loadd(4, later + 2 * TILE_BYTES, 64);
            _tile_dpbf16ps(2, 4, 7);
            _tile_loadd(5, later + 3 * TILE_BYTES, 64);
            _tile_dpbf16ps(3, 5, 7);
            _tile_stored(2, acc + 32 * LANES, 64);
            _tile_stored(3, acc + 48 * LANES, 64);
        }
    }
    amx_publish(b->acc);
}

static void attend(const attention_args *a, const packed *p, int head, int first)
{
    query_block b;
    start_block(&b, a, p->n_chunks, head, first);
    int tile = first_visible(a, b.first_position) / ATTENTION_TILE;
    int last = (b.first_position + b.n_queries - 1) / ATTENTION_TILE;
    score_tile(&b, p->n_chunks, p->keys + p->tile_bytes * (size_t)tile, tile % 2);
    for (; tile <= last; tile++) {
        if (tile < last)
            score_tile(&b, p->n_chunks, p->keys + p->tile_bytes * (size_t)(tile + 1),
                       (tile + 1) % 2);
        amx_publish(b.scores);
        rescale_dims(&b, p->n_chunks * DIM_CHUNK,
                     weigh(&b, tile % 2, tile * ATTENTION_TILE, a->window));
        gather_values(&b, p->n_chunks, p->values + p->tile_bytes * (size_t)tile);
    }
    store_queries(a, b.acc, b.sums, head, first, b.n_queries);
}

void attention_amx(const attention_args *a)
{
    if (a->compute == SLANT_COMPUTE_F32) {
        attention_avx512(a);
        return;
    }
    packed p = pack(a);
    amx_configure(2 * LANES);
    for (int head = 0; head < a->n_heads; head++)
        for (int first = 0; first < a->n_queries; first += LANES)
            attend(a, &p, head, first);
}
