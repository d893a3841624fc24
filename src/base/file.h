/* Files: read whole or mapped, written whole or not at all. */
#ifndef SLANT_BASE_FILE_H
#define SLANT_BASE_FILE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/* A file mapped read-only. data is NULL where size_bytes is 0. */
typedef struct file_map {
    const uint8_t *data; /* [size_bytes] */
    size_t size_bytes;
} file_map;

slant_status file_map_open(file_map *map, const char *path, slant_error *err);
void file_map_close(file_map *map);

/* Reads all of a file, at most max_bytes (longer: SLANT_ERR_FORMAT). Appends to out. */
slant_status file_read(const char *path, size_t max_bytes, buf *out, slant_error *err);

bool file_exists(const char *path); /* anything of that name */
bool file_is_dir(const char *path);

/* A file written beside its target and renamed over it by file_writer_commit, after fsync of the
 * file and of its folder. Whatever happens before leaves the target as it was. */
typedef struct file_writer {
    FILE *stream;
    char *path, *temporary_path;
} file_writer;

slant_status file_writer_open(file_writer *w, const char *path, slant_error *err);
slant_status file_writer_write(file_writer *w, const void *bytes, size_t size_bytes,
                               slant_error *err);
slant_status file_writer_commit(file_writer *w, slant_error *err);
void file_writer_abort(file_writer *w); /* harmless after commit and on a zeroed writer */

slant_status file_write_whole(const char *path, const void *bytes, size_t size_bytes,
                              slant_error *err);

/* "dir/name" in memory that the caller owns (mem_free); NULL when memory is out. */
char *file_join(const char *dir, const char *name);

/* Path's last component, inside path. */
const char *file_base_name(const char *path);

/* "sha256:" and 64 hexadecimal digits of the bytes. */
#define FILE_DIGEST_CHARS 72
typedef struct file_digest file_digest;
file_digest *file_digest_open(void); /* NULL when memory is out */
void file_digest_update(file_digest *digest, const void *bytes, size_t size_bytes);
void file_digest_close(file_digest *digest,
                       char out[FILE_DIGEST_CHARS]); /* frees; out may be NULL */

#endif
