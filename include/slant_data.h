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
    /* NULL: "text", else "content", "content_original", "body", "article" */
    const char *text_field;
    const char *title_field; /* NULL: no title */
    const char *id_field;    /* NULL: "id", "ID", "_id" where there is one, else FILE:ROW */
    const char *label_field; /* NULL: no label */
    bool recursive;          /* folders: every file below, in name order, hidden ones and links to
                                folders left out; else a folder is an error */
    bool lossy; /* HTML: bytes that are not in the page's charset become U+FFFD instead of an error;
                   all other text is handed out as it is, and the session decides */
} slant_reader_options;

typedef struct slant_record {
    bool end;            /* no more records; nothing else is set */
    slant_status status; /* SLANT_OK, or why this row alone cannot be read */
    const char *message; /* in words, with file and row */
    const char *text;    /* [text_bytes], UTF-8 not checked here; may hold U+0000 */
    size_t text_bytes;
    const char *title; /* NULL: none */
    size_t title_bytes;
    const char *id_json; /* the id as JSON, as in the file: a string or a number; "FILE:ROW" else.
                            What is not UTF-8 in it is replaced by U+FFFD */
    const char *label_json; /* the label as JSON; NULL: none. In a CSV whole numbers are numbers */
    const char *file;       /* the file's name as given; "-" for standard input */
    int64_t row; /* 1-based row of the file: line of a JSONL, item of a JSON, record of a CSV after
                    the names of its columns */
    double file_fraction; /* how much of all input has been read, 0 … 1; negative where unknown */
} slant_record;

typedef struct slant_reader slant_reader;

/* Files are read piece by piece: memory is bounded by the longest record, and a record longer than
 * 64 MiB is an error of its row. gzip and zstd are told by a file's first bytes.
 *   TEXT  the file is the article, verbatim
 *   HTML  the article's paragraphs; the title is the headline (where title_field is set)
 *   JSON  a sequence of values: a list's items are rows, any other value is one
 *   JSONL lines; blank ones are no rows
 *   CSV   RFC 4180, the first row naming the columns; blank lines are no rows; lines end with LF or
 *         CRLF, or with CR where the first one does
 *   TSV   the same with tabs; a quote that is not closed before a tab or a line's end is text
 * Objects: of fields with one name the last counts; a text that is no string is an error. */

/* paths [n_paths]; "-" is standard input. Nothing is opened yet but folders' lists. */
slant_status slant_reader_open(const char *const *paths, size_t n_paths,
                               const slant_reader_options *options, slant_reader **out,
                               slant_error *err);
/* The next record, valid until the next call. A bad row is a record with a status; a file that
 * cannot be opened or breaks off (a truncated .gz) is one, too, after which the next file follows.
 */
slant_status slant_reader_next(slant_reader *reader, slant_record *record, slant_error *err);
void slant_reader_close(slant_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
