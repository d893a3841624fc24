/* Where answers go: standard output; a file that appears whole or not at all; or a resumable file,
 * which grows batch by batch with a journal beside it. */
#ifndef SLANT_CLI_OUTPUT_H
#define SLANT_CLI_OUTPUT_H

#include "base/file.h"
#include "cli/journal.h"

typedef enum output_kind {
    OUTPUT_STREAM, /* standard output, or a device or pipe that -o names */
    OUTPUT_WHOLE,
    OUTPUT_RESUMABLE
} output_kind;

typedef struct output {
    output_kind kind;
    char *path; /* links followed; NULL: standard output */
    FILE *stream;
    file_writer writer;
    int fd;
    journal journal;
} output;

/* path NULL or "-": standard output, which cannot be resumed. settings (resuming only): an object
 * of strings that decide the answers. */
slant_status output_open(output *o, const char *path, bool resume, const json_t *settings,
                         slant_error *err);
/* Rows that an earlier run has written. */
const journal_counts *output_counts(const output *o);
/* The articles' digests that an earlier run's batch ended with: entry i of n; NULL past the last.
 */
const journal_entry *output_entry(const output *o, size_t i);

slant_status output_write(output *o, const buf *bytes, slant_error *err);
/* A whole batch: its bytes and, where the file is resumable, the journal's line. */
slant_status output_write_batch(output *o, const buf *bytes, const buf *articles,
                                const journal_counts *counts, slant_error *err);
/* All is written: puts the file in its place. */
slant_status output_commit(output *o, slant_error *err);
/* Leaves the target as it was, or the resumable file ready to go on. Harmless after commit. */
void output_close(output *o);

#endif
