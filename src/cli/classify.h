/* What `slant classify` was asked for, from its option table. */
#ifndef SLANT_CLI_CLASSIFY_H
#define SLANT_CLI_CLASSIFY_H

#include "cli/answer.h"
#include "cli/article_options.h"
#include "cli/model_options.h"

#include <jansson.h>

typedef struct classify_args {
    model_options model;
    const char *text; /* the article itself; NULL: files or standard input */
    const char **files;
    size_t n_files;
    input_options articles;
    reading_options reading;
    int function; /* slant_function */
    bool raw;
    const answer_format *format;
    int format_index; /* into the choices; 0: not given */
    int top_k;
    double abstain;
    const char *output;
    bool resume, quiet, verbose;
} classify_args;

extern const option_table classify_table;

/* On success the caller owns args->files (mem_free). *want_help: the help was asked for instead. */
slant_status classify_parse(int argc, char **argv, classify_args *args, bool *want_help,
                            slant_error *err);

/* The settings that decide the answers, as an object of strings for a journal; probe holds the
 * scores [n_labels] of a fixed sentence, which stand for the model to the bit. NULL: no memory. */
json_t *classify_settings(const classify_args *args, const slant_engine *engine,
                          const float *probe);

#endif
