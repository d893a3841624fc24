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
    bool want_rows; /* records carry their row as JSON */
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
    /* Where want_rows: the row as one line of JSON, without its end; it holds no LF. Of JSONL the
     * line as it stands in the file; a JSON value without white space between its tokens; a table's
     * row under its columns' names; else an object of id, title and text. */
    const char *row_json; /* [row_bytes] */
    size_t row_bytes;
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

/* Rows of files become rows of other files, as JSONL: a row of a JSONL byte for byte. What is
 * written is there whole or not at all. */
typedef struct slant_rows_watch {
    /* Told now and then; share: of the input, 0 … 1, negative where unknown. NULL: not. */
    void (*progress)(void *context, int64_t n_rows, double share);
    bool (*should_stop)(void *context); /* true: SLANT_ERR_CANCELLED. NULL: never */
    void *context;
} slant_rows_watch;

/* "FILE:ROW: why", or an id: the first of those that were left out. */
typedef struct slant_left_out {
    int64_t n;
    const char *const *named; /* [n_named] */
    size_t n_named;
} slant_left_out;

typedef struct slant_split_options {
    slant_reader_options reader; /* label_field NULL: "label" */
    const double *ratios;        /* [n_parts], in any unit; NULL: 64, 16 and 20 */
    const char *const *names;    /* [n_parts], NAME.jsonl each; NULL: train, eval and test */
    size_t n_parts;              /* where ratios or names are given */
    double fraction;             /* of every part's rows that is written, 0 … 1; 0: all */
    uint64_t seed;
    bool ignore_labels; /* rows need none, and parts may differ in them */
    bool skip_bad_rows; /* leave out rows that cannot be used instead of refusing all */
    slant_rows_watch watch;
} slant_split_options;

typedef struct slant_split_part {
    const char *name, *path;
    int64_t n_rows;            /* written */
    const int64_t *label_rows; /* [n_labels] of them */
} slant_split_part;

typedef struct slant_split {
    size_t n_parts, n_labels;
    const slant_split_part *parts; /* [n_parts] */
    const char *const *labels;     /* [n_labels], as JSON; numbers by value, then names; one of them
                                      is "" where labels are ignored */
    int64_t n_rows;                /* that could be used */
    slant_left_out bad;
} slant_split;

/* Divides rows at random into parts. The sizes of the parts come first (28,100 rows by 64, 16 and
 * 20 are 17,984, 4,496 and 5,620), then each label's rows are shared out by largest remainder, so
 * that no part has a row of a label more or less than its share. The same rows, ratios and seed
 * give the same parts, in each of which rows keep their order; a fraction's parts are parts of the
 * whole's.
 *   paths [n_paths]; "-": standard input
 *   dir   the folder to write into, made where it is not there
 * On success *out is owned by the caller; else *out is NULL. */
slant_status slant_data_split(const char *const *paths, size_t n_paths, const char *dir,
                              const slant_split_options *options, slant_split **out,
                              slant_error *err);
void slant_split_close(slant_split *split);

typedef struct slant_select_options {
    slant_reader_options reader;
    bool skip_missing;     /* leave out ids that no row has instead of refusing */
    bool first_of_doubles; /* take an id that the list or the rows hold twice where it first stands
                              instead of refusing */
    slant_rows_watch watch;
} slant_select_options;

typedef struct slant_selection {
    int64_t n_ids;                        /* in the list, doubles counted once */
    int64_t n_rows;                       /* looked at */
    int64_t n_written;                    /* of them */
    slant_left_out missing, doubles, bad; /* bad: rows that could not be read */
} slant_selection;

/* Writes the rows whose ids are in a list, in the list's order. The list is a table (tabs, or
 * commas in a .csv) whose first row names its columns: the one named by id_field, else id, ID or
 * _id, is read. paths [n_paths]; "-": standard input On success *out is owned by the caller; else
 * *out is NULL. */
slant_status slant_data_select(const char *const *paths, size_t n_paths, const char *ids_path,
                               const char *out_path, const slant_select_options *options,
                               slant_selection **out, slant_error *err);
void slant_selection_close(slant_selection *selection);

#ifdef __cplusplus
}
#endif

#endif
