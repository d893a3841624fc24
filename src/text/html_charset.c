#include "text/html_charset.h"

#include "text/utf8.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>

#define PRESCAN_BYTES 4096
#define LABEL_CHARS 40

/* Browsers read every one of these as windows-1252, whose bytes 0x80 to 0x9F hold the quotes and
 * dashes that pages labelled iso-8859-1 are full of. */
static bool is_windows_1252(const char *label)
{
    static const char *const labels[] = {"windows-1252", "cp1252",    "iso-8859-1", "iso8859-1",
                                         "latin1",       "l1",        "us-ascii",   "ascii",
                                         "x-cp1252",     "iso_8859-1"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (strcasecmp(label, labels[i]) == 0)
            return true;
    return false;
}

/* What the declaration utf-16 means in bytes that could be read far enough to find it. */
static bool is_utf8(const char *label)
{
    return label[0] == '\0' || strcasecmp(label, "utf-8") == 0 || strcasecmp(label, "utf8") == 0 ||
           strncasecmp(label, "utf-16", 6) == 0;
}

/* The web's names where iconv's differ, or where the web means a larger charset. */
static const char *iconv_name(const char *label)
{
    static const char *const names[][2] = {
        {"shift_jis", "CP932"},      {"x-sjis", "CP932"},      {"gb2312", "GB18030"},
        {"gbk", "GB18030"},          {"x-gbk", "GB18030"},     {"euc-kr", "CP949"},
        {"ks_c_5601-1987", "CP949"}, {"big5", "BIG5-HKSCS"},   {"tis-620", "CP874"},
        {"iso-8859-11", "CP874"},    {"iso-8859-9", "CP1254"}, {"x-mac-roman", "MACINTOSH"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(label, names[i][0]) == 0)
            return names[i][1];
    return label;
}

static bool is_label_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == ':' || c == '.' || c == '+';
}

/* The value that follows name and '=' inside a tag [at, end); false where there is none. */
static bool find_label(const char *at, const char *end, const char *name,
                       char label[LABEL_CHARS + 1])
{
    size_t name_bytes = strlen(name), n = 0;
    while ((size_t)(end - at) > name_bytes && strncasecmp(at, name, name_bytes) != 0)
        at++;
    if ((size_t)(end - at) <= name_bytes)
        return false;
    at += name_bytes;
    while (at < end && strchr(" \t\r\n\f=\"'", *at) != NULL && *at != '\0')
        at++;
    while (at < end && is_label_character(*at) && n < LABEL_CHARS)
        label[n++] = *at++;
    label[n] = '\0';
    return n > 0;
}

/* A meta tag's charset, or the encoding of an XML declaration. */
static void declared_label(const char *html, size_t html_bytes, char label[LABEL_CHARS + 1])
{
    const char *at = html, *end = html + (html_bytes < PRESCAN_BYTES ? html_bytes : PRESCAN_BYTES);
    label[0] = '\0';
    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        size_t rest = (size_t)(end - at);
        if (rest >= 4 && memcmp(at, "<!--", 4) == 0) {
            const char *close = memmem(at, rest, "-->", 3);
            if (close == NULL)
                return;
            at = close + 3;
            continue;
        }
        const char *close = memchr(at, '>', rest);
        if (close == NULL)
            return;
        bool meta = rest > 6 && strncasecmp(at, "<meta", 5) == 0;
        bool xml = rest > 6 && memcmp(at, "<?xml", 5) == 0;
        if ((meta && find_label(at, close, "charset", label)) ||
            (xml && find_label(at, close, "encoding", label)))
            return;
        at = close + 1;
    }
}

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a page");
}

static slant_status copy_utf8(const char *html, size_t html_bytes, bool lossy, buf *out,
                              slant_error *err)
{
    size_t at = 0;
    while (at < html_bytes) {
        size_t good = utf8_valid_prefix(html + at, html_bytes - at);
        buf_append(out, html + at, good);
        at += good;
        if (at == html_bytes)
            break;
        if (!lossy)
            return status_fail(err, SLANT_ERR_TEXT,
                               "the page is not UTF-8 at byte %zu and declares no other charset",
                               at);
        buf_string(out, "\xEF\xBF\xBD");
        at += utf8_maximal_subpart(html + at, html_bytes - at);
    }
    return out->failed ? out_of_memory(err) : SLANT_OK;
}

static slant_status copy_windows_1252(const char *html, size_t html_bytes, buf *out,
                                      slant_error *err)
{
    static const uint16_t high[32] = {
        0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
        0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};
    size_t plain = 0;
    for (size_t i = 0; i < html_bytes; i++) {
        unsigned char byte = (unsigned char)html[i];
        if (byte < 0x80)
            continue;
        char encoded[4];
        size_t length = utf8_encode(byte < 0xA0 ? high[byte - 0x80] : byte, encoded);
        buf_append(out, html + plain, i - plain);
        buf_append(out, encoded, length);
        plain = i + 1;
    }
    buf_append(out, html + plain, html_bytes - plain);
    return out->failed ? out_of_memory(err) : SLANT_OK;
}

static slant_status convert(iconv_t converter, const char *charset, const char *html,
                            size_t html_bytes, bool lossy, buf *out, slant_error *err)
{
    char *in = (char *)html; /* iconv changes the pointer, not the bytes */
    size_t in_bytes = html_bytes;
    while (in_bytes > 0) {
        if (!buf_reserve(out, in_bytes + 64))
            return out_of_memory(err);
        char *to = out->data + out->size_bytes;
        size_t room = out->cap - out->size_bytes - 1;
        size_t result = iconv(converter, &in, &in_bytes, &to, &room);
        int why = errno;
        out->size_bytes = (size_t)(to - out->data);
        out->data[out->size_bytes] = '\0';
        if (result != (size_t)-1 || why == E2BIG)
            continue;
        if (!lossy)
            return status_fail(err, SLANT_ERR_TEXT,
                               "the page is not %s, which it declares, at "
                               "byte %zu",
                               charset, html_bytes - in_bytes);
        buf_string(out, "\xEF\xBF\xBD");
        in++;
        in_bytes--;
    }
    return out->failed ? out_of_memory(err) : SLANT_OK;
}

/* iconv_open has its own way to say no. */
static bool is_open(iconv_t converter)
{
    return (intptr_t)converter != -1;
}

static slant_status copy_converted(const char *charset, const char *html, size_t html_bytes,
                                   bool lossy, buf *out, slant_error *err)
{
    iconv_t converter = iconv_open("UTF-8", iconv_name(charset));
    if (!is_open(converter) && errno == EINVAL)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "the page declares the charset %s, which is not known here", charset);
    if (!is_open(converter))
        return out_of_memory(err);
    slant_status status = convert(converter, charset, html, html_bytes, lossy, out, err);
    iconv_close(converter);
    return status;
}

slant_status html_to_utf8(const char *html, size_t html_bytes, bool lossy, buf *out,
                          slant_error *err)
{
    char label[LABEL_CHARS + 1];
    if (html_bytes >= 3 && memcmp(html, "\xEF\xBB\xBF", 3) == 0)
        return copy_utf8(html + 3, html_bytes - 3, lossy, out, err);
    if (html_bytes >= 2 && memcmp(html, "\xFF\xFE", 2) == 0)
        return copy_converted("UTF-16LE", html + 2, html_bytes - 2, lossy, out, err);
    if (html_bytes >= 2 && memcmp(html, "\xFE\xFF", 2) == 0)
        return copy_converted("UTF-16BE", html + 2, html_bytes - 2, lossy, out, err);
    declared_label(html, html_bytes, label);
    if (is_utf8(label) || utf8_valid_prefix(html, html_bytes) == html_bytes)
        return copy_utf8(html, html_bytes, lossy, out, err);
    if (is_windows_1252(label))
        return copy_windows_1252(html, html_bytes, out, err);
    return copy_converted(label, html, html_bytes, lossy, out, err);
}
