#include "cli/journal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define JOURNAL_VERSION 1
#define JOURNAL_MAX_BYTES ((size_t)1 << 30)

slant_status journal_chain(char digest[FILE_DIGEST_CHARS], const char *bytes, size_t size_bytes,
                           slant_error *err)
{
    file_digest *d = file_digest_open();
    if (d == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    file_digest_update(d, digest, strlen(digest));
    if (size_bytes > 0)
        file_digest_update(d, bytes, size_bytes);
    file_digest_close(d, digest);
    return SLANT_OK;
}

static slant_status write_all(const journal *j, const buf *line, slant_error *err)
{
    size_t at = 0;
    if (line->failed)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    while (at < line->size_bytes) {
        ssize_t n = write(j->fd, line->data + at, line->size_bytes - at);
        if (n < 0 && errno != EINTR)
            return status_errno(err, errno, "%s: cannot be written", j->path);
        at += n > 0 ? (size_t)n : 0;
    }
    return SLANT_OK;
}

static void append_entry(buf *line, const journal_entry *e)
{
    buf_printf(line,
               "{\"rows\": %" PRId64 ", \"failed\": %" PRId64 ", \"cut\": %" PRId64
               ", \"tokens\": %" PRId64 ", \"tokens_read\": %" PRId64 ", \"bytes\": %" PRId64
               ", \"input\": \"%s\", \"output\": \"%s\"}\n",
               e->counts.rows, e->counts.failed, e->counts.cut, e->counts.tokens,
               e->counts.tokens_read, e->bytes, e->input, e->output);
}

static bool get_digest(const json_t *object, const char *key, char digest[FILE_DIGEST_CHARS])
{
    const char *value = json_string_value(json_object_get(object, key));
    if (value == NULL || strlen(value) != FILE_DIGEST_CHARS - 1)
        return false;
    memcpy(digest, value, FILE_DIGEST_CHARS);
    return true;
}

static bool get_count(const json_t *object, const char *key, int64_t at_least, int64_t *out)
{
    const json_t *value = json_object_get(object, key);
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= at_least;
}

/* False where the line is not whole, as the last one after a kill may be. */
static bool read_entry(const char *line, size_t line_bytes, const journal_entry *before,
                       journal_entry *e)
{
    json_t *object = json_loadb(line, line_bytes, 0, NULL);
    journal_counts *c = &e->counts;
    bool whole = get_count(object, "rows", before->counts.rows, &c->rows) &&
                 get_count(object, "failed", before->counts.failed, &c->failed) &&
                 get_count(object, "cut", before->counts.cut, &c->cut) &&
                 get_count(object, "tokens", before->counts.tokens, &c->tokens) &&
                 get_count(object, "tokens_read", before->counts.tokens_read, &c->tokens_read) &&
                 get_count(object, "bytes", before->bytes, &e->bytes) &&
                 get_digest(object, "input", e->input) && get_digest(object, "output", e->output);
    json_decref(object);
    return whole;
}

/* Whether FILE holds the bytes between two entries. One that is too short was cut, by a kill or by
 * hand; other bytes in their place were put there by somebody, and are not ours to throw away. */
static slant_status check_output(const journal *j, int output_fd, const journal_entry *e,
                                 bool *holds, slant_error *err)
{
    const journal_entry *before = &j->last;
    size_t size_bytes = (size_t)(e->bytes - before->bytes), got = 0;
    char *bytes = mem_alloc(size_bytes, 1);
    char digest[FILE_DIGEST_CHARS];
    *holds = false;
    if (bytes == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    while (got < size_bytes) {
        ssize_t n = pread(output_fd, bytes + got, size_bytes - got, before->bytes + (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    slant_status status = SLANT_OK;
    if (got == size_bytes) {
        memcpy(digest, before->output, sizeof digest);
        status = journal_chain(digest, bytes, size_bytes, err);
        *holds = status == SLANT_OK && strcmp(digest, e->output) == 0;
        if (status == SLANT_OK && !*holds)
            status =
                status_fail(err, SLANT_ERR_MISMATCH,
                            "%s: the output is not what was written: something changed between "
                            "row %" PRId64 " and row %" PRId64 "; move both files away",
                            j->path, before->counts.rows + 1, e->counts.rows);
    }
    mem_free(bytes);
    return status;
}

static slant_status push_entry(journal *j, const journal_entry *e, slant_error *err)
{
    if (j->n_entries == j->cap) {
        size_t cap = j->cap == 0 ? 64 : 2 * j->cap;
        journal_entry *entries = mem_realloc(j->entries, cap, sizeof *entries);
        if (entries == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
        j->entries = entries;
        j->cap = cap;
    }
    j->entries[j->n_entries++] = *e;
    j->last = *e;
    return SLANT_OK;
}

/* The settings line: every setting must be what it was. */
static slant_status check_settings(const journal *j, const char *line, size_t line_bytes,
                                   const json_t *settings, slant_error *err)
{
    json_t *header = json_loadb(line, line_bytes, 0, NULL);
    const json_t *then = json_object_get(header, "settings");
    slant_status status = SLANT_OK;
    if (json_integer_value(json_object_get(header, "slant_resume")) != JOURNAL_VERSION ||
        !json_is_object(then)) {
        status =
            status_fail(err, SLANT_ERR_FORMAT, "%s: not a journal of slant; move it away", j->path);
        goto done;
    }
    const char *key;
    json_t *now;
    json_object_foreach((json_t *)settings, key, now)
    {
        const char *was = json_string_value(json_object_get(then, key));
        if (was != NULL && strcmp(was, json_string_value(now)) == 0)
            continue;
        status =
            status_fail(err, SLANT_ERR_MISMATCH,
                        "%s: the file was begun with another %s: %s then, %s now; resume as it "
                        "was begun, or move both files away",
                        j->path, key, was == NULL ? "(none)" : was, json_string_value(now));
        goto done;
    }
done:
    json_decref(header);
    return status;
}

static slant_status begin_file(const journal *j, const json_t *settings, slant_error *err)
{
    char *text = json_dumps(settings, JSON_PRESERVE_ORDER);
    buf line = {0};
    slant_status status;
    if (text == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    buf_printf(&line, "{\"slant_resume\": %d, \"settings\": %s}\n", JOURNAL_VERSION, text);
    free(text);
    if (ftruncate(j->fd, 0) != 0)
        status = status_errno(err, errno, "%s: cannot be written", j->path);
    else
        status = write_all(j, &line, err);
    buf_free(&line);
    return status;
}

/* Takes in the lines that FILE bears out; *kept is where the last of them ends. */
static slant_status read_entries(journal *j, const char *lines, size_t lines_bytes, int output_fd,
                                 size_t *kept, slant_error *err)
{
    *kept = 0;
    for (size_t at = 0; at < lines_bytes;) {
        const char *end = memchr(lines + at, '\n', lines_bytes - at);
        journal_entry e;
        bool holds = false;
        if (end == NULL || !read_entry(lines + at, (size_t)(end - lines) - at, &j->last, &e))
            break;
        slant_status status = check_output(j, output_fd, &e, &holds, err);
        if (status == SLANT_OK && holds)
            status = push_entry(j, &e, err);
        if (status != SLANT_OK)
            return status;
        if (!holds)
            break;
        at = (size_t)(end - lines) + 1;
        *kept = at;
    }
    return SLANT_OK;
}

/* A whole first line, or nothing was ever written after it. */
static slant_status read_journal(journal *j, const buf *text, int output_fd, bool had_output,
                                 const json_t *settings, slant_error *err)
{
    const char *end = text->size_bytes == 0 ? NULL : memchr(text->data, '\n', text->size_bytes);
    if (end == NULL && had_output)
        return status_fail(err, SLANT_ERR_MISMATCH,
                           "the output file is there, but no journal %s that says how it came "
                           "about; only a file that was begun with --resume can be resumed: move "
                           "it away, or leave --resume out to replace it",
                           j->path);
    if (end == NULL)
        return begin_file(j, settings, err);
    size_t header_bytes = (size_t)(end - text->data), kept;
    slant_status status = check_settings(j, text->data, header_bytes, settings, err);
    if (status == SLANT_OK)
        status =
            read_entries(j, end + 1, text->size_bytes - header_bytes - 1, output_fd, &kept, err);
    if (status == SLANT_OK && ftruncate(j->fd, (off_t)(header_bytes + 1 + kept)) != 0)
        status = status_errno(err, errno, "%s: cannot be written", j->path);
    return status;
}

slant_status journal_open(journal *j, const char *output_path, int output_fd, bool had_output,
                          const json_t *settings, slant_error *err)
{
    *j = (journal){.fd = -1};
    buf text = {0}, path = {0};
    slant_status status = SLANT_OK;
    buf_printf(&path, "%s.resume", output_path);
    j->path = path.data;
    if (path.failed) {
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory");
        goto done;
    }
    j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0) {
        status = status_errno(err, errno, "%s", j->path);
        goto done;
    }
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0) {
        status = status_fail(err, SLANT_ERR_MISMATCH, "%s: another slant is writing this output",
                             j->path);
        goto done;
    }
    status = file_read(j->path, JOURNAL_MAX_BYTES, &text, err);
    if (status == SLANT_OK)
        status = read_journal(j, &text, output_fd, had_output, settings, err);
    if (status == SLANT_OK &&
        (ftruncate(output_fd, j->last.bytes) != 0 || lseek(output_fd, j->last.bytes, SEEK_SET) < 0))
        status = status_errno(err, errno, "%s: cannot be written", output_path);
done:
    buf_free(&text);
    if (status != SLANT_OK)
        journal_close(j);
    return status;
}

slant_status journal_add(journal *j, const buf *articles, const buf *written,
                         const journal_counts *counts, slant_error *err)
{
    journal_entry e = j->last;
    buf line = {0};
    e.counts = *counts;
    e.bytes += (int64_t)written->size_bytes;
    slant_status status = journal_chain(e.input, articles->data, articles->size_bytes, err);
    if (status == SLANT_OK)
        status = journal_chain(e.output, written->data, written->size_bytes, err);
    if (status == SLANT_OK) {
        append_entry(&line, &e);
        status = write_all(j, &line, err);
    }
    if (status == SLANT_OK)
        j->last = e;
    buf_free(&line);
    return status;
}

void journal_close(journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    mem_free(j->path);
    mem_free(j->entries);
    *j = (journal){.fd = -1};
}
