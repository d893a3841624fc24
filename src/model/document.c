#include "model/document.h"

#include <string.h>

static void begin(document *d, const char *key)
{
    if (d->follows)
        buf_char(&d->out, ',');
    d->follows = true;
    if (key != NULL) {
        buf_json_string(&d->out, key, strlen(key));
        buf_char(&d->out, ':');
    }
}

void document_open(document *d, const char *key, char bracket)
{
    begin(d, key);
    buf_char(&d->out, bracket);
    d->follows = false;
}

void document_close(document *d, char bracket)
{
    buf_char(&d->out, bracket);
    d->follows = true;
}

void document_string(document *d, const char *key, const char *value)
{
    begin(d, key);
    if (value == NULL)
        buf_string(&d->out, "null");
    else
        buf_json_string(&d->out, value, strlen(value));
}

void document_int(document *d, const char *key, int64_t value)
{
    begin(d, key);
    buf_printf(&d->out, "%lld", (long long)value);
}

void document_number(document *d, const char *key, double value)
{
    begin(d, key);
    buf_double(&d->out, value);
}

void document_bool(document *d, const char *key, bool value)
{
    begin(d, key);
    buf_string(&d->out, value ? "true" : "false");
}

void document_json(document *d, const char *key, const char *json)
{
    begin(d, key);
    buf_string(&d->out, json);
}
