/* The options that say what the files are and what is read of an article: the same in every command
 * that reads articles. */
#ifndef SLANT_CLI_ARTICLE_OPTIONS_H
#define SLANT_CLI_ARTICLE_OPTIONS_H

#include "cli/options.h"

#include <slant_data.h>

typedef struct input_options {
    int input; /* slant_input */
    const char *text_field, *title_field, *id_field;
    bool recursive, lossy;
} input_options;

typedef struct reading_options {
    int max_length, truncation, stride;
} reading_options;

#define INPUT_OPTION(struct_type, field, member)                                                   \
    offsetof(struct_type, field) + offsetof(input_options, member)
#define READING_OPTION(struct_type, field, member)                                                 \
    offsetof(struct_type, field) + offsetof(reading_options, member)

/* Rows of an option table for the input_options that are struct_type's member field. */
#define INPUT_OPTION_ROWS(struct_type, field)                                                      \
    {.type = OPTION_FLAG,                                                                          \
     .letter = 'r',                                                                                \
     .name = "recursive",                                                                          \
     .offset = INPUT_OPTION(struct_type, field, recursive),                                        \
     .help = "read folders: every file below them, in name order"},                                \
        {.type = OPTION_CHOICE,                                                                    \
         .name = "input",                                                                          \
         .offset = INPUT_OPTION(struct_type, field, input),                                        \
         .choices = "auto|text|html|json|jsonl|csv|tsv",                                           \
         .help = "what the files are",                                                             \
         .standard = "auto: by their names, else by their bytes"},                                 \
        {.type = OPTION_TEXT,                                                                      \
         .name = "text-field",                                                                     \
         .offset = INPUT_OPTION(struct_type, field, text_field),                                   \
         .value = "NAME",                                                                          \
         .help = "the field that holds the article",                                               \
         .standard = "text, else content, content_original, body, article"},                       \
        {.type = OPTION_TEXT,                                                                      \
         .name = "title-field",                                                                    \
         .offset = INPUT_OPTION(struct_type, field, title_field),                                  \
         .value = "NAME",                                                                          \
         .help = "the field that holds the title, put before the text with a newline",             \
         .standard = "what the adapter was trained with, else none"},                              \
        {.type = OPTION_TEXT,                                                                      \
         .name = "id-field",                                                                       \
         .offset = INPUT_OPTION(struct_type, field, id_field),                                     \
         .value = "NAME",                                                                          \
         .help = "the field that holds the id",                                                    \
         .standard = "id, ID, _id, else FILE:ROW"},                                                \
        {.type = OPTION_FLAG,                                                                      \
         .name = "lossy",                                                                          \
         .offset = INPUT_OPTION(struct_type, field, lossy),                                        \
         .help = "bytes that are not UTF-8 become U+FFFD instead of an error"}

/* The same for reading_options. */
#define READING_OPTION_ROWS(struct_type, field)                                                    \
    OPTION_HEAD("Reading"),                                                                        \
        {.type = OPTION_COUNT,                                                                     \
         .name = "max-length",                                                                     \
         .offset = READING_OPTION(struct_type, field, max_length),                                 \
         .value = "N",                                                                             \
         .min = 1,                                                                                 \
         .max = 1 << 30,                                                                           \
         .help = "token ids that the model reads of an article at most, special ones counted",     \
         .standard = "the adapter's training length, else the model's limit"},                     \
        {.type = OPTION_CHOICE,                                                                    \
         .name = "truncation",                                                                     \
         .offset = READING_OPTION(struct_type, field, truncation),                                 \
         .choices = "|head|tail|head-tail|window|none",                                            \
         .help =                                                                                   \
             "what is read of a longer article; window: all of it, in windows whose logits "       \
             "are averaged",                                                                       \
         .standard = "the adapter's, else head"},                                                  \
        {.type = OPTION_COUNT,                                                                     \
         .name = "stride",                                                                         \
         .offset = READING_OPTION(struct_type, field, stride),                                     \
         .value = "N",                                                                             \
         .min = 1,                                                                                 \
         .max = 1 << 30,                                                                           \
         .help = "ids from one window's start to the next",                                        \
         .standard = "half of max-length"}

/* trained_title: the field of the title that the adapter was trained with; NULL: none. */
slant_reader_options input_options_reader(const input_options *o, const char *trained_title);

slant_status reading_options_check(const reading_options *o, slant_error *err);
/* What they say goes into a session's options. */
void reading_options_apply(const reading_options *o, slant_session_options *session);

#endif
