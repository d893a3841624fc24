/* Each linear weight is a job: planned one after the other (which may fail), then done by all
 * threads (which may not). Work goes in chunks of 64 rows, since 64 rows of any length are whole
 * blocks of 64 values, so that no fp32 copy of a matrix is ever made. */
#include "model/hold.h"

#include "base/thread.h"
#include "model/plain.h"
#include "quant/quant.h"

#include <stdatomic.h>
#include <string.h>

enum { CHUNK_ROWS = 64 };

static bool is_nf4(const weight *w)
{
    return w->form != WEIGHT_ROWS;
}

static hold_action as_stored(const weight *w)
{
    switch (w->form) {
    case WEIGHT_NF4_PANELS:
        return HOLD_IN_PLACE;
    case WEIGHT_NF4_FLAT:
        return w->n_in % NF4_BLOCK == 0 ? HOLD_PACK : HOLD_CONVERT;
    case WEIGHT_ROWS:
        break;
    }
    return w->head_rows > 0 || !plain_is_aligned(w->rows, w->type) ? HOLD_COPY : HOLD_IN_PLACE;
}

static void choose(hold_job *job, slant_dtype wanted)
{
    const weight *w = &job->from;
    job->type = wanted == SLANT_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    if (wanted == SLANT_DTYPE_AUTO || (wanted == SLANT_DTYPE_NF4 && is_nf4(w)))
        job->action = as_stored(w);
    else if (wanted == SLANT_DTYPE_NF4)
        job->action = w->n_in % NF4_BLOCK == 0 ? HOLD_QUANTISE : HOLD_ROUND_TRIP;
    else
        job->action = !is_nf4(w) && w->type == job->type ? as_stored(w) : HOLD_CONVERT;
}

static bool reserve_rows(kernel_weight *to, dtype type, model_files *files)
{
    to->type = type;
    size_t row_bytes = plain_row_bytes(type, to->n_in), size_bytes;
    if (!mem_mul(row_bytes, (size_t)to->n_out, &size_bytes))
        return false;
    to->data = files_pages(files, size_bytes);
    return to->data != NULL;
}

static bool reserve_panels(kernel_weight *to, const weight *from, bool is_nested,
                           model_files *files)
{
    size_t n_absmax = nf4_panel_n_absmax(to->n_out, to->n_in);
    int64_t n_values = (int64_t)to->n_out * to->n_in;
    to->type = DTYPE_NF4;
    to->code_map = from->form == WEIGHT_NF4_FLAT ? from->flat.code_map : nf4_codes;
    to->data = files_pages(files, nf4_panel_code_bytes(to->n_out, to->n_in));
    if (!is_nested) {
        to->absmax = files_pages(files, n_absmax * sizeof *to->absmax);
        return to->data != NULL && to->absmax != NULL;
    }
    to->absmax_codes = files_pages(files, n_absmax);
    if (from->form == WEIGHT_NF4_FLAT) {
        to->nested_absmax = from->flat.nested_absmax;
        to->nested_map = from->flat.nested_map;
        to->nested_offset = from->flat.nested_offset;
    } else {
        to->nested_absmax =
            files_pages(files, (size_t)nf4_n_nested(n_values) * sizeof *to->nested_absmax);
        to->nested_map = nf4_dynamic_map;
    }
    return to->data != NULL && to->absmax_codes != NULL && to->nested_absmax != NULL;
}

static bool reserve(hold_job *job, model_files *files)
{
    const weight *w = &job->from;
    kernel_weight *to = job->to;
    *to = (kernel_weight){.n_out = w->n_out, .n_in = w->n_in};
    switch (job->action) {
    case HOLD_IN_PLACE:
        if (w->form == WEIGHT_NF4_PANELS) {
            *to = w->panels;
        } else {
            to->type = w->type;
            to->data = w->rows;
        }
        return true;
    case HOLD_COPY:
        return reserve_rows(to, w->type, files);
    case HOLD_PACK:
        return reserve_panels(to, w, w->flat.absmax_codes != NULL, files);
    case HOLD_QUANTISE:
        return reserve_panels(to, w, true, files);
    case HOLD_ROUND_TRIP:
        return reserve_rows(to, DTYPE_F32, files);
    case HOLD_CONVERT:
        return reserve_rows(to, job->type, files);
    }
    return false;
}

slant_status hold_plan(hold_job *job, slant_dtype wanted, model_files *files, slant_error *err)
{
    choose(job, wanted);
    if (!reserve(job, files))
        return status_fail(err, SLANT_ERR_MEMORY, "tensor %s: out of memory for [%d, %d]",
                           job->from.name, job->from.n_out, job->from.n_in);
    return SLANT_OK;
}

/* One thread's working memory, for the largest of its jobs. */
typedef struct hold_scratch {
    float *rows;           /* [CHUNK_ROWS][n_in] */
    uint8_t *codes;        /* [⌈n / 2⌉] */
    float *absmax;         /* [n_blocks] */
    uint8_t *absmax_codes; /* [n_blocks] */
    float *nested_absmax;  /* [n_nested] */
} hold_scratch;

/* The next piece of base, which is NULL while only the sizes are added up. */
static void *piece(uint8_t *base, size_t *used, size_t n_items, size_t item_bytes)
{
    void *start = base == NULL ? NULL : base + *used;
    *used += (n_items * item_bytes + 63) & ~(size_t)63;
    return start;
}

/* Lays the pieces out at base and returns how many bytes they take. */
static size_t lay_out(hold_scratch *s, uint8_t *base, size_t widest, int64_t n_values)
{
    size_t n_blocks = (size_t)nf4_n_blocks(n_values), used = 0;
    s->rows = piece(base, &used, widest * CHUNK_ROWS, sizeof *s->rows);
    s->codes = piece(base, &used, (size_t)(n_values + 1) / 2, 1);
    s->absmax = piece(base, &used, n_blocks, sizeof *s->absmax);
    s->absmax_codes = piece(base, &used, n_blocks, 1);
    s->nested_absmax = piece(base, &used, (size_t)nf4_n_nested(n_values), sizeof *s->nested_absmax);
    return used;
}

static void decode_rows(const weight *w, const nf4_flat *flat, int first, int n_rows, float *dst)
{
    size_t n_in = (size_t)w->n_in;
    if (is_nf4(w)) {
        nf4_decode(flat, (int64_t)first * w->n_in, (int64_t)n_rows * w->n_in, dst);
        return;
    }
    const quant_traits *traits = quant_get(w->type);
    for (int i = 0; i < n_rows; i++)
        traits->decode_row(weight_row(w, first + i), dst + (size_t)i * n_in, n_in);
}

static int chunk_rows(const weight *w, int first)
{
    return w->n_out - first < CHUNK_ROWS ? w->n_out - first : CHUNK_ROWS;
}

static void copy_rows(const hold_job *job)
{
    const weight *w = &job->from;
    for (int o = 0; o < w->n_out; o++)
        memcpy((uint8_t *)job->to->data + (size_t)o * w->row_bytes, weight_row(w, o), w->row_bytes);
}

/* The weight as bitsandbytes quantises it with double quantisation, flat, in the thread's scratch;
 * nested_absmax goes where the caller says. */
static nf4_flat quantise(const weight *w, hold_scratch *s, float *nested_absmax)
{
    int64_t n_values = (int64_t)w->n_out * w->n_in;
    nf4_flat flat = {.n_values = n_values,
                     .codes = s->codes,
                     .absmax_codes = s->absmax_codes,
                     .nested_absmax = nested_absmax,
                     .nested_map = nf4_dynamic_map,
                     .code_map = nf4_codes};
    for (int first = 0; first < w->n_out; first += CHUNK_ROWS) {
        int n_rows = chunk_rows(w, first);
        int64_t start = (int64_t)first * w->n_in;
        decode_rows(w, NULL, first, n_rows, s->rows);
        nf4_encode_plain(s->rows, (int64_t)n_rows * w->n_in, s->codes + start / 2,
                         s->absmax + start / NF4_BLOCK);
    }
    nf4_encode_absmax(s->absmax, nf4_n_blocks(n_values), s->absmax_codes, nested_absmax,
                      &flat.nested_offset);
    return flat;
}

static void quantise_to_panels(const hold_job *job, hold_scratch *s)
{
    kernel_weight *to = job->to;
    nf4_flat flat = quantise(&job->from, s, (float *)to->nested_absmax);
    to->nested_offset = flat.nested_offset;
    nf4_pack_panels(&flat, to->n_out, to->n_in, (uint8_t *)to->data, (uint8_t *)to->absmax_codes,
                    NULL);
}

static void quantise_and_expand(const hold_job *job, hold_scratch *s)
{
    nf4_flat flat = quantise(&job->from, s, s->nested_absmax);
    nf4_decode(&flat, 0, flat.n_values, (float *)(void *)job->to->data);
}

static void convert(const hold_job *job, hold_scratch *s)
{
    const weight *w = &job->from;
    const quant_traits *traits = quant_get(job->type);
    size_t n_in = (size_t)w->n_in, row_bytes = plain_row_bytes(job->type, w->n_in);
    nf4_flat flat = w->flat;
    if (w->form == WEIGHT_NF4_PANELS)
        flat = weight_unpack(w, s->codes, s->absmax_codes, s->absmax);
    for (int first = 0; first < w->n_out; first += CHUNK_ROWS) {
        int n_rows = chunk_rows(w, first);
        decode_rows(w, &flat, first, n_rows, s->rows);
        for (int i = 0; i < n_rows; i++)
            traits->encode_row(s->rows + (size_t)i * n_in,
                               (uint8_t *)job->to->data + (size_t)(first + i) * row_bytes, n_in);
    }
}

static void forget_source(const weight *w)
{
    if (w->form == WEIGHT_ROWS)
        source_forget(w->rows, (size_t)w->n_out * w->row_bytes);
    else if (w->form == WEIGHT_NF4_FLAT)
        source_forget(w->flat.codes, (size_t)(w->flat.n_values / 2));
    else
        source_forget(w->panels.data, nf4_panel_code_bytes(w->n_out, w->n_in));
}

static void run_job(const hold_job *job, hold_scratch *s)
{
    switch (job->action) {
    case HOLD_IN_PLACE:
        return;
    case HOLD_COPY:
        copy_rows(job);
        break;
    case HOLD_PACK:
        nf4_pack_panels(&job->from.flat, job->to->n_out, job->to->n_in, (uint8_t *)job->to->data,
                        (uint8_t *)job->to->absmax_codes, (float *)job->to->absmax);
        break;
    case HOLD_QUANTISE:
        quantise_to_panels(job, s);
        break;
    case HOLD_ROUND_TRIP:
        quantise_and_expand(job, s);
        break;
    case HOLD_CONVERT:
        convert(job, s);
        break;
    }
    forget_source(&job->from);
}

typedef struct hold_team {
    const hold_job *jobs;
    int n_jobs;
    _Atomic int next;
    uint8_t *scratch; /* [n_threads][scratch_bytes] */
    size_t scratch_bytes, widest;
    int64_t most_values;
} hold_team;

static void hold_share(void *context, int thread, int n_threads)
{
    (void)n_threads;
    hold_team *team = context;
    hold_scratch s;
    lay_out(&s, team->scratch + (size_t)thread * team->scratch_bytes, team->widest,
            team->most_values);
    for (int i = atomic_fetch_add(&team->next, 1); i < team->n_jobs;
         i = atomic_fetch_add(&team->next, 1))
        run_job(&team->jobs[i], &s);
}

slant_status hold_run(const hold_job *jobs, int n_jobs, int n_threads, slant_error *err)
{
    hold_team team = {.jobs = jobs, .n_jobs = n_jobs};
    bool idle = true;
    for (int i = 0; i < n_jobs; i++) {
        const weight *w = &jobs[i].from;
        int64_t n_values = (int64_t)w->n_out * w->n_in;
        idle = idle && jobs[i].action == HOLD_IN_PLACE;
        team.widest = (size_t)w->n_in > team.widest ? (size_t)w->n_in : team.widest;
        team.most_values = n_values > team.most_values ? n_values : team.most_values;
    }
    if (idle)
        return SLANT_OK;
    hold_scratch unused;
    size_t scratch_bytes;
    team.scratch_bytes = lay_out(&unused, NULL, team.widest, team.most_values);
    if (mem_mul(team.scratch_bytes, (size_t)n_threads, &scratch_bytes))
        team.scratch = mem_alloc_pages(scratch_bytes);
    if (team.scratch == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory while converting weights");
    thread_run(n_threads, hold_share, &team);
    mem_free_pages(team.scratch, scratch_bytes);
    return SLANT_OK;
}
