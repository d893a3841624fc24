/* One JSON object, written member by member. Where memory runs out, out.failed says so at the end.
 */
#ifndef SLANT_MODEL_DOCUMENT_H
#define SLANT_MODEL_DOCUMENT_H

#include "base/buf.h"

#include <stdint.h>

typedef struct document {
    buf out;
    bool follows; /* a member or an item stands before the next one in this object or list */
} document;

/* key NULL: an item of a list, or the top. Strings that are NULL become null. */
void document_open(document *d, const char *key, char bracket); /* '{' or '[' */
void document_close(document *d, char bracket);                 /* '}' or ']' */
void document_string(document *d, const char *key, const char *value);
void document_int(document *d, const char *key, int64_t value);
void document_number(document *d, const char *key, double value);
void document_bool(document *d, const char *key, bool value);
void document_json(document *d, const char *key, const char *json); /* as it stands */

#endif
