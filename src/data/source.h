/* The bytes of one input, decompressed on the way. Whether they are gzip, zstd or plain is told by
 * their first bytes, never by the name. One source is opened for one file after another, so that
 * the decompressors' tables are allocated once. */
#ifndef SLANT_DATA_SOURCE_H
#define SLANT_DATA_SOURCE_H

#include "base/status.h"

#include <stdint.h>
#include <zlib.h>
#include <zstd.h>

#define SOURCE_RAW_BYTES 131072

typedef enum source_coding { SOURCE_PLAIN, SOURCE_GZIP, SOURCE_ZSTD } source_coding;

typedef struct source {
    int fd; /* -1 while closed */
    const char *path;
    source_coding coding;
    bool raw_ended;
    bool in_member;     /* inside a gzip member or a zstd frame */
    uint64_t raw_bytes; /* taken from the file so far */
    uint8_t *raw;       /* [SOURCE_RAW_BYTES] bytes read and not yet decoded: [raw_at, raw_end) */
    size_t raw_at, raw_end; /* within raw */
    z_stream inflater;
    bool inflater_ready;
    ZSTD_DCtx *zstd; /* NULL until the first zstd file */
} source;

void source_init(source *s);
/* Opens path ("-": standard input) and looks at its first bytes. path must outlive the opening. */
slant_status source_open(source *s, const char *path, slant_error *err);
/* Fills out with 1 to cap decoded bytes; *got 0 at the end. A file that breaks off or is corrupt is
 * SLANT_ERR_FORMAT with the position in the file; what was decoded before has been handed out. */
slant_status source_read(source *s, char *out, size_t cap, size_t *got, slant_error *err);
/* Where in the file the decoder stands. */
uint64_t source_position(const source *s);
void source_close(source *s); /* of the file; the source can be opened again */
void source_free(source *s);

#endif
