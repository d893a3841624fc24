#include "data/spool.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the places of rows");
}

/* Where the file system knows no files without names, one that loses its name at once. */
static int open_named(const char *dir)
{
    char *path = file_join(dir, ".slant-XXXXXX");
    if (path == NULL) {
        errno = ENOMEM;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    mem_free(path);
    return fd;
}

slant_status spool_open(spool *s, const char *dir, slant_error *err)
{
    *s = (spool){0};
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open_named(dir);
    if (fd >= 0)
        s->stream = fdopen(fd, "w+");
    if (s->stream != NULL)
        return SLANT_OK;
    slant_status status = status_errno(err, errno, "%s: no file can be made there", dir);
    if (fd >= 0)
        close(fd);
    return status;
}

slant_status spool_add(spool *s, const char *row, size_t row_bytes, slant_error *err)
{
    uint64_t *ends = mem_with_room(s->ends, &s->cap, s->n + 1, sizeof *ends);
    if (ends == NULL)
        return out_of_memory(err);
    s->ends = ends;
    if (fwrite(row, 1, row_bytes, s->stream) != row_bytes)
        return status_errno(err, errno, "rows cannot be put by on the disk");
    s->ends[s->n] = (s->n > 0 ? s->ends[s->n - 1] : 0) + row_bytes;
    s->n++;
    return SLANT_OK;
}

static slant_status read_row(spool *s, uint64_t at, size_t row_bytes, slant_error *err)
{
    buf_clear(&s->row);
    if (!buf_reserve(&s->row, row_bytes + 1))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a row of %zu bytes",
                           row_bytes);
    while (s->row.size_bytes < row_bytes) {
        ssize_t got = pread(fileno(s->stream), s->row.data + s->row.size_bytes,
                            row_bytes - s->row.size_bytes, (off_t)(at + s->row.size_bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_errno(err, errno, "rows that were put by cannot be read");
        if (got == 0)
            return status_fail(err, SLANT_ERR_IO, "rows that were put by are no longer there");
        s->row.size_bytes += (size_t)got;
    }
    buf_char(&s->row, '\n');
    return SLANT_OK;
}

slant_status spool_take(spool *s, size_t i, file_writer *to, slant_error *err)
{
    assert(i < s->n);
    uint64_t at = i > 0 ? s->ends[i - 1] : 0;
    if (fflush(s->stream) != 0)
        return status_errno(err, errno, "rows cannot be put by on the disk");
    slant_status status = read_row(s, at, (size_t)(s->ends[i] - at), err);
    return status == SLANT_OK ? file_writer_write(to, s->row.data, s->row.size_bytes, err) : status;
}

void spool_close(spool *s)
{
    if (s->stream != NULL)
        fclose(s->stream);
    mem_free(s->ends);
    buf_free(&s->row);
    *s = (spool){0};
}
