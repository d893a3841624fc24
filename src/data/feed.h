/* A window over a source: the bytes that were read and not yet taken lie in one piece, so that a
 * record can be looked at whole. The window grows to the longest record and is then kept. */
#ifndef SLANT_DATA_FEED_H
#define SLANT_DATA_FEED_H

#include "base/buf.h"
#include "data/byte_source.h"

/* The longest record that is read; a longer one is an error of its row. */
#define RECORD_MAX_BYTES ((size_t)64 << 20)

typedef struct feed {
    byte_source source;
    buf window;          /* bytes [begin, window.size_bytes) are unread */
    size_t begin;        /* within window */
    uint64_t passed;     /* decoded bytes before begin */
    bool ended;          /* the source has no more */
    bool broken;         /* the source failed behind what is unread: nothing more will come */
    bool told;           /* feed_more has said so */
    slant_error failure; /* where broken: why */
} feed;

void feed_init(feed *f);
slant_status feed_open(feed *f, const char *path, slant_error *err);
void feed_close(feed *f);
void feed_free(feed *f);

/* The unread bytes; valid until feed_more. They may be changed in place before they are taken. */
static inline char *feed_bytes(const feed *f)
{
    return f->window.data + f->begin;
}

static inline size_t feed_size(const feed *f)
{
    return f->window.size_bytes - f->begin;
}

/* Reads more behind the unread bytes; sets ended where there is no more. A failure of the source is
 * said again at every call. */
slant_status feed_more(feed *f, slant_error *err);

/* Reads until want_bytes are unread or the source has ended. */
slant_status feed_want(feed *f, size_t want_bytes, slant_error *err);

/* Takes size_bytes unread bytes; they stay where they are until feed_more. */
static inline void feed_take(feed *f, size_t size_bytes)
{
    f->begin += size_bytes;
    f->passed += size_bytes;
}

#endif
