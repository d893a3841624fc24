/* The Unicode normalization forms, with the count of characters made and removed that the origins
 * need. Decomposition and composition of single characters are utf8proc's.
 *
 * The text is taken in runs: one character below the form's threshold, which no neighbour changes,
 * and those above it that follow. A run of one, so all of plain ASCII, is copied. */
#include "text/normalize.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The longest decomposition of one character (U+FDFA has 18). */
#define MAX_DECOMPOSITION 32

static int combining_class(uint32_t code_point)
{
    return utf8proc_get_property((utf8proc_int32_t)code_point)->combining_class;
}

/* Marks move, stably, into the order of their combining classes between two starters. */
static void sort_marks(normalize_char *chars, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        normalize_char moving = chars[i];
        size_t at = i;
        while (moving.combining_class != 0 && at > 0 &&
               chars[at - 1].combining_class > moving.combining_class) {
            chars[at] = chars[at - 1];
            at--;
        }
        chars[at] = moving;
    }
}

static bool reserve_chars(normalizer_scratch *scratch, size_t wanted)
{
    if (wanted <= scratch->chars_cap)
        return true;
    size_t cap = wanted < 256 ? 256 : wanted + wanted / 2;
    normalize_char *chars = mem_realloc(scratch->chars, cap, sizeof *chars);
    if (chars == NULL)
        return false;
    scratch->chars = chars;
    scratch->chars_cap = cap;
    return true;
}

/* Decomposes text [start, end) into scratch->chars. */
static bool decompose(normalizer_scratch *scratch, uint32_t start, uint32_t end, bool compatible,
                      size_t *n_chars)
{
    utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
    size_t length, n = 0;
    for (uint32_t at = start; at < end; at += (uint32_t)length) {
        utf8proc_int32_t parts[MAX_DECOMPOSITION];
        int boundary = 0;
        uint32_t c = utf8_decode(scratch->text.bytes + at, &length);
        utf8proc_ssize_t n_parts = utf8proc_decompose_char((utf8proc_int32_t)c, parts,
                                                           MAX_DECOMPOSITION, options, &boundary);
        if (n_parts < 1 || n_parts > MAX_DECOMPOSITION) {
            parts[0] = (utf8proc_int32_t)c;
            n_parts = 1;
        }
        if (!reserve_chars(scratch, n + (size_t)n_parts))
            return false;
        for (utf8proc_ssize_t i = 0; i < n_parts; i++)
            scratch->chars[n++] =
                (normalize_char){(uint32_t)parts[i], i > 0, combining_class((uint32_t)parts[i])};
    }
    sort_marks(scratch->chars, n);
    *n_chars = n;
    return true;
}

/* The one character that two compose to; 0 where they do not. */
static uint32_t compose_pair(uint32_t first, uint32_t second)
{
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return utf8proc_normalize_utf32(pair, 2, options) == 1 ? (uint32_t)pair[0] : 0;
}

/* Composes in place: each starter takes the following characters that compose with it and are not
 * blocked by one between. Returns how many are left. */
static size_t compose(normalize_char *chars, size_t n_chars)
{
    size_t starter = SIZE_MAX, n = 0;
    int last_class = -1; /* of what stands between the starter and here; −1: nothing does */
    for (size_t i = 0; i < n_chars; i++) {
        normalize_char c = chars[i];
        if (starter != SIZE_MAX && last_class < c.combining_class) {
            uint32_t composed = compose_pair(chars[starter].code_point, c.code_point);
            if (composed != 0) {
                chars[starter].code_point = composed;
                chars[starter].change += c.change - 1;
                continue;
            }
        }
        if (c.combining_class == 0) {
            starter = n;
            last_class = -1;
        } else if (starter != SIZE_MAX) {
            last_class = c.combining_class;
        }
        chars[n++] = c;
    }
    return n;
}

/* Writes chars, which stand for text [start, end), with the origins that their changes name. */
static bool write_chars(normalizer_scratch *scratch, size_t n_chars, uint32_t start, uint32_t end)
{
    const work_text *from = &scratch->text;
    uint32_t at = start;
    for (size_t i = 0; i < n_chars; i++) {
        normalize_char c = scratch->chars[i];
        span origin = {0, 0};
        if (from->aligned && (c.change > 0 ? at > 0 : at < from->n))
            origin = from->origin[c.change > 0 ? at - 1 : at];
        for (int step = c.change; step <= 0 && at < end; step++)
            at += (uint32_t)utf8_length((unsigned char)from->bytes[at]);
        char bytes[4];
        if (!work_append(&scratch->other, bytes, (uint32_t)utf8_encode(c.code_point, bytes),
                         origin))
            return false;
    }
    return true;
}

bool normalize_unicode(step_kind kind, normalizer_scratch *scratch)
{
    bool composes = kind == STEP_NFC || kind == STEP_NFKC;
    bool compatible = kind == STEP_NFKC || kind == STEP_NFKD;
    uint32_t threshold = kind == STEP_NFC ? 0x300 : kind == STEP_NFD ? 0xC0 : 0xA0;
    work_text *from = &scratch->text;
    work_clear(&scratch->other, from->aligned);
    size_t length;
    for (uint32_t start = 0, end; start < from->n; start = end) {
        bool plain = utf8_decode(from->bytes + start, &length) < threshold;
        end = start + (uint32_t)length;
        uint32_t first_end = end;
        while (end < from->n && utf8_decode(from->bytes + end, &length) >= threshold)
            end += (uint32_t)length;
        if (plain && end == first_end) {
            if (!work_copy(&scratch->other, from, start, end))
                return false;
            continue;
        }
        size_t n_chars;
        if (!decompose(scratch, start, end, compatible, &n_chars))
            return false;
        if (composes)
            n_chars = compose(scratch->chars, n_chars);
        if (!write_chars(scratch, n_chars, start, end))
            return false;
    }
    work_text text = scratch->text;
    scratch->text = scratch->other;
    scratch->other = text;
    return true;
}
