#include "data/feed.h"

#include <string.h>

#define FEED_READ_BYTES ((size_t)256 << 10)

void feed_init(feed *f)
{
    *f = (feed){0};
    byte_source_init(&f->source);
}

slant_status feed_open(feed *f, const char *path, slant_error *err)
{
    buf_clear(&f->window);
    f->begin = 0;
    f->passed = 0;
    f->ended = f->broken = f->told = false;
    return byte_source_open(&f->source, path, err);
}

void feed_close(feed *f)
{
    byte_source_close(&f->source);
}

void feed_free(feed *f)
{
    byte_source_free(&f->source);
    buf_free(&f->window);
}

/* The unread bytes move to the front only when at least as many have been taken, so that moving
 * costs no more than reading did. */
static void drop_taken(feed *f)
{
    size_t unread = feed_size(f);
    if (f->begin == 0 || unread > f->begin)
        return;
    memmove(f->window.data, f->window.data + f->begin, unread);
    f->window.size_bytes = unread;
    f->begin = 0;
}

static slant_status tell_failure(feed *f, slant_error *err)
{
    f->told = true;
    return status_fail(err, f->failure.status, "%s", f->failure.message);
}

slant_status feed_more(feed *f, slant_error *err)
{
    if (f->broken)
        return tell_failure(f, err);
    if (f->window.cap - f->window.size_bytes < FEED_READ_BYTES)
        drop_taken(f);
    if (!buf_reserve(&f->window, FEED_READ_BYTES))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a record of %zu bytes",
                           feed_size(f));
    char *end = f->window.data + f->window.size_bytes;
    size_t got;
    slant_status status = byte_source_read(&f->source, end, FEED_READ_BYTES, &got, &f->failure);
    f->window.size_bytes += got;
    f->window.data[f->window.size_bytes] = '\0';
    f->broken = status != SLANT_OK;
    f->ended = status == SLANT_OK && got == 0;
    return status == SLANT_OK ? SLANT_OK : tell_failure(f, err);
}

slant_status feed_want(feed *f, size_t want_bytes, slant_error *err)
{
    slant_status status = SLANT_OK;
    while (status == SLANT_OK && !f->ended && feed_size(f) < want_bytes)
        status = feed_more(f, err);
    return status;
}
