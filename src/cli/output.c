#include "cli/output.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where path leads: renaming over a link would put a file in the link's place. */
static char *follow_links(const char *path)
{
    char target[PATH_MAX];
    return mem_strdup(realpath(path, target) != NULL ? target : path);
}

static bool is_stream(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

static slant_status open_stream(output *o, slant_error *err)
{
    o->kind = OUTPUT_STREAM;
    o->stream = fopen(o->path, "wbe");
    return o->stream != NULL ? SLANT_OK : status_errno(err, errno, "%s", o->path);
}

static slant_status open_resumable(output *o, const json_t *settings, slant_error *err)
{
    struct stat info;
    o->kind = OUTPUT_RESUMABLE;
    o->fd = open(o->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (o->fd < 0 || fstat(o->fd, &info) != 0)
        return status_errno(err, errno, "%s", o->path);
    return journal_open(&o->journal, o->path, o->fd, info.st_size > 0, settings, err);
}

slant_status output_open(output *o, const char *path, bool resume, const json_t *settings,
                         slant_error *err)
{
    *o = (output){.kind = OUTPUT_STREAM, .fd = -1, .journal.fd = -1};
    if (path == NULL || strcmp(path, "-") == 0) {
        o->stream = stdout;
        return SLANT_OK;
    }
    slant_status status;
    o->path = follow_links(path);
    if (o->path == NULL)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    else if (file_is_dir(o->path))
        status = status_fail(err, SLANT_ERR_IO, "%s: a folder, not a file", o->path);
    else if (is_stream(o->path) && resume)
        status = status_fail(err, SLANT_ERR_ARGUMENT,
                             "%s: not a regular file; what went there cannot be resumed", o->path);
    else if (is_stream(o->path))
        status = open_stream(o, err);
    else if (resume)
        status = open_resumable(o, settings, err);
    else {
        o->kind = OUTPUT_WHOLE;
        status = file_writer_open(&o->writer, o->path, err);
    }
    if (status != SLANT_OK)
        output_close(o);
    return status;
}

const journal_counts *output_counts(const output *o)
{
    return &o->journal.last.counts;
}

const journal_entry *output_entry(const output *o, size_t i)
{
    return i < o->journal.n_entries ? &o->journal.entries[i] : NULL;
}

static const char *shown_path(const output *o)
{
    return o->path == NULL ? "standard output" : o->path;
}

static slant_status write_fd(output *o, const buf *bytes, slant_error *err)
{
    for (size_t at = 0; at < bytes->size_bytes;) {
        ssize_t n = write(o->fd, bytes->data + at, bytes->size_bytes - at);
        if (n < 0 && errno != EINTR)
            return status_errno(err, errno, "%s: cannot be written", o->path);
        at += n > 0 ? (size_t)n : 0;
    }
    return SLANT_OK;
}

slant_status output_write(output *o, const buf *bytes, slant_error *err)
{
    if (bytes->failed)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    if (bytes->size_bytes == 0)
        return SLANT_OK;
    if (o->kind == OUTPUT_WHOLE)
        return file_writer_write(&o->writer, bytes->data, bytes->size_bytes, err);
    if (o->kind == OUTPUT_RESUMABLE)
        return write_fd(o, bytes, err);
    if (fwrite(bytes->data, 1, bytes->size_bytes, o->stream) != bytes->size_bytes ||
        fflush(o->stream) != 0)
        return status_errno(err, errno, "%s: cannot be written", shown_path(o));
    return SLANT_OK;
}

slant_status output_write_batch(output *o, const buf *bytes, const buf *articles,
                                const journal_counts *counts, slant_error *err)
{
    slant_status status = output_write(o, bytes, err);
    if (status == SLANT_OK && o->kind == OUTPUT_RESUMABLE)
        status = journal_add(&o->journal, articles, bytes, counts, err);
    return status;
}

slant_status output_commit(output *o, slant_error *err)
{
    slant_status status = SLANT_OK;
    if (o->kind == OUTPUT_WHOLE)
        status = file_writer_commit(&o->writer, err);
    else if (o->kind == OUTPUT_RESUMABLE && fsync(o->fd) != 0)
        status = status_errno(err, errno, "%s: cannot be written", o->path);
    else if (o->path != NULL && o->stream != NULL) {
        int closed = fclose(o->stream);
        o->stream = NULL;
        if (closed != 0)
            status = status_errno(err, errno, "%s: cannot be written", o->path);
    }
    output_close(o);
    return status;
}

void output_close(output *o)
{
    if (o->path != NULL && o->stream != NULL)
        fclose(o->stream);
    if (o->fd >= 0)
        close(o->fd);
    file_writer_abort(&o->writer);
    journal_close(&o->journal);
    mem_free(o->path);
    *o = (output){.kind = OUTPUT_STREAM, .fd = -1, .journal.fd = -1};
}
