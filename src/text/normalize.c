#include "text/normalize.h"

#include "base/mem.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

slant_status step_set_open(step_set *set, const tables *t, const tables_step *steps, uint32_t n,
                           const char *name, slant_error *err)
{
    *set = (step_set){.tables = t, .steps = steps, .n = n};
    set->patterns = mem_calloc(n, sizeof *set->patterns);
    if (set->patterns == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", name);
    for (uint32_t i = 0; i < n; i++) {
        if (steps[i].kind != STEP_SPLIT && steps[i].kind != STEP_REPLACE)
            continue;
        slant_status status =
            pattern_open(&set->patterns[i], (pattern_kind)steps[i].pattern,
                         tables_string_text(t, steps[i].a), steps[i].a.size_bytes, name, err);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}

void step_set_close(step_set *set)
{
    for (uint32_t i = 0; set->patterns != NULL && i < set->n; i++)
        pattern_close(&set->patterns[i]);
    mem_free(set->patterns);
    *set = (step_set){0};
}

void work_clear(work_text *work, bool aligned)
{
    work->n = 0;
    work->aligned = aligned;
}

void work_free(work_text *work)
{
    mem_free(work->bytes);
    mem_free(work->origin);
    *work = (work_text){0};
}

/* Room for more bytes; a text stays below 2 GiB, so that offsets fit in 32 bits. */
static bool work_reserve(work_text *work, size_t more)
{
    size_t wanted = work->n + more;
    if (wanted > INT32_MAX)
        return false;
    if (wanted > work->cap) {
        size_t cap = wanted < 4096 ? 4096 : wanted + wanted / 2;
        char *bytes = mem_realloc(work->bytes, cap, 1);
        if (bytes == NULL)
            return false;
        work->bytes = bytes;
        work->cap = cap;
    }
    if (work->aligned && wanted > work->origin_cap) {
        span *origin = mem_realloc(work->origin, work->cap, sizeof *origin);
        if (origin == NULL)
            return false;
        work->origin = origin;
        work->origin_cap = work->cap;
    }
    return true;
}

bool work_append(work_text *work, const char *bytes, uint32_t n_bytes, span origin)
{
    if (n_bytes == 0)
        return true;
    if (!work_reserve(work, n_bytes))
        return false;
    memcpy(work->bytes + work->n, bytes, n_bytes);
    for (uint32_t i = 0; work->aligned && i < n_bytes; i++)
        work->origin[work->n + i] = origin;
    work->n += n_bytes;
    return true;
}

bool work_copy(work_text *work, const work_text *from, uint32_t start, uint32_t end)
{
    uint32_t n_bytes = end - start;
    if (n_bytes == 0)
        return true;
    if (!work_reserve(work, n_bytes))
        return false;
    memcpy(work->bytes + work->n, from->bytes + start, n_bytes);
    if (work->aligned)
        memcpy(work->origin + work->n, from->origin + start, n_bytes * sizeof *work->origin);
    work->n += n_bytes;
    return true;
}

bool work_append_source(work_text *work, const char *text, uint32_t text_bytes, uint32_t base)
{
    if (text_bytes == 0)
        return true;
    if (!work_reserve(work, text_bytes))
        return false;
    memcpy(work->bytes + work->n, text, text_bytes);
    for (uint32_t at = 0; work->aligned && at < text_bytes;) {
        uint32_t length = (uint32_t)utf8_length((unsigned char)text[at]);
        for (uint32_t i = 0; i < length; i++)
            work->origin[work->n + at + i] = (span){base + at, base + at + length};
        at += length;
    }
    work->n += text_bytes;
    return true;
}

void normalizer_scratch_free(normalizer_scratch *scratch)
{
    work_free(&scratch->text);
    work_free(&scratch->other);
    mem_free(scratch->chars);
    pattern_scratch_close(scratch->patterns);
    *scratch = (normalizer_scratch){0};
}

static void swap_texts(normalizer_scratch *scratch)
{
    work_text text = scratch->text;
    scratch->text = scratch->other;
    scratch->other = text;
}

/* The origin of byte i, or of nothing where origins are not kept. */
static span origin_at(const work_text *work, uint32_t i)
{
    return work->aligned ? work->origin[i] : (span){0, 0};
}

/* Lower case, character by character, without the context that a final sigma would need; U+0130
 * alone becomes two characters. */
static bool lowercase(normalizer_scratch *scratch)
{
    const work_text *from = &scratch->text;
    work_clear(&scratch->other, from->aligned);
    size_t length;
    for (uint32_t at = 0; at < from->n; at += (uint32_t)length) {
        uint32_t c = utf8_decode(from->bytes + at, &length);
        char lower[6];
        size_t n = utf8_encode(c == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((int32_t)c), lower);
        if (c == 0x130)
            n += utf8_encode(0x307, lower + n);
        if (!work_append(&scratch->other, lower, (uint32_t)n, origin_at(from, at)))
            return false;
    }
    swap_texts(scratch);
    return true;
}

static bool strip(normalizer_scratch *scratch, uint32_t flags)
{
    const work_text *from = &scratch->text;
    size_t length;
    uint32_t start = 0, end = from->n, kept = 0;
    if (flags & STEP_LEFT)
        while (start < end && unicode_is_space(utf8_decode(from->bytes + start, &length)))
            start += (uint32_t)length;
    kept = start;
    for (uint32_t at = start; at < end; at += (uint32_t)length)
        if (!unicode_is_space(utf8_decode(from->bytes + at, &length)))
            kept = at + (uint32_t)length;
    work_clear(&scratch->other, from->aligned);
    if (!work_copy(&scratch->other, from, start, flags & STEP_RIGHT ? kept : end))
        return false;
    swap_texts(scratch);
    return true;
}

/* What is put in front shares the origin of the first character. */
static bool prepend(normalizer_scratch *scratch, const char *text, uint32_t text_bytes)
{
    const work_text *from = &scratch->text;
    if (from->n == 0)
        return true;
    work_clear(&scratch->other, from->aligned);
    if (!work_append(&scratch->other, text, text_bytes, origin_at(from, 0)) ||
        !work_copy(&scratch->other, from, 0, from->n))
        return false;
    swap_texts(scratch);
    return true;
}

/* A replacement shares the origin of the last byte that it replaces. */
static slant_status replace(const step_set *set, uint32_t step, normalizer_scratch *scratch,
                            slant_error *err)
{
    const work_text *from = &scratch->text;
    const char *content = tables_string_text(set->tables, set->steps[step].b);
    uint32_t content_bytes = set->steps[step].b.size_bytes, at = 0;
    pattern_walk walk = {.pattern = &set->patterns[step],
                         .scratch = scratch->patterns,
                         .text = from->bytes,
                         .within = {0, from->n}};
    bool found = true;
    work_clear(&scratch->other, from->aligned);
    while (found) {
        span match;
        slant_status status = pattern_walk_next(&walk, &found, &match, err);
        if (status != SLANT_OK)
            return status;
        if (!found)
            match = (span){from->n, from->n};
        if (!work_copy(&scratch->other, from, at, match.start))
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
        at = match.end;
        span origin = at > 0 ? origin_at(from, at - 1) : (span){0, 0};
        if (found && !work_append(&scratch->other, content, content_bytes, origin))
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    }
    swap_texts(scratch);
    return SLANT_OK;
}

static slant_status run_step(const step_set *set, uint32_t i, normalizer_scratch *scratch,
                             slant_error *err)
{
    const tables_step *step = &set->steps[i];
    bool ok = true;
    switch ((step_kind)step->kind) {
    case STEP_LOWERCASE:
        ok = lowercase(scratch);
        break;
    case STEP_STRIP:
        ok = strip(scratch, step->flags);
        break;
    case STEP_PREPEND:
        ok = prepend(scratch, tables_string_text(set->tables, step->a), step->a.size_bytes);
        break;
    case STEP_REPLACE:
        return replace(set, i, scratch, err);
    default:
        ok = normalize_unicode((step_kind)step->kind, scratch);
    }
    return ok ? SLANT_OK : status_fail(err, SLANT_ERR_MEMORY, "out of memory");
}

slant_status normalize(const step_set *set, normalizer_scratch *scratch, const char *text,
                       uint32_t text_bytes, uint32_t base, bool aligned, slant_error *err)
{
    work_clear(&scratch->text, aligned);
    if (!work_append_source(&scratch->text, text, text_bytes, base))
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < set->n; i++) {
        slant_status status = run_step(set, i, scratch, err);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}
