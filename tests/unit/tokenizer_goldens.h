/* Reading tests/golden/text/tokenizer_*.json, for the tests of the tokenizer. */
#ifndef SLANT_TESTS_TOKENIZER_GOLDENS_H
#define SLANT_TESTS_TOKENIZER_GOLDENS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "text/tokenizer.h"

#define GOLDEN_FOLDER SLANT_SOURCE_DIR "/tests/golden/text/"

static inline void golden_path(const char *name, char path[512])
{
    snprintf(path, 512, GOLDEN_FOLDER "tokenizer_%s.json", name);
}

/* The caller's reference. */
static inline json_t *golden_json(const char *name)
{
    char path[512];
    json_error_t error;
    golden_path(name, path);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (root == NULL)
        fail_msg("%s: %s", path, error.text);
    return root;
}

/* The bytes of tokenizer.json of a kind; buf_free. */
static inline buf golden_text(const char *kind)
{
    char path[512];
    slant_error err;
    buf text = {0};
    golden_path(kind, path);
    if (file_read(path, (size_t)1 << 20, &text, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    return text;
}

static inline tokenizer *golden_tokenizer(const char *kind)
{
    slant_error err;
    tokenizer *t = NULL;
    buf text = golden_text(kind);
    if (tokenizer_open_json(text.data, text.size_bytes, kind, &t, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    buf_free(&text);
    return t;
}

#endif
