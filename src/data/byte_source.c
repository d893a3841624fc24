#include "data/byte_source.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zstd_errors.h>

void byte_source_init(byte_source *s)
{
    *s = (byte_source){.fd = -1};
}

uint64_t byte_source_position(const byte_source *s)
{
    return s->raw_bytes - (s->raw_end - s->raw_at);
}

static slant_status read_some(byte_source *s, void *out, size_t cap, size_t *got, slant_error *err)
{
    ssize_t n;
    do
        n = read(s->fd, out, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return status_errno(err, errno, "cannot be read at byte %" PRIu64, s->raw_bytes);
    *got = (size_t)n;
    s->raw_bytes += (size_t)n;
    s->raw_ended = n == 0;
    return SLANT_OK;
}

/* Reads until at least want_bytes lie in raw, or the file ends. */
static slant_status raw_fill(byte_source *s, size_t want_bytes, slant_error *err)
{
    assert(want_bytes <= BYTE_SOURCE_RAW_BYTES);
    if (s->raw_at > 0) {
        memmove(s->raw, s->raw + s->raw_at, s->raw_end - s->raw_at);
        s->raw_end -= s->raw_at;
        s->raw_at = 0;
    }
    while (s->raw_end < want_bytes && !s->raw_ended) {
        size_t got = 0;
        slant_status status =
            read_some(s, s->raw + s->raw_end, BYTE_SOURCE_RAW_BYTES - s->raw_end, &got, err);
        if (status != SLANT_OK)
            return status;
        s->raw_end += got;
    }
    return SLANT_OK;
}

static bool is_gzip(const uint8_t *bytes, size_t size_bytes)
{
    return size_bytes >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
}

/* A frame, or a skippable frame: both may stand first in a .zst file. */
static bool is_zstd(const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes < 4)
        return false;
    uint32_t magic = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                     (uint32_t)bytes[3] << 24;
    return magic == ZSTD_MAGICNUMBER ||
           (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static void *zlib_alloc(void *unused, unsigned n_items, unsigned item_bytes)
{
    (void)unused;
    return mem_alloc(n_items, item_bytes);
}

static void zlib_free(void *unused, void *pointer)
{
    (void)unused;
    mem_free(pointer);
}

static slant_status inflater_start(byte_source *s, slant_error *err)
{
    int result;
    if (s->inflater_ready) {
        result = inflateReset(&s->inflater);
    } else {
        s->inflater = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
        result = inflateInit2(&s->inflater, 16 + MAX_WBITS); /* 16: gzip's header and checksum */
        s->inflater_ready = result == Z_OK;
    }
    if (result != Z_OK)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for decompression");
    return SLANT_OK;
}

static slant_status zstd_start(byte_source *s, slant_error *err)
{
    if (s->zstd == NULL)
        s->zstd = ZSTD_createDCtx();
    if (s->zstd == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for decompression");
    ZSTD_DCtx_reset(s->zstd, ZSTD_reset_session_only);
    return SLANT_OK;
}

static bool name_ends(const char *path, const char *ending)
{
    size_t path_bytes = strlen(path), ending_bytes = strlen(ending);
    return path_bytes >= ending_bytes && strcasecmp(path + path_bytes - ending_bytes, ending) == 0;
}

/* An empty file is taken for what it is whatever its name says: it breaks off before it begins. */
static slant_status detect_coding(byte_source *s, slant_error *err)
{
    slant_status status = raw_fill(s, 4, err);
    if (status != SLANT_OK)
        return status;
    if (is_gzip(s->raw, s->raw_end)) {
        s->coding = BYTE_SOURCE_GZIP;
        return inflater_start(s, err);
    }
    if (is_zstd(s->raw, s->raw_end)) {
        s->coding = BYTE_SOURCE_ZSTD;
        return zstd_start(s, err);
    }
    s->coding = BYTE_SOURCE_PLAIN;
    if (name_ends(s->path, ".gz") || name_ends(s->path, ".zst"))
        return status_fail(err, SLANT_ERR_FORMAT, "expected %s data, found %s",
                           name_ends(s->path, ".gz") ? "gzip" : "zstd",
                           s->raw_end == 0 ? "an empty file" : "other bytes at its beginning");
    return SLANT_OK;
}

slant_status byte_source_open(byte_source *s, const char *path, slant_error *err)
{
    assert(s->fd < 0);
    if (s->raw == NULL)
        s->raw = mem_alloc(BYTE_SOURCE_RAW_BYTES, 1);
    if (s->raw == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    s->path = path;
    s->raw_ended = s->in_member = false;
    s->raw_bytes = 0;
    s->raw_at = s->raw_end = 0;
    s->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return status_errno(err, errno, "cannot be opened");
    slant_status status = detect_coding(s, err);
    if (status != SLANT_OK)
        byte_source_close(s);
    return status;
}

static slant_status breaks_off(const byte_source *s, const char *what, slant_error *err)
{
    return status_fail(err, SLANT_ERR_FORMAT, "the %s data breaks off at byte %" PRIu64, what,
                       byte_source_position(s));
}

static slant_status corrupt(const byte_source *s, const char *what, const char *why,
                            slant_error *err)
{
    return status_fail(err, SLANT_ERR_FORMAT, "the %s data is corrupt near byte %" PRIu64 ": %s",
                       what, byte_source_position(s), why);
}

/* Between members: true where another begins. gzip files may be padded with zeros (tapes). */
static slant_status next_member(byte_source *s, bool *more, slant_error *err)
{
    *more = false;
    slant_status status = raw_fill(s, 4, err);
    if (status != SLANT_OK)
        return status;
    if (s->coding == BYTE_SOURCE_ZSTD) {
        if (is_zstd(s->raw, s->raw_end)) {
            *more = true;
            return zstd_start(s, err);
        }
    } else if (is_gzip(s->raw, s->raw_end)) {
        *more = true;
        return inflater_start(s, err);
    } else {
        while (s->raw_at < s->raw_end && s->raw[s->raw_at] == 0) {
            s->raw_at++;
            if (s->raw_at == s->raw_end && (status = raw_fill(s, 1, err)) != SLANT_OK)
                return status;
        }
    }
    if (s->raw_at == s->raw_end)
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_FORMAT,
                       "expected the end or more %s data at byte %" PRIu64 ", found other bytes",
                       s->coding == BYTE_SOURCE_ZSTD ? "zstd" : "gzip", byte_source_position(s));
}

/* One call of inflate: *got may stay 0 though there is more. */
static slant_status inflate_some(byte_source *s, char *out, size_t cap, size_t *got,
                                 slant_error *err)
{
    z_stream *z = &s->inflater;
    z->next_in = s->raw + s->raw_at;
    z->avail_in = (unsigned)(s->raw_end - s->raw_at);
    z->next_out = (unsigned char *)out;
    z->avail_out = (unsigned)(cap < 1u << 30 ? cap : 1u << 30);
    unsigned room = z->avail_out;
    int result = inflate(z, Z_NO_FLUSH);
    s->raw_at = s->raw_end - z->avail_in;
    *got = room - z->avail_out;
    if (result == Z_STREAM_END)
        s->in_member = false;
    else if (result == Z_MEM_ERROR)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for decompression");
    else if (result != Z_OK && result != Z_BUF_ERROR)
        return corrupt(s, "gzip", z->msg != NULL ? z->msg : "no valid gzip stream", err);
    return SLANT_OK;
}

static slant_status unzstd_some(byte_source *s, char *out, size_t cap, size_t *got,
                                slant_error *err)
{
    ZSTD_inBuffer in = {s->raw + s->raw_at, s->raw_end - s->raw_at, 0};
    ZSTD_outBuffer produced = {out, cap, 0};
    size_t result = ZSTD_decompressStream(s->zstd, &produced, &in);
    s->raw_at += in.pos;
    *got = produced.pos;
    if (!ZSTD_isError(result)) {
        s->in_member = result != 0;
        return SLANT_OK;
    }
    ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    if (code == ZSTD_error_memory_allocation)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for decompression");
    if (code == ZSTD_error_frameParameter_windowTooLarge)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "the zstd data needs a window of more than 128 MiB (made with --long)");
    return corrupt(s, "zstd", ZSTD_getErrorName(result), err);
}

static slant_status decode(byte_source *s, char *out, size_t cap, size_t *got, slant_error *err)
{
    const char *what = s->coding == BYTE_SOURCE_GZIP ? "gzip" : "zstd";
    for (*got = 0; *got == 0;) {
        if (!s->in_member) {
            slant_status status = next_member(s, &s->in_member, err);
            if (status != SLANT_OK || !s->in_member)
                return status;
        }
        if (s->raw_at == s->raw_end) {
            slant_status status = raw_fill(s, 1, err);
            if (status != SLANT_OK)
                return status;
        }
        bool starved = s->raw_at == s->raw_end;
        slant_status status = s->coding == BYTE_SOURCE_GZIP ? inflate_some(s, out, cap, got, err)
                                                            : unzstd_some(s, out, cap, got, err);
        if (status != SLANT_OK)
            return status;
        if (starved && *got == 0 && s->in_member)
            return breaks_off(s, what, err);
    }
    return SLANT_OK;
}

slant_status byte_source_read(byte_source *s, char *out, size_t cap, size_t *got, slant_error *err)
{
    *got = 0;
    if (s->coding != BYTE_SOURCE_PLAIN)
        return decode(s, out, cap, got, err);
    if (s->raw_at == s->raw_end)
        return s->raw_ended ? SLANT_OK : read_some(s, out, cap, got, err);
    size_t held = s->raw_end - s->raw_at;
    *got = held < cap ? held : cap;
    memcpy(out, s->raw + s->raw_at, *got);
    s->raw_at += *got;
    return SLANT_OK;
}

void byte_source_close(byte_source *s)
{
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    s->fd = -1;
}

void byte_source_free(byte_source *s)
{
    byte_source_close(s);
    if (s->inflater_ready)
        inflateEnd(&s->inflater);
    ZSTD_freeDCtx(s->zstd);
    mem_free(s->raw);
    byte_source_init(s);
}
