#include "model/field.h"

#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* Where a token that Python writes and JSON lacks begins at text; its length, else 0. */
static size_t non_finite_length(const char *text, size_t left)
{
    static const char *const words[] = {"NaN", "-Infinity", "Infinity"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if (left >= length && memcmp(text, words[i], length) == 0)
            return length;
    }
    return 0;
}

static bool has_non_finite(const char *json, size_t json_bytes)
{
    return memmem(json, json_bytes, "NaN", 3) != NULL ||
           memmem(json, json_bytes, "Infinity", 8) != NULL;
}

/* Copies json with null for every NaN and Infinity that stands outside strings. */
static void copy_with_nulls(const char *json, size_t json_bytes, buf *out)
{
    bool in_string = false;
    for (size_t i = 0; i < json_bytes; i++) {
        size_t word = in_string ? 0 : non_finite_length(json + i, json_bytes - i);
        if (word > 0) {
            buf_string(out, "null");
            i += word - 1;
            continue;
        }
        if (json[i] == '"')
            in_string = !in_string;
        buf_char(out, json[i]);
        if (in_string && json[i] == '\\' && i + 1 < json_bytes)
            buf_char(out, json[++i]);
    }
}

static slant_status parse_object(const char *json, size_t json_bytes, const char *file,
                                 json_t **root, slant_error *err)
{
    json_error_t why;
    *root = json_loadb(json, json_bytes, JSON_REJECT_DUPLICATES, &why);
    if (*root == NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "%s: line %d: %s", file, why.line, why.text);
    if (!json_is_object(*root)) {
        slant_status status = status_fail(err, SLANT_ERR_FORMAT, "%s: expected an object, found %s",
                                          file, field_kind(*root));
        json_decref(*root);
        *root = NULL;
        return status;
    }
    return SLANT_OK;
}

slant_status field_parse(const char *json, size_t json_bytes, const char *file, json_t **root,
                         slant_error *err)
{
    *root = NULL;
    if (!has_non_finite(json, json_bytes))
        return parse_object(json, json_bytes, file, root, err);
    buf plain = {0};
    copy_with_nulls(json, json_bytes, &plain);
    slant_status status = plain.failed
                              ? status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", file)
                              : parse_object(plain.data, plain.size_bytes, file, root, err);
    buf_free(&plain);
    return status;
}

slant_status field_parse_file(const char *path, size_t max_bytes, json_t **root, slant_error *err)
{
    *root = NULL;
    buf text = {0};
    slant_status status = file_read(path, max_bytes, &text, err);
    if (status == SLANT_OK)
        status = field_parse(text.data == NULL ? "" : text.data, text.size_bytes, path, root, err);
    buf_free(&text);
    return status;
}

const char *field_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

void field_fail(field_reader *r, slant_status status, const char *fmt, ...)
{
    if (r->status != SLANT_OK)
        return;
    char message[sizeof r->err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    r->status = status_fail(r->err, status, "%s: %s", r->file, message);
}

const json_t *field_get(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value == NULL || json_is_null(value) ? NULL : value;
}

bool field_is_set(const json_t *object, const char *key)
{
    const json_t *value = field_get(object, key);
    if (value == NULL || json_is_false(value))
        return false;
    if (json_is_object(value))
        return json_object_size(value) > 0;
    if (json_is_array(value))
        return json_array_size(value) > 0;
    return !json_is_string(value) || json_string_length(value) > 0;
}

static void wrong_kind(field_reader *r, const char *key, const char *expected, const json_t *found)
{
    field_fail(r, SLANT_ERR_FORMAT, "%s: expected %s, found %s", key, expected, field_kind(found));
}

int64_t field_int(field_reader *r, const json_t *object, const char *key, int64_t absent,
                  int64_t min, int64_t max)
{
    const json_t *value = field_get(object, key);
    if (value == NULL)
        return absent;
    if (!json_is_integer(value)) {
        wrong_kind(r, key, "an integer", value);
        return absent;
    }
    int64_t number = json_integer_value(value);
    if (number >= min && number <= max)
        return number;
    field_fail(r, SLANT_ERR_FORMAT, "%s: expected %lld to %lld, found %lld", key, (long long)min,
               (long long)max, (long long)number);
    return absent;
}

double field_number(field_reader *r, const json_t *object, const char *key, double absent,
                    double min, double max)
{
    const json_t *value = field_get(object, key);
    if (value == NULL)
        return absent;
    if (!json_is_number(value)) {
        wrong_kind(r, key, "a number", value);
        return absent;
    }
    double number = json_number_value(value);
    if (number >= min && number <= max)
        return number;
    field_fail(r, SLANT_ERR_FORMAT, "%s: expected %g to %g, found %g", key, min, max, number);
    return absent;
}

bool field_bool(field_reader *r, const json_t *object, const char *key, bool absent)
{
    const json_t *value = field_get(object, key);
    if (value == NULL)
        return absent;
    if (!json_is_boolean(value))
        wrong_kind(r, key, "true or false", value);
    return json_is_true(value);
}

const char *field_string(field_reader *r, const json_t *object, const char *key)
{
    const json_t *value = field_get(object, key);
    if (value != NULL && !json_is_string(value))
        wrong_kind(r, key, "a string", value);
    return json_string_value(value);
}

const json_t *field_object(field_reader *r, const json_t *object, const char *key)
{
    const json_t *value = field_get(object, key);
    if (value == NULL || json_is_object(value))
        return value;
    wrong_kind(r, key, "an object", value);
    return NULL;
}

const json_t *field_array(field_reader *r, const json_t *object, const char *key)
{
    const json_t *value = field_get(object, key);
    if (value == NULL || json_is_array(value))
        return value;
    wrong_kind(r, key, "a list", value);
    return NULL;
}
