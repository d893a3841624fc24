/* slant_model.h: making .slant files, merging adapters, and looking into models and adapters.
 *
 *     slant_import_options import = {.dtype = SLANT_DTYPE_NF4, .labels = "Left,Center,Right"};
 *     char *json = NULL;
 *     if (slant_import("Llama-3.2-1B", "base.slant", &import, &err) == SLANT_OK &&
 *         slant_inspect("base.slant", NULL, &json, &err) == SLANT_OK)
 *         puts(json);
 *     slant_free(json);
 */
#ifndef SLANT_MODEL_API_H
#define SLANT_MODEL_API_H

#include <slant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slant_import_options {
    slant_dtype dtype;  /* how linear weights are held; AUTO: as stored */
    int n_layers;       /* keep the first n; 0: all */
    const char *labels; /* "Left,Center,Right"; NULL: the source's */
    int n_threads;      /* for quantising; 0: all cores */
} slant_import_options;

/* Writes the base at source (a Hugging Face directory, .gguf, .slant, or a hub name found in a
 * local cache) as one memory-mapped .slant file, tokenizer and digest included. Written whole or
 * not at all. */
slant_status slant_import(const char *source, const char *out, const slant_import_options *options,
                          slant_error *err);

typedef struct slant_inspect_options {
    const char *adapter;    /* put over the model at path; NULL: none */
    const char *checkpoint; /* "last", "best" or "N" under the adapter */
    slant_dtype dtype;
    slant_compute compute;
    int n_layers;
    int n_threads;
    bool digest; /* compute the base's digest where the file carries none (reads every tensor) */
} slant_inspect_options;

/* Describes the model, adapter, checkpoint or training output at path as one JSON object
 * (docs/FORMATS.md), terminated. On success *json is the caller's: slant_free. */
slant_status slant_inspect(const char *path, const slant_inspect_options *options, char **json,
                           slant_error *err);

typedef struct slant_merge_options {
    slant_dtype dtype;      /* what is written: BF16 or NF4; AUTO: BF16 */
    const char *checkpoint; /* "last", "best" or "N" under the adapter */
    const char *labels;     /* names for the labels; NULL: the adapter's, else the base's */
    int n_layers;           /* keep the base's first n; 0: all */
    int n_threads;          /* 0: all cores; the files do not depend on it */
    bool load_in_4bit;     /* quantise the base first, as the adapter may have been trained on it */
    slant_compute compute; /* of the answers that are compared; AUTO: F32, the reference */
    const char *const *articles; /* [n_articles]: files of articles to answer before and after */
    size_t n_articles;           /* 0: one fixed text is answered */
    const char *text_field, *title_field; /* of those articles, as slant_data.h has them */
    bool (*should_stop)(void *context);   /* asked now and then; true: stop. NULL: never */
    void *context;
} slant_merge_options;

/* How far a merge moved the model. Differences are between base + adapter and what was written. */
typedef struct slant_merge_report {
    int n_merged;              /* linear weights that the adapter changed */
    double weight_error;       /* of rounding: ‖W' − written‖ / ‖W'‖ over all rounded weights */
    double worst_weight_error; /* the same of the one weight where it is highest, … */
    char worst_weight[96];     /* … which is this one; "" where nothing was rounded */
    int64_t n_articles;        /* that were compared, and … */
    int64_t n_failed;          /* … that could not be answered */
    int64_t n_same_label;
    double mean_logit, max_logit;             /* |Δ| over all labels of all articles */
    double mean_probability, max_probability; /* likewise, after softmax or sigmoid */
} slant_merge_report;

/* Writes base + adapter as one model. A name that ends in .slant becomes a .slant file; any other a
 * folder that AutoModelForSequenceClassification.from_pretrained opens (NF4: as bitsandbytes
 * serialises it), which must not be there yet. Written whole or not at all. base NULL: the embedded
 * default; adapter NULL: its own. report may be NULL: then nothing is answered. */
slant_status slant_merge(const char *base, const char *adapter, const char *out,
                         const slant_merge_options *options, slant_merge_report *report,
                         slant_error *err);

/* Frees what this library gave away. Freeing NULL is harmless. */
void slant_free(void *pointer);

#ifdef __cplusplus
}
#endif

#endif
