/* slant_eval.h: how well a classifier does on labelled articles.
 *
 *     const char *files[] = {"valid.jsonl", "test.jsonl.zst"};
 *     slant_evaluation *e;
 *     if (slant_evaluate(engine, files, 2, NULL, &e, &err) == SLANT_OK)
 *         for (size_t i = 0; i < e->n_files; i++)
 *             printf("%s: macro-F1 %.4f\n", e->files[i].path, e->files[i].macro.f1);
 *     slant_evaluation_close(e);
 *
 * All figures are scikit-learn's of the same names, with zero_division=0. */
#ifndef SLANT_EVAL_H
#define SLANT_EVAL_H

#include <slant_data.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slant_evaluate_options {
    slant_session_options session; /* its function must be DEFAULT: figures rest on probabilities */
    slant_reader_options reader;   /* label_field NULL: "label"; title_field NULL: the adapter's */
    bool skip_bad_rows;            /* leave out rows that cannot be used instead of refusing all */

    /* Asked and told between batches of about a second; NULL: not. share: of all articles, 0 … 1;
     * negative where unknown. */
    void (*progress)(void *context, int64_t n_articles, double share);
    bool (*should_stop)(void *context); /* true: SLANT_ERR_CANCELLED */
    void *context;
} slant_evaluate_options;

typedef struct slant_average {
    double precision, recall, f1;
} slant_average;

typedef struct slant_label_figures {
    const char *label;
    double precision, recall, f1;
    int64_t support;   /* articles whose label it is */
    int64_t predicted; /* articles that the model gives it */
} slant_label_figures;

typedef struct slant_file_figures {
    const char *path;
    int64_t n_articles;  /* measured */
    slant_left_out bad;  /* rows that could not be used */
    int64_t n_truncated; /* articles that the model did not read whole */
    int64_t tokens, tokens_read;

    double accuracy, log_loss;
    slant_average macro;    /* over the labels that occur in truth or answers; its f1 is eval_f1 */
    slant_average micro;    /* over all articles together */
    slant_average weighted; /* over labels, each as often as it is the truth */
    const slant_label_figures *labels; /* [n_labels] */
    const int64_t *confusion;          /* [n_labels][n_labels]: true label, then the model's */
} slant_file_figures;

typedef struct slant_evaluation {
    int n_labels;
    size_t n_files;
    const slant_file_figures *files; /* [n_files], as the paths were given */
} slant_evaluation;

/* Classifies every article of each path (a folder is one path, with options->reader.recursive) and
 * compares the answers with the labels: in the data a whole number is a label's index, a string
 * its name. A row without a label, with one that the model does not know, or with an article that
 * cannot be read is refused, before the model runs where the path can be read twice.
 *   paths [n_paths]; "-": standard input
 * On success *out is owned by the caller; else *out is NULL. */
slant_status slant_evaluate(const slant_engine *engine, const char *const *paths, size_t n_paths,
                            const slant_evaluate_options *options, slant_evaluation **out,
                            slant_error *err);
void slant_evaluation_close(slant_evaluation *evaluation);

#ifdef __cplusplus
}
#endif

#endif
