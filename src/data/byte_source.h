/* The bytes of one input, decompressed on the way. Whether they are gzip, zstd or plain is told by
 * their first bytes, never by the name. One source is opened for one file after another, so that
 * the decompressors' tables are allocated once. */
#ifndef SLANT_DATA_BYTE_SOURCE_H
#define SLANT_DATA_BYTE_SOURCE_H

#include "base/status.h"

#include <stdint.h>
#include <zlib.h>
#include <zstd.h>

#define BYTE_SOURCE_RAW_BYTES 131072

typedef enum byte_source_coding {
    BYTE_SOURCE_PLAIN,
    BYTE_SOURCE_GZIP,
    BYTE_SOURCE_ZSTD
} byte_source_coding;

typedef struct byte_source {
    int fd; /* -1 while closed */
    const char *path;
    byte_source_coding coding;
    bool raw_ended;
    bool in_member;     /* inside a gzip member or a zstd frame */
    uint64_t raw_bytes; /* taken from the file so far */
    uint8_t *raw; /* [BYTE_SOURCE_RAW_BYTES] bytes read and not yet decoded: [raw_at, raw_end) */
    size_t raw_at, raw_end; /* within raw */
    z_stream inflater;
    bool inflater_ready;
    ZSTD_DCtx *zstd; /* NULL until the first zstd file */
} byte_source;

void byte_source_init(byte_source *s);
/* Opens path ("-": standard input) and looks at its first bytes. path must outlive the opening. */
slant_status byte_source_open(byte_source *s, const char *path, slant_error *err);
/* Fills out with 1 to cap decoded bytes; *got 0 at the end. A file that breaks off or is corrupt is
 * SLANT_ERR_FORMAT with the position in the file; what was decoded before has been handed out. */
slant_status byte_source_read(byte_source *s, char *out, size_t cap, size_t *got, slant_error *err);
/* Where in the file the decoder stands. */
uint64_t byte_source_position(const byte_source *s);
void byte_source_close(byte_source *s); /* of the file; the source can be opened again */
void byte_source_free(byte_source *s);

#endif
