/* Settings out of JSON, strictly: a key has the kind and the range that is asked for, is absent
 * (null counts as absent, as transformers has it), or is an error that names file and key.
 *
 * A reader keeps the first error and answers with defaults from there on, so that a function can
 * read all its fields in a row and ask once at the end. */
#ifndef SLANT_MODEL_FIELD_H
#define SLANT_MODEL_FIELD_H

#include "base/status.h"

#include <jansson.h>

typedef struct field_reader {
    const char *file; /* stands in messages */
    slant_error *err;
    slant_status status; /* of the first field that was wrong */
} field_reader;

/* The object at the top of a JSON text; ownership: json_decref. Python's NaN and Infinity, which
 * are no JSON but which it writes, read as null. */
slant_status field_parse(const char *json, size_t json_bytes, const char *file, json_t **root,
                         slant_error *err);
/* The same of a file of at most max_bytes. */
slant_status field_parse_file(const char *path, size_t max_bytes, json_t **root, slant_error *err);

/* The value, or NULL where it is absent or null. */
const json_t *field_get(const json_t *object, const char *key);

int64_t field_int(field_reader *r, const json_t *object, const char *key, int64_t absent,
                  int64_t min, int64_t max);
double field_number(field_reader *r, const json_t *object, const char *key, double absent,
                    double min, double max);
bool field_bool(field_reader *r, const json_t *object, const char *key, bool absent);
/* NULL where absent; lives as long as object. */
const char *field_string(field_reader *r, const json_t *object, const char *key);
const json_t *field_object(field_reader *r, const json_t *object, const char *key);
const json_t *field_array(field_reader *r, const json_t *object, const char *key);

/* Whether a key is set to something other than null, false, "", [] and {}. */
bool field_is_set(const json_t *object, const char *key);

/* Records "file: key: …", unless an error is recorded already. */
void field_fail(field_reader *r, slant_status status, const char *fmt, ...) SLANT_PRINTF(3, 4);

/* "a string", "an object", … for messages. */
const char *field_kind(const json_t *value);

#endif
