#include "cli/options.h"

#include "base/mem.h"
#include "base/nearest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_CHARS 40

bool options_choice_name(const char *choices, int index, const char **name, size_t *name_bytes)
{
    for (; index > 0; index--) {
        choices = strchr(choices, '|');
        if (choices == NULL)
            return false;
        choices++;
    }
    *name = choices;
    *name_bytes = strcspn(choices, "|");
    return true;
}

static const char *row_name(const void *context, size_t i)
{
    return ((const option_table *)context)->rows[i].name;
}

static const option_row *find_long(const option_table *table, const char *name, size_t name_chars)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const option_row *row = &table->rows[i];
        if (row->name != NULL && strlen(row->name) == name_chars &&
            memcmp(row->name, name, name_chars) == 0)
            return row;
    }
    return NULL;
}

static const option_row *find_letter(const option_table *table, char letter)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (table->rows[i].letter == letter && letter != 0)
            return &table->rows[i];
    return NULL;
}

static slant_status unknown_long(const option_table *table, const char *name, size_t name_chars,
                                 slant_error *err)
{
    char typed[NAME_MAX_CHARS + 1];
    if (name_chars > NAME_MAX_CHARS)
        name_chars = NAME_MAX_CHARS;
    memcpy(typed, name, name_chars);
    typed[name_chars] = '\0';
    const char *nearest = nearest_name(typed, table->n_rows, row_name, table);
    if (nearest == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "unknown option --%s", typed);
    return status_fail(err, SLANT_ERR_ARGUMENT, "unknown option --%s; did you mean --%s?", typed,
                       nearest);
}

static slant_status set_count(const option_row *row, const char *value, int *field,
                              slant_error *err)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end != '\0')
        return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes a whole number, not '%s'",
                           row->name, value);
    if (errno == ERANGE || (double)number < row->min || (double)number > row->max)
        return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes %.0f to %.0f, not %s", row->name,
                           row->min, row->max, value);
    *field = (int)number;
    return SLANT_OK;
}

static slant_status set_number(const option_row *row, const char *value, double *field,
                               slant_error *err)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || isnan(number))
        return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes a number, not '%s'", row->name,
                           value);
    if (number < row->min || number > row->max)
        return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes %g to %g, not %s", row->name,
                           row->min, row->max, value);
    *field = number;
    return SLANT_OK;
}

static slant_status set_choice(const option_row *row, const char *value, int *field,
                               slant_error *err)
{
    const char *name;
    size_t name_bytes;
    for (int i = 0; options_choice_name(row->choices, i, &name, &name_bytes); i++) {
        if (name_bytes > 0 && strlen(value) == name_bytes &&
            strncasecmp(name, value, name_bytes) == 0) {
            *field = i;
            return SLANT_OK;
        }
    }
    const char *shown = row->choices[0] == '|' ? row->choices + 1 : row->choices;
    return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes %s, not '%s'", row->name, shown, value);
}

static slant_status set_value(const option_row *row, const char *value, void *values,
                              slant_error *err)
{
    void *field = (char *)values + row->offset;
    switch (row->type) {
    case OPTION_TEXT:
        *(const char **)field = value;
        return SLANT_OK;
    case OPTION_COUNT:
        return set_count(row, value, field, err);
    case OPTION_NUMBER:
        return set_number(row, value, field, err);
    case OPTION_CHOICE:
        return set_choice(row, value, field, err);
    case OPTION_FLAG:
    case OPTION_HEADING:
        break;
    }
    *(bool *)field = true;
    return SLANT_OK;
}

/* One "--name", "--name=value" or "--name value" at argv[*at], which moves past a value. */
static slant_status parse_long(const option_table *table, int argc, char **argv, int *at,
                               void *values, bool *want_help, slant_error *err)
{
    const char *name = argv[*at] + 2;
    size_t name_chars = strcspn(name, "=");
    const char *value = name[name_chars] == '=' ? name + name_chars + 1 : NULL;
    if (strcmp(name, "help") == 0) {
        *want_help = true;
        return SLANT_OK;
    }
    const option_row *row = find_long(table, name, name_chars);
    if (row == NULL)
        return unknown_long(table, name, name_chars, err);
    if (row->type == OPTION_FLAG && value != NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "--%s takes no value", row->name);
    if (row->type != OPTION_FLAG && value == NULL) {
        if (*at + 1 >= argc)
            return status_fail(err, SLANT_ERR_ARGUMENT, "--%s needs a value", row->name);
        value = argv[++*at];
    }
    return set_value(row, value, values, err);
}

/* A group of letters at argv[*at]; the first that takes a value takes the rest, or the next. */
static slant_status parse_letters(const option_table *table, int argc, char **argv, int *at,
                                  void *values, bool *want_help, slant_error *err)
{
    for (const char *letter = argv[*at] + 1; *letter != '\0'; letter++) {
        if (*letter == 'h') {
            *want_help = true;
            continue;
        }
        const option_row *row = find_letter(table, *letter);
        if (row == NULL)
            return status_fail(err, SLANT_ERR_ARGUMENT, "unknown option -%c in '%s'", *letter,
                               argv[*at]);
        if (row->type == OPTION_FLAG) {
            set_value(row, NULL, values, err);
            continue;
        }
        const char *value = letter[1] != '\0' ? letter + 1 : NULL;
        if (value == NULL && *at + 1 >= argc)
            return status_fail(err, SLANT_ERR_ARGUMENT, "-%c needs a value", *letter);
        return set_value(row, value != NULL ? value : argv[++*at], values, err);
    }
    return SLANT_OK;
}

slant_status options_parse(const option_table *table, int argc, char **argv, void *values,
                           option_operands *operands, slant_error *err)
{
    bool options_ended = false;
    *operands = (option_operands){0};
    operands->items = mem_alloc((size_t)argc, sizeof *operands->items);
    if (operands->items == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
    for (int at = 1; at < argc; at++) {
        const char *argument = argv[at];
        slant_status status = SLANT_OK;
        if (options_ended || argument[0] != '-' || argument[1] == '\0')
            operands->items[operands->n_items++] = argument;
        else if (strcmp(argument, "--") == 0)
            options_ended = true;
        else if (argument[1] == '-')
            status = parse_long(table, argc, argv, &at, values, &operands->want_help, err);
        else
            status = parse_letters(table, argc, argv, &at, values, &operands->want_help, err);
        if (status != SLANT_OK) {
            mem_free(operands->items);
            *operands = (option_operands){0};
            return status;
        }
    }
    return SLANT_OK;
}
