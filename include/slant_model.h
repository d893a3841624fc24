/* slant_model.h: making .slant files, and looking into models and adapters.
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

/* Frees what this library gave away. Freeing NULL is harmless. */
void slant_free(void *pointer);

#ifdef __cplusplus
}
#endif

#endif
