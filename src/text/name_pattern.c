#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/name_pattern.h"

#include "base/buf.h"
#include "base/mem.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERN_MAX_BYTES = 4096, MATCH_LIMIT = 100000, HEAP_LIMIT_KIB = 4096 };

struct name_pattern {
    const char *what;
    char *text; /* the pattern as the adapter has it */
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static slant_status fail_memory(const char *what, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", what);
}

static slant_status compile(name_pattern *p, const buf *whole, slant_error *err)
{
    int code;
    PCRE2_SIZE at;
    p->code =
        pcre2_compile((PCRE2_SPTR)whole->data, whole->size_bytes,
                      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    if (p->code == NULL) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return status_fail(err, SLANT_ERR_FORMAT, "%s: the pattern \"%.200s\" does not compile: %s",
                           p->what, p->text, (const char *)why);
    }
    p->data = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->limits = pcre2_match_context_create(NULL);
    if (p->data == NULL || p->limits == NULL)
        return fail_memory(p->what, err);
    pcre2_set_match_limit(p->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
    return SLANT_OK;
}

slant_status name_pattern_open(const char *before, const char *pattern, const char *after,
                               const char *what, name_pattern **out, slant_error *err)
{
    *out = NULL;
    if (strlen(pattern) > PATTERN_MAX_BYTES)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: a pattern of more than %d bytes", what,
                           PATTERN_MAX_BYTES);
    buf whole = {0};
    name_pattern *p = mem_calloc(1, sizeof *p);
    slant_status status = SLANT_OK;
    buf_string(&whole, before);
    buf_string(&whole, pattern);
    buf_string(&whole, after);
    if (p != NULL) {
        p->what = what;
        p->text = mem_strdup(pattern);
    }
    if (p == NULL || p->text == NULL || whole.failed)
        status = fail_memory(what, err);
    else
        status = compile(p, &whole, err);
    buf_free(&whole);
    if (status != SLANT_OK) {
        name_pattern_close(p);
        return status;
    }
    *out = p;
    return SLANT_OK;
}

slant_status name_pattern_match(const name_pattern *p, const char *name, bool *matches,
                                slant_error *err)
{
    int result = pcre2_match(p->code, (PCRE2_SPTR)name, strlen(name), 0, 0, p->data, p->limits);
    *matches = result >= 0;
    if (result >= 0 || result == PCRE2_ERROR_NOMATCH)
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_UNSUPPORTED,
                       "%s: the pattern \"%.200s\" takes too long to match %s", p->what, p->text,
                       name);
}

slant_status name_pattern_index(const name_pattern *p, const char *name, int *index,
                                slant_error *err)
{
    bool matches;
    slant_status status = name_pattern_match(p, name, &matches, err);
    *index = -1;
    if (status != SLANT_OK || !matches)
        return status;
    PCRE2_UCHAR digits[16];
    PCRE2_SIZE length = sizeof digits;
    if (pcre2_substring_copy_byname(p->data, (PCRE2_SPTR) "idx", digits, &length) == 0)
        *index = atoi((const char *)digits);
    return SLANT_OK;
}

const char *name_pattern_text(const name_pattern *p)
{
    return p->text;
}

void name_pattern_close(name_pattern *p)
{
    if (p == NULL)
        return;
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->data);
    pcre2_code_free(p->code);
    mem_free(p->text);
    mem_free(p);
}
