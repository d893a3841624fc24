/* slant_data.h: articles out of files.
 *
 *     slant_reader *reader;
 *     slant_record record;
 *     const char *files[] = {"news.jsonl.zst", "page.html"};
 *     slant_reader_open(files, 2, NULL, &reader, &err);
 *     while (slant_reader_next(reader, &record, &err) == SLANT_OK && !record.end)
 *         if (record.status == SLANT_OK) use(record.text, record.text_bytes);
 *     slant_reader_close(reader);
 */
#ifndef SLANT_DATA_H
#define SLANT_DATA_H

#include <slant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum slant_input {
    SLANT_INPUT_AUTO, /* by the name's ending (before .gz or .zst), else by looking at the bytes */
    SLANT_INPUT_TEXT, /* the whole file is one article, verbatim */
    SLANT_INPUT_HTML,
    SLANT_INPUT_JSON,  /* a list of strings or objects, one object, or one string */
    SLANT_INPUT_JSONL, /* one object or string a line */
    SLANT_INPUT_CSV,
    SLANT_INPUT_TSV
} slant_input;

typedef struct slant_reader_options {
    slant_input input;
    const char *text_field;  /* NULL: "text", else "content", "content_original", "body", "article" */
    const char *title_field; /* NULL: no title */
    const char *id_field;    /* NULL: "id", "ID", "_id" where there is one, else FILE:ROW */
    const char *label_field; /* NULL: no label */
    bool recursive;          /* folders: every file below, in name order; else a folder is an error */
} slant_reader_options;

typedef struct slant_record {
    bool end;            /* no more records; nothing else is set */
    slant_status status; /* SLANT_OK, or why this row alone cannot be read */
    const char *message; /* in words, with file and row */
    const char *text;    /* [text_bytes], UTF-8 not checked here; may hold U+0000 */
    size_t text_bytes;
    const char *title; /* NULL: none */
    size_t title_bytes;
    const char *id_json;    /* the id as JSON: a string or the number it was */
    const char *label_json; /* the label as JSON; NULL: none */
    const char *file;       /* the file's name as given; "-" for standard input */
    int64_t row;            /* 1-based row of the file: line of a JSONL, record of a CSV, item of a JSON */
    double file_fraction;   /* how much of all input has been read, 0 … 1; negative where unknown */
} slant_record;

typedef struct slant_reader slant_reader;

/* paths [n_paths]; "-" is standard input. Nothing is opened yet but folders' lists. */
slant_status slant_reader_open(const char *const *paths, size_t n_paths,
                               const slant_reader_options *options, slant_reader **out,
                               slant_error *err);
/* The next record, valid until the next call. A bad row is a record with a status; a file that
 * cannot be opened or breaks off (a truncated .gz) is one, too, after which the next file follows. */
slant_status slant_reader_next(slant_reader *reader, slant_record *record, slant_error *err);
void slant_reader_close(slant_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
