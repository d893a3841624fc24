/* A pull parser for JSON held in memory: it walks the text once, builds no tree and allocates only
 * for strings that hold escapes, which is what lets a 9 MB tokenizer.json open in milliseconds.
 *
 * Errors stick: after the first one every call returns false, and the caller asks once at the end.
 * Nesting is bounded, and so is the work: each byte is read once. */
#ifndef SLANT_TEXT_JSON_READER_H
#define SLANT_TEXT_JSON_READER_H

#include "base/mem.h"

typedef struct json_reader {
    const char *begin, *at, *end;
    arena *strings; /* where unescaped strings go */
    int depth;
    bool comma;          /* the innermost object or array has an element already */
    const char *problem; /* NULL: none; at is where it was met */
    bool out_of_memory;  /* the problem is no fault of the text */
} json_reader;

/* A string, inside the text or in the arena; not terminated. */
typedef struct json_text {
    const char *text;
    size_t size_bytes;
} json_text;

/* json must be UTF-8 and outlive the strings that are read from it. */
void json_reader_init(json_reader *r, const char *json, size_t json_bytes, arena *strings);

/* The first character of the value that comes next ('{', '[', '"', 't', 'f', 'n', '-', '0' …). */
char json_peek(json_reader *r);

/* Walks an object: while (json_next_key(r, &key)) read or skip its value. It returns false once the
 * object has ended or an error was met. Arrays likewise. */
bool json_begin_object(json_reader *r);
bool json_next_key(json_reader *r, json_text *key);
bool json_begin_array(json_reader *r);
bool json_next_item(json_reader *r);

bool json_read_text(json_reader *r, json_text *out);
bool json_read_bool(json_reader *r, bool *out);
bool json_read_index(json_reader *r, uint32_t *out); /* an integer from 0 to 2^32 − 2 */
bool json_read_null(json_reader *r);                 /* true where null was there, and is past */
bool json_skip(json_reader *r);

/* To be called at the very end: nothing but white space may follow. */
bool json_finish(json_reader *r);
bool json_fail(json_reader *r, const char *problem); /* always false */

bool json_text_is(json_text text, const char *string);

#endif
