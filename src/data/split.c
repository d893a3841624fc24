#include "data/split.h"

#include "base/philox.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A share of 17,983.9999999 is 17,984 as far as doubles can tell. */
#define SHARE_EPSILON 1e-6

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the plan of a split");
}

void split_largest_remainder(const double *shares, size_t n, int64_t total, int64_t *counts)
{
    int64_t left = total;
    for (size_t i = 0; i < n; i++) {
        counts[i] = (int64_t)floor(shares[i] + SHARE_EPSILON);
        left -= counts[i];
    }
    for (; left > 0; left--) {
        size_t largest = 0;
        for (size_t i = 1; i < n; i++)
            if (shares[i] - (double)counts[i] >
                shares[largest] - (double)counts[largest] + SHARE_EPSILON)
                largest = i;
        counts[largest]++;
    }
}

/* A table of labels by parts whose shares are label_rows × sizes / n_rows, rounded so that both
 * margins hold. Cells are rounded down; then each row and column still wants some of the ones that
 * were cut off, and each cell may give one. */
typedef struct rounding {
    size_t n_labels, n_parts;
    int64_t *counts;      /* [n_labels][n_parts] */
    uint64_t *remainder;  /* [n_labels][n_parts], in units of 1 / n_rows */
    bool *raised;         /* [n_labels][n_parts] */
    int64_t *label_wants; /* [n_labels] */
    int64_t *part_wants;  /* [n_parts] */
    size_t *order;        /* [n_labels × n_parts]: cells, the largest remainder first */
    bool tried[SPLIT_MAX_PARTS];
} rounding;

/* rows × size / n_rows as a whole number and the rest. */
static int64_t share_of(int64_t rows, int64_t size, int64_t n_rows, uint64_t *remainder)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(uint64_t)rows * (uint64_t)size;
    *remainder = (uint64_t)(product % (uint64_t)n_rows);
    return (int64_t)(product / (uint64_t)n_rows);
}

static void round_down(rounding *r, const int64_t *label_rows, const int64_t *sizes, int64_t n_rows)
{
    for (size_t part = 0; part < r->n_parts; part++)
        r->part_wants[part] = sizes[part];
    for (size_t label = 0; label < r->n_labels; label++) {
        r->label_wants[label] = label_rows[label];
        for (size_t part = 0; part < r->n_parts; part++) {
            size_t cell = label * r->n_parts + part;
            r->counts[cell] = share_of(label_rows[label], sizes[part], n_rows, &r->remainder[cell]);
            r->label_wants[label] -= r->counts[cell];
            r->part_wants[part] -= r->counts[cell];
            r->order[cell] = cell;
        }
    }
}

static int compare_cells(const void *a, const void *b, void *context)
{
    const uint64_t *remainder = context;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    if (remainder[x] != remainder[y])
        return remainder[x] < remainder[y] ? 1 : -1;
    return (x > y) - (x < y);
}

static void raise_cell(rounding *r, size_t label, size_t part)
{
    r->raised[label * r->n_parts + part] = true;
    r->label_wants[label]--;
    r->part_wants[part]--;
}

static void lower_cell(rounding *r, size_t label, size_t part)
{
    r->raised[label * r->n_parts + part] = false;
    r->label_wants[label]++;
    r->part_wants[part]++;
}

/* Finds the label a part for one more row where the largest remainders left none: a part that is
 * full takes it if another label can move one of its own elsewhere (augmenting paths, as in
 * bipartite matching). As deep as there are parts. */
static bool raise_somewhere(rounding *r, size_t label)
{
    for (size_t part = 0; part < r->n_parts; part++) {
        size_t cell = label * r->n_parts + part;
        if (r->raised[cell] || r->remainder[cell] == 0 || r->tried[part])
            continue;
        r->tried[part] = true;
        if (r->part_wants[part] > 0) {
            raise_cell(r, label, part);
            return true;
        }
        for (size_t other = 0; other < r->n_labels; other++) {
            if (!r->raised[other * r->n_parts + part] || !raise_somewhere(r, other))
                continue;
            lower_cell(r, other, part);
            raise_cell(r, label, part);
            return true;
        }
    }
    return false;
}

static void round_up(rounding *r)
{
    size_t n_cells = r->n_labels * r->n_parts;
    qsort_r(r->order, n_cells, sizeof *r->order, compare_cells, r->remainder);
    for (size_t i = 0; i < n_cells; i++) {
        size_t label = r->order[i] / r->n_parts, part = r->order[i] % r->n_parts;
        if (r->remainder[r->order[i]] > 0 && r->label_wants[label] > 0 && r->part_wants[part] > 0)
            raise_cell(r, label, part);
    }
    for (size_t label = 0; label < r->n_labels; label++)
        while (r->label_wants[label] > 0) {
            memset(r->tried, 0, sizeof r->tried);
            bool found = raise_somewhere(r, label);
            assert(found); /* such a rounding always exists: the shares themselves are a flow */
            if (!found)
                break;
        }
    for (size_t cell = 0; cell < n_cells; cell++)
        r->counts[cell] += r->raised[cell];
}

static slant_status share_labels(const int64_t *label_rows, size_t n_labels, const int64_t *sizes,
                                 size_t n_parts, int64_t n_rows, int64_t *counts, slant_error *err)
{
    arena memory = {0};
    size_t n_cells = n_labels * n_parts;
    rounding r = {.n_labels = n_labels, .n_parts = n_parts, .counts = counts};
    r.remainder = arena_alloc(&memory, n_cells, sizeof *r.remainder);
    r.raised = arena_alloc(&memory, n_cells, sizeof *r.raised);
    r.label_wants = arena_alloc(&memory, n_labels, sizeof *r.label_wants);
    r.part_wants = arena_alloc(&memory, n_parts, sizeof *r.part_wants);
    r.order = arena_alloc(&memory, n_cells, sizeof *r.order);
    bool has_room = r.remainder != NULL && r.raised != NULL && r.label_wants != NULL &&
                    r.part_wants != NULL && r.order != NULL;
    if (has_room) {
        round_down(&r, label_rows, sizes, n_rows);
        round_up(&r);
    }
    arena_free(&memory);
    return has_room ? SLANT_OK : out_of_memory(err);
}

/* How many rows of each part the fraction keeps, then of each label in it. */
static void keep_fraction(split_plan *plan, const int64_t *sizes, int64_t n_rows, double fraction,
                          int64_t *kept_sizes, double *shares)
{
    for (size_t part = 0; part < plan->n_parts; part++)
        shares[part] = (double)sizes[part] * fraction;
    split_largest_remainder(shares, plan->n_parts, llround((double)n_rows * fraction), kept_sizes);
    int64_t *column = kept_sizes + plan->n_parts;
    for (size_t part = 0; part < plan->n_parts; part++) {
        for (size_t label = 0; label < plan->n_labels; label++)
            shares[label] = (double)plan->whole[label * plan->n_parts + part] *
                            (double)kept_sizes[part] / (double)sizes[part];
        split_largest_remainder(shares, plan->n_labels, kept_sizes[part], column);
        for (size_t label = 0; label < plan->n_labels; label++)
            plan->kept[label * plan->n_parts + part] = column[label];
    }
}

static slant_status check_parts(const int64_t *sizes, const char *const *names, size_t n_parts,
                                int64_t n_rows, slant_error *err)
{
    for (size_t part = 0; part < n_parts; part++)
        if (sizes[part] == 0)
            return status_fail(err, SLANT_ERR_ARGUMENT,
                               "%" PRId64 " rows are too few: the part '%s' would have none",
                               n_rows, names[part]);
    return SLANT_OK;
}

static void size_parts(const double *ratios, size_t n_parts, int64_t n_rows, double *shares,
                       int64_t *sizes)
{
    double sum = 0;
    for (size_t part = 0; part < n_parts; part++)
        sum += ratios[part];
    for (size_t part = 0; part < n_parts; part++)
        shares[part] = (double)n_rows * ratios[part] / sum;
    split_largest_remainder(shares, n_parts, n_rows, sizes);
}

slant_status split_plan_make(split_plan *plan, const int64_t *label_rows, size_t n_labels,
                             const double *ratios, const char *const *names, size_t n_parts,
                             double fraction, arena *memory, slant_error *err)
{
    size_t longest = n_labels > n_parts ? n_labels : n_parts;
    int64_t n_rows = 0;
    *plan = (split_plan){.n_labels = n_labels, .n_parts = n_parts};
    plan->whole = arena_alloc(memory, n_labels * n_parts, sizeof *plan->whole);
    plan->kept = arena_alloc(memory, n_labels * n_parts, sizeof *plan->kept);
    int64_t *sizes = arena_alloc(memory, n_parts, sizeof *sizes);
    int64_t *kept_sizes = arena_alloc(memory, n_parts + n_labels, sizeof *kept_sizes);
    double *shares = arena_alloc(memory, longest, sizeof *shares);
    if (plan->whole == NULL || plan->kept == NULL || sizes == NULL || kept_sizes == NULL ||
        shares == NULL)
        return out_of_memory(err);
    for (size_t label = 0; label < n_labels; label++)
        n_rows += label_rows[label];
    size_parts(ratios, n_parts, n_rows, shares, sizes);
    slant_status status = check_parts(sizes, names, n_parts, n_rows, err);
    if (status == SLANT_OK)
        status = share_labels(label_rows, n_labels, sizes, n_parts, n_rows, plan->whole, err);
    if (status != SLANT_OK)
        return status;
    keep_fraction(plan, sizes, n_rows, fraction, kept_sizes, shares);
    return check_parts(kept_sizes, names, n_parts, llround((double)n_rows * fraction), err);
}

/* Whole numbers below a bound, each equally likely, as a function of seed and label. */
typedef struct dice {
    uint32_t key[2], counter[4], words[4];
    int next; /* of words */
} dice;

static uint64_t dice_word(dice *d)
{
    if (d->next + 2 > 4) {
        philox(d->key, d->counter, d->words);
        d->counter[0]++;
        d->counter[1] += d->counter[0] == 0;
        d->next = 0;
    }
    uint64_t word = (uint64_t)d->words[d->next + 1] << 32 | d->words[d->next];
    d->next += 2;
    return word;
}

static size_t dice_below(dice *d, size_t bound)
{
    uint64_t beyond = UINT64_MAX - UINT64_MAX % bound, word;
    do
        word = dice_word(d);
    while (word >= beyond);
    return (size_t)(word % bound);
}

static void shuffle(size_t *rows, size_t n, uint64_t seed, size_t label)
{
    dice d = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
              .counter = {0, 0, (uint32_t)label, 0},
              .next = 4};
    for (size_t i = n; i > 1; i--) {
        size_t other = dice_below(&d, i), row = rows[i - 1];
        rows[i - 1] = rows[other];
        rows[other] = row;
    }
}

/* The shuffled rows of a label go to the parts one after the other. */
static void deal(const split_plan *plan, size_t label, const size_t *rows, int8_t *parts)
{
    size_t at = 0;
    for (size_t part = 0; part < plan->n_parts; part++) {
        int64_t whole = plan->whole[label * plan->n_parts + part];
        int64_t kept = plan->kept[label * plan->n_parts + part];
        for (int64_t i = 0; i < whole; i++)
            parts[rows[at++]] = i < kept ? (int8_t)part : SPLIT_NO_PART;
    }
}

/* The numbers of the rows, label by label, in rows [n_rows]; label's are those from starts[label]
 * to starts[label + 1]. */
static void gather_labels(const int *labels, size_t n_rows, size_t n_labels, size_t *rows,
                          size_t *starts)
{
    for (size_t row = 0; row < n_rows; row++)
        starts[labels[row] + 1]++;
    for (size_t label = 0; label < n_labels; label++)
        starts[label + 1] += starts[label];
    for (size_t row = n_rows; row-- > 0;)
        rows[--starts[labels[row] + 1]] = row;
    for (size_t label = 0; label < n_labels; label++)
        starts[label] = starts[label + 1];
    starts[n_labels] = n_rows;
}

slant_status split_assign(const split_plan *plan, const int *labels, size_t n_rows, uint64_t seed,
                          int8_t *parts, slant_error *err)
{
    size_t *rows = mem_alloc(n_rows, sizeof *rows);
    size_t *starts = mem_calloc(plan->n_labels + 1, sizeof *starts);
    bool has_room = rows != NULL && starts != NULL;
    if (has_room)
        gather_labels(labels, n_rows, plan->n_labels, rows, starts);
    for (size_t label = 0; has_room && label < plan->n_labels; label++) {
        shuffle(rows + starts[label], starts[label + 1] - starts[label], seed, label);
        deal(plan, label, rows + starts[label], parts);
    }
    mem_free(rows);
    mem_free(starts);
    return has_room ? SLANT_OK : out_of_memory(err);
}
