/* slant: how does a news article lean?
 *
 * A Llama-family sequence classifier on plain CPUs: NF4 4-bit base, LoRA adapter, no Python and
 * no network. A complete program:
 *
 *     #include <slant.h>
 *     #include <stdio.h>
 *     #include <string.h>
 *
 *     int main(void) {
 *         const char *words = "The senator said …";
 *         slant_text article = {.text = words, .text_bytes = strlen(words)};
 *         slant_error err;
 *         slant_engine *engine = NULL;
 *         slant_session *session = NULL;
 *         slant_result result;
 *         float scores[8];
 *
 *         if (slant_engine_open(NULL, NULL, &engine, &err) != SLANT_OK ||
 *             slant_session_open(engine, NULL, &session, &err) != SLANT_OK ||
 *             slant_classify(session, &article, 1, scores, &result, &err) != SLANT_OK) {
 *             fprintf(stderr, "%s\n", err.message);
 *             return 1;
 *         }
 *         for (int i = 0; i < slant_engine_get_info(engine)->n_labels; i++)
 *             printf("%s %.3f\n", slant_engine_label(engine, i), scores[i]);
 *         slant_session_close(session);
 *         slant_engine_close(engine);
 *     }
 *
 * An engine is immutable and may be shared by threads; a session belongs to one thread at a time.
 * In every options struct zero means the default. Closing NULL is harmless. The library never
 * prints and never exits: functions return a status and, where err is not NULL, a message that
 * names the file, the tensor or the row, what was expected and what was found. */
#ifndef SLANT_H
#define SLANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLANT_VERSION "0.1.0"

/* One list names the status codes, their text and their meaning. */
#define SLANT_STATUS_LIST(X)                                                                       \
    X(OK, "ok")                                                                                    \
    X(ERR_MEMORY, "out of memory")                                                                 \
    X(ERR_IO, "a file could not be read or written")                                               \
    X(ERR_NOT_FOUND, "no such file, model or checkpoint")                                          \
    X(ERR_FORMAT, "malformed input")                                                               \
    X(ERR_UNSUPPORTED, "well-formed, but of a kind that slant does not run")                       \
    X(ERR_MISMATCH, "parts that do not belong together")                                           \
    X(ERR_ARGUMENT, "an argument is out of range")                                                 \
    X(ERR_TEXT, "an article that cannot be classified")                                            \
    X(ERR_CANCELLED, "stopped on request")

typedef enum slant_status {
#define SLANT_STATUS_ENUM(name, text) SLANT_##name,
    SLANT_STATUS_LIST(SLANT_STATUS_ENUM)
#undef SLANT_STATUS_ENUM
} slant_status;

/* The constant text of a status; never NULL. */
const char *slant_status_text(slant_status status);

/* What this library was built with, and the instruction set that it uses on this CPU ("avx512").
 * Constant texts. */
const char *slant_built_with(void);
const char *slant_isa(void);

typedef struct slant_error {
    slant_status status;
    char message[1024]; /* UTF-8, without a final newline; always terminated */
} slant_error;

/* How weights are held. AUTO: as stored. */
typedef enum slant_dtype {
    SLANT_DTYPE_AUTO,
    SLANT_DTYPE_NF4,
    SLANT_DTYPE_BF16,
    SLANT_DTYPE_F32
} slant_dtype;

/* How products are computed. AUTO: the fastest path of this CPU that keeps the stated accuracy.
 * INT16 is finer than BF16, and quicker where the processor lacks products of bf16. */
typedef enum slant_compute {
    SLANT_COMPUTE_AUTO,
    SLANT_COMPUTE_INT8,
    SLANT_COMPUTE_INT16,
    SLANT_COMPUTE_BF16,
    SLANT_COMPUTE_F32
} slant_compute;

/* "auto", "int8", "int16", "bf16" or "fp32". */
const char *slant_compute_name(slant_compute compute);

/* What is kept of an article that has more token ids than max_length (special tokens count).
 * DEFAULT: what the adapter's slant.json says, else HEAD. */
typedef enum slant_truncation {
    SLANT_TRUNCATION_DEFAULT,
    SLANT_TRUNCATION_HEAD,      /* the first max_length ids */
    SLANT_TRUNCATION_TAIL,      /* the last ones, after the leading special tokens */
    SLANT_TRUNCATION_HEAD_TAIL, /* the first ceil(n/2) and the last floor(n/2) */
    SLANT_TRUNCATION_WINDOW,    /* all, in windows; logits averaged, weighted by their tokens */
    SLANT_TRUNCATION_NONE       /* all, at once */
} slant_truncation;

typedef enum slant_function {
    SLANT_FUNCTION_DEFAULT, /* as transformers: none for regression, sigmoid for one label or
                               multi-label, else softmax; calibrated where slant.json says so */
    SLANT_FUNCTION_SOFTMAX,
    SLANT_FUNCTION_SIGMOID,
    SLANT_FUNCTION_NONE /* logits */
} slant_function;

typedef struct slant_engine slant_engine;
typedef struct slant_session slant_session;

typedef struct slant_engine_options {
    const char *adapter;    /* PEFT directory, Trainer checkpoint or training output; NULL: none */
    const char *checkpoint; /* "last", "best" or "N" under adapter; NULL: the directory's own */
    const char *labels;     /* "LEFT,CENTER,RIGHT": renames id2label; NULL: the model's */
    slant_dtype dtype;
    slant_compute compute;
    int n_threads; /* for quantising on load; 0: all cores */
    int n_layers;  /* keep the first n layers; 0: all */
} slant_engine_options;

typedef struct slant_session_options {
    int n_threads;  /* 0: all cores that the process may use */
    int max_length; /* ids, special tokens counted; 0: slant.json's, else the model's limit */
    slant_truncation truncation;
    int stride; /* of windows, in ids; 0: max_length / 2 */
    slant_function function;
    bool raw;            /* softmax without the adapter's calibration temperature */
    bool lossy;          /* bytes that are not UTF-8 become U+FFFD instead of an error */
    bool pipeline_empty; /* score "" as its special tokens alone, as transformers does */
} slant_session_options;

/* An article. It is used verbatim. Bytes need not be terminated and may hold U+0000. */
typedef struct slant_text {
    const char *text;
    size_t text_bytes;
    const char *title; /* put before the text with a newline; NULL: none */
    size_t title_bytes;
} slant_text;

typedef struct slant_result {
    slant_status status; /* SLANT_OK, or why this article alone has no scores */
    char message[200];   /* in words; empty where status is SLANT_OK */
    int label;           /* index of the highest score; the lowest index on a tie; -1 on error */
    int64_t tokens;      /* ids of the whole article before the cut, special ones included */
    int64_t tokens_read; /* ids that the model saw (each once, however many windows saw it) */
    bool truncated;
} slant_result;

typedef struct slant_engine_info {
    const char *model_path;   /* as opened */
    const char *adapter_path; /* NULL where there is none */
    const char *architecture; /* "llama", "mistral", "qwen2", "qwen3" */
    int n_labels;
    int n_layers, hidden_size, intermediate_size, n_heads, n_kv_heads, head_dim, vocab_size;
    int64_t max_position_embeddings;
    int max_length;              /* from slant.json; 0: not set */
    slant_truncation truncation; /* from slant.json; HEAD where it is not set */
    const char *title_field;     /* from slant.json; NULL: the title is not read */
    float temperature;           /* calibration; 1 where there is none */
    slant_dtype dtype;           /* how the linear weights are held; AUTO: a GGUF block type */
    slant_compute compute;       /* what AUTO came to on this CPU */
    const char *dtype_name;      /* "nf4", "bf16", "f32", "q4_1", … */
    const char *isa;             /* "scalar", "avx2", "avx512", … */
    const char *base_digest;     /* "sha256:…"; NULL where unknown */
    const char *notes;           /* what a person should be told, one a line; "" where nothing */
} slant_engine_info;

/* Opens a model: a Hugging Face directory, .gguf, .slant, or a hub name found in a local cache;
 * NULL: the embedded default (SLANT_MODEL, else models/ beside the program or the installed one).
 * On success *out is owned by the caller; else *out is NULL. */
slant_status slant_engine_open(const char *model, const slant_engine_options *options,
                               slant_engine **out, slant_error *err);
void slant_engine_close(slant_engine *engine);

/* Valid as long as the engine is open. */
const slant_engine_info *slant_engine_get_info(const slant_engine *engine);
const char *slant_engine_label(const slant_engine *engine, int label);

/* A session keeps a reference to engine, which must outlive it. */
slant_status slant_session_open(const slant_engine *engine, const slant_session_options *options,
                                slant_session **out, slant_error *err);
void slant_session_close(slant_session *session);

/* Classifies n articles, packed together without padding; an article's scores are the same to the
 * bit whatever stands beside it and at any thread count.
 *   texts   [n]
 *   scores  [n][n_labels], written for the articles whose status is SLANT_OK
 *   results [n]
 * Returns SLANT_OK even where single articles failed (results say which and why). */
slant_status slant_classify(slant_session *session, const slant_text *texts, size_t n,
                            float *scores, slant_result *results, slant_error *err);

#ifdef __cplusplus
}
#endif

#endif
