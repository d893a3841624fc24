/* Attention with AVX-512 VNNI in 16-bit integers, sixteen queries at a time against tiles of 64
 * keys, the softmax between the two products in fp32.
 *
 * Everything is computed transposed, S^T = K·Q^T and O^T = V^T·P^T. vpdpwssd multiplies pairs of
 * words: of two dimensions of a key, broadcast from memory, by those of sixteen queries; then of
 * one dimension of two values by the weights that sixteen queries give them. Queries, keys and
 * values have a scale each, so that nothing depends on which others stand in a call; a query's
 * weights, times the scales of the values, have one for a tile. That is nearer to fp32 than bf16
 * is. */
#include "kernels/attention_avx512.h"
#include "kernels/tables.h"
#include "kernels/tile_avx512.h"

#include <string.h>

#define DIM_CHUNK 32      /* dimensions of a register of words */
#define KEY_GROUP LANES   /* keys, or dimensions, of a product */
#define VALUE_MAX 4095.0f /* 64 products of the two stay below 2³¹ */
#define WEIGHT_MAX 8191.0f

/* A call's keys and values in words, zeros past the last. */
typedef struct packed {
    int n_dims;      /* head_dim in whole chunks */
    float limit;     /* of queries and keys: n_dims products of the two stay below 2³¹ */
    int32_t *keys;   /* [n_keys / 16][n_dims / 2][16]: pairs of dimensions */
    int32_t *values; /* [n_keys / 2][n_dims]: pairs of keys */
    float *key_scales, *value_scales; /* [n_keys], the latter over VALUE_MAX */
} packed;

typedef struct query_block {
    alignas(64) int32_t q[ATTENTION_MAX_HEAD_DIM / 2 * LANES]; /* [dimension pair][query] */
    alignas(64) int32_t p[ATTENTION_TILE / 2 * LANES];         /* [key pair][query] */
    alignas(64) float scores[ATTENTION_TILE][LANES];           /* S^T, then weights */
    alignas(64) float acc[ATTENTION_MAX_HEAD_DIM][LANES];      /* O^T */
    __m512 max, sums; /* of scores in powers of two; of weights */
    __m512 to_scores; /* of a key of scale 1, in powers of two */
    int first_position, n_queries;
} query_block;

static inline float largest(const float *row, int head_dim)
{
    __m512 most = _mm512_setzero_ps();
    for (int d = 0; d < head_dim; d += LANES)
        most = _mm512_max_ps(most, _mm512_abs_ps(load_dims(row, d, head_dim)));
    return _mm512_reduce_max_ps(most);
}

static inline __m256i words(__m512 x, __m512 inverse)
{
    return _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)));
}

/* Sixteen rows of head_dim, of which n or all exist, as pairs of words: out [n_dims / 2][16],
 * scales [16]. */
static void pack_rows(const packed *p, const float *x, size_t stride, int n, int head_dim,
                      int32_t *out, float *scales)
{
    float inverse[LANES];
    for (int i = 0; i < LANES; i++) {
        float most = i < n ? largest(x + (size_t)i * stride, head_dim) : 0.0f;
        scales[i] = most / p->limit;
        inverse[i] = most < LEAST_ABSMAX ? 0.0f : p->limit / most;
    }
    for (int d = 0; d < p->n_dims; d += DIM_CHUNK, out += LANES * DIM_CHUNK / 2) {
        __m512i rows[LANES];
        for (int i = 0; i < LANES; i++) {
            const float *row = x + (size_t)(i < n ? i : 0) * stride;
            __m512 factor = _mm512_set1_ps(inverse[i]);
            rows[i] = _mm512_inserti64x4(
                _mm512_castsi256_si512(words(load_dims(row, d, head_dim), factor)),
                words(load_dims(row, d + LANES, head_dim), factor), 1);
        }
        transpose16(rows);
        for (int i = 0; i < LANES; i++)
            _mm512_store_si512(out + i * LANES, rows[i]);
    }
}

/* Two values; zeros past the last. */
static void pack_values(const attention_args *a, const packed *p, int key)
{
    const float *row[2];
    __m512 inverse[2];
    for (int i = 0; i < 2; i++) {
        row[i] = a->v + (size_t)(key + i < a->n_keys ? key + i : 0) * a->kv_stride;
        float most = key + i < a->n_keys ? largest(row[i], a->head_dim) : 0.0f;
        p->value_scales[key + i] = most / VALUE_MAX;
        inverse[i] = _mm512_set1_ps(most < LEAST_ABSMAX ? 0.0f : VALUE_MAX / most);
    }
    int32_t *out = p->values + (size_t)(key / 2) * (size_t)p->n_dims;
    for (int d = 0; d < p->n_dims; d += LANES) {
        __m512i low = _mm512_cvtepu16_epi32(words(load_dims(row[0], d, a->head_dim), inverse[0]));
        __m512i high = _mm512_cvtepu16_epi32(words(load_dims(row[1], d, a->head_dim), inverse[1]));
        _mm512_store_si512(out + d, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

static packed pack(const attention_args *a)
{
    size_t n_keys = ((size_t)a->n_keys + ATTENTION_TILE - 1) / ATTENTION_TILE * ATTENTION_TILE;
    int n_dims = (a->head_dim + DIM_CHUNK - 1) / DIM_CHUNK * DIM_CHUNK;
    packed p = {.n_dims = n_dims, .keys = a->scratch};
    p.limit = __builtin_floorf(__builtin_sqrtf(2147483520.0f / (float)n_dims));
    p.values = p.keys + n_keys * (size_t)n_dims / 2;
    p.key_scales = (float *)(p.values + n_keys * (size_t)n_dims / 2);
    p.value_scales = p.key_scales + n_keys;
    int from = first_visible(a, a->first_query) / ATTENTION_TILE * ATTENTION_TILE;
    for (int key = from; key < a->n_keys; key += KEY_GROUP)
        pack_rows(&p, a->k + (size_t)key * a->kv_stride, a->kv_stride, a->n_keys - key, a->head_dim,
                  p.keys + (size_t)key * (size_t)n_dims / 2, p.key_scales + key);
    for (int key = from; key < (int)n_keys; key += 2)
        pack_values(a, &p, key);
    return p;
}

static void start_block(query_block *b, const attention_args *a, const packed *p, int head,
                        int first)
{
    alignas(64) float scales[LANES];
    int left = a->n_queries - first;
    b->n_queries = left < LANES ? left : LANES;
    b->first_position = a->first_query + first;
    pack_rows(p, a->q + (size_t)first * a->q_stride + (size_t)head * (size_t)a->head_dim,
              a->q_stride, b->n_queries, a->head_dim, b->q, scales);
    b->to_scores = _mm512_mul_ps(_mm512_load_ps(scales), _mm512_set1_ps(a->scale * LOG2_E));
    b->max = _mm512_set1_ps(ATTENTION_LOWEST);
    b->sums = _mm512_setzero_ps();
    memset(b->acc, 0, (size_t)p->n_dims * sizeof *b->acc);
}

#define SIXTEEN(M)                                                                                 \
    M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define DECLARE(i) int_lanes sum##i = {0};
#define MULTIPLY(i)                                                                                \
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum##i) : "v"(vector), "m"(dwords[i]));
#define STORE(i) _mm512_store_ps(out[i], _mm512_cvtepi32_ps((__m512i)sum##i));

/* out[i] = Σ over steps of vectors[step] · dwords[step][i], pairs of words each. */
static inline __attribute__((always_inline)) void multiply_sixteen(const int32_t *vectors,
                                                                   const int32_t *dwords,
                                                                   size_t stride, int n_steps,
                                                                   float (*out)[LANES])
{
    SIXTEEN(DECLARE)
    for (int s = 0; s < n_steps; s++, vectors += LANES, dwords += stride) {
        __m512i vector = _mm512_load_si512(vectors);
        SIXTEEN(MULTIPLY)
    }
    SIXTEEN(STORE)
}

/* Scores in powers of two; gives the highest that each query sees. */
static inline __attribute__((always_inline)) __m512 score_tile(query_block *b, const packed *p,
                                                               int tile0, int n_keys, int window,
                                                               bool all_visible)
{
    __m512 highest = _mm512_set1_ps(ATTENTION_LOWEST);
    for (int i = 0; i < n_keys; i += KEY_GROUP) {
        multiply_sixteen(b->q, p->keys + (size_t)(tile0 + i) * (size_t)p->n_dims / 2, LANES,
                         p->n_dims / 2, b->scores + i);
        for (int j = i; j < i + KEY_GROUP; j++) {
            __m512 factor = _mm512_mul_ps(b->to_scores, _mm512_set1_ps(p->key_scales[tile0 + j]));
            __m512 score = _mm512_mul_ps(_mm512_load_ps(b->scores[j]), factor);
            __mmask16 seen =
                all_visible ? 0xFFFF : seeing_lanes(b->first_position, window, tile0 + j);
            highest = _mm512_mask_max_ps(highest, seen, highest, score);
            _mm512_store_ps(b->scores[j], score);
        }
    }
    return highest;
}

/* Weights 2^(score − max) times the values' scales, in fp32; 0 where the key is not visible. Gives
 * each query's largest. */
static inline __attribute__((always_inline)) __m512 weigh_tile(query_block *b, const packed *p,
                                                               int tile0, int n_keys, int window,
                                                               bool all_visible)
{
    __m512 most = _mm512_setzero_ps(), sum = _mm512_setzero_ps();
    for (int i = 0; i < n_keys; i++) {
        __m512 weight = power_of_two(_mm512_sub_ps(_mm512_load_ps(b->scores[i]), b->max));
        if (!all_visible)
            weight =
                _mm512_maskz_mov_ps(seeing_lanes(b->first_position, window, tile0 + i), weight);
        sum = _mm512_add_ps(sum, weight);
        weight = _mm512_mul_ps(weight, _mm512_set1_ps(p->value_scales[tile0 + i]));
        most = _mm512_max_ps(most, weight);
        _mm512_store_ps(b->scores[i], weight);
    }
    b->sums = _mm512_add_ps(b->sums, sum);
    return most;
}

/* P^T in words. */
static void round_weights(query_block *b, int n_keys, __m512 most)
{
    __mmask16 any = _mm512_cmp_ps_mask(most, _mm512_set1_ps(LEAST_ABSMAX), _CMP_GE_OQ);
    __m512 inverse = _mm512_maskz_div_ps(any, _mm512_set1_ps(WEIGHT_MAX), most);
    for (int i = 0; i < n_keys; i += 2) {
        __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(b->scores[i]), inverse));
        __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(b->scores[i + 1]), inverse));
        _mm512_store_si512(b->p + i / 2 * LANES, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

/* acc = acc · rescale + V^T·P^T, sixteen dimensions at a time. */
static void gather_values(query_block *b, const packed *p, int tile0, int n_keys, __m512 rescale,
                          __m512 factor)
{
    alignas(64) float sums[KEY_GROUP][LANES];
    const int32_t *values = p->values + (size_t)(tile0 / 2) * (size_t)p->n_dims;
    for (int d = 0; d < p->n_dims; d += KEY_GROUP) {
        multiply_sixteen(b->p, values + d, (size_t)p->n_dims, n_keys / 2, sums);
        for (int i = 0; i < KEY_GROUP; i++) {
            __m512 kept = _mm512_mul_ps(_mm512_load_ps(b->acc[d + i]), rescale);
            _mm512_store_ps(b->acc[d + i], _mm512_fmadd_ps(_mm512_load_ps(sums[i]), factor, kept));
        }
    }
}

/* n_keys: of the tile's, in whole groups, those that a query may see. */
static inline __attribute__((always_inline)) void
visit_tile(query_block *b, const packed *p, int tile0, int n_keys, int window, bool all_visible)
{
    __m512 highest = score_tile(b, p, tile0, n_keys, window, all_visible);
    __m512 max = _mm512_max_ps(b->max, highest);
    __m512 rescale = power_of_two(_mm512_sub_ps(b->max, max));
    b->max = max;
    b->sums = _mm512_mul_ps(b->sums, rescale);
    __m512 most = weigh_tile(b, p, tile0, n_keys, window, all_visible);
    round_weights(b, n_keys, most);
    gather_values(b, p, tile0, n_keys, rescale,
                  _mm512_mul_ps(most, _mm512_set1_ps(1.0f / WEIGHT_MAX)));
}

static void attend(const attention_args *a, const packed *p, int head, int first)
{
    query_block b;
    start_block(&b, a, p, head, first);
    int last = b.first_position + b.n_queries - 1;
    int tile0 = first_visible(a, b.first_position) / ATTENTION_TILE * ATTENTION_TILE;
    for (; tile0 <= last; tile0 += ATTENTION_TILE) {
        int n_keys = (last - tile0) / KEY_GROUP * KEY_GROUP + KEY_GROUP;
        if (all_see(b.first_position, b.n_queries, a->window, tile0))
            visit_tile(&b, p, tile0, ATTENTION_TILE, a->window, true);
        else
            visit_tile(&b, p, tile0, n_keys < ATTENTION_TILE ? n_keys : ATTENTION_TILE, a->window,
                       false);
    }
    store_queries(a, b.acc, b.sums, head, first, b.n_queries);
}

void attention_avx512vnni(const attention_args *a)
{
    if (a->compute == SLANT_COMPUTE_F32) {
        attention_avx512(a);
        return;
    }
    packed p = pack(a);
    for (int head = 0; head < a->n_heads; head++)
        for (int first = 0; first < a->n_queries; first += LANES)
            attend(a, &p, head, first);
}
