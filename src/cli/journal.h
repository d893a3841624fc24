/* The journal of a resumable output file: FILE.resume beside FILE.
 *
 * Its first line holds the settings that decide the answers; each further line, added once a batch
 * of answers has been written, says how many rows and bytes stand in FILE by then and digests of
 * the articles and of the bytes, each chained to the line before. On resuming, every line is
 * checked against what FILE holds; what FILE has beyond the last line that holds true is cut off.
 * So it does not matter where a kill fell, and an edited FILE, another input or another model is
 * found out. */
#ifndef SLANT_CLI_JOURNAL_H
#define SLANT_CLI_JOURNAL_H

#include "base/file.h"

#include <jansson.h>

/* What has been answered so far. */
typedef struct journal_counts {
    int64_t rows, failed, cut, tokens, tokens_read;
} journal_counts;

typedef struct journal_entry {
    journal_counts counts;
    int64_t bytes;                 /* of FILE */
    char input[FILE_DIGEST_CHARS]; /* chained over the articles */
    char output[FILE_DIGEST_CHARS];
} journal_entry;

typedef struct journal {
    char *path;             /* FILE.resume */
    int fd;                 /* locked while open */
    journal_entry *entries; /* [n_entries], those that FILE bears out */
    size_t n_entries, cap;
    journal_entry last; /* where the output stands: all zero at the start */
} journal;

/* output_fd is FILE, open for reading and writing; had_output says whether it was there before.
 * settings is an object of strings. Afterwards last is where to go on, and FILE is cut to it. */
slant_status journal_open(journal *j, const char *output_path, int output_fd, bool had_output,
                          const json_t *settings, slant_error *err);
/* Adds a line for a batch: its articles, its bytes in FILE and the counts after it. */
slant_status journal_add(journal *j, const buf *articles, const buf *written,
                         const journal_counts *counts, slant_error *err);
void journal_close(journal *j);

/* digest := SHA-256 over digest and bytes: one link of a chain that starts with "". */
slant_status journal_chain(char digest[FILE_DIGEST_CHARS], const char *bytes, size_t size_bytes,
                           slant_error *err);

#endif
