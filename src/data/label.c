#include "data/label.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SHOWN_BYTES 200

static slant_status unknown(const char *label_json, const char *const *names, int n_labels,
                            slant_error *err)
{
    buf known = {0};
    for (int i = 0; i < n_labels; i++) {
        if (known.size_bytes > NAMES_SHOWN_BYTES) {
            buf_string(&known, ", …");
            break;
        }
        buf_printf(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    slant_status status = known.failed
                              ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for a label")
                              : status_fail(err, SLANT_ERR_FORMAT,
                                            "label %.80s is none of %s, nor an index from 0 to %d",
                                            label_json, known.data, n_labels - 1);
    buf_free(&known);
    return status;
}

static int find_name(const json_t *label, const char *const *names, int n_labels)
{
    for (int i = 0; i < n_labels; i++)
        if (strlen(names[i]) == json_string_length(label) &&
            memcmp(names[i], json_string_value(label), json_string_length(label)) == 0)
            return i;
    return -1;
}

/* A name, or an index that a table wrote as a string. */
static int find_string(const json_t *label, const char *const *names, int n_labels)
{
    int named = find_name(label, names, n_labels);
    if (named >= 0)
        return named;
    char *end;
    const char *text = json_string_value(label);
    errno = 0;
    long index = strtol(text, &end, 10);
    bool is_number = end == text + json_string_length(label) && end != text && errno == 0;
    return is_number && index >= 0 && index < n_labels ? (int)index : -1;
}

int label_find(const json_t *label, const char *const *names, int n_labels)
{
    if (json_is_string(label))
        return find_string(label, names, n_labels);
    json_int_t index = json_is_integer(label) ? json_integer_value(label) : -1;
    return index >= 0 && index < n_labels ? (int)index : -1;
}

slant_status label_index(const char *label_json, const char *const *names, int n_labels, int *index,
                         slant_error *err)
{
    json_t *label =
        label_json == NULL ? NULL : json_loads(label_json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    *index = -1;
    if (label == NULL || json_is_null(label))
        return status_fail(err, SLANT_ERR_FORMAT, "no label");
    *index = label_find(label, names, n_labels);
    json_decref(label);
    return *index >= 0 ? SLANT_OK : unknown(label_json, names, n_labels, err);
}
