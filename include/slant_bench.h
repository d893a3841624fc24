/* slant_bench.h: how fast this machine is, and how much of it slant uses.
 *
 *     slant_bench_options options = {.lengths = "short,512,1024", .computes = "int8,bf16"};
 *     char *json = NULL;
 *     if (slant_bench(NULL, &options, &json, &err) == SLANT_OK)
 *         puts(json);
 *     slant_free(json);
 */
#ifndef SLANT_BENCH_H
#define SLANT_BENCH_H

#include <slant_model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slant_bench_options {
    const char *adapter;    /* put over the model; NULL: none, or the embedded default's own */
    const char *checkpoint; /* "last", "best" or "N" under the adapter */
    slant_dtype dtype;
    const char *computes; /* "int8,int16,bf16,fp32"; NULL: what AUTO means here */
    const char *lengths;  /* of articles in tokens, "short" standing for 64 texts of 20 to 60;
                             NULL: "short,128,512,1024,4096,8192", as far as the model goes */
    int n_threads;        /* 0: all cores that the process may use */
    double seconds;       /* what the model's part may take, about; 0: 30 */
    bool machine_only;    /* the peaks alone: no model is opened */
    void (*report)(void *context, const char *what, double share); /* NULL: silence */
    bool (*should_stop)(void *context);                            /* NULL: never */
    void *context;
} slant_bench_options;

/* Measures the peak of every instruction set that runs here, and the model (as slant_engine_open
 * takes it; a base without a head, or without a tokenizer, will do) on articles of random ids.
 * Gives one JSON object (docs/FORMATS.md), terminated. On success *json is the caller's:
 * slant_free. SLANT_ERR_CANCELLED: stopped on request. */
slant_status slant_bench(const char *model, const slant_bench_options *options, char **json,
                         slant_error *err);

#ifdef __cplusplus
}
#endif

#endif
