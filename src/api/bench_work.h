/* The work that slant bench times: articles of random ids, run as a session runs them. */
#ifndef SLANT_API_BENCH_WORK_H
#define SLANT_API_BENCH_WORK_H

#include "model/model.h"

typedef struct bench_texts {
    int n_texts, longest;
    int64_t n_tokens;
    int *starts;  /* [n_texts + 1] into ids */
    int32_t *ids; /* [n_tokens], end to end */
} bench_texts;

/* One article of that many tokens; 0: BENCH_SHORT_TEXTS of 20 to 60. Ownership:
 * bench_texts_free. */
#define BENCH_SHORT_TEXTS 64
slant_status bench_texts_make(const model *m, int length, bench_texts *out, slant_error *err);
void bench_texts_free(bench_texts *texts);

/* Operations of the linear layers over the texts: the last layer makes keys and values of every
 * token, and all else of one token an article. */
double bench_texts_operations(const model *m, const bench_texts *texts);

typedef struct bench_setting {
    const model *m;
    const kernel_table *kernels;
    slant_compute compute;
    int n_threads;
    double seconds;                     /* to spend, about; one run is made in any case */
    bool (*should_stop)(void *context); /* NULL: never */
    void *context;
} bench_setting;

typedef struct bench_timing {
    int n_runs;
    double median_s, best_s;
    size_t workspace_bytes;
    int64_t peak_rss_bytes; /* of the process, while this ran; 0: the system does not say */
} bench_timing;

/* SLANT_ERR_CANCELLED: stopped on request. */
slant_status bench_work_run(const bench_setting *s, const bench_texts *texts, bench_timing *out,
                            slant_error *err);

#endif
